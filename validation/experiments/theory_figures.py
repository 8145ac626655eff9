"""Figures of the theory experiment."""

from __future__ import annotations

import numpy as np

from fdiff.budget import COLOURS
from validation.experiments.intervals import (
    BLACK,
    BLUE,
    CYCLE,
    GREEN,
    GREY,
    MARKERS,
    ORANGE,
    PURPLE,
    axes,
    interval_bars,
    line,
)


def truncation(v, predicted, noise, measured):
    """Measured against predicted, and both over n."""
    figure, (left, right) = axes(1, 2, figsize=(7.6, 3.3))
    ends = [min(map(min, predicted)) / 2, max(map(max, predicted)) * 2]
    left.plot(ends, ends, color=GREY, lw=0.8, label="slope 1")
    for i, (t, line_) in enumerate(zip(v["times"], predicted)):
        mean, half = interval_bars(measured[:, i])
        style = {"color": CYCLE[i], "marker": MARKERS[i], "ms": 4.5, "ls": "none", "capsize": 2}
        left.errorbar(line_, mean, half, label=f"t = {t:g}", **style)
        right.errorbar(v["truncations"], mean, half, **style)
        right.plot(v["truncations"], line_, color=CYCLE[i], lw=1)
    right.plot(v["truncations"], noise, color=BLACK, ls=":", lw=1.2, label=r"$\mathrm{tr}(Q-Q_n)$")
    left.set(
        xscale="log", yscale="log", xlabel=r"$m^2\,\mathrm{tr}(C-C_n)+s^2\,\mathrm{tr}(Q-Q_n)$",
        ylabel=r"measured $E\,\|X_t-X_t^n\|^2$",
    )  # fmt: skip
    right.set(xscale="log", yscale="log", xlabel="cells a side, n")
    right.set_xticks(v["truncations"], [str(n) for n in v["truncations"]])
    right.minorticks_off()
    left.legend()
    right.legend()
    return figure


def budget(columns, marginal):
    """Bars of the parts on a logarithmic axis, a panel a sampler."""
    colours = COLOURS | {"network": PURPLE}
    figure, panels = axes(1, len(columns), figsize=(8.2, 2.6), sharex=True, sharey=True)
    low = 1e-8
    for place, (title, parts) in zip(panels, columns.items()):
        for i, (name, values) in enumerate(parts.items()):
            mean, half = (x[0] for x in interval_bars(np.reshape(values, (-1, 1))))
            place.barh(i, max(mean, low), color=colours[name], height=0.7)
            if half > 0:
                place.errorbar(
                    mean, i, xerr=[[min(half, 0.9 * mean)], [half]], color=BLACK, capsize=3
                )
            text = f"{mean:.1e}" if mean > low else "0"
            box = {"facecolor": "white", "edgecolor": "none", "pad": 1}
            place.text(max(mean + half, low) * 1.5, i, text, va="center", fontsize=8, bbox=box)
        place.set_yticks(range(len(parts)), list(parts))
        place.set_xscale("log")
        place.set_xlim(low, 30)
        place.set_title(title, fontsize=9)
        place.set_xlabel("$W_2$ to the data, relative")
    label = "pooled values,\nmeasured"
    panels[0].axvline(np.mean(marginal), color=BLACK, ls="--", lw=0.9, zorder=0, label=label)
    panels[0].legend(loc="upper left", bbox_to_anchor=(0.12, 1.0), fontsize=8)
    panels[0].invert_yaxis()
    return figure


def smoothness(powers, laws, threshold, points):
    """The error over the power above, the modes lost below."""
    figure, (top, bottom) = axes(2, 1, figsize=(5.6, 4.6), sharex=True, height_ratios=[2.2, 1])
    top.plot(powers, laws["sde"], color=ORANGE, lw=1.3, label="Euler–Maruyama, exact law")
    top.plot(
        powers, laws["ode"], color=GREEN, lw=1.3, ls="--", label="probability flow from N(0, Q)"
    )
    places = np.array(list(points))
    values = np.stack(list(points.values()), 1)  # seeds, powers, samplers
    for i, colour, marker, label in (
        (1, ORANGE, "s", "Euler–Maruyama, trained"), (0, BLUE, "o", "GaussianExact, trained"),
    ):  # fmt: skip
        line(top, places, values[:, :, i], colour, marker, label, ls="none")
    bottom.plot(powers, laws["lost_sde"], color=ORANGE, lw=1.3, label="reverse SDE")
    bottom.plot(powers, laws["lost_ode"], color=GREEN, lw=1.3, ls="--", label="probability flow")
    for place in (top, bottom):
        if np.isfinite(threshold):
            place.axvline(threshold, color=BLACK, lw=0.8, ls=":")
    if np.isfinite(threshold):
        bottom.text(
            threshold, 0.95, r"$\max\, m_T^2 c / q = 1$ ", ha="right", va="top", fontsize=8,
            transform=bottom.get_xaxis_transform(),
        )  # fmt: skip
    top.set(yscale="log", ylabel="error within the grid,\nrelative")
    bottom.set(xlabel=r"power of the prior, $(\gamma-\Delta)^{-s}$", ylabel="modes lost")
    top.legend(fontsize=8, loc="lower right", frameon=True, edgecolor="none", framealpha=0.9)
    bottom.legend(fontsize=8, loc="center left")
    return figure
