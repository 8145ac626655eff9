"""Figures of the quality experiment."""

from __future__ import annotations

import numpy as np

from fdiff import plots
from validation.experiments.figures import readable
from validation.experiments.patterns import grid_of
from validation.experiments.quality_tasks import METRICS
from validation.experiments.workspace import stack

COLORS = (plots.BLUE, plots.ORANGE, plots.GREEN, plots.BLACK, "#CC79A7", "#56B4E9", "#E69F00")
MARKERS = "os^Dvp<"


def resolution_figure(contenders: dict, labels: dict, level: int):
    """Two distances and the change of the function against the points an axis."""
    points = sorted(int(k[8:]) for k in next(iter(contenders.values()))[0] if k[:8] == "metrics_")
    panels = ("pointwise_w1", "gradient_w1", "same")
    titles = ("distance of values", "distance of gradients", "change of the field")
    figure, axes = plots._axes(1, 3, figsize=(8.6, 2.9))
    for place, panel, title in zip(axes, panels, titles):
        for (kind, results), color, marker in zip(contenders.items(), COLORS, MARKERS):
            shown = points[1:] if panel == "same" else points
            if panel == "same":
                values = np.stack([stack(results, f"same_{n}") for n in shown], 1)
            else:
                column = METRICS.index(panel)
                values = np.stack([stack(results, f"metrics_{n}")[:, column] for n in shown], 1)
            dots(place, shown, values, color, marker, labels[kind])
        place.set(xscale="log", yscale="log", xlabel="points an axis", title=title)
        place.set_xticks(points, [str(n) for n in points])
        place.margins(x=0.1)
        place.xaxis.minorticks_off()
        readable(place.yaxis)
    axes[0].set_ylabel("standard deviations of the truth")
    axes[0].axvline(level, color=plots.GREY, lw=0.8, ls=":")
    axes[1].axvline(level, color=plots.GREY, lw=0.8, ls=":")
    handles, names = axes[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=2)
    return figure


def evaluation_figure(rows, metrics: np.ndarray, errors: np.ndarray, floor: dict):
    """Two distances and the error against evaluations, a line a sampler."""
    from validation.experiments.quality import named

    lines: dict[str, list[int]] = {}
    for i, (scheme, order, _, _, kind) in enumerate(rows):
        lines.setdefault(named(scheme, order, kind), []).append(i)
    figure, axes = plots._axes(1, 3, figsize=(9.4, 3.2))
    panels = (metrics[:, :, 0], metrics[:, :, 1], errors)
    titles = ("distance of values", "distance of gradients", "distance to the limit")
    for place, values, title in zip(axes, panels, titles):
        for (name, indices), color, marker in zip(lines.items(), COLORS, MARKERS):
            evaluations = [rows[i][2] for i in indices]
            dots(place, evaluations, values[:, indices], color, marker, name)
        place.set(xscale="log", yscale="log", xlabel="evaluations a sample", title=title)
        ticks = sorted({row[2] for row in rows})
        kept = [n for n in ticks if n != 5 or len(ticks) < 5]
        place.set_xticks(kept, [str(n) for n in kept])
        place.xaxis.minorticks_off()
        readable(place.yaxis)
    truth = floor.get("truth_256")
    if truth is not None:
        for place, value in zip(axes, truth[:2]):
            place.axhline(value, color=plots.GREY, lw=1, ls=":")
    axes[0].set_ylabel("standard deviations of the truth")
    handles, names = axes[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=4)
    return figure


def dots(axes, x, values: np.ndarray, color: str, marker: str, label: str) -> None:
    """``values``: ``(seeds, points)``; the mean's line where all seeds are finite."""
    mean = values.mean(0)
    kept = np.isfinite(mean)
    if not kept.any():
        return
    x = np.asarray(x)
    axes.plot(x[kept], mean[kept], color=color, marker=marker, ms=4, lw=1.3, label=label)
    for line in values:
        axes.plot(x, line, color=color, marker=marker, ms=2, lw=0, alpha=0.5)


def example_figure(contenders: dict, drawn: list[dict], setting):
    """One row a network; the colours end at four standard deviations of the default's fields."""
    finest = max(int(n) for n in setting["contenders"]["counts"])
    short = {"operator": "operator", "unet": "U-Net", "noise": "noise\nprediction"}
    short["reference"] = "reference's\nscaling"
    fields = {"default": drawn[0][f"examples_{finest}"]}
    fields |= {
        short[kind]: results[0][f"examples_{finest}"] for kind, results in contenders.items()
    }
    end = 4 * float(fields["default"].astype(float).std())
    rows = [
        (name, np.clip(u.astype(float), -end, end), grid_of(finest))
        for name, u in fields.items()
        if np.isfinite(u).all()
    ]
    return plots.gallery(rows, columns=min(len(u) for u in fields.values()))
