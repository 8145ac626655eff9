"""The grid of a file: as fdiff recorded it, or from the axes of somebody else's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fdiff.dataset.formats.boundaries import Boundary, asked_boundary
from fdiff.dataset.formats.nodes import Axis
from fdiff.grid import Grid


def recorded_grid(
    known: Mapping[str, Any],
    shape: tuple[int, ...],
    boundary: Boundary | None,
    sides: Sequence[str],
) -> Grid:
    """The grid that fdiff recorded: ``known`` has its lengths, boundary and origin.

    Raises:
        ValueError: ``boundary`` says otherwise, which is for files that do not record their own.
    """
    grid = Grid(shape, known["lengths"], known["boundary"], known["origin"])
    for side, kind in asked_boundary(boundary, sides).items():
        if kind != grid.boundary[sides.index(side)]:
            raise ValueError(
                f"the file records that axis {side} is {grid.boundary[sides.index(side)]}: leave "
                f"out --boundary (boundary=), which says {kind}"
            )
    return grid


def grid_of(axes: Sequence[Axis]) -> Grid:
    return Grid(
        tuple(axis.nodes for axis in axes),
        tuple(axis.length for axis in axes),
        tuple(axis.boundary for axis in axes),
        tuple(axis.origin for axis in axes),
    )
