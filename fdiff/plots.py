"""Figures of reports; matplotlib is imported when one is drawn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fdiff.grid import Grid

# Okabe and Ito's palette: told apart in print and by colour-blind readers.
BLACK, BLUE, ORANGE, GREEN, GREY = "#000000", "#0072B2", "#D55E00", "#009E73", "#8a8a8a"


def _axes(*args, **options):
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    plt.rcParams.update(
        {"font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "legend.frameon": 0}
    )
    return plt.subplots(*args, layout="constrained", **options)


def gallery(rows: Sequence[tuple[str, np.ndarray, Grid]], columns: int = 6):
    """Rows of two-dimensional fields ``(samples, *shape)`` on one colour scale, each with a label.

    A grid's first axis is drawn upward, its second to the right.
    """
    everything = np.concatenate([fields[:columns].ravel() for _, fields, _ in rows])
    low, high = np.quantile(everything, [0.002, 0.998])
    size = 1.25
    figure, axes = _axes(
        len(rows), columns, figsize=(size * columns + 1.6, size * len(rows) + 0.1), squeeze=False
    )
    image = None
    for line, (label, fields, grid) in zip(axes, rows):
        extent = (0, grid.lengths[1], 0, grid.lengths[0])
        for place, field in zip(line, fields[:columns]):
            image = place.imshow(
                field, origin="lower", extent=extent, vmin=low, vmax=high, cmap="RdBu_r"
            )
        for place in line:
            place.set_xticks([])
            place.set_yticks([])
            for spine in place.spines.values():
                spine.set_visible(False)
        line[0].set_ylabel(label, rotation=0, ha="right", va="center")
    figure.colorbar(image, ax=axes, shrink=0.7, aspect=30, pad=0.01)
    return figure


def spectra(panels: Sequence[tuple[str, Any, dict]], modes_end: float | None = None):
    """Relative shell energies against truth: one panel a resolution.

    A panel is ``(title, truth, samples)``; ``truth`` and each entry of ``samples`` are spectra of
    `fdiff.metrics` (relative error, with interval); ``truth`` is truth against truth, drawn as a
    band. ``modes_end`` marks where the network's modes end.
    """
    figure, axes = _axes(
        1, len(panels), figsize=(3.1 * len(panels), 2.7), squeeze=False, sharey=True
    )
    colors = dict(zip(("trained", "untrained"), (BLUE, ORANGE)))
    for place, (title, truth, samples) in zip(axes[0], panels):
        place.fill_between(
            truth.shells, 100 * truth.low, 100 * truth.high, color=GREY, alpha=0.35, lw=0,
            label="truth against truth, 95 %",
        )  # fmt: skip
        for name, curve in samples.items():
            color = colors.get(name, GREEN)
            place.plot(curve.shells, 100 * curve.value, color=color, lw=1.3, label=name)
            place.fill_between(
                curve.shells, 100 * curve.low, 100 * curve.high, color=color, alpha=0.2, lw=0
            )
        place.axhline(0, color=BLACK, lw=0.6)
        if modes_end is not None and modes_end < truth.shells[-1]:
            place.axvline(modes_end, color=GREEN, lw=0.8, ls=":", label="network's last mode")
        place.set(title=title, xlabel="frequency, in units of the lowest", ylim=(-60, 60))
    axes[0, 0].set_ylabel("energy, relative error in %")
    handles, labels = axes[0, -1].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4)
    return figure


def losses(log: Sequence[dict]):
    """Loss over wall time, phases shaded; the linear model is 1.

    ``log``: lines of a run's ``metrics.jsonl``, with ``seconds``, ``loss`` (mean since the line
    before), ``validation`` (loss by level) and ``phase`` (the words for that part of training).
    """
    figure, axes = _axes(figsize=(6.4, 2.9))
    minutes = np.array([row["seconds"] for row in log]) / 60
    phases = [row["phase"] for row in log]
    begin = 0.0
    for i, phase in enumerate(dict.fromkeys(phases)):
        end = max(m for m, at in zip(minutes, phases) if at == phase)
        if i % 2:
            axes.axvspan(begin, end, color=GREY, alpha=0.12, lw=0)
        axes.text(
            (begin + end) / 2, 0.98, phase, transform=axes.get_xaxis_transform(), ha="center",
            va="top",
        )  # fmt: skip
        begin = end
    loss = [row["loss"] for row in log]
    axes.step([0, *minutes], [loss[0], *loss], color=GREY, lw=1.2, label="training objective")
    curves = dict.fromkeys(name for row in log for name in row["validation"])
    for name, color, marker in zip(curves, (BLUE, ORANGE, GREEN), "os^"):
        seen = [(m, row["validation"][name]) for m, row in zip(minutes, log) if row["validation"]]
        label = f"held out, {name.split('x')[0]}²"
        axes.plot(*zip(*seen), color=color, marker=marker, ms=3.5, lw=1.2, label=label)
    axes.axhline(1, color=BLACK, lw=0.6, ls=":")
    axes.set(xlabel="minutes", ylabel="loss (linear model = 1)", xlim=(0, None))
    axes.margins(y=0.15)
    axes.legend(loc="upper right", bbox_to_anchor=(1, 0.8), fontsize=8)
    return figure
