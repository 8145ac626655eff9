"""Sampled fields have the covariance that they claim, mode by mode.

|<X, e_k>|^2 / q_k is chi-squared with one degree of freedom for every real mode, so its sum over
samples is known exactly. Classes of modes in which generators go wrong are named: those with no
component along the halved axis (their conjugate partners lie in the same plane), those with none
along the other axis, boundary modes. The smallest of all p-values, times their number, tests every
mode at once (Bonferroni).
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from scipy.stats import chi2

import fdiff
from validation.claim import Claim, at_most, equal

SOURCE = "Karhunen-Loève expansion: independent N(0, q_k) coordinates"
LEVEL = 1e-4  # of a false alarm, for each grid
GRIDS = {
    "periodic, even": fdiff.Grid((12, 16), (1.0, 2.0)),
    "periodic, odd": fdiff.Grid((11, 15), (1.0, 2.0)),
    "no-flux": fdiff.Grid((9, 12), (1.0, 2.0), "neumann"),
    "Dirichlet": fdiff.Grid((9, 12), (1.0, 2.0), "dirichlet"),
    "periodic x no-flux": fdiff.Grid((12, 9), (1.0, 2.0), ("periodic", "neumann")),
    "periodic, three axes": fdiff.Grid((6, 8, 6), (1.0, 2.0, 1.0)),
}


def run(quick: bool) -> Iterator[Claim]:
    q = fdiff.MaternCovariance(1.3, 0.3, 1.0)
    samples = 4000 if quick else 40000
    for name, grid in GRIDS.items():
        # Through grid values and back: what a user has is the field, not its coefficients.
        c = grid.basis.forward(q.sample(grid, size=samples, seed=11))
        squares, freedom = normalised_squares(c, q, grid)
        for label, part in classes(grid).items():
            yield mean_is_one(f"{label}: {name}", squares[:, part], freedom[part])
        yield every_mode(name, squares.sum(axis=0), samples * freedom)
        boundary = ~grid.basis.retained
        if boundary.any():
            yield equal(
                f"boundary modes are empty: {name}", SOURCE, declared=0.0,
                observed=float(np.abs(c[:, boundary]).max()), tolerance=1e-14,
            )  # fmt: skip


def normalised_squares(c, q, grid: fdiff.Grid) -> tuple[np.ndarray, np.ndarray]:
    """Chi-squared sums of each retained mode, and its degrees of freedom: 2 where c is complex."""
    eigenvalues = q.eigenvalues(grid)
    real = real_modes(grid)
    freedom = np.where(real, 1, 2) * grid.basis.retained
    with np.errstate(divide="ignore", invalid="ignore"):
        squares = np.where(grid.basis.retained, freedom * np.abs(c) ** 2 / eigenvalues, 0.0)
    return squares, freedom


def real_modes(grid: fdiff.Grid) -> np.ndarray:
    """Modes that are their own conjugate partner: no component along any periodic axis."""
    periodic = [axis for axis, kind in enumerate(grid.boundary) if kind == "periodic"]
    return np.logical_and.reduce(
        [np.ones(grid.basis.shape, bool), *(wave_number(grid, axis) == 0 for axis in periodic)]
    )


def wave_number(grid: fdiff.Grid, axis: int) -> np.ndarray:
    lines = [grid.basis.wavenumbers(i) for i in range(grid.dim)]
    return np.meshgrid(*lines, indexing="ij")[axis]


def classes(grid: fdiff.Grid) -> dict[str, np.ndarray]:
    """Masks of retained modes, those that exist on the grid."""
    last = grid.basis.halved_axis if grid.basis.is_complex else grid.dim - 1
    flat = wave_number(grid, last) == 0
    other = wave_number(grid, 0 if last else grid.dim - 1) == 0
    found = {"zero plane": flat, "other zero plane": other & ~flat, "inside": ~flat & ~other}
    masks = {label: mask & grid.basis.retained for label, mask in found.items()}
    return {label: mask for label, mask in masks.items() if mask.any()}


def mean_is_one(name: str, squares: np.ndarray, freedom: np.ndarray) -> Claim:
    """Mean of |c|^2/q over samples and a class of modes; weights repeat partners, errors do not."""
    means = squares.sum(axis=1) / freedom.sum()
    error = 1.96 * means.std() / math.sqrt(len(means))
    return equal(f"variance / q, {name}", SOURCE, declared=1.0, observed=means.mean(),
                 error=error, tolerance=0.08)  # fmt: skip


def every_mode(name: str, sums: np.ndarray, freedom: np.ndarray) -> Claim:
    """-log10 of the smallest p-value on either side, corrected for the number of modes."""
    kept = freedom > 0
    tails = np.minimum(
        chi2.logsf(sums[kept], freedom[kept]), chi2.logcdf(sums[kept], freedom[kept])
    )
    corrected = min(0.0, float(tails.min()) + math.log(2 * kept.sum()))
    return at_most(
        f"smallest p-value of all modes, -log10: {name}", SOURCE,
        bound=-math.log10(LEVEL), observed=abs(corrected) / math.log(10),
    )  # fmt: skip
