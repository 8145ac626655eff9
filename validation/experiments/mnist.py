"""MNIST: train at 32², go on at 64², sample at 28 to 128, with the priors of the paper
(arXiv 2303.04772), its protocol beside ours.

Digits are resized to 64² by bilinear interpolation, as in the paper; coarser grids see their
restrictions. Our box has no-flux walls, values are function values, priors have the data's trace,
the network (28 cosine modes a side, so that 28² is the coarsest grid it can be sampled at) corrects
the linear denoiser, and a digit takes 20 evaluations. With MNIST's test file alone, every tenth of
its 10,000 images is held out; with both files, the test file is. Distances are against held-out
digits on the same grid, in units of their standard deviation; "truth" are training digits against
the same held-out ones. Intervals are Student's over runs with different seeds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from fdiff.convergence import Verdict
from fdiff.metrics.estimate import Estimate, student
from validation.claim import Claim
from validation.experiments import digits, mnist_figures
from validation.experiments.digits import COARSE, MEASURES, SIDE
from validation.experiments.outcome import (
    Picture,
    Table,
    Text,
    observed,
    ratio_of,
    shown,
    smaller,
    within,
)  # fmt: skip
from validation.experiments.setting import Setting
from validation.experiments.training_cost import time_to
from validation.experiments.workspace import Workspace, stack

SOURCE = "arXiv 2303.04772, section 6"
SMOOTH, OURS = "smooth", "short"  # of `fdiff.nn.train`, and of `fdiff train` for images
LABELS = {
    "standard": "standard (white noise)", "fno": "FNO (random modes)",
    "inverse_laplacian": "inverse Laplacian", "bessel": "Bessel, power 1.1",
    "combined": "combined", SMOOTH: "Bessel, power 1.75 (for fields)",
    OURS: "Bessel, shift 1500 (default)",
}  # fmt: skip
Item = Claim | Text | Table | Picture
Results = dict[str, dict[str, np.ndarray]]


def run(setting: Setting, work: Workspace) -> Iterator[Item]:
    folder = digits.mnist_folder(setting.data)
    results = work.map(digits.task, tasks(setting, folder))
    yield from preparation()
    yield from by_resolution(setting, results)
    yield from warm_start(setting, results)
    yield from boundary(setting, results)
    yield from by_prior(setting, results)


def tasks(setting: Setting, folder: str) -> dict[str, dict]:
    """Every training and its samples, by name."""
    data = {"folder": folder, "train": setting["train"], "test": setting["test"]}
    ours = data | {
        "study": "trained", "prior": OURS, "boundary": "neumann", "sides": [], "points": 1,
        "validation": 0, "levels": [COARSE, SIDE], "steps": setting["warm"],
        **{key: setting[key] for key in ("batch", "rate", "network", "samples", "evaluations")},
    }  # fmt: skip
    curve = {key: setting[key] for key in ("points", "validation")}
    compared = {"sides": setting["compared"]}
    alone = compared | {"levels": [COARSE], "steps": [setting["prior_steps"]]}
    paper = data | compared | {
        "study": "paper", "steps": setting["prior_steps"], "batch": setting["batch"],
        "network": setting["published"], "samples": setting["paper_samples"],
        "evaluations": setting["paper_evaluations"],
    }  # fmt: skip
    sides = {"sides": setting["sides"], "samples": setting["samples"]}
    out: dict[str, dict] = {}
    # The longest first, so that the last processes end together.
    for seed in setting.seeds:
        out[f"warm-{seed}"] = ours | curve | sides | {"seed": seed}
        out[f"periodic-{seed}"] = ours | compared | {"boundary": "periodic", "seed": seed}
        cold = {"levels": [SIDE], "steps": [setting["cold"]]}
        out[f"cold-{seed}"] = ours | curve | cold | {"seed": seed}
    for seed in setting.seeds:
        for prior in setting["priors"]:
            out[f"paper-{prior}-{seed}"] = paper | {"prior": prior, "seed": seed}
        for prior in [*setting["priors"], SMOOTH, OURS]:
            out[f"prior-{prior}-{seed}"] = ours | alone | {"prior": prior, "seed": seed}
        out[f"truth-{seed}"] = data | sides | {"study": "truth", "seed": seed}
    return out


def runs(setting: Setting, results: Results, name: str, entry: str) -> np.ndarray:
    """An entry of the runs of a name, one row a seed."""
    return stack([results[f"{name}-{seed}"] for seed in setting.seeds], entry)


def measured(
    setting: Setting, results: Results, name: str, side: int, measure: str, kind="measures"
):
    """A measure of the runs of a name, one number a seed."""
    return runs(setting, results, name, f"{kind}_{side}")[:, MEASURES.index(measure)]


def preparation() -> Iterator[Item]:
    weight = float(np.exp(-0.5 / 0.1**2))
    yield within(
        "the paper's blur (7 pixels, standard deviation 0.1): weight of a neighbour",
        SOURCE, Estimate(weight, weight, weight), 0.0, 1e-20,
    )  # fmt: skip


def by_resolution(setting: Setting, results: Results) -> Iterator[Item]:
    rows = []
    for side in setting["sides"]:
        for label, name in ((f"{side}²", "warm"), ("truth", "truth")):
            values = runs(setting, results, name, f"measures_{side}")
            rows.append([label, *(shown(column) for column in values.T)])
    parts = [("truth, 64²", results["truth-0"][f"digits_{SIDE}"])]
    parts += [(f"{n}²", results["warm-0"][f"digits_{n}"]) for n in setting["sides"]]
    yield Picture(
        "gallery", lambda: mnist_figures.gallery(parts),
        "Held-out truth, and digits sampled at each resolution from the same seeds by one network "
        "trained at 32² and 64² (columns are one function seen on several grids).",
    )  # fmt: skip
    yield Table(
        "Samples at each resolution; under each, other true digits", ("grid", *MEASURES), rows
    )
    yield Text(
        f"Vendi scores are of {digits.VENDI} digits: cosine of the pixel values as in the paper, "
        "and a Gaussian kernel with the truth's median distance. The sliced Wasserstein distances "
        "of two sets of one law are not 0 (see truth); the energy distance is unbiased. The frame "
        "is the root mean square of the values within 1/8 of the side from a wall, where digits "
        "have hardly any."
    )
    for side in setting["sides"]:
        values = measured(setting, results, "warm", side, "energy distance")
        yield observed(f"energy distance to held-out digits at {side}²", SOURCE, student(values))
    values = runs(setting, results, "warm", "difference")
    yield observed(
        "digits of one seed at 64² restricted to 32², against those drawn at 32²: root mean square "
        "difference in standard deviations", "one function on two grids", student(values),
    )  # fmt: skip


def warm_start(setting: Setting, results: Results) -> Iterator[Item]:
    warm, cold = (
        [results[f"{name}-{seed}"]["curve"] for seed in setting.seeds] for name in ("warm", "cold")
    )
    yield Picture(
        "warm_start", lambda: mnist_figures.loss_over_time(warm, cold),
        "Validation loss at 64², in units of the linear model's, over CPU time of training: warm "
        "start (at 32², the last steps also at 64²) and all steps at 64².",
    )  # fmt: skip
    last = {"warm": [c[-1] for c in warm], "cold": [c[-1] for c in cold]}
    names = {"warm": "warm start, 32² then 64²", "cold": "cold, all at 64²"}
    yield Table(
        "Warm start and cold start", ("training", "CPU seconds", "digits seen", "loss at 64²"),
        [[names[k], *(shown(column) for column in np.transpose(rows))] for k, rows in last.items()],
    )  # fmt: skip
    yield observed(
        "CPU seconds of the warm training over those of the cold one", SOURCE,
        ratio_of(*([row[0] for row in last[k]] for k in ("warm", "cold"))),
    )  # fmt: skip
    yield smaller(
        "validation loss at 64² after that time: warm start over cold start", SOURCE,
        *([row[2] for row in last[k]] for k in ("warm", "cold")),
    )  # fmt: skip
    yield sooner(
        "CPU seconds to the cold training's last loss: warm start over cold start", warm, cold
    )


def sooner(claim: str, warm: Sequence[np.ndarray], cold: Sequence[np.ndarray]) -> Claim:
    """Over pairs of curves ``(seconds, digits, loss)``: the first gets to the second's end before.

    FAIL where a first one never gets there: its time has no number.
    """
    seconds = [time_to(c[-1, 2], w[:, 2], w[:, 0]) for w, c in zip(warm, cold)]
    never = int(np.isinf(seconds).sum())
    if not never:
        return smaller(claim, SOURCE, seconds, [c[-1, 0] for c in cold])
    verdict = Verdict.INCONCLUSIVE if len(seconds) < 2 else Verdict.FAIL
    nan, reason = float("nan"), f"{never} of {len(seconds)} do not get there"
    return Claim(claim, SOURCE, 1.0, nan, nan, nan, verdict, reason)


def boundary(setting: Setting, results: Results) -> Iterator[Item]:
    rows = []
    shown_measures = ("energy distance", "sliced Wasserstein", "pointwise W1", "frame")
    for side in setting["compared"]:
        for label, name in (("no flux", "warm"), ("periodic", "periodic"), ("truth", "truth")):
            values = [measured(setting, results, name, side, m) for m in shown_measures]
            rows.append([f"{side}², {label}", *map(shown, values)])
    title = "The same training on the no-flux and on the periodic square"
    yield Table(title, ("box", *shown_measures), rows)
    gaps = {}
    for measure in ("energy distance", "frame"):
        pair = [measured(setting, results, n, SIDE, measure) for n in ("warm", "periodic")]
        gaps[measure] = digits.difference(*pair)
        yield observed(f"{measure} at 64²: no flux minus periodic", SOURCE, gaps[measure])
    yield Text(
        "Digits vanish at the walls, so that both boxes hold them. "
        + " ".join(sentence(measure, gap) for measure, gap in gaps.items())
        + " The network's basis and coordinates are those of the box, all else is the same."
    )


def sentence(measure: str, gap: Estimate, better: str = "no-flux", worse: str = "periodic") -> str:
    """What an interval of ``better - worse`` says; smaller is better."""
    if gap.low <= 0 <= gap.high:
        return f"In the {measure} these runs do not tell them apart."
    winner = better if gap.high < 0 else worse
    return f"In the {measure} the {winner} square is better."


def by_prior(setting: Setting, results: Results) -> Iterator[Item]:
    rows: list[Sequence[object]] = []
    readme: list[Sequence[object]] = []
    metric = "energy distance"
    for prior in [*setting["priors"], SMOOTH, OURS]:
        published = prior in setting["priors"]
        for side in setting["compared"]:
            ours = runs(setting, results, f"prior-{prior}", f"measures_{side}")
            rows.append([f"{LABELS[prior]}, {side}², ours", *map(shown, ours.T)])
            compatible = "–"
            for kind in ("measures", "rescaled") if published else ():
                values = runs(setting, results, f"paper-{prior}", f"{kind}_{side}")
                label = "published" if kind == "measures" else "published, rescaled"
                rows.append([f"{LABELS[prior]}, {side}², {label}", *map(shown, values.T)])
                compatible = shown(values[:, MEASURES.index(metric)], 2)
            truth = shown(measured(setting, results, "truth", side, metric), 2)
            mine = shown(ours[:, MEASURES.index(metric)], 2)
            readme.append(["MNIST", LABELS[prior], f"{side}²", compatible, mine, truth])
    rows += [
        [f"truth, {side}²", *map(shown, runs(setting, results, "truth", f"measures_{side}").T)]
        for side in setting["compared"]
    ]
    yield from _prior_pictures(setting, results)
    yield Table("Priors: the same training at 32² alone", ("prior", *MEASURES), rows)
    yield Text(
        f"Every training has {setting['prior_steps']} steps of {setting['batch']} digits at 32² "
        "and no more: seconds, where the paper trains for 100 to 200 epochs. The published "
        "protocol (its network has complex weights on the periodic square, as large as ours) draws "
        f"{setting['paper_samples']} digits with {setting['paper_evaluations']} Euler-Maruyama "
        f"steps (the paper takes 200 to 1000), ours {setting['samples']} with "
        f"{setting['evaluations']} evaluations. Its evaluation moves each sample's values to "
        "[0, 1] (rescaled), which hides wrong amplitudes; its values are brought back to function "
        "values before. Where the two draw different numbers of digits, only the energy distance, "
        "which is unbiased, and the frame compare: with fewer digits the other distances rise and "
        f"Vendi scores (of at most {digits.VENDI}) fall. White noise has no scale that all grids "
        "share: there our network is scaled on each grid. A digit's modes between 6 and 14 half "
        "waves a side stand out of the smooth noise first, and strokes are there before it is "
        "decided of which digit; out of noise that is white up to the width of a stroke (shift "
        "1500) the coarse modes come first."
    )
    for side in setting["compared"]:
        yield below_zero(
            f"{metric} at {side}², ours: {LABELS[OURS]} minus {LABELS[SMOOTH]}",
            *(measured(setting, results, f"prior-{p}", side, metric) for p in (OURS, SMOOTH)),
        )
    for prior in setting["priors"]:
        for side in setting["compared"]:
            first, second = (
                measured(setting, results, f"{name}-{prior}", side, metric, kind)
                for name, kind in (("prior", "measures"), ("paper", "rescaled"))
            )
            yield below_zero(
                f"{metric} at {side}², {LABELS[prior]}: ours minus published", first, second
            )
    header = ("experiment", "prior", "resolution", "reference-compatible", "ours", "truth")
    title = (
        "For the README: energy distance to held-out digits in their standard deviations, trained"
    )
    yield Table(title + " at 32² alone; published samples rescaled as in the paper", header, readme)


def _prior_pictures(setting: Setting, results: Results) -> Iterator[Item]:
    everyone = [*setting["priors"], SMOOTH, OURS]

    def distance(name: str, side: int, kind: str = "measures") -> Estimate:
        return student(measured(setting, results, name, side, "energy distance", kind))

    panels = []
    for side in setting["compared"]:
        values = {
            LABELS[p]: (
                distance(f"prior-{p}", side),
                distance(f"paper-{p}", side, "rescaled") if p in setting["priors"] else None,
            )
            for p in everyone
        }
        panels.append((f"{side}²", values, distance("truth", side)))
    yield Picture(
        "priors", lambda: mnist_figures.by_prior(panels, "energy distance"),
        "Energy distance to held-out digits by prior, with 95 % intervals over seeds; trained at "
        "32² alone, equal work. Grey: truth against truth.",
    )  # fmt: skip
    parts = [
        (LABELS[p], results[f"prior-{p}-0"][f"digits_{SIDE}"]) for p in everyone
    ] + [
        (f"published,\n{LABELS[p]}", results[f"paper-{p}-0"][f"digits_{SIDE}"])
        for p in setting["priors"]
    ]  # fmt: skip
    yield Picture(
        "prior_gallery", lambda: mnist_figures.gallery(parts),
        "Digits at 64² of networks trained at 32² alone, by prior: ours, and the published "
        "protocol (rescaled to [0, 1]).",
    )  # fmt: skip


def below_zero(claim: str, first: np.ndarray, second: np.ndarray) -> Claim:
    """Over paired runs ``first - second < 0``: for measures that may be negative themselves."""
    gap = digits.difference(first, second)
    if len(first) < 2:
        return Claim(
            claim, SOURCE, 0.0, gap.value, gap.low, gap.high, Verdict.INCONCLUSIVE,
            "one run has no interval",
        )  # fmt: skip
    return within(claim, SOURCE, gap, -np.inf, 0.0)
