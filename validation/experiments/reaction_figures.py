"""Figures of the reaction-diffusion experiment."""

from __future__ import annotations

import numpy as np

from fdiff import plots
from fdiff.metrics.spectra import Spectrum
from validation.experiments.figures import readable
from validation.experiments.intervals import BLUE, CYCLE, GREY, MARKERS, ORANGE, axes, line
from validation.experiments.patterns import grid_of
from validation.experiments.reaction_tasks import column

WORDS = {
    "training_sw": "approximate sliced\nWasserstein (paper)", "spectrum_error": "spectrum error",
    "perimeter_error": "perimeter error", "pointwise_w1": "$W_1$ of values",
    "gradient_w1": "$W_1$ of $|\\nabla u|$", "kurtosis": "|kurtosis $-$ truth's|",
}  # fmt: skip


def blindness(v, floors):
    """Each metric of Gaussian fields, in units of the same metric of truth."""
    figure, place = axes(figsize=(6.2, 3.0))
    n, names = v["level"], list(WORDS)
    truth, gauss = (
        {m: floors[f"{kind}_matched_{n}"][:, column(m)].copy() for m in names}
        for kind in ("truth", "gaussian")
    )
    middle = truth["kurtosis"].mean()
    for kind in (truth, gauss):
        kind["kurtosis"] = np.abs(kind["kurtosis"] - middle)
    for i, name in enumerate(names):
        unit = truth[name].mean()
        for values, colour, marker, shift in (
            (truth, BLUE, "o", -0.12),
            (gauss, ORANGE, "s", 0.12),
        ):
            label = (
                None if i else {BLUE: "truth", ORANGE: "Gaussian, same mean and spectrum"}[colour]
            )
            place.plot(
                np.full(len(values[name]), i + shift), values[name] / unit, marker, color=colour,
                ms=5, alpha=0.8, label=label,
            )  # fmt: skip
    place.axhline(1, color=GREY, lw=0.8)
    place.set_yscale("log")
    place.set_xticks(range(len(names)), [WORDS[name] for name in names], fontsize=7.5)
    place.set_ylabel(f"distance to held-out truth at {n}²\n(mean of truth's = 1)")
    place.legend(loc="upper left")
    return figure


def priors(v, ours, floors, words):
    """One panel a metric: values over resolution, one line a prior."""
    names = ("pointwise_w1", "gradient_w1", "perimeter_error", "training_sw")
    figure, panels = axes(2, 2, figsize=(7.2, 5.4), sharex=True)
    sizes = np.array(v["resolutions"], float)
    for place, name in zip(panels.flat, names):
        floor = [floors[f"truth_{n}"][:, column(name)].mean() for n in v["resolutions"]]
        place.fill_between(
            sizes, 0, floor, color=GREY, alpha=0.25, lw=0, label="truth against truth"
        )
        for i, (strategy, part) in enumerate(ours.items()):
            values = [[r[f"quality_{n}"][column(name)] for n in v["resolutions"]] for r in part]
            shift = 1.035 ** (i - (len(ours) - 1) / 2)
            line(place, sizes * shift, values, CYCLE[i], MARKERS[i], words(strategy))
        _resolutions(place, v)
        place.set_title(WORDS[name].replace("\n", " "), fontsize=9)
    handles, labels = panels[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=8)
    return figure


def protocols(v, ours, theirs, floors):
    """Quality over resolution of both protocols, with truth and Gaussian fields."""
    names = ("pointwise_w1", "gradient_w1", "perimeter_error", "training_sw")
    figure, panels = axes(1, 4, figsize=(9.6, 2.9), sharex=True)
    sizes = np.array(v["resolutions"], float)
    for place, name in zip(panels, names):
        truth, gauss = (
            [floors[f"{kind}_matched_{n}"][:, column(name)].mean() for n in v["resolutions"]]
            for kind in ("truth", "gaussian")
        )
        place.fill_between(
            sizes, truth, 1e-4, color=GREY, alpha=0.25, lw=0, label="truth against truth"
        )
        place.plot(sizes, gauss, color=GREY, ls="--", lw=1.2, label="Gaussian, right spectrum")
        for part, colour, marker, label in (
            (ours, BLUE, "o", "ours"), (theirs, ORANGE, "s", "the paper's protocol"),
        ):  # fmt: skip
            values = [[r[f"matched_{n}"][column(name)] for n in v["resolutions"]] for r in part]
            line(place, sizes, values, colour, marker, label)
        _resolutions(place, v)
        place.set_yscale("log")
        place.set_ylim(bottom=min(truth) / 2)
        readable(place.yaxis)
        place.set_title(WORDS[name], fontsize=9)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, fontsize=8)
    return figure


def _resolutions(place, v) -> None:
    place.set_xscale("log", base=2)
    place.set_xticks(v["resolutions"], [f"{n}²" for n in v["resolutions"]])
    place.minorticks_off()
    place.axvline(v["level"], color=GREY, lw=0.6, ls=":")


def gallery(v, ours, theirs, floors):
    """Rows of fields, with the colours of truth: what is larger or smaller is cut off there."""
    shown = floors[f"truth_examples_{v['level']}"].astype(float)
    low, high = np.quantile(shown, [0.001, 0.999])
    rows = []
    for name, source, prefix, sizes in (
        ("truth", floors, "truth_", v["resolutions"][:3][-1:]),
        ("Gaussian", floors, "gaussian_", v["resolutions"][:1]),
        ("ours", ours, "", v["resolutions"]),
        ("the paper's", theirs, "", v["resolutions"]),
    ):
        for n in sizes:
            u = np.clip(source[f"{prefix}examples_{n}"].astype(float), low, high)
            rows.append((f"{name}, {n}²", u, grid_of(n)))
    return plots.gallery(rows, columns=4)


def spectra(v, ours, theirs, floors):
    panels = []
    for n in v["resolutions"]:
        curves = {
            name: Spectrum(*result[f"samples_spectrum_{n}"])
            for name, result in (("trained", ours), ("the paper's protocol", theirs))
        }
        panels.append((f"{n}²", Spectrum(*floors[f"truth_spectrum_{n}"]), curves))
    figure = plots.spectra(panels, v["network"]["n_modes"])
    for place in figure.axes:
        place.set_xlim(0, 48)
    return figure
