"""MNIST: train at 32², go on at 64², sample at 28 to 128, with the priors of the paper
(arXiv 2303.04772), its protocol beside ours.

Digits are resized to 64² by bilinear interpolation, as in the paper; coarser grids see their
restrictions. Our box has no-flux walls, values are function values, priors have the data's trace,
the network (28 cosine modes a side, so that 28² is the coarsest grid it can be sampled at) corrects
the linear denoiser, and a digit takes 20 evaluations. With MNIST's test file alone, every tenth of
its 10,000 images is held out; with both files, the test file is. Distances are against held-out
digits on the same grid, in units of their standard deviation; "truth" are training digits against
the same held-out ones. Intervals are Student's over runs with different seeds, which share the
training digits and the held-out ones; no correction is made for the number of claims.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from fdiff.convergence import Verdict
from fdiff.metrics.estimate import Estimate, student
from validation.claim import Claim
from validation.experiments import digits, mnist_figures, mnist_priors
from validation.experiments.digits import COARSE, MEASURES, SIDE
from validation.experiments.mnist_results import (
    COMPARED,
    MEASURED,
    OURS,
    SMOOTH,
    SOURCE,
    Results,
    measured,
    runs,
)
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
from validation.experiments.workspace import Workspace

Item = Claim | Text | Table | Picture


def run(setting: Setting, work: Workspace) -> Iterator[Item]:
    folder = digits.mnist_folder(setting.data)
    results = work.map(digits.task, tasks(setting, folder))
    yield from preparation()
    yield from by_resolution(setting, results)
    yield from warm_start(setting, results)
    yield from boundary(setting, results)
    yield from mnist_priors.by_prior(setting, results, folder)


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
    for seed in range(setting["noise_seeds"]):
        for name, prior in (("warm", OURS), ("smooth", SMOOTH)):
            out.setdefault(f"{name}-{seed}", ours | compared | {"prior": prior, "seed": seed})
    for seed in setting.seeds:
        for prior in setting["priors"]:
            out[f"paper-{prior}-{seed}"] = paper | {"prior": prior, "seed": seed}
        for prior in [*setting["priors"], SMOOTH, OURS]:
            out[f"prior-{prior}-{seed}"] = ours | alone | {"prior": prior, "seed": seed}
        out[f"truth-{seed}"] = data | sides | {"study": "truth", "seed": seed}
    return out


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
    parts = [("training\ndigits, 64²", results["truth-0"][f"digits_{SIDE}"])]
    parts += [(f"{n}²", results["warm-0"][f"digits_{n}"]) for n in setting["sides"]]
    yield Picture(
        "gallery", lambda: mnist_figures.gallery(parts),
        "Digits of the training set, and digits sampled at each resolution from the same seeds by "
        "one network trained at 32² and 64² (columns are one function seen on several grids). "
        "White is 0 and below, black 1 and above.",
    )  # fmt: skip
    yield Table(
        "Samples at each resolution; under each, other true digits", ("grid", *MEASURES), rows
    )
    yield Text(
        f"Vendi scores are of {digits.VENDI} digits: cosine of the pixel values as in the paper, "
        "and a Gaussian kernel with the truth's median distance. The sliced Wasserstein distances "
        "of two sets of one law are not 0 (see truth); the energy distance is unbiased. The frame "
        "is the root mean square of the values within 1/8 of the side from a wall: to be compared "
        "with the truth's, not with 0."
    )
    for side in setting["sides"]:
        values = measured(setting, results, "warm", side, "energy distance")
        yield observed(f"energy distance to held-out digits at {side}²", MEASURED, student(values))
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
    for side in setting["compared"]:
        for label, name in (("no flux", "warm"), ("periodic", "periodic"), ("truth", "truth")):
            values = [measured(setting, results, name, side, m) for m in COMPARED]
            rows.append([f"{side}², {label}", *map(shown, values)])
    title = "The same training on the no-flux and on the periodic square"
    yield Table(title, ("box", *COMPARED), rows)
    gaps: dict[str, Estimate] = {}
    frame = measured(setting, results, "truth", SIDE, "frame").mean()
    pairs = {
        measure: [measured(setting, results, name, SIDE, measure) for name in ("warm", "periodic")]
        for measure in ("energy distance", "frame")
    }
    gaps["energy distance"] = digits.difference(*pairs["energy distance"])
    gaps["frame's distance to the truth's"] = digits.difference(
        *(abs(values - frame) for values in pairs["frame"])
    )
    for title, gap in gaps.items():
        yield observed(f"{title} at 64²: no flux minus periodic", MEASURED, gap)
    yield Text(
        "Digits vanish at the walls, so that both boxes hold them. "
        + " ".join(sentence(measure, gap, len(setting.seeds)) for measure, gap in gaps.items())
        + " The basis is that of the box, and with it the network's coordinates (two features, or "
        "four on the periodic square), the prior, the linear denoiser and what a restriction to "
        "32² is; digits, steps, rates and the network's size are the same."
    )


def sentence(
    measure: str, gap: Estimate, runs: int, better: str = "no-flux", worse: str = "periodic"
) -> str:
    """What an interval over ``runs`` of ``better - worse`` says; smaller is better."""
    if runs < 2 or gap.low <= 0 <= gap.high:
        return f"In the {measure} these runs do not tell them apart."
    winner = better if gap.high < 0 else worse
    return f"In the {measure} the {winner} square is better."
