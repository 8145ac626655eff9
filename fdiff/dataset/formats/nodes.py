"""What the positions of nodes in other people's files mean, and values at the nodes of a `Grid`.

A file gives positions x_0, ..., x_{n-1} at steps of h along an axis, and no side lengths. Where the
box ends is told from which reading has ends of fewer figures. Between walls: cell centres on
[x_0 - h/2, x_{n-1} + h/2], or nodes from wall to wall on [x_0, x_{n-1}]. On a periodic axis: one
period on [x_0, x_{n-1} + h) or around cell centres, or [x_0, x_{n-1}] with its end stored twice.
Whole numbers that only count the nodes say nothing of that.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import numpy as np
from scipy import fft

# Positions are written with float32's digits, also where a file holds them in float64.
_PRECISION = float(np.finfo(np.float32).eps)
_STRETCH = 1e-3  # of h: how far from equidistant a node may be, beside round-off
_SAME = 16  # units in the last place that two values of one node may differ by

# Values with the nodes of one axis replaced by those of the grid.
Turn = Callable[[np.ndarray, int], np.ndarray]


@final
@dataclass(frozen=True)
class Ends:
    """Values at the first and at the last node of an axis."""

    gap: float  # their largest difference
    slope: float  # the largest difference between the first node and the second
    tolerance: float  # differences up to this are round-off

    @classmethod
    def of(cls, values: np.ndarray, axis: int) -> Ends:
        first, last = np.take(values, 0, axis), np.take(values, -1, axis)
        gap = np.max(np.abs(last - first), initial=0.0)
        slope = np.max(np.abs(np.take(values, 1, axis) - first), initial=0.0)
        largest = np.max(np.abs(values), initial=0.0)
        return cls(float(gap), float(slope), round_off(values.dtype) * float(largest))


def round_off(dtype: np.dtype) -> float:
    """Relative difference below which two values of a stored field are one."""
    return _SAME * max(float(np.finfo(dtype).eps), float(np.finfo(np.float32).eps))


@final
@dataclass(frozen=True)
class Axis:
    """An axis of a `Grid` that was read from positions, and how values get there."""

    name: str
    boundary: str
    nodes: int
    length: float
    origin: float
    turn: Turn | None = None  # None where the values are those at the grid's nodes
    note: str = ""  # what a user should know of the reading


def read_axis(name: str, positions: np.ndarray, boundary: str, ends: Callable[[], Ends]) -> Axis:
    """The axis ``name`` with nodes at ``positions``; ``ends`` compares the data at both ends.

    Raises:
        ValueError: fewer than two nodes, positions that do not increase by equal steps, or an end
            that belongs to a periodic axis twice and has two values.
    """
    x = np.asarray(positions, dtype=float)
    h, n = _step(name, x), len(x)
    digits = _stored_digits(positions.dtype)
    counting, cells, walls, period = _readings(x, h, positions.dtype)

    def axis(nodes: int, length: float, start: float, turn: Turn | None = None, note: str = ""):
        return Axis(
            name, boundary, nodes, _rounded(length, length, digits),
            _rounded(start, length, digits), turn, note,
        )  # fmt: skip

    if boundary == "periodic":
        repeated, once = walls, min(period, cells)
        sure = repeated < once and not counting
        if (repeated > once and not counting) or not _end_is_repeated(name, x, h, ends, sure):
            return axis(n, n * h, x[0])
        note = f"axis {name} stores the end {x[-1]:g} of its period too, which was dropped"
        return axis(n - 1, x[-1] - x[0], x[0], drop_end(name), note)
    if counting:
        note = f"the positions along axis {name} number its nodes, which are read as {n} cells"
        return axis(n, n * h, x[0] - h / 2, note=note)
    if cells <= walls:
        return axis(n, n * h, x[0] - h / 2)
    turn: Turn
    if boundary == "neumann":
        turn, kept, series = cosine_cells, n, "cosine"
    else:
        turn, kept, series = sine_cells(name), n - 1, "sine"
    note = (
        f"axis {name} has nodes on both walls, {x[0]:g} and {x[-1]:g}: they were resampled to the "
        f"centres of {kept} cells by the {series} polynomial through the {n} nodes"
    )
    return axis(kept, x[-1] - x[0], x[0], turn, note)


def may_be_one_period(name: str, positions: np.ndarray) -> bool:
    """Whether nodes that would be read as from wall to wall may be a period's, x_0 + k L / n."""
    x = np.asarray(positions, dtype=float)
    counting, cells, walls, period = _readings(x, _step(name, x), positions.dtype)
    return not counting and period <= walls < cells


def _readings(x: np.ndarray, h: float, dtype: np.dtype) -> tuple[bool, int, int, int]:
    """Whether positions only count the nodes, and of how many figures the ends of the box are if
    they are cell centres, if they go from wall to wall, and if they are one period."""
    unit = (1e-3 if dtype == np.float16 else _PRECISION) * float(np.abs(x).max())
    counting = abs(h - 1) <= unit and min(abs(x[0]), abs(x[0] - 1)) <= unit
    boxes = ((x[0] - h / 2, x[-1] + h / 2), (x[0], x[-1]), (x[0], x[-1] + h))
    cells, walls, period = (_figures(a, unit) + _figures(b, unit) for a, b in boxes)
    return counting, cells, walls, period


def drop_end(name: str) -> Turn:
    """Leave out the last node, which is the first one again.

    The turn raises ValueError where their values differ: then the end is no repetition.
    """

    def turn(values: np.ndarray, axis: int) -> np.ndarray:
        found = Ends.of(values, axis)
        if found.gap > found.tolerance:
            raise ValueError(f"{_two_values(name, found)}: correct the positions in the file")
        return np.take(values, range(values.shape[axis] - 1), axis)

    return turn


def cosine_cells(values: np.ndarray, axis: int) -> np.ndarray:
    """Values at n nodes from wall to wall, as values at the centres of n cells.

    They are those of the cosine polynomial through the nodes,
    u(x) = sum_{k=0}^{n-1} a_k cos(pi k x / L), whose a_k are a DCT-I. n cells retain exactly the
    modes k < n: nothing of the polynomial is lost, and the nodes can be had back. On n - 1 cells
    the finest mode would vanish.
    """
    n = values.shape[axis]
    a = fft.dct(np.asarray(values, float), type=1, axis=axis) / (2 * (n - 1))
    # DCT-III counts every mode but the first twice; DCT-I both the first and the last once.
    last = [slice(None)] * a.ndim
    last[axis] = slice(n - 1, n)
    a[tuple(last)] /= 2
    return fft.dct(a, type=3, axis=axis).astype(values.dtype)


def sine_cells(name: str) -> Turn:
    """Values at n nodes from wall to wall that vanish on the walls, at the centres of n - 1 cells.

    They are those of u(x) = sum_{k=1}^{n-2} b_k sin(pi k x / L) through the nodes, all of whose
    modes n - 1 cells retain. The turn raises ValueError where a value on a wall is not zero.
    """

    def turn(values: np.ndarray, axis: int) -> np.ndarray:
        n = values.shape[axis]
        walls = float(np.max(np.abs(np.take(values, [0, -1], axis)), initial=0.0))
        largest = float(np.max(np.abs(values), initial=0.0))
        if walls > round_off(values.dtype) * largest:
            raise ValueError(
                f"axis {name} is dirichlet and has nodes on both walls, where fields would be 0; "
                f"a value there is {walls:g}: give another --boundary (boundary=)"
            )
        inside = np.take(np.asarray(values, float), range(1, n - 1), axis)
        b = fft.dst(inside, type=1, axis=axis) / (2 * (n - 1))
        room = [(0, 0)] * b.ndim
        room[axis] = (0, 1)  # the boundary mode, which is zero
        return fft.dst(np.pad(b, room), type=3, axis=axis).astype(values.dtype)

    return turn


def _step(name: str, x: np.ndarray) -> float:
    """The step between equidistant nodes."""
    if x.ndim != 1 or len(x) < 2:
        raise ValueError(
            f"axis {name} has {x.size} node{'' if x.size == 1 else 's'}: two or more are needed to "
            "know the length of the box"
        )
    if not np.isfinite(x).all():
        raise ValueError(f"the positions along axis {name} are not all finite numbers")
    h = float((x[-1] - x[0]) / (len(x) - 1))
    steps = np.diff(x)
    if not (steps > 0).all():
        i = int(np.argmin(steps))
        raise ValueError(
            f"the positions along axis {name} must increase; number {i} is {x[i]:g}, number "
            f"{i + 1} is {x[i + 1]:g}: reverse the axis, values and positions"
        )
    away = np.abs(x - (x[0] + h * np.arange(len(x))))
    if away.max() > _STRETCH * h + 8 * _PRECISION * np.abs(x).max():
        raise ValueError(
            f"the nodes along axis {name} are not equidistant: steps are between {steps.min():g} "
            f"and {steps.max():g}; interpolate the fields to equal steps first"
        )
    return h


def _end_is_repeated(
    name: str, x: np.ndarray, h: float, ends: Callable[[], Ends], sure: bool
) -> bool:
    """Whether the last node is the first one again; ``sure``: the positions alone say so.

    Raises:
        ValueError: the positions say so, and the values differ.
    """
    found = ends()
    if found.gap <= found.tolerance:
        # Where nothing happens at the ends, they are equal however the box is meant.
        return sure or found.slope > found.tolerance
    if sure:
        raise ValueError(
            f"{_two_values(name, found)}; if the nodes are {len(x)} different ones, the period is "
            f"{len(x) * h:g} and not {x[-1] - x[0]:g}: correct the positions in the file"
        )
    return False


def _two_values(name: str, found: Ends) -> str:
    return (
        f"the positions along axis {name} include both ends of its period, but the values there "
        f"differ by {found.gap:g}"
    )


def _figures(value: float, unit: float) -> int:
    """How many significant digits say ``value`` to within ``unit``; multiples of pi count one more.

    0 says itself.
    """
    return min(_digits(value, unit), 1 + _digits(value / math.pi, unit))


def _digits(value: float, unit: float) -> int:
    if abs(value) <= 4 * unit:
        return 0
    near = (d for d in range(1, 17) if abs(float(f"{value:.{d}g}") - value) <= 4 * unit)
    return next(near, 17)


def _rounded(value: float, unit: float, digits: int) -> float:
    """``value`` to that many significant digits of ``unit``."""
    return round(value, digits - 1 - math.floor(math.log10(unit)))


def _stored_digits(dtype: np.dtype) -> int:
    """Digits of a length that survive storage: of float32, six."""
    return {2: 3, 4: 6}.get(dtype.itemsize, 12) if dtype.kind == "f" else 12
