"""The priors of the experiment on MNIST side by side: ours and the published protocol."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from fdiff.convergence import Verdict
from fdiff.metrics.estimate import student
from validation.claim import Claim
from validation.experiments import digits, mnist_figures
from validation.experiments.digits import MEASURES, SIDE
from validation.experiments.mnist_results import (
    COMPARED,
    LABELS,
    MEASURED,
    METRIC,
    OURS,
    SMOOTH,
    Results,
    measured,
    ours,
    published,
    runs,
    truth,
)
from validation.experiments.outcome import Picture, Table, Text, observed, shown, within
from validation.experiments.setting import Setting


def by_prior(
    setting: Setting, results: Results, folder: str
) -> Iterator[Claim | Text | Table | Picture]:
    names = [*setting["priors"], SMOOTH, OURS]
    yield from pictures(setting, results)
    yield Table(
        "Priors: trained at 32² alone, the same number of steps", ("prior", *MEASURES),
        list(measures(setting, results)),
    )  # fmt: skip
    yield Text(protocol(setting))
    yield Table(
        "CPU seconds of these trainings, one thread", ("prior", "ours", "published"),
        [[LABELS[p], *(seconds(setting, results, kind, p) for kind in ("prior", "paper"))]
         for p in names],
    )  # fmt: skip
    for prior in (SMOOTH, OURS):
        peak = float(digits.prominent(folder, prior, setting["train"]))
        yield observed(
            f"half waves a side that stand out of the noise most, {LABELS[prior]}", MEASURED,
            student([peak]),
        )  # fmt: skip
    yield Text(
        "Modes come out of the noise in the order of the data's spectrum over the noise's. Digits "
        "stand out of smooth noise by their strokes, of noise that is white up to the width of a "
        "stroke (shift 1500) by their shape; we read the difference below so, which this "
        "experiment does not prove. The shift was chosen among 60, 400, 1500 and 6000, by one "
        "training each of another length against the same held-out digits; of the full form's five "
        "trainings the last two were added when three had left it open."
    )
    yield from noises(setting, results)
    for prior in setting["priors"]:
        for side in setting["compared"]:
            both = ours(setting, results, prior, side), published(setting, results, prior, side)
            yield below_zero(
                f"{METRIC} at {side}² after {setting['prior_steps']} steps, {LABELS[prior]}: ours "
                "minus published", *both,
            )  # fmt: skip
    yield Table(
        "For the README: energy distance to held-out digits in their standard deviations, trained "
        f"for {setting['prior_steps']} steps at 32² alone; published: raw or rescaled, whichever "
        "is less",
        ("experiment", "prior", "resolution", "reference-compatible", "ours", "truth"),
        list(readme(setting, results)),
    )


def noises(setting: Setting, results: Results) -> Iterator[Claim | Table]:
    """The noise of `fdiff train` for images against that for fields."""
    seeds = range(setting["noise_seeds"])
    rows = []
    for side in setting["compared"]:
        for prior, name in ((OURS, "warm"), (SMOOTH, "smooth")):
            values = [measured(setting, results, name, side, m, seeds=seeds) for m in COMPARED]
            rows.append([f"{side}², {LABELS[prior]}", *map(shown, values)])
        values = [measured(setting, results, "truth", side, m) for m in COMPARED]
        rows.append([f"{side}², truth", *map(shown, values)])
    title = f"Two noises, trained as the warm start, {len(seeds)} times each"
    yield Table(title, ("noise", *COMPARED), rows)
    pair = f"{LABELS[OURS]} minus {LABELS[SMOOTH]}"
    for side in setting["compared"]:
        for measure in (METRIC, "pointwise W1"):
            both = (
                measured(setting, results, name, side, measure, seeds=seeds)
                for name in ("warm", "smooth")
            )
            yield below_zero(f"{measure} at {side}², trained as the warm start: {pair}", *both)
        yield below_zero(
            f"{METRIC} at {side}² after {setting['prior_steps']} steps: {pair}",
            *(ours(setting, results, prior, side) for prior in (OURS, SMOOTH)),
        )


def measures(setting: Setting, results: Results) -> Iterator[Sequence[str]]:
    every = {
        "ours": ("prior", "measures"),
        "published": ("paper", "measures"),
        "published, rescaled": ("paper", "rescaled"),
    }
    for prior in [*setting["priors"], SMOOTH, OURS]:
        known = list(every) if prior in setting["priors"] else ["ours"]
        for side in setting["compared"]:
            for label in known:
                name, kind = every[label]
                values = runs(setting, results, f"{name}-{prior}", f"{kind}_{side}")
                yield [f"{LABELS[prior]}, {side}², {label}", *map(shown, values.T)]
    for side in setting["compared"]:
        values = runs(setting, results, "truth", f"measures_{side}")
        yield [f"truth, {side}²", *map(shown, values.T)]


def protocol(setting: Setting) -> str:
    equal = min(setting["samples"], setting["paper_samples"]) >= digits.VENDI
    compare = f"Vendi scores, of {digits.VENDI} digits each," if equal else "the frame"
    return (
        f"Every training has {setting['prior_steps']} steps of {setting['batch']} digits at 32² "
        "and no more, where the paper trains for 100 to 200 epochs. The published protocol has a "
        "network as large as ours, with complex weights on the periodic square, and a constant "
        "learning rate of 1e-3; ours has, beside its linear denoiser of the training digits' mean "
        "and spectrum, 5e-3 with warm-up and decay and averaged weights. The published one draws "
        f"{setting['paper_samples']} digits with {setting['paper_evaluations']} Euler-Maruyama "
        f"steps (the paper takes 200 to 1000), ours {setting['samples']} with "
        f"{setting['evaluations']} evaluations. Its evaluation moves each sample's values to "
        "[0, 1] (rescaled), which hides wrong amplitudes; true digits, restricted to 32², are .01 "
        "from themselves after that. Its values are brought back to function values before. Where "
        "the two draw different numbers of digits, the energy distance, which is unbiased, and "
        f"{compare} compare; with fewer digits the other distances rise. White noise has no scale "
        "that all grids share: there our network is scaled on each grid."
    )


def seconds(setting: Setting, results: Results, kind: str, prior: str) -> str:
    if kind == "paper" and prior not in setting["priors"]:
        return "–"
    return shown(runs(setting, results, f"{kind}-{prior}", "seconds"))


def readme(setting: Setting, results: Results) -> Iterator[Sequence[str]]:
    for prior in [*setting["priors"], SMOOTH, OURS]:
        for side in setting["compared"]:
            known = prior in setting["priors"]
            compatible = shown(published(setting, results, prior, side), 2) if known else "–"
            mine = shown(ours(setting, results, prior, side), 2)
            floor = shown(truth(setting, results, side), 2)
            yield ["MNIST", LABELS[prior], f"{side}²", compatible, mine, floor]


def pictures(setting: Setting, results: Results) -> Iterator[Picture]:
    everyone = [*setting["priors"], SMOOTH, OURS]
    panels = []
    for side in setting["compared"]:
        values = {
            LABELS[p]: (
                student(ours(setting, results, p, side)),
                student(published(setting, results, p, side)) if p in setting["priors"] else None,
            )
            for p in everyone
        }
        panels.append((f"{side}²", values, truth(setting, results, side)))
    yield Picture(
        "priors", lambda: mnist_figures.by_prior(panels, METRIC),
        "Energy distance to held-out digits by prior, with 95 % intervals over seeds; trained at "
        "32² alone, equal steps. Published: raw or rescaled, whichever is less. Grey: truth "
        "against truth.",
    )  # fmt: skip
    parts = [
        (LABELS[p], results[f"prior-{p}-0"][f"digits_{SIDE}"]) for p in everyone
    ] + [
        (f"published,\n{LABELS[p]}", results[f"paper-{p}-0"][f"digits_{SIDE}"])
        for p in setting["priors"]
    ]  # fmt: skip
    yield Picture(
        "prior_gallery", lambda: mnist_figures.gallery(parts),
        "Digits at 64² of networks trained at 32² alone, by prior: ours, white 0 and below, black "
        "1 and above; and the published protocol's, each rescaled to 0 .. 1 as it does.",
    )  # fmt: skip


def below_zero(claim: str, first: np.ndarray, second: np.ndarray) -> Claim:
    """Over paired runs ``first - second < 0``: for measures that may be negative themselves."""
    gap = digits.difference(first, second)
    if len(first) < 2:
        return Claim(
            claim, MEASURED, 0.0, gap.value, gap.low, gap.high, Verdict.INCONCLUSIVE,
            "one run has no interval",
        )  # fmt: skip
    return within(claim, MEASURED, gap, -np.inf, 0.0)
