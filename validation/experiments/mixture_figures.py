"""Figures of the mixture experiment."""

from __future__ import annotations

import math

import numpy as np

from fdiff import compat
from fdiff.metrics.estimate import student
from fdiff.plots import BLACK, BLUE, GREEN, GREY, ORANGE, _axes, gallery
from validation.experiments.mixture_problem import (
    CROPPED,
    PRIORS,
    TRAINED,
    Published,
    prior,
    square,
)

NAMES = {
    "standard": "standard (white)", "fno": "FNO", "inverse_laplacian": "inverse Laplacian",
    "bessel": "Bessel", "combined": "combined",
}  # fmt: skip
LABELS = {
    "published": "published conventions, network alone",
    "plain": "fdiff's conventions, network alone",
    "wiener": "fdiff's conventions, network around the linear model",
}
STYLES = {"published": (ORANGE, "s"), "plain": (BLUE, "o"), "wiener": (GREEN, "^")}


def by_resolution(errors: dict, trained: dict, by_hand: dict, linear: dict, resolutions: list[int]):
    """Error over resolution, one panel a prior.

    ``errors[mode][prior]``: ``(seeds, resolutions)``; ``trained[prior]``: published, on the law it
    was trained on, ``(seeds,)``; ``by_hand[prior]``: at 64 x 64, input doubled, ``(seeds,)``;
    ``linear[prior]``: ``(resolutions,)``.
    """
    priors = list(linear)
    figure, axes = _axes(
        1, len(priors), figsize=(2.2 * len(priors) + 0.6, 3.1), squeeze=False, sharey=True
    )
    for place, name in zip(axes[0], priors):
        place.axvline(TRAINED, color=GREY, lw=0.8, ls=":")
        for mode, (color, marker) in STYLES.items():
            draw_intervals(place, resolutions, errors[mode][name], color, marker, LABELS[mode])
        marks = (
            (trained, TRAINED, "s", "published, on the cropped fields it was trained on"),
            (by_hand, CROPPED * TRAINED, "D", "published, input doubled by hand"),
        )
        for values, n, marker, label in marks:
            place.plot(
                [n * 1.08], [values[name].mean()], marker=marker, ms=5.5, mfc="white", mec=ORANGE,
                ls="none", label=label,
            )  # fmt: skip
        place.plot(
            resolutions, linear[name], color=BLACK, lw=0.9, ls="--",
            label="best linear score (no network)",
        )  # fmt: skip
        place.set(title=NAMES[name], xscale="log", yscale="log", xlabel="nodes a side")
        place.set_xticks(resolutions, [str(n) for n in resolutions])
        place.minorticks_off()
    axes[0, 0].set_ylabel("score error in H, relative")
    _legend(figure, axes[0, 0], 2)
    return figure


def draw_intervals(place, x, values: np.ndarray, color, marker, label) -> None:
    """Means over the seeds (first axis) with Student's 95 % intervals; of one seed, the values."""
    estimates = [student(column) for column in values.T]
    half = [(estimate.high - estimate.low) / 2 for estimate in estimates]
    mean = [estimate.value for estimate in estimates]
    # A bar to zero or below has no place on a logarithmic axis.
    below = np.minimum(half, 0.9 * np.array(mean))
    place.errorbar(
        x, mean, [below, half], color=color, marker=marker, ms=4, lw=1.3, capsize=2, label=label
    )


def over_time(curves: dict, times: list[float], resolutions: list[int]):
    """Error over t, a row a mode and a column a prior.

    ``curves[mode][prior]``: ``(resolutions, times)``.
    """
    modes, priors = list(curves), list(next(iter(curves.values())))
    figure, axes = _axes(
        len(modes), len(priors), figsize=(2.1 * len(priors) + 0.8, 1.75 * len(modes) + 0.6),
        squeeze=False, sharex=True, sharey=True,
    )  # fmt: skip
    looks = zip((BLACK, BLUE, GREEN, ORANGE), ("-", "--", "-.", ":"))
    looks = dict(zip(resolutions, looks))
    for row, mode in zip(axes, modes):
        for place, name in zip(row, priors):
            for n, curve in zip(resolutions, curves[mode][name]):
                color, dash = looks[n]
                place.plot(times, curve, color=color, ls=dash, lw=1.3, label=f"{n}²")
            place.set_yscale("log")
        row[0].set_ylabel({"published": "published", "plain": "ours, network\nalone",
                            "wiener": "ours, around the\nlinear model"}[mode])  # fmt: skip
    # Of all panels, which share their scale: a later one's curves may be the highest.
    highest = max(float(np.max(c)) for panels in curves.values() for c in panels.values())
    axes[0, 0].set_ylim(1e-3, 1.5 * highest)  # what lies below is the linear part at late times
    for place, name in zip(axes[0], priors):
        place.set_title(NAMES[name])
    for place in axes[-1]:
        place.set_xlabel("t")
    _legend(figure, axes[0, 0], len(resolutions))
    return figure


def pointwise_std(resolutions: list[int]):
    """Standard deviation of a prior sample at a node, both conventions, on every grid."""
    figure, axes = _axes(1, 2, figsize=(7.2, 2.9), sharey=True)
    colors = (GREY, ORANGE, GREEN, BLUE, BLACK)
    for name, color, marker in zip(PRIORS, colors, "Ds^ov"):
        grids = [square(n) for n in resolutions]
        sides = (
            [Published(name).mixture.prior.std(grid) for grid in grids],
            [math.sqrt(prior(name).trace(grid) / grid.volume) for grid in grids],
        )
        for place, values in zip(axes, sides):
            place.plot(resolutions, values, color=color, marker=marker, ms=4, lw=1.2,
                       label=NAMES[name])  # fmt: skip
    for place, title in zip(axes, ("published", "fdiff")):
        place.axvline(TRAINED, color=GREY, lw=0.8, ls=":")
        place.set(title=title, xscale="log", yscale="log", xlabel="nodes a side")
        place.set_xticks(resolutions, [str(n) for n in resolutions])
        place.minorticks_off()
    axes[0].set_ylabel("std of the noise at a node")
    _legend(figure, axes[0], 3)
    return figure


def samples(name: str = "bessel"):
    """The same seed on three grids in both conventions, on one colour scale."""
    rows = []
    for n in (32, 64, 128):
        grid = square(n)
        rows.append((f"published {n}²", compat.prior(name).sample(grid, 3, seed=1), grid))
    for n in (32, 64, 128):
        grid = square(n)
        rows.append((f"fdiff {n}²", prior(name).sample(grid, 3, seed=1), grid))
    return gallery(rows, 3)


def _legend(figure, place, columns: int) -> None:
    handles, labels = place.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=columns, fontsize=8)
