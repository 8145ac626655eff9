"""Restriction and prolongation move coefficients and never rescale: R = P*, RP = Pi_n.

Fields are function values, so a constant stays that constant, the pointwise variance of a sample
grows with the resolution by the trace beyond the coarse grid alone, and one seed gives one
function: the coefficients that two grids share are equal to the last bit.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

import fdiff
from fdiff.levels import prolong, restrict, restrict_field
from validation.claim import Claim, equal

SOURCE = "orthogonal projection on nested spaces of modes"
PAIRS = {
    "periodic, even": (fdiff.Grid((24, 32), (1.0, 2.0)), (16, 16)),
    "periodic, odd": (fdiff.Grid((25, 33), (1.0, 2.0)), (15, 17)),
    "no-flux": (fdiff.Grid((24, 33), (1.0, 2.0), "neumann"), (16, 11)),
    "Dirichlet": (fdiff.Grid((24, 33), (1.0, 2.0), "dirichlet"), (16, 11)),
    "periodic x no-flux": (fdiff.Grid((24, 33), 1.0, ("periodic", "neumann")), (16, 16)),
    "no-flux x periodic x Dirichlet": (
        fdiff.Grid((10, 12, 9), 1.0, ("neumann", "periodic", "dirichlet")), (6, 8, 7),
    ),
}  # fmt: skip
Q = fdiff.BesselCovariance(1.0, 25.0, 2.0)


def run(quick: bool) -> Iterator[Claim]:
    for name, (fine, shape) in PAIRS.items():
        coarse = fine.with_shape(shape)
        yield adjoint(name, fine, coarse)
        yield projection(name, fine, coarse)
        yield shared_modes(name, fine, coarse)
    for boundary in ("periodic", "neumann"):
        yield constants(boundary)
        yield pointwise_variance(boundary, 500 if quick else 8000)


def coefficients(grid: fdiff.Grid, seed: int) -> np.ndarray:
    """All modes, boundary modes included: the transform of independent values at the nodes."""
    return grid.basis.forward(np.random.default_rng(seed).standard_normal(grid.shape))


def adjoint(name: str, fine: fdiff.Grid, coarse: fdiff.Grid) -> Claim:
    a, b = coefficients(fine, 1), coefficients(coarse, 2)
    left = coarse.basis.inner(restrict(a, fine, coarse), b)
    right = fine.basis.inner(a, prolong(b, coarse, fine))
    size = math.sqrt(fine.basis.inner(a, a) * coarse.basis.inner(b, b))
    return equal(
        f"<Ru, v> = <u, Pv>: {name}", SOURCE, declared=0.0,
        observed=float(left - right) / size, tolerance=1e-14,
    )  # fmt: skip


def projection(name: str, fine: fdiff.Grid, coarse: fdiff.Grid) -> Claim:
    c = coefficients(coarse, 3)
    there_and_back = restrict(prolong(c, coarse, fine), fine, coarse)
    return equal(
        f"RP = Pi_n: {name}", SOURCE, declared=0.0,
        observed=float(np.abs(there_and_back - coarse.basis.project(c)).max()), tolerance=0.0,
    )  # fmt: skip


def shared_modes(name: str, fine: fdiff.Grid, coarse: fdiff.Grid) -> Claim:
    a, b = (Q.sample_coefficients(grid, size=5, seed=7) for grid in (fine, coarse))
    return equal(
        f"one seed, one function: {name}", SOURCE, declared=0.0,
        observed=float(np.abs(restrict(a, fine, coarse) - b).max()), tolerance=0.0,
    )  # fmt: skip


def constants(boundary: str) -> Claim:
    fine = fdiff.Grid((64, 48), (1.0, 3.0), boundary)
    u = restrict_field(np.ones(fine.shape), fine, fine.with_shape((12, 12)))
    return equal(
        f"restriction of the constant 1: {boundary}", SOURCE, declared=1.0,
        observed=float(u[3, 4]), tolerance=1e-14,
    )  # fmt: skip


def pointwise_variance(boundary: str, size: int) -> Claim:
    """The variance of samples, mean over the nodes, is tr Q_n / |D| on every grid."""
    fine, coarse = (fdiff.Grid((n, n), 1.0, boundary) for n in (64, 16))
    q = fdiff.BesselCovariance(1.0, 25.0, 1.5)
    lost = [
        np.mean(q.sample(fine, 100, seed=3, first=first) ** 2, axis=(1, 2))
        - np.mean(q.sample(coarse, 100, seed=3, first=first) ** 2, axis=(1, 2))
        for first in range(0, size, 100)
    ]
    lost = np.concatenate(lost) / (q.tail_trace(coarse) - q.tail_trace(fine))
    return equal(
        f"variance at 64² less that at 16², over the tail: {boundary}", SOURCE, declared=1.0,
        observed=lost.mean(), error=1.96 * lost.std() / math.sqrt(size), tolerance=0.05,
    )  # fmt: skip
