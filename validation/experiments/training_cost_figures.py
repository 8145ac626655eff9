"""Figures of the experiment on training cost."""

from __future__ import annotations

import numpy as np

from fdiff import plots
from validation.experiments.figures import readable
from validation.experiments.workspace import stack


def loss_figure(runs: dict, labels: dict):
    """Curves of all schedules; a thin line a seed, a thick one their mean."""
    figure, axes = plots._axes(figsize=(5.6, 3.4))
    colors = (plots.BLACK, plots.ORANGE, plots.BLUE, plots.GREEN, "#CC79A7")
    for (name, results), color in zip(runs.items(), colors):
        seconds, losses = stack(results, "seconds"), stack(results, "loss")
        for line in zip(seconds, losses):
            axes.plot(*line, color=color, lw=0.6, alpha=0.45)
        style = "--" if name == "single" else "-"
        label = labels[name]
        axes.plot(seconds.mean(0), losses.mean(0), style, color=color, lw=1.8, label=label)
    target = float(np.mean([result["loss"][-1] for result in runs["single"]]))
    axes.axhline(target, color=plots.GREY, lw=0.9, ls=":")
    axes.set(xscale="log", xlabel="processor seconds of training")
    axes.set_ylabel("held-out loss at 128 x 128 (linear model = 1)")
    readable(axes.xaxis)
    axes.legend(fontsize=8)
    return figure


def variance_figure(pilots: list[dict], rate: float):
    """Variances against the number of cells an axis, all ladders in one picture."""
    figure, axes = plots._axes(figsize=(4.2, 3.2))
    ladders = sum(name.startswith("levels_") for name in pilots[0])
    points = {}
    for kind, color, marker, label in (
        ("plain", plots.BLACK, "o", "gradient"),
        ("difference", plots.BLUE, "s", "difference to half the cells"),
    ):
        first = int(kind == "difference")
        n = np.concatenate([pilots[0][f"levels_{i}"][first:] for i in range(ladders)])
        value = np.concatenate(
            [stack(pilots, f"{kind}_{i}").mean(0)[first:] for i in range(ladders)]
        )
        order = np.argsort(n, kind="stable")
        points[kind] = n[order], value[order]
        axes.plot(*points[kind], color=color, marker=marker, ms=4, lw=1.2, label=label)
    n, value = points["difference"]
    guide = np.exp(np.mean(np.log(value * n**rate))) * n.astype(float) ** -rate
    axes.plot(n, guide, color=plots.GREY, lw=0.9, ls=":", label=f"$n^{{-{rate:.1f}}}$")
    ticks = np.unique(np.concatenate([points["plain"][0], n]))
    axes.set(xscale="log", yscale="log", xlabel="cells an axis $n$", ylabel="variance of a field")
    axes.set_xticks(ticks, [str(int(tick)) for tick in ticks])
    axes.minorticks_off()
    axes.legend(fontsize=8)
    return figure
