"""Restriction and prolongation between grids on one box: move coefficients, never rescale.

``restrict`` drops the modes that the coarse grid does not retain, ``prolong`` pads with zeros, so
``restrict`` is the adjoint of ``prolong`` and ``restrict(prolong(c)) = Pi_n c`` (the identity on
retained modes). Function values keep their meaning.
"""

from __future__ import annotations

import math

import numpy as np

from fdiff import backends, words
from fdiff.grid import Grid


def restrict(c, fine: Grid, coarse: Grid):
    """Coefficients ``(..., *fine.basis.shape)`` on the coarser grid; numpy or torch."""
    _check_box(fine, coarse)
    if any(n > m for n, m in zip(coarse.shape, fine.shape)):
        raise ValueError(
            f"restriction goes to fewer nodes on every axis, got {fine.shape} -> {coarse.shape}; "
            "use prolong or resample"
        )
    return resample(c, fine, coarse)


def prolong(c, coarse: Grid, fine: Grid):
    """Coefficients ``(..., *coarse.basis.shape)`` on the finer grid, padded with zeros."""
    _check_box(coarse, fine)
    if any(n > m for n, m in zip(coarse.shape, fine.shape)):
        raise ValueError(
            f"prolongation goes to more nodes on every axis, got {coarse.shape} -> {fine.shape}; "
            "use restrict or resample"
        )
    return resample(c, coarse, fine)


def resample(c, source: Grid, target: Grid):
    """Coefficients on ``target``, axis by axis restricted or prolonged: shared modes, else zero."""
    _check_box(source, target)
    backend = backends.of(c)
    backend.check_trailing("an array of coefficients", tuple(c.shape), source.basis.shape)
    lead = tuple(c.shape)[: c.ndim - source.dim]
    out = backend.zeros((*lead, *target.basis.shape), c)
    axes = [_shared(source, target, axis) for axis in range(source.dim)]
    blocks: list[tuple[tuple[slice, ...], tuple[slice, ...]]] = [((), ())]
    for pieces in axes:
        blocks = [((*a, s), (*b, t)) for a, b in blocks for s, t in pieces]
    for from_block, to_block in blocks:
        out[(..., *to_block)] = c[(..., *from_block)]
    if source.lengths != target.lengths:
        # One box up to round-off of its stored coordinates: function values keep their digits.
        out = out * math.sqrt(target.volume / source.volume)
    return out


def restrict_field(u, fine: Grid, coarse: Grid):
    """Function values on the coarser grid: the L2 projection on its retained modes."""
    return coarse.basis.inverse(restrict(fine.basis.forward(u), fine, coarse))


def prolong_field(u, coarse: Grid, fine: Grid):
    """Function values on the finer grid: the same band-limited function."""
    return fine.basis.inverse(prolong(coarse.basis.forward(u), coarse, fine))


def resample_field(u, source: Grid, target: Grid):
    """Function values on ``target``; the identity (bit for bit) where the nodes are the same."""
    if source.same_nodes(target):
        return u
    return target.basis.inverse(resample(source.basis.forward(u), source, target))


def _shared(source: Grid, target: Grid, axis: int) -> list[tuple[slice, slice]]:
    """Slices of the retained modes that both grids have along ``axis``, as (from, to) pairs."""
    n = min(source.shape[axis], target.shape[axis])
    kind = source.boundary[axis]
    if kind == "neumann":
        return [(slice(0, n), slice(0, n))]
    if kind == "dirichlet":
        return [(slice(0, n - 1), slice(0, n - 1))]
    top = (n - 1) // 2
    upper = slice(0, top + 1)
    if axis == source.basis.halved_axis or top == 0:
        return [(upper, upper)]
    lower = [slice(grid.shape[axis] - top, grid.shape[axis]) for grid in (source, target)]
    return [(upper, upper), (lower[0], lower[1])]


def _check_box(a: Grid, b: Grid) -> None:
    if not a.same_box(b):
        raise ValueError(
            "restriction and prolongation need one box, and these are two: "
            f"{words.box(a)} and {words.box(b)}"
        )


class Hierarchy:
    """Nested grids on one box, coarse to fine, for multilevel training and estimators.

    Raises:
        ValueError: no level, or two that do not nest (each axis must have at least as many nodes
            as on the level before, and the levels must differ).
    """

    def __init__(self, finest: Grid, levels: list[int | tuple[int, ...]]):
        shapes = [
            (int(n),) * finest.dim if isinstance(n, int | np.integer) else tuple(map(int, n))
            for n in levels
        ]
        if not shapes:
            raise ValueError("a hierarchy needs at least one level")
        for coarse, fine in zip([*shapes, finest.shape], [*shapes[1:], finest.shape]):
            if any(n > m for n, m in zip(coarse, fine)):
                raise ValueError(
                    f"levels must go from coarse to fine and end at {finest.shape} or below: "
                    f"{coarse} is not contained in {fine}"
                )
        if len(set(shapes)) != len(shapes):
            raise ValueError(f"levels must differ, got {shapes}")
        self.finest = finest
        self.grids = tuple(finest.with_shape(shape) for shape in shapes)

    def __len__(self) -> int:
        return len(self.grids)

    def restrict_fields(self, u) -> list:
        """``u`` on ``finest``, restricted to every level."""
        c = self.finest.basis.forward(u)
        return [
            u if grid == self.finest else grid.basis.inverse(restrict(c, self.finest, grid))
            for grid in self.grids
        ]

    def costs(self) -> np.ndarray:
        """Work of one field on each level, ``n log n`` with ``n`` nodes (arbitrary unit)."""
        return np.array([grid.size * max(1.0, math.log(grid.size)) for grid in self.grids])
