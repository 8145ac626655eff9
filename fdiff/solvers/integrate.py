"""The sampling loop, once for all schemes, arrays and grids."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import final

import numpy as np

from fdiff import backends, noise
from fdiff.errors import DivergenceError
from fdiff.grid import Grid
from fdiff.score.base import Score
from fdiff.solvers.base import Problem, Solver
from fdiff.solvers.draws import Clock, StepNoise, WienerPath
from fdiff.solvers.gaussian_exact import GaussianExact
from fdiff.solvers.initial_law import warn_of_prior_start
from fdiff.solvers.time_grids import checked_times
from fdiff.solvers.time_grids import times as time_grid


@final
@dataclass(frozen=True)
class Samples:
    """What `sample` returns."""

    fields: object  # (size, *grid.shape) or (size, channels, *grid.shape), numpy or torch
    grid: Grid
    times: np.ndarray  # the decreasing time grid that was used
    evaluations: int  # of the score, a sample
    trajectory: object | None = None  # (len(keep), *fields.shape) at the times asked for


def sample(
    score: Score,
    grid: Grid,
    size: int = 16,
    steps: int = 10,
    solver: Solver | None = None,
    seed: int = 0,
    *,
    first: int = 0,
    channels: int | None = None,
    times=None,
    start=None,
    path: WienerPath | None = None,
    keep=None,
    close: bool = True,
    batch: int | None = None,
    backend: str = "numpy",
    device=None,
    dtype="float64",
    progress: Callable[[int, int], None] | None = None,
) -> Samples:
    """Samples ``first .. first+size-1`` of the reverse process, seen on ``grid``.

    The same seed and index give the same function on every grid (up to the score's own resolution
    error), whatever ``size``, ``batch``, ``backend`` or order of calls.

    Args:
        channels: of the samples, whose shape is then ``(size, channels, *grid.shape)``; by
            default as many as the score has, and no such axis where it has one or does not say.
        steps: number of steps, on a grid uniform in ``lambda`` from ``T`` to 1e-3; or give
            ``times``, a decreasing array.
        solver: a scheme of `fdiff.solvers`; `GaussianExact` of order 2 by default.
        start: ``"prior"`` (N(0, Q)), ``"exact"`` (the score's law at the first time), or an array
            of function values; by default the solver's own, ``"exact"`` for `GaussianExact`.
        path: a Q-Wiener path as the noise of the steps; ``seed`` then keys the start only.
        keep: times of the grid at which to return the state too, as ``trajectory``.
        close: after the last time go on to ``t = 0``. `GaussianExact` maps there without an
            evaluation, the others return the denoiser's value, one evaluation more.
        batch: samples at a time, to bound the memory; all at once by default.
        backend: ``"numpy"`` or ``"torch"``; an array as ``start`` decides by itself.
        device, dtype: of the state, ``"float32"`` or ``"float64"``.
        progress: called as ``progress(done, total)`` in units of steps.

    Raises:
        ValueError: an argument out of range.
        DivergenceError: the state is not finite any more.

    Warns:
        InitialLawWarning: a start from N(0, Q) where the law at the first time is another one, so
            that the samples' law is off by more than 2 % of the data's standard deviation.
    """
    solver = GaussianExact() if solver is None else solver
    if times is None:
        times = time_grid(score.process, steps)
    times = checked_times(times, score.process)
    kept = [] if keep is None else _indices(keep, times)
    if size < 1:
        raise ValueError(f"size must be at least 1, got {size}")
    dtype = getattr(dtype, "__name__", str(dtype)).removeprefix("torch.")
    if dtype not in ("float32", "float64"):
        raise ValueError(f'dtype must be "float32" or "float64", got {dtype!r}')
    start = solver.start if start is None else start
    channels = score.channels_for(channels)
    make = _Start(score, grid, float(times[0]), start, channels, (backend, dtype, device), size)
    if isinstance(start, str) and start == "prior":
        warn_of_prior_start(score, grid, float(times[0]), solver)
    chunk = size if batch is None else min(max(1, batch), size)
    begins = range(0, size, chunk)
    clock = None if path is None else Clock(path, solver, score.process, times)
    report = _Progress(progress, len(begins) * (len(times) - 1))
    pieces, trajectories, evaluations = [], [], 0
    for begin in begins:
        problem = Problem(score, grid)
        state = make(seed, first + begin, begin, min(chunk, size - begin))
        draws = partial(StepNoise, problem, state, seed, first + begin, clock)
        state, states = _integrate(solver, problem, state, times, draws, kept, report)
        if close and times[-1] > 0:
            state = solver.close(problem, state, float(times[-1]))
        pieces.append(grid.basis.inverse(state))
        trajectories.append([grid.basis.inverse(c) for c in states])
        evaluations = max(evaluations, problem.evaluations)
    xp = backends.of(pieces[0])
    trajectory = None
    if kept:
        trajectory = xp.stack([xp.concatenate(list(parts)) for parts in zip(*trajectories)])
    return Samples(xp.concatenate(pieces), grid, times, evaluations, trajectory)


def _integrate(solver, problem, start, times, draws, kept, report):
    """The state at the last time, and those at the indices ``kept``."""
    x = start
    states = {0: start} if 0 in kept else {}
    for i, x in enumerate(solver.run(problem, start, times, draws), start=1):
        if not backends.of(x).all_finite(x):
            raise DivergenceError(
                f"{type(solver).__name__}: the state is not finite at t = {times[i]:g} (step {i} "
                f"of {len(times) - 1}); take more steps, or a scheme that is uniform in lambda",
                float(times[i - 1]),
            )
        if i in kept:
            states[i] = x
        report()
    return x, [states[i] for i in kept]


class _Progress:
    """Counts steps over all batches."""

    def __init__(self, progress: Callable[[int, int], None] | None, total: int):
        self.progress, self.done, self.total = progress, 0, total

    def __call__(self) -> None:
        self.done += 1
        if self.progress is not None:
            self.progress(self.done, self.total)


class _Start:
    """Coefficients at the first time for any range of samples."""

    def __init__(self, score: Score, grid: Grid, t: float, start, channels, kind, size: int):
        self.score, self.grid, self.t, self.start = score, grid, t, start
        name, dtype, device = kind
        self.channels, self.kind = channels, (backends.named(name), dtype, device)
        if isinstance(start, str) and start not in ("prior", "exact"):
            raise ValueError(f'start must be "prior", "exact" or an array, got {start!r}')
        if not isinstance(start, str):
            if not grid.dim < start.ndim <= grid.dim + 2 or len(start) != size:
                raise ValueError(
                    f"start holds {size} fields, shape ({size}, *{grid.shape}) or with channels; "
                    f"got {tuple(start.shape)}"
                )
            score.check_channels(start, grid)
            self.coefficients = grid.basis.project(grid.basis.forward(start))
        else:
            backends.named(name).device_named(device)  # refuses one that cannot be used

    def __call__(self, seed: int, first: int, begin: int, count: int):
        if not isinstance(self.start, str):
            return self.coefficients[begin : begin + count]
        backend, dtype, device = self.kind
        white = noise.white_coefficients(self.grid, seed, noise.START, count, first, self.channels)
        if self.start == "prior":
            white *= self.score.process.covariance.multiplier(self.grid, 0.5)
            return backend.from_numpy(white, dtype, device)
        white = backend.from_numpy(white, dtype, device)
        return self.score.marginal(self.t, white, self.grid, seed, first)


def _indices(keep, times: np.ndarray) -> list[int]:
    """Positions in ``times`` of the times to keep."""
    out = []
    for t in np.atleast_1d(np.asarray(keep, dtype=float)):
        i = int(np.abs(times - t).argmin())
        if abs(times[i] - t) > 1e-9 * max(1.0, abs(t)):
            raise ValueError(f"keep = {t:g} is not a time of the grid; the nearest is {times[i]}")
        out.append(i)
    return out
