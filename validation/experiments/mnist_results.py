"""What the tasks of the experiment on MNIST gave, run by run."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from fdiff.metrics.estimate import Estimate, student
from validation.experiments.digits import MEASURES
from validation.experiments.setting import Setting
from validation.experiments.workspace import stack

SOURCE = "arXiv 2303.04772, section 6"
MEASURED = "measured"  # what the paper does not say
SMOOTH, OURS = "smooth", "short"  # of `fdiff.nn.train`, and of `fdiff train` for images
LABELS = {
    "standard": "standard (white noise)", "fno": "FNO (random modes)",
    "inverse_laplacian": "inverse Laplacian", "bessel": "Bessel, power 1.1",
    "combined": "combined", SMOOTH: "Bessel, power 1.75 (for fields)",
    OURS: "Bessel, shift 1500 (default)",
}  # fmt: skip
METRIC = "energy distance"
COMPARED = ("energy distance", "sliced Wasserstein", "pointwise W1", "frame")
Results = dict[str, dict[str, np.ndarray]]


def runs(
    setting: Setting, results: Results, name: str, entry: str, seeds: Iterable[int] | None = None
) -> np.ndarray:
    """An entry of the runs of a name, one row a seed; of the setting's seeds by default."""
    chosen = setting.seeds if seeds is None else seeds
    return stack([results[f"{name}-{seed}"] for seed in chosen], entry)


def measured(
    setting: Setting, results: Results, name: str, side: int, measure: str, kind="measures",
    seeds: Iterable[int] | None = None,
):  # fmt: skip
    """A measure of the runs of a name, one number a seed."""
    return runs(setting, results, name, f"{kind}_{side}", seeds)[:, MEASURES.index(measure)]


def published(setting: Setting, results: Results, prior: str, side: int) -> np.ndarray:
    """The published protocol's energy distance: of its digits, or of those rescaled to [0, 1] as it
    does, whichever is less. At 32² rescaling alone takes true digits .01 from themselves."""
    kinds = [
        measured(setting, results, f"paper-{prior}", side, METRIC, kind)
        for kind in ("measures", "rescaled")
    ]
    return np.minimum(*kinds)


def ours(setting: Setting, results: Results, prior: str, side: int) -> np.ndarray:
    return measured(setting, results, f"prior-{prior}", side, METRIC)


def truth(setting: Setting, results: Results, side: int) -> Estimate:
    """Other true digits against the same held-out ones."""
    return student(measured(setting, results, "truth", side, METRIC))
