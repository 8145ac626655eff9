"""Statistics by which The Well's readers normalise: of fields, and of their steps in time."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from fdiff.dataset.formats import WellView
from fdiff.dataset.formats.components import Component
from fdiff.dataset.reader import Dataset

# Values held at a time, 32 MB of float64: a trajectory may be larger than the memory.
_BLOCK = 1 << 22


class Moments:
    """Mean and spread of values that come in parts, in float64.

    Parts are joined by their means and sums of squared distances from them (Chan, Golub and LeVeque
    1979), so a small spread around a large mean keeps its digits.
    """

    def __init__(self) -> None:
        self.count, self.mean, self.distances = 0, 0.0, 0.0

    def add(self, values: np.ndarray) -> None:
        """``values``: float64, not empty."""
        mean = float(values.mean())
        distances = float(np.square(values - mean).sum())
        count = self.count + values.size
        gap = mean - self.mean
        self.distances += distances + gap**2 * (self.count / count) * values.size
        self.mean += gap * (values.size / count)
        self.count = count

    @property
    def std(self) -> float:
        """The standard deviation of the population: squares are divided by the count."""
        return math.sqrt(self.distances / self.count)

    @property
    def rms(self) -> float:
        return math.hypot(self.mean, self.std)


def normalisation(path: Path | str, block: int = _BLOCK) -> dict[str, dict[str, float]]:
    """``{"mean", "std", "rms", "mean_delta", "std_delta", "rms_delta"}``, each by field.

    Over all trajectories, stored times and cells of a file in The Well's layout; ``_delta`` of the
    differences between consecutive stored times. Trajectories recorded as failed are left out.
    ``block``: values read at a time.

    Raises:
        ValueError: a file of another layout.
        ArithmeticError: every trajectory failed.
    """
    found: dict[str, dict[str, float]] = {}
    with Dataset(path) as file:
        if not isinstance(file.view, WellView):
            raise ValueError(f"{path} is not in The Well's layout: write it with --format well")
        rows = file.usable(None)
        if not rows:
            raise ArithmeticError(f"no trajectory of {path} could be computed to the end")
        times = len(file.times)
        for name, component in zip(file.field_names, file.view.components):
            values, steps = Moments(), Moments()
            for part, first in _blocks(component, times, rows, block):
                values.add(part[0 if first else 1 :])
                if len(part) > 1:
                    steps.add(np.diff(part, axis=0))
            for suffix, known in (("", values), ("_delta", steps)):
                for key in ("mean", "std", "rms"):
                    found.setdefault(key + suffix, {})[name] = getattr(known, key)
    return found


def _blocks(
    component: Component, times: int, rows: list[int], block: int
) -> Iterator[tuple[np.ndarray, bool]]:
    """Consecutive times of a trajectory, and whether they are its first ones.

    Later blocks begin with the last time of the one before.
    """
    length = max(1, block // math.prod(component.sizes))
    for row in rows:
        for begin in range(0, times, length):
            first = begin == 0
            frames = slice(begin - (not first), begin + length)
            yield component.read(row, frames, times).astype(np.float64), first
