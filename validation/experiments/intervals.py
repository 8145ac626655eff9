"""Means over runs with Student's intervals, as figures show them; colours told apart by all."""

from __future__ import annotations

import numpy as np

from fdiff.metrics.estimate import student
from fdiff.plots import BLACK, BLUE, GREEN, GREY, ORANGE, _axes

# Okabe and Ito's palette beyond the four of `fdiff.plots`.
SKY, YELLOW, PURPLE = "#56B4E9", "#E69F00", "#CC79A7"
CYCLE = (BLUE, ORANGE, GREEN, PURPLE, YELLOW, SKY, BLACK, GREY)
MARKERS = "os^Dv<>P"


def axes(*args, **options):
    """``figure, axes`` in the style of `fdiff.plots`."""
    return _axes(*args, **options)


def interval_bars(values) -> tuple[np.ndarray, np.ndarray]:
    """Means and half intervals of ``(runs, places)`` values; no bars for a single run."""
    estimates = [student(column) for column in np.asarray(values, float).T]
    return (
        np.array([e.value for e in estimates]),
        np.array([(e.high - e.low) / 2 for e in estimates]),
    )


def line(place, x, values, color, marker="o", label=None, **options) -> None:
    """Means over runs of ``(runs, places)`` values against ``x`` with Student's intervals.

    A bar that would reach zero or below ends at a tenth of the mean, where an axis of logarithms
    can show it.
    """
    mean, half = interval_bars(values)
    down = np.minimum(half, 0.9 * np.abs(mean))
    place.errorbar(
        x, mean, [down, half], color=color, marker=marker, ms=4, lw=1.2, capsize=2, label=label,
        **options,
    )  # fmt: skip
