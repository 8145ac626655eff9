"""Where the steps of a sampler get their noise: keyed numbers, or a given Q-Wiener path."""

from __future__ import annotations

import math
from collections import Counter
from itertools import pairwise
from typing import Protocol

import numpy as np

from fdiff import backends, noise
from fdiff.grid import Grid
from fdiff.solvers.base import Problem, Solver


class WienerPath(Protocol):
    """A Q-Wiener path of every sample, on ``[0, horizon]``."""

    horizon: float

    def increment(self, a: float, b: float, grid: Grid, size: int, first: int, channels):
        """Coefficients of ``W(b) - W(a)`` of samples ``first ..``, as numpy."""


class Clock:
    """A path read in a solver's own clock, so that steps of any size share it.

    The clock of a scheme may run over many powers of ten, so the path's horizon is divided evenly
    among pieces of equal length in ``lambda`` (the last one ends at ``t = 0``), and the clock runs
    evenly within each: ``dV = sqrt(dc / dp) dW(p)`` with ``c`` the clock and ``p`` the path's time
    is again a Q-Wiener process in ``c``. The pieces depend on the first time only.
    """

    PIECES = 64
    LAST = 12.0  # half log-SNR at which the last piece begins; t ~ 1e-10 for common schedules

    def __init__(self, path: WienerPath, solver: Solver, process, times: np.ndarray):
        if solver.draws != 1:
            raise ValueError(f"a path drives schemes with one draw of noise a step, not {solver!r}")
        first = process.half_log_snr(float(times[0]))
        nodes = process.schedule.time(np.linspace(first, self.LAST, self.PIECES))
        ticks = [solver.clock(process, t) for t in [float(times[0]), *nodes[1:].tolist(), 0.0]]
        self.path = path
        # The bridge's clock is infinite at t = 0, where its last step draws no noise.
        self.nodes = np.array([tick for tick in ticks if math.isfinite(tick)])
        self.positions = path.horizon * np.arange(len(self.nodes)) / (len(self.nodes) - 1)
        self.ticks = [solver.clock(process, t) for t in times.tolist()]

    def increment(self, step: int, grid: Grid, size: int, first: int, channels):
        """Over one step, normalised to N(0, Q)."""
        a, b = self.ticks[step : step + 2]
        inside = self.nodes[(self.nodes > a) & (self.nodes < b)]
        bounds = [a, *inside.tolist(), b]
        total = 0.0
        for low, high in pairwise(bounds):
            p, r = np.interp([low, high], self.nodes, self.positions).tolist()
            share = math.sqrt((high - low) / (b - a) / (r - p))
            total = total + share * self.path.increment(p, r, grid, size, first, channels)
        return total


class StepNoise:
    """The draws of N(0, Q) of one step, keyed by (seed, purpose, sample, step)."""

    def __init__(self, problem: Problem, like, seed: int, first: int, clock, step: int):
        self.problem, self.like, self.seed, self.first = problem, like, seed, first
        self.clock, self.step = clock, step
        self.drawn: Counter = Counter()

    def __call__(self, purpose: int = noise.STEPS):
        """The next draw for ``purpose``, with the shape and kind of the state."""
        grid = self.problem.grid
        count = self.drawn[purpose]
        self.drawn[purpose] += 1
        if self.clock is not None and purpose == noise.STEPS:
            lead = tuple(self.like.shape)[: self.like.ndim - grid.dim]
            channels = lead[1] if len(lead) == 2 else None
            draw = self.clock.increment(self.step, grid, lead[0], self.first, channels)
            return backends.of(self.like).constant(draw, self.like)
        root = self.problem.process.covariance.multiplier(grid, 0.5)
        key = {"root": root, "level": count, "time": self.step}
        return noise.like(self.like, grid, self.seed, purpose, self.first, **key)

    def log_uniforms(self) -> np.ndarray:
        """Logarithms of uniform numbers, one a sample, for the Metropolis rule."""
        kind = self.drawn["uniform"]
        self.drawn["uniform"] += 1
        key = {"kind": noise.APART | kind << 16, "time": self.step}
        return np.log(noise.uniforms(self.seed, noise.CORRECTOR, len(self.like), self.first, **key))
