"""Where the error of a sampler comes from, on Gaussian data and without sampling.

The laws of the sampler and of the data are known mode by mode, so each part is a number, and they
bound the whole: ``total <= sqrt((initial + step + stop)^2 + truncation^2)``. Real data add the
error of the score and what their mean and spectrum do not tell.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np

from fdiff import laws, levels
from fdiff.covariance import Covariance
from fdiff.grid import Grid
from fdiff.process import ForwardProcess
from fdiff.score.mean import Field, Mean, mean_coefficients
from fdiff.solvers import GaussianExact, Solver
from fdiff.solvers import times as time_grid
from fdiff.solvers.initial_law import TOLERATED

LARGEST = {1: 2**16, 2: 2**11, 3: 2**8}  # nodes per axis that `suggest` goes to
MOST_STEPS = 1024  # that `suggest` tries
SMOOTH = 0.1  # a mode is endangered where m_T^2 c exceeds this part of q


@final
@dataclass(frozen=True)
class ErrorBudget:
    """Parts of ``W_2`` between the generated law and the data, in L2 of the box (units of u)."""

    initial: float  # starting from N(0, Q) instead of p_T, carried to the end by the sampler
    step: float  # steps of finite size, started from p_T
    stop: float  # ending before t = 0: the exact law there, taken to 0 as the sampler does
    truncation: float  # modes that the grid does not have
    total: float  # of the generated law itself
    lost_modes: int  # retained modes that come out with less than half of their variance
    retained_modes: int
    snr_ratio: float  # max m_T^2 c / q: signal left at T where the sampler starts from noise
    scale: float  # root mean square of the data, for relative errors
    steps: int
    grid: Grid
    notes: tuple[str, ...]  # warnings, each a sentence

    @property
    def bound(self) -> float:
        """What the parts allow: triangle inequality on the grid, Pythagoras beyond it."""
        return math.hypot(self.initial + self.step + self.stop, self.truncation)

    @property
    def parts(self) -> dict[str, float]:
        return {
            "initial law": self.initial,
            "time steps": self.step,
            "early stop": self.stop,
            "truncation": self.truncation,
        }

    def table(self) -> str:
        """The parts as text, absolute and relative to the data."""
        shape = "x".join(map(str, self.grid.shape))
        lines = [f"{'W2 error':<14}{'absolute':>11}{'relative':>11}   {self.steps} steps, {shape}"]
        rows = {**self.parts, "total": self.total, "bound": self.bound}
        lines += [f"{k:<14}{v:>11.3e}{v / self.scale:>11.2e}" for k, v in rows.items()]
        lines.append(
            f"lost modes: {self.lost_modes} of {self.retained_modes}; "
            f"max m_T^2 c / q = {self.snr_ratio:.2e}"
        )
        return "\n".join([*lines, *(f"warning: {note}" for note in self.notes)])

    def plot(self, path=None):
        """Bars of the parts relative to the data, on a logarithmic axis; a matplotlib figure.

        ``path``: a file to save it to.
        """
        figure, axes = _axes((5.2, 2.2))
        rows = {**self.parts, "total": self.total}
        values = [max(v / self.scale, INVISIBLE) for v in rows.values()]
        colours = [COLOURS[name] for name in rows]
        bars = axes.barh(list(rows), values, color=colours)
        shown = [v for v in values if v > INVISIBLE]
        axes.set_xscale("log")
        axes.set_xlim(min(shown) / 10, 10 * max(shown))
        axes.bar_label(bars, [f"{v:.1e}" if v > INVISIBLE else "0" for v in values], padding=3)
        axes.invert_yaxis()
        axes.set_xlabel(AXIS)
        return _saved(figure, path)


def steps_figure(budgets: Mapping[str, Sequence[ErrorBudget]], path=None):
    """Parts of the error against the number of steps, one panel a solver; a matplotlib figure.

    ``budgets``: for each title, the budgets of one solver with growing numbers of steps.
    """
    figure, axes = _axes((3.2 * len(budgets), 3.2), len(budgets))
    handles = {}
    for place, (title, line) in zip(np.atleast_1d(axes), budgets.items()):
        steps = [budget.steps for budget in line]
        for name, colour in COLOURS.items():
            values = np.array([{**b.parts, "total": b.total}[name] / b.scale for b in line])
            style = {"linestyle": "--", "linewidth": 2.5} if name == "total" else {"marker": "o"}
            (handles[name],) = place.plot(steps, values, color=colour, **style)
        place.set_xscale("log", base=2)
        place.set_yscale("log", nonpositive="mask")
        place.set_title(title, fontsize=10)
        place.set_xlabel("steps")
    np.atleast_1d(axes)[0].set_ylabel(AXIS)
    np.atleast_1d(axes)[0].set_ylim(bottom=1e-6)
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=5)
    return _saved(figure, path)


INVISIBLE = 1e-12  # relative errors below are round-off
AXIS = "$W_2$ to the data, relative"
COLOURS = {
    "initial law": "#0072B2",
    "time steps": "#D55E00",
    "early stop": "#009E73",
    "truncation": "#8a8a8a",
    "total": "#000000",
}


def _axes(size: tuple[float, float], columns: int = 1):
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(1, columns, sharey=True)
    for place in np.atleast_1d(axes):
        place.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _saved(figure, path):
    if path is not None:
        figure.savefig(path, dpi=150)
    return figure


def error_budget(
    process: ForwardProcess,
    mean: Mean,
    covariance: Covariance,
    grid: Grid,
    solver: Solver | None = None,
    steps: int = 10,
    *,
    times=None,
    start: str | None = None,
    close: bool = True,
) -> ErrorBudget:
    """The error of ``fdiff.sample`` with these arguments, for data ``N(mean, covariance)``.

    Data with several channels are one function with values in ``R^channels``: squared distances
    are summed over the channels, each in its own unit, and modes are counted in every channel. For
    the budget of one channel by itself give its own mean and covariance.

    Raises:
        ValueError: a solver that is not affine in the state (adaptive or Metropolised).
    """
    solver = GaussianExact() if solver is None else solver
    start = solver.start if start is None else start
    times = np.asarray(time_grid(process, steps) if times is None else times, dtype=float)
    data = (process, mean_coefficients(mean, grid), covariance.eigenvalues(grid), grid)
    target = laws.target_law(*data, 0.0)

    def generated(times, start, close):
        return laws.sampler_law(solver, *data, times, start, close=close)

    exact_end = laws.target_law(*data, float(times[-1]))
    if close and times[-1] > 0:
        exact_end = laws.closed_law(solver, *data, float(times[-1]), exact_end)
    from_exact = generated(times, "exact", close)
    out = from_exact if start == "exact" else generated(times, start, close)

    def distance(a, b):
        return laws.wasserstein2(a, b, grid)

    truncation = _truncation(mean, covariance, grid)
    weights = np.broadcast_to(grid.basis.weights * grid.basis.retained, target.variance.shape)
    present = target.variance > 0
    lost = int((weights * (out.variance < 0.5 * target.variance))[present].sum())
    ratio = _snr_ratio(process, target.variance, grid, float(times[0]))
    return ErrorBudget(
        initial=distance(out, from_exact),
        step=distance(from_exact, exact_end),
        stop=distance(exact_end, target),
        truncation=truncation,
        total=math.hypot(distance(out, target), truncation),
        lost_modes=lost,
        retained_modes=int(weights.sum()),
        snr_ratio=ratio,
        scale=math.sqrt(float((weights * (np.abs(target.mean) ** 2 + target.variance)).sum())),
        steps=len(times) - 1,
        grid=grid,
        notes=tuple(_notes(process, covariance, grid, start, float(times[0]), ratio, lost)),
    )


def suggest(
    process: ForwardProcess,
    mean: Mean,
    covariance: Covariance,
    accuracy: float,
    grid: Grid,
    solver: Solver | None = None,
    *,
    start: str | None = None,
) -> ErrorBudget:
    """The coarsest grid and the fewest steps, up to factors of two, for ``total <= accuracy``.

    ``grid`` gives the box and the coarsest resolution to think of; ``accuracy`` is absolute, in
    units of u (the root mean square over the box).

    Raises:
        ValueError: the accuracy cannot be had, with the part that stands in the way.
    """
    if not accuracy > 0:
        raise ValueError(f"an accuracy is positive, got {accuracy}")
    accuracy *= math.sqrt(grid.volume)
    share = accuracy / math.sqrt(2)  # for the truncation, and for all the rest
    while _truncation(mean, covariance, grid) > share:
        if 2 * max(grid.shape) > LARGEST[grid.dim]:
            raise ValueError(
                f"modes beyond {grid.shape} alone err by more than {accuracy:.1e}: the data are "
                "too rough for this accuracy"
            )
        grid = grid.refine(2)
    steps = 1
    while True:
        end = min(1e-3, 0.5 * process.T)
        budget = error_budget(process, mean, covariance, grid, solver, steps, start=start)
        while budget.stop > share / 4 and end > 1e-8:
            end /= 4
            times = time_grid(process, steps, end=end)
            budget = error_budget(process, mean, covariance, grid, solver, times=times, start=start)
        if budget.total <= accuracy:
            return budget
        steps *= 2
        if steps > MOST_STEPS:
            name, value = max(list(budget.parts.items())[:3], key=lambda part: part[1])
            raise ValueError(
                f"no number of steps reaches {accuracy:.1e}: with {MOST_STEPS} the {name} still "
                f"errs by {value:.1e}" + "".join(f"; {note}" for note in budget.notes)
            )


def _truncation(mean: Mean, covariance: Covariance, grid: Grid) -> float:
    """``E ||u - u_n||^2`` beyond the grid, its square root, over all channels."""
    return math.sqrt(float(np.sum(covariance.tail_trace(grid))) + _mean_tail(mean, grid))


def _mean_tail(mean: Mean, grid: Grid) -> float:
    """``sum |mu_k|^2`` beyond the grid; of a callable, on a grid four times as fine."""
    known = mean.grid.shape if isinstance(mean, Field) else grid.refine(4).shape
    fine = grid.with_shape(tuple(map(max, known, grid.shape)))
    c = mean_coefficients(mean, fine)
    lost = c - levels.prolong(levels.restrict(c, fine, grid), grid, fine)
    return float(np.sum(fine.basis.inner(lost, lost)))


def _snr_ratio(process: ForwardProcess, spectrum: np.ndarray, grid: Grid, t: float) -> float:
    q = process.covariance.eigenvalues(grid)
    signal = process.mean_factor(t) ** 2 * spectrum
    if ((q == 0) & (signal > 0)).any():
        return math.inf
    return float(np.divide(signal, q, out=np.zeros_like(signal), where=q > 0).max())


def _notes(process, covariance, grid, start, t, ratio, lost):
    m = process.mean_factor(t)
    if start == "prior" and m > TOLERATED:
        yield (
            f"the process is too short: at t = {t:g}, where the sampler starts from N(0, Q), a "
            f'factor m = {m:.2g} of the data is left. Take a longer schedule, or start="exact"'
        )
    elif start == "prior" and ratio > SMOOTH:
        yield (
            f"the prior is much smoother than the data (max m_T^2 c / q = {ratio:.1e}): {lost} "
            "modes lose over half of their variance. Take a rougher prior, a longer schedule, or "
            'start="exact"'
        )
    if not process.covariance.is_trace_class(grid.dim):
        yield (
            "the prior is not trace class: its noise has no limit in L2, and errors grow as the "
            "grid is refined"
        )
    if not covariance.is_trace_class(grid.dim):
        yield "the data's covariance is not trace class: they have no limit in L2"
