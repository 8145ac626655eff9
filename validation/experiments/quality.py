"""What operator networks and the default sampler buy: quality by resolution, evaluations needed.

FitzHugh-Nagumo fields u at t = 2.5. The network of ``fdiff demo`` is trained from three seeds, in
single-threaded processes. Four kinds of networks are trained beside it on 32 x 32 points alone, for
equal processor time: an operator network around the linear denoiser (the default's kind, smaller);
a U-Net in its place; the operator network that predicts the noise; and the same without walls, with
the paper's prior and the reference implementation's scaling, whose grid values shrink as the grid
is refined (kinder than that code in one way: the noise has the data's variance). All four draw by
DPM-Solver++(2M).
Distances are those of fdiff.metrics to held-out truth. Intervals are over seeds, each another
training that draws from another noise, so they cover the scatter of a finite set of samples; what
one seed draws on several grids or by several samplers starts from the same functions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from fdiff.metrics.estimate import student
from validation.claim import Claim
from validation.experiments import patterns
from validation.experiments import quality_tasks as tasks
from validation.experiments.outcome import (
    Picture,
    Table,
    Text,
    observed,
    ratio_of,
    shown,
    smaller,
    within,
)
from validation.experiments.quality_figures import (
    evaluation_figure,
    example_figure,
    resolution_figure,
)
from validation.experiments.quality_tasks import METRICS
from validation.experiments.setting import Setting
from validation.experiments.training_cost import judged
from validation.experiments.workspace import Workspace, stack

KINDS = {
    "operator": "operator, linear denoiser inside",
    "unet": "U-Net, linear denoiser inside",
    "noise": "operator, noise prediction",
    "reference": "reference's scaling",
}
# Set beforehand: what a prototype reached in five minutes, and a goal.
LOSS_BOUNDS = {32: 0.945, 64: 0.942, 128: 0.960}
ACCURACY_BOUNDS = (0.60, 0.55)
HEADER = ("pointwise W1", "gradient W1", "kurtosis", "perimeter error", "spectrum error")
SOURCE = "measured"


def run(setting: Setting, work: Workspace) -> Iterator[Claim | Text | Table | Picture]:
    data = work.folder / "data"
    patterns.make(data, setting["train"], setting["held_out"], {}, work.jobs)
    folder, seeds, level = str(data), setting.seeds, setting["level"]
    # The long ones first, so that no core waits at the end.
    first = {
        f"default_{seed}": {
            "task": "default_run", "folder": folder, "run": str(work.folder / f"run_{seed}"),
            "seed": seed, **setting["default"],
        }
        for seed in seeds
    }  # fmt: skip
    runs = {
        seed: {"folder": folder, "run": first[f"default_{seed}"]["run"], "seed": seed}
        for seed in seeds
    }
    for kind in KINDS:
        for seed in seeds:
            first[f"{kind}_{seed}"] = {
                "task": "contender", "folder": folder, "kind": kind, "seed": seed, "level": level,
                **setting["contenders"],
            }  # fmt: skip
    trained = work.map(tasks.perform, first)
    default = [trained[f"default_{seed}"] for seed in seeds]
    contenders = {kind: [trained[f"{kind}_{seed}"] for seed in seeds] for kind in KINDS}
    yield from losses(default, contenders, setting)

    counts = sorted({row[3] for row in setting["samplers"]["rows"]})
    second = {
        "floors": {
            "task": "floors", "folder": folder, "level": level, "counts": counts,
            "classifier": bool(setting["classified"]),
        }
    }  # fmt: skip
    options = {"level": level, **setting["samplers"]}
    for seed, run in runs.items():
        second[f"samplers_{seed}"] = {"task": "samplers", **run, **options}
        second[f"resolutions_{seed}"] = {"task": "resolutions", **run, **setting["resolutions"]}
        for row in setting["classified"]:
            key = f"classified_{row['scheme']}_{row['order']}_{row['evaluations']}_{seed}"
            second[key] = {"task": "classified", **run, "level": level, **row}
    done = work.map(tasks.perform, second)
    drawn = [done[f"resolutions_{seed}"] for seed in seeds]
    yield from by_resolution(drawn, contenders, setting)
    accuracies = {}
    for row in setting["classified"]:
        sampler = row["scheme"], row["order"], row["evaluations"]
        keys = ["_".join(map(str, ("classified", *sampler, seed))) for seed in seeds]
        accuracies[sampler] = stack([done[key] for key in keys], "accuracy")[:, 0]
    sampled = [done[f"samplers_{seed}"] for seed in seeds]
    yield from by_evaluations(sampled, done["floors"], accuracies, setting)


def losses(default: list[dict], contenders: dict, setting: Setting) -> Iterator[Claim | Table]:
    """Held-out losses of the default and of all that was trained for the same, shorter time."""
    rows = [["fdiff demo's default", seconds(default), *cells(stack(default, "validation"))]]
    for kind, results in contenders.items():
        rows.append([KINDS[kind], seconds(results), *cells(stack(results, "validation"))])
    yield Table(
        "Held-out loss, the linear model's is 1 (mean ± half the 95 % interval over seeds); "
        "the default saw 32 and 64 points, the others 32; losses of other priors do not compare",
        ("network", "seconds of one thread", *(f"{n} x {n}" for n in LOSS_BOUNDS)),
        rows,
    )
    for i, (n, bound) in enumerate(LOSS_BOUNDS.items()):
        values = stack(default, "validation")[:, i]
        sentence = f"the default's held-out loss at {n} x {n} is below the bound {bound}"
        yield judged(within(sentence, SOURCE, student(values), -np.inf, bound), setting.quick)
    for i, n in enumerate(LOSS_BOUNDS):
        ours, plain = (
            stack(contenders[kind], "validation")[:, i] for kind in ("operator", "noise")
        )
        sentence = f"in equal time, held-out loss at {n} x {n}: below noise prediction's"
        yield judged(smaller(sentence, SOURCE, ours, plain), setting.quick)


def by_resolution(drawn, contenders, setting: Setting) -> Iterator[Claim | Table | Picture]:
    """Distances at 1, 2 and 4 times the finest grid of the training."""
    tables = {"fdiff demo's default": drawn}
    tables |= {KINDS[kind]: results for kind, results in contenders.items()}
    rows = []
    for name, results in tables.items():
        for key in results[0]:
            if key.startswith("metrics_"):
                n = key.removeprefix("metrics_")
                same = stack(results, f"same_{n}")
                rows.append(
                    [f"{name}, {n} x {n}", *cells(stack(results, key)), *cells(same[:, None])]
                )
    yield Table(
        "Quality by resolution, held-out truth restricted from 128 x 128; the last column is the "
        "difference of a field, restricted, to the one drawn from the same noise on the coarsest "
        "grid, in standard deviations",
        ("network, points", *HEADER, "same function"),
        rows,
    )
    finest = max(int(n) for n in setting["contenders"]["counts"])
    for other in ("unet", "reference"):
        for metric in ("pointwise_w1", "gradient_w1"):
            first, second = (
                stack(contenders[kind], f"metrics_{finest}")[:, METRICS.index(metric)]
                for kind in ("operator", other)
            )
            sentence = (
                f"{metric} at {finest} x {finest}, {finest // setting['level']} times the "
                f"training's points: operator below {KINDS[other]}"
            )
            yield judged(compared(sentence, first, second), setting.quick)
    labels = {kind: KINDS[kind] for kind in contenders}
    yield Picture(
        "resolution",
        lambda: resolution_figure(contenders, labels, setting["level"]),
        "Distance to held-out truth, and to the same field on the coarsest grid, of networks "
        "trained on 32 x 32 points for equal time; lines are means over seeds, dots single seeds. "
        "Missing points: the sampler diverged.",
    )
    yield Picture(
        "fields",
        lambda: example_figure(contenders, drawn, setting),
        "Fields drawn at four times the training's points an axis (the default: twice), one seed; "
        "the colours end at four standard deviations of the default's.",
    )


def compared(sentence: str, first: np.ndarray, second: np.ndarray) -> Claim:
    """`smaller`; a sampler that diverged counts as infinitely far."""
    far = np.where(np.isfinite(second), second, 1e9)
    return smaller(sentence, SOURCE, np.where(np.isfinite(first), first, 1e9), far)


def by_evaluations(
    sampled, floor, accuracies, setting: Setting
) -> Iterator[Claim | Table | Picture]:
    """Samplers of one network against the number of evaluations."""
    rows = [tuple(row) for row in setting["samplers"]["rows"]]
    metrics, errors = stack(sampled, "metrics"), stack(sampled, "errors")
    lines = []
    for i, (scheme, order, evaluations, count, kind) in enumerate(rows):
        name = named(scheme, order, kind)
        found = accuracies.get((scheme, order, evaluations)) if kind == "uniform" else None
        lines.append(
            [
                name, evaluations, count, *cells(metrics[:, i]), *cells(errors[:, i, None]),
                "-" if found is None else shown(found),
            ]
        )  # fmt: skip
    for key, values in floor.items():
        if key.startswith("truth_"):
            text = [f"{value:.3g}" for value in values]
            seen = f"{floor['classifier'][0]:.3g}" if "classifier" in floor else "-"
            lines.append(["truth against truth", "-", key[6:], *text, "-", seen])
    yield Table(
        f"Samplers of the default's network at {setting['level']} x {setting['level']}; error: RMS "
        "distance to the limit of many steps from the same start, in standard deviations; "
        "classifier: held-out accuracy with 1024 fields of each kind",
        ("sampler", "evaluations", "fields", *HEADER, "error", "classifier"),
        lines,
    )
    place = {row[:3] + row[4:]: i for i, row in enumerate(rows)}
    for evaluations in setting["fitted"]:
        fitted, uniform = (
            errors[:, place["GaussianExact", 2, evaluations, kind]]
            for kind in ("fitted", "uniform")
        )
        sentence = (
            f"error with {evaluations} evaluations: times fitted to the correction below uniform"
        )
        yield smaller(sentence, SOURCE, fitted, uniform)
    ours = place["GaussianExact", 2, 10, "uniform"]
    theirs = place["DPMSolverPP2M", 2, 20, "uniform"]
    for i, metric in enumerate(METRICS[:2]):
        sentence = f"{metric}: GaussianExact with 10 evaluations below DPM-Solver++(2M) with 20"
        yield judged(compared(sentence, metrics[:, ours, i], metrics[:, theirs, i]), setting.quick)
    for other in (20, 60):
        theirs = place["DPMSolverPP2M", 2, other, "uniform"]
        sentence = (
            "distance to the limit along the path: GaussianExact with 10 evaluations over "
            f"DPM-Solver++(2M) with {other}"
        )
        yield observed(sentence, SOURCE, ratio_of(errors[:, ours], errors[:, theirs]))
    best = accuracies.get(("GaussianExact", 2, 10))
    for bound in ACCURACY_BOUNDS if best is not None else ():
        sentence = f"classifier accuracy with 10 evaluations: below {bound}"
        yield judged(within(sentence, SOURCE, student(best), -np.inf, bound), setting.quick)
    yield Picture(
        "evaluations",
        lambda: evaluation_figure(rows, metrics, errors, floor),
        "Distance to held-out truth, and to the limit of many steps, against evaluations of one "
        "network; means over seeds with all seeds as dots. Grey: truth against truth, 256 fields.",
    )


def named(scheme: str, order: int, kind: str) -> str:
    if scheme == "GaussianExact":
        return f"GaussianExact, order {order}" + (", fitted times" if kind == "fitted" else "")
    return {
        "DPMSolverPP2M": "DPM-Solver++(2M)",
        "DPMSolverPP3M": "DPM-Solver++(3M)",
        "EulerMaruyama": "Euler–Maruyama",
    }[scheme]


def cells(values: np.ndarray) -> list[str]:
    """One cell a column of ``(seeds, columns)``."""
    return [shown(column) if np.isfinite(column).all() else "-" for column in np.asarray(values).T]


def seconds(results: Sequence[dict]) -> str:
    return f"{np.mean([float(result['seconds']) for result in results]):.0f}"
