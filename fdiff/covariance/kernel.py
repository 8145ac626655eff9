"""The kernel of an operator, ``C(x, y) = sum_k q_k e_k(x) conj(e_k(y))``, and its length."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from fdiff.grid import Grid

_BLOCK = 64  # distances at a time


def mode_values(grid: Grid, axis: int, x) -> np.ndarray:
    """``e_k(x)`` of one axis: ``(modes, *shape of x)``; complex on a periodic axis."""
    x = np.asarray(x, dtype=float)
    k = grid.basis.wavenumbers(axis).reshape(-1, *[1] * x.ndim)
    length = grid.lengths[axis]
    angle = math.pi * k * (x - grid.origin[axis]) / length
    if grid.boundary[axis] == "periodic":
        return np.exp(2j * angle) / math.sqrt(length)
    if grid.boundary[axis] == "neumann":
        return np.where(k == 0, 1.0, math.sqrt(2.0)) / math.sqrt(length) * np.cos(angle)
    return math.sqrt(2.0 / length) * np.sin(angle)


def centre(grid: Grid) -> tuple[float, ...]:
    """The middle of the box."""
    return tuple(start + length / 2 for start, length in zip(grid.origin, grid.lengths))


def kernel(eigenvalues: np.ndarray, grid: Grid, at: Sequence[float] | None = None) -> np.ndarray:
    """``C(., at)`` at the nodes, shape ``grid.shape``; ``at``: a point, the centre by default."""
    point = _point(grid, at)
    c = eigenvalues
    for axis, x in enumerate(point):
        shape = [-1 if i == axis else 1 for i in range(grid.dim)]
        c = c * mode_values(grid, axis, x).conj().reshape(shape)
    return grid.basis.inverse(c)


def line_kernel(eigenvalues: np.ndarray, grid: Grid, axis: int, at: Sequence[float], r):
    """``C(at + r e_axis, at)`` for distances ``r`` along one axis."""
    weights = eigenvalues * grid.basis.weights
    for other, x in enumerate(at):
        if other != axis:
            squares = np.abs(mode_values(grid, other, x)) ** 2
            weights = weights * squares.reshape([-1 if i == other else 1 for i in range(grid.dim)])
    weights = weights.sum(tuple(i for i in range(grid.dim) if i != axis))
    here = mode_values(grid, axis, at[axis])
    there = mode_values(grid, axis, at[axis] + np.asarray(r, dtype=float))
    shape = (-1, *[1] * np.ndim(r))
    return (weights.reshape(shape) * (there * here.conj().reshape(shape)).real).sum(0)


def correlation_length(
    eigenvalues: np.ndarray, grid: Grid, axis: int, at: Sequence[float] | None = None
) -> float:
    """Distance along ``axis`` at which the correlation with ``u(at)`` first falls to 1/e.

    In units of x; infinite where it does not within half of the box. Of the field as the grid
    resolves it: the kernel of the retained modes.
    """
    from scipy.optimize import brentq

    point = _point(grid, at)

    def excess(r):
        """The correlation less 1/e."""
        values = line_kernel(eigenvalues, grid, axis, point, np.append(0.0, r))
        return (values[1:] / values[0] - math.exp(-1.0)).reshape(np.shape(r))

    if line_kernel(eigenvalues, grid, axis, point, 0.0) <= 0:
        return math.inf
    # From the centre outwards in half cells, a block at a time: most lengths are short.
    half_cells = np.arange(grid.shape[axis] + 1) * grid.spacing[axis] / 2
    for start in range(0, len(half_cells) - 1, _BLOCK):
        r = half_cells[start : start + _BLOCK + 1]
        below = np.flatnonzero(excess(r) < 0)
        if below.size:
            j = int(below[0])
            return float(brentq(lambda x: float(excess(x)), r[j - 1], r[j], xtol=1e-14 * r[j]))
    return math.inf


def _point(grid: Grid, at: Sequence[float] | None) -> tuple[float, ...]:
    point = centre(grid) if at is None else tuple(map(float, np.atleast_1d(at)))
    if len(point) != grid.dim:
        raise ValueError(f"a point of this box has {grid.dim} coordinates, got {at!r}")
    return point
