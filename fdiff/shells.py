"""Shells of the frequency ``kappa = sqrt(mu_k)``, as metrics, estimates, losses and plots use them.

Shell ``j`` holds the modes with ``j kappa_0 <= kappa < (j + 1) kappa_0``, where ``kappa_0`` is the
lowest frequency of the box: the smallest of ``2 pi / L`` on periodic and ``pi / L`` on walled axes.
So a shell means one band of physical frequencies, in units of 1/length, on every box and grid. On a
box of equal sides and boundaries the shells are those of the whole numbers ``|k|``.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from fdiff.cache import cached_arrays
from fdiff.grid import Grid

# Shells begin at whole numbers, which rounding must not move a mode across.
_ROUNDING = 1e-9


def shell_width(grid: Grid) -> float:
    """``kappa_0``, the lowest frequency of the grid's box, in units of 1/length."""
    return min(_steps(grid))


@cached_arrays
def shell_index(grid: Grid) -> NDArray[np.int64]:
    """The shell of every mode, in the layout of ``grid.basis``; boundary modes included."""
    width = shell_width(grid)
    # Whole numbers times ratios that are one on boxes of equal sides: no rounding there.
    lines = [
        (step / width * grid.basis.wavenumbers(axis)) ** 2 for axis, step in enumerate(_steps(grid))
    ]
    squares = sum(np.meshgrid(*lines, indexing="ij", sparse=True))
    index = np.floor(np.sqrt(squares) + _ROUNDING).astype(np.int64)
    index.setflags(write=False)
    return index


def complete_shells(grid: Grid) -> int:
    """How many of the first shells are complete: the grid retains every mode of the box in them.

    The shells beyond hold a part of their modes: those that lie inside the grid's box of modes.
    """
    return min(axis_shells(grid))


def axis_shells(grid: Grid) -> tuple[int, ...]:
    """The number of whole shells below the first mode that is not retained, for each axis."""
    width = shell_width(grid)
    ends = [
        (n + 1) // 2 if boundary == "periodic" else n
        for n, boundary in zip(grid.shape, grid.boundary)
    ]
    return tuple(
        math.floor(step / width * end + _ROUNDING) for step, end in zip(_steps(grid), ends)
    )


def _steps(grid: Grid) -> list[float]:
    """Distance of neighbouring frequencies along each axis, in units of 1/length."""
    turns = [2.0 if boundary == "periodic" else 1.0 for boundary in grid.boundary]
    return [turn * math.pi / length for turn, length in zip(turns, grid.lengths)]
