"""Traces beyond a grid, on any box, and how fast the traces of successive grids grow."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from fdiff.grid import Grid


def heat_tail(grid: Grid, t: np.ndarray) -> np.ndarray:
    """``prod_i theta_i - prod_i theta_i^(n)`` with ``theta_i(t) = sum_k exp(-mu_{k_i} t)``.

    ``theta_i^(n)`` is the sum over the retained modes. Written as a telescope of non-negative
    terms, so that nothing cancels.
    """
    from fdiff_kernels.spectral import axis_heat_tail, axis_heat_trace

    total = np.zeros_like(t)
    before = np.ones_like(t)
    full = [axis_heat_trace(t, length, kind) for length, kind in zip(grid.lengths, grid.boundary)]
    for axis, (length, kind) in enumerate(zip(grid.lengths, grid.boundary)):
        k = grid.basis.wavenumbers(axis)
        kept = np.unique(np.abs(k[grid.basis.axis_retained(axis)]))
        retained, tail = axis_heat_tail(t, length, kind, kept)
        total += before * tail * math.prod(full[axis + 1 :], start=np.ones_like(t))
        before = before * retained
    return total


@lru_cache(maxsize=1024)
def power_tail(grid: Grid, shift: float, power: float) -> float:
    """``sum of (shift + mu_k)^-power`` over the modes not retained, any box.

    ``1 / Gamma(s) int_0^oo t^(s-1) e^(-shift t) [heat tail](t) dt`` with ``t = e^y``, by the
    trapezoidal rule, which converges exponentially for this integrand.
    """
    excess = power - grid.dim / 2
    if excess <= 0:
        return math.inf
    step = 0.1
    # Below the first node the heat tail is |D| (4 pi t)^(-d/2) to rounding: what walls, retained
    # modes and the shift change there is smaller by t^(1/2) or more.
    short = min(*(h * h for h in grid.spacing), 1 / max(shift, 1e-300))
    lowest = math.log(short) - 40.0 / (excess + 0.5)
    y = np.arange(lowest, math.log(800.0 / (shift + _lowest_eigenvalue(grid))), step)
    t = np.exp(y)
    logs = power * y - shift * t - math.lgamma(power)
    total = float((np.exp(logs) * heat_tail(grid, t)).sum())
    # The rule's nodes from -infinity to there are a geometric series.
    head = excess * lowest - math.lgamma(power) - grid.dim / 2 * math.log(4 * math.pi)
    total += grid.volume * math.exp(head) / math.expm1(excess * step)
    return step * total


def _lowest_eigenvalue(grid: Grid) -> float:
    """The smallest ``mu_k > 0`` of the box."""
    return min(
        ((2.0 if kind == "periodic" else 1.0) * math.pi / length) ** 2
        for length, kind in zip(grid.lengths, grid.boundary)
    )


MOST_NODES = 2**24  # of a grid whose modes are summed one by one: bounds the memory


@lru_cache(maxsize=256)
def dyadic_sums(operator, grid: Grid, power: float = 0.0, budget: int = 2**21) -> tuple[float, ...]:
    """What each doubling of the grid adds to ``sum mu_k^power q_k``, up to ``budget`` nodes.

    Three doublings at least, but none beyond `MOST_NODES`: a fine grid may have fewer, or none.
    """
    sums: list[float] = []
    while len(sums) < 11:
        size = grid.size * 2**grid.dim
        if size > (MOST_NODES if len(sums) < 3 else budget):
            break
        coarse, grid = grid, grid.refine(2)
        sums.append(_shell(operator, coarse, grid, power))
    return tuple(sums)


def halved_sums(operator, grid: Grid, count: int) -> tuple[float, ...]:
    """What the last ``count`` doublings up to the grid added to ``sum q_k``, coarse to fine."""
    sums: list[float] = []
    for _ in range(count):
        coarse = grid.with_shape(tuple((n + 1) // 2 for n in grid.shape))
        sums.append(_shell(operator, coarse, grid, 0.0))
        grid = coarse
    return tuple(reversed(sums))


def _shell(operator, coarse: Grid, fine: Grid, power: float) -> float:
    """``sum mu_k^power q_k`` over the modes that ``fine`` retains and ``coarse`` does not."""
    basis = fine.basis
    inside = np.ones(basis.shape, bool)
    for axis, (n, kind) in enumerate(zip(coarse.shape, coarse.boundary)):
        k = np.abs(basis.wavenumbers(axis))
        line = 2 * k < n if kind == "periodic" else k < n
        inside &= line.reshape([-1 if i == axis else 1 for i in range(fine.dim)])
    terms = (basis.weights * operator.eigenvalues(fine))[~inside]
    return float((terms * basis.laplacian[~inside] ** power).sum() if power else terms.sum())
