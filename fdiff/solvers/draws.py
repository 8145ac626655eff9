"""Where the steps of a sampler get their noise: keyed numbers, or a given Q-Wiener path."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Clock:
    """A path and the time that it has reached at each time of the sampler's grid.

    The solver's own clock, mapped to the path's horizon: steps that share the first and the last
    time share the path, however many they are.
    """

    path: WienerPath
    ticks: np.ndarray

    @classmethod
    def of(cls, path: WienerPath, solver: Solver, process, times: np.ndarray) -> Clock:
        if solver.draws != 1:
            raise ValueError(f"a path drives schemes with one draw of noise a step, not {solver!r}")
        # At t = 0 the clock of the bridge is infinite; the step to it draws no noise.
        ticks = np.array([solver.clock(process, t) for t in times.tolist() if t > 0])
        return cls(path, path.horizon * (ticks - ticks[0]) / (ticks[-1] - ticks[0]))

    def increment(self, step: int, grid: Grid, size: int, first: int, channels):
        """Over one step, normalised to N(0, Q)."""
        a, b = self.ticks[step : step + 2].tolist()
        return self.path.increment(a, b, grid, size, first, channels) / math.sqrt(b - a)


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
