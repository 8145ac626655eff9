"""Figures of the experiment on MNIST."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fdiff.metrics.estimate import Estimate
from fdiff.plots import BLUE, GREY, ORANGE, _axes

COLUMNS = 8


def gallery(rows: Sequence[tuple[str, np.ndarray]]):
    """Rows of digits ``(count, n, n)``, each with a label; ink is black, 0 to 1."""
    figure, axes = _axes(
        len(rows), COLUMNS, figsize=(0.8 * COLUMNS + 1.6, 0.82 * len(rows)), squeeze=False
    )
    for line, (label, fields) in zip(axes, rows):
        for place in line:
            place.set_xticks([])
            place.set_yticks([])
            for spine in place.spines.values():
                spine.set(visible=True, color=GREY, linewidth=0.4)
        for place, field in zip(line, np.asarray(fields, float)):
            place.imshow(
                field, origin="lower", cmap="gray_r", vmin=0, vmax=1, interpolation="nearest"
            )
        line[0].set_ylabel(label, rotation=0, ha="right", va="center")
    return figure


def loss_over_time(warm: Sequence[np.ndarray], cold: Sequence[np.ndarray]):
    """Curves ``(seconds, digits seen, loss)``, one a seed."""
    figure, axes = _axes(figsize=(4.6, 3.0))
    for curves, color, name in (
        (warm, BLUE, "warm start: 32², then 64²"),
        (cold, ORANGE, "cold: all at 64²"),
    ):
        for i, curve in enumerate(curves):
            axes.plot(
                curve[:, 0], curve[:, 2], color=color, lw=1.2, marker="o", ms=2.5, alpha=0.8,
                label=None if i else name,
            )  # fmt: skip
    axes.set(
        xlabel="CPU seconds of training, one thread",
        ylabel="validation loss at 64²\n(linear model: 1)", xlim=(0, None),
    )  # fmt: skip
    axes.grid(axis="y", lw=0.3)
    axes.legend()
    return figure


def by_prior(
    panels: Sequence[tuple[str, dict[str, tuple[Estimate, Estimate | None]], Estimate]], metric: str
):
    """A panel: title, ``{prior: (ours, published or None)}``, truth against truth."""
    figure, axes = _axes(
        1, len(panels), figsize=(3.0 * len(panels) + 1.8, 2.9), squeeze=False, sharey=True
    )
    for place, (title, values, truth) in zip(axes[0], panels):
        place.axvspan(min(truth.low, 0), truth.high, color=GREY, alpha=0.35, lw=0)
        for i, pair in enumerate(values.values()):
            for estimate, color, shift, marker, name in zip(
                pair, (BLUE, ORANGE), (0.12, -0.12), "os", ("ours", "published")
            ):
                if estimate is None:
                    continue
                spread = [[estimate.value - estimate.low], [estimate.high - estimate.value]]
                place.errorbar(
                    estimate.value, i + shift, xerr=spread, color=color, fmt=marker, ms=4, lw=1.2,
                    label=None if i else name,
                )  # fmt: skip
        place.set_xscale("symlog", linthresh=0.01)
        lowest = min(e.low for pair in values.values() for e in pair if e is not None)
        place.set(title=title, xlabel=metric, xlim=(min(-0.005, 1.2 * lowest), None))
        place.grid(axis="x", lw=0.3)
    axes[0][0].set_yticks(range(len(values)), list(values))
    axes[0][0].invert_yaxis()
    handles, labels = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=2)
    return figure
