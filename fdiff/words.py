"""Numbers and boxes in sentences, and warnings that name the line which asked for them."""

from __future__ import annotations

import contextlib
import functools
import os
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fdiff.grid import Grid

_PACKAGE = f"{Path(__file__).parent}{os.sep}"
# Where Python itself stands between a property or a context of fdiff and its user.
_BETWEEN = (functools.__file__, contextlib.__file__)


def by_number(count: int, one: str, many: str) -> str:
    """``one`` for a single thing, ``many`` for none or several."""
    return one if count == 1 else many


def counted(count: int, one: str, many: str = "") -> str:
    """``1 sample``, ``5 samples``."""
    return f"{count} {by_number(count, one, many or one + 's')}"


def box(grid: Grid) -> str:
    """``[0, 1]² (periodic)``, or ``[0, 2] × [0, 1] (neumann, periodic)``."""
    sides = [f"[{a:.6g}, {a + length:.6g}]" for a, length in zip(grid.origin, grid.lengths)]
    alike = len(sides) > 1 and len(set(sides)) == 1
    place = sides[0] + " ²³"[len(sides) - 1] if alike else " × ".join(sides)
    kinds = grid.boundary[:1] if len(set(grid.boundary)) == 1 else grid.boundary
    return f"{place} ({', '.join(kinds)})"


def warn(message: str, category: type[Warning] = UserWarning) -> None:
    """A warning whose place is the line outside of fdiff that led to it."""
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and _within(frame.f_code.co_filename):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)


def _within(file: str) -> bool:
    return file.startswith(_PACKAGE) or file in _BETWEEN
