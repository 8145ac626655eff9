"""Log-log figures of errors against steps, with error bars and slope triangles."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from fdiff.convergence.orders import Errors, OrderEstimate

# Colours of Okabe and Ito, which most eyes tell apart; markers for print without colour.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")


def order_figure(
    estimates: Mapping[str, OrderEstimate],
    *,
    step_label: str = "step $h$",
    error_label: str = "error",
    title: str = "",
):
    """A matplotlib figure: filled markers entered the regression, hollow ones did not.

    Lines are the fits over the steps used; one triangle an order shows its declared slope.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, NullFormatter

    figure = Figure(figsize=(6.6, 4.0), layout="constrained")
    axes = figure.add_subplot()
    for i, (name, estimate) in enumerate(estimates.items()):
        style = {"color": COLOURS[i % len(COLOURS)], "marker": MARKERS[i % len(MARKERS)]}
        value = f"{estimate.observed:.2f}".replace("-", "−") if estimate.used.any() else "none"
        label = f"{name}: {value}"
        _draw_points(axes, estimate, label, style)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.margins(0.12, 0.12)
    for declared in dict.fromkeys(e.declared for e in estimates.values() if e.used.any()):
        lowest = [e for e in estimates.values() if e.declared == declared and e.used.any()]
        _draw_triangle(axes, min(lowest, key=lambda e: e.errors.values[e.used].min()))
    axes.set_xlabel(step_label)
    axes.set_ylabel(error_label)
    axes.set_title(title, fontsize=11, loc="left")
    axes.grid(True, which="major", color="0.9", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.xaxis.set_major_locator(LogLocator(numticks=8))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.spines[["top", "right"]].set_visible(False)
    legend = axes.legend(
        frameon=False, fontsize=8.5, title="observed order", title_fontsize=8.5,
        loc="upper left", bbox_to_anchor=(1.0, 1.0), alignment="left",
    )  # fmt: skip
    legend.set_in_layout(True)
    return figure


def _draw_points(axes, estimate: OrderEstimate, label: str, style: dict) -> None:
    data, used = estimate.errors, estimate.used
    shown = np.isfinite(data.values) & (data.values > 0)
    for mask, fill, text in ((shown & used, True, label), (shown & ~used, False, None)):
        if not mask.any():
            continue
        part = data.at(mask)
        bars = np.minimum(1.96 * part.deviations, 0.9 * part.values)  # a log axis ends above 0
        axes.errorbar(
            part.steps, part.values, (bars, 1.96 * part.deviations), linestyle="none",
            markersize=5, capsize=2.5, elinewidth=1, markeredgewidth=1,
            markerfacecolor=style["color"] if fill else "white",
            label=text if text or (shown & used).any() else label, **style,
        )  # fmt: skip
    if used.any():
        part = data.at(used)
        centre = np.log(part.values).mean() - estimate.observed * np.log(part.steps).mean()
        ends = part.steps[[0, -1]]
        axes.plot(ends, np.exp(centre) * ends**estimate.observed, color=style["color"], lw=1.2)


def _draw_triangle(axes, estimate: OrderEstimate) -> None:
    """A right triangle of the declared slope, a fixed distance on paper below the fit."""
    part: Errors = estimate.errors.at(estimate.used)
    left, right = _middle(part.steps)
    bottom, top = np.log(axes.get_ylim())
    fit = np.interp(-np.log(left), -np.log(part.steps), np.log(part.values))
    start = np.exp(fit - 0.05 * (top - bottom))
    end = start * (right / left) ** estimate.declared
    rises = estimate.declared > 0
    # The right angle lies away from the fit: at the right of a rise, at the left of a fall.
    if rises:
        corner, label_at = (right, start), (right, np.sqrt(start * end))
    else:
        corner, label_at = (left, end), (np.sqrt(left * right), end)
    x, y = zip((left, start), corner, (right, end), (left, start))
    axes.plot(x, y, color="0.35", lw=0.9)
    axes.annotate(
        f"{estimate.declared:g}".replace("-", "−"), label_at, (4, 0) if rises else (0, -4),
        textcoords="offset points", va="center" if rises else "top",
        ha="left" if rises else "center", fontsize=8.5, color="0.25",
    )  # fmt: skip


def _middle(steps: np.ndarray) -> tuple[float, float]:
    """The middle third of the range of steps, on the logarithmic axis."""
    low, high = np.log(steps.min()), np.log(steps.max())
    return float(np.exp(low + (high - low) / 3)), float(np.exp(high - (high - low) / 3))
