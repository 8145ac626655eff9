r"""Minkowski functionals of the super-level sets ``{u >= level}`` of fields of two variables.

Area, perimeter (length of the level line inside the box, so walls do not count) and Euler
characteristic (components minus holes). The field between the nodes is linear on the four
triangles into which the centre cuts each cell; perimeter and area of a smooth level set are then
of second order in the grid spacing. Towards a no-flux wall the field goes on with its last value,
towards a Dirichlet wall linearly to 0, and periodic axes close up: on a torus the whole box has
characteristic 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fdiff.grid import Grid
from fdiff.metrics.estimate import Estimate, bootstrap_estimate
from fdiff.metrics.fields import RealArray, Scale, as_fields, as_pair, blocks

LEVELS = (-1.5, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5)  # in the truth's standard deviations
FLAT = 1e-6  # mean perimeters below this share of the longest are no yardstick


@dataclass(frozen=True)
class Minkowski:
    """Each of shape ``(samples, channels, levels)``; area and perimeter in the box's units."""

    levels: RealArray
    area: RealArray
    perimeter: RealArray
    euler: RealArray


def minkowski(u: Any, grid: Grid, levels: Sequence[float]) -> Minkowski:
    """Functionals of each field at each of ``levels``, in ascending order."""
    if grid.dim != 2:
        raise ValueError(f"Minkowski functionals need a grid of 2 axes, got {grid.dim}")
    from fdiff_kernels.levelset import minkowski_2d_batch

    fields, ordered = as_fields(u, grid, minimum=1), np.sort(np.asarray(levels, np.float64))
    sides = [_cell_sides(grid, axis) for axis in range(2)]
    out = np.empty((*fields.shape[:2], len(ordered), 3))
    start = 0
    for block in blocks(fields):
        nodes = with_walls(block.astype(np.float64), grid).reshape(-1, *_node_shape(grid))
        part = np.empty((len(nodes), len(ordered), 3))
        minkowski_2d_batch(nodes, ordered, *sides, part)
        out[start : start + len(block)] = part.reshape(len(block), *out.shape[1:])
        start += len(block)
    return Minkowski(ordered, *np.moveaxis(out, -1, 0))


def perimeter_error(
    x: Any, y: Any, grid: Grid, levels: Sequence[float] = LEVELS, seed: int = 0
) -> Estimate:
    """Largest relative error of the mean perimeters over ``levels``.

    Levels are in standard deviations of the truth about its mean.
    """
    x, y = as_pair(x, y, grid)
    scale = Scale.of(y)
    a, b = (minkowski(scale.standardise(u), grid, levels) for u in (x, y))
    return relative_error(a.perimeter, b.perimeter, seed)


def euler_error(
    x: Any, y: Any, grid: Grid, levels: Sequence[float] = LEVELS, seed: int = 0
) -> Estimate:
    """Largest error over ``levels`` of the mean Euler characteristic.

    In units of its largest size in the truth: it passes through 0, where a relative error has no
    meaning.
    """
    x, y = as_pair(x, y, grid)
    scale = Scale.of(y)
    a, b = (minkowski(scale.standardise(u), grid, levels) for u in (x, y))
    return error_of_largest(a.euler, b.euler, seed)


def relative_error(x: RealArray, y: RealArray, seed: int = 0) -> Estimate:
    """``max |E x / E y - 1|`` over levels that the truth crosses; ``(samples, ..., levels)``.

    Where so few fields cross a level that a bootstrap sample may have none of them, the least
    perimeter that counts as crossing takes the place of ``E y`` there: the interval is wide.
    """
    x, y = x.reshape(len(x), -1), y.reshape(len(y), -1)
    mean = y.mean(axis=0)
    least = FLAT * mean.max()
    kept = mean > least
    if not kept.any():
        raise ValueError("the truth crosses none of the levels")
    return bootstrap_estimate(
        lambda a, b: np.abs(a / np.maximum(b, least) - 1).max(axis=-1),
        [x[:, kept], y[:, kept]],
        seed,
        floor=0.0,
    )


def error_of_largest(x: RealArray, y: RealArray, seed: int = 0) -> Estimate:
    """``max |E x - E y| / max |E y|`` over levels."""
    x, y = x.reshape(len(x), -1), y.reshape(len(y), -1)
    unit = np.abs(y.mean(axis=0)).max()
    if not unit > 0:
        raise ValueError("the truth's mean Euler characteristic is 0 at every level")
    return bootstrap_estimate(
        lambda a, b: np.abs(a - b).max(axis=-1) / unit, [x, y], seed, floor=0.0
    )


def with_walls(fields: RealArray, grid: Grid) -> RealArray:
    """Nodes on the walls added: the neighbour's value (Neumann) or 0 (Dirichlet)."""
    for axis, boundary in enumerate(grid.boundary):
        if boundary == "periodic":
            continue
        width = [(0, 0)] * fields.ndim
        width[fields.ndim - grid.dim + axis] = (1, 1)
        fields = np.pad(fields, width, mode="edge" if boundary == "neumann" else "constant")
    return fields


def _node_shape(grid: Grid) -> tuple[int, ...]:
    return tuple(n if b == "periodic" else n + 2 for n, b in zip(grid.shape, grid.boundary))


def _cell_sides(grid: Grid, axis: int) -> RealArray:
    n, h = grid.shape[axis], grid.spacing[axis]
    if grid.boundary[axis] == "periodic":
        return np.full(n, h)
    sides = np.full(n + 1, h)
    sides[[0, -1]] = 0.5 * h  # from a wall to the first cell centre
    return sides
