"""Heun's method in the time of the process."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from fdiff.solvers.base import Solver


@final
@dataclass(frozen=True)
class Heun(Solver):
    """Explicit trapezoid for the probability-flow ODE ``dx/dt = -a/2 (x + S)``.

    Two evaluations a step; a last step to ``u = 0``, where no score is defined, is Euler's.
    Song et al. (2021), https://arxiv.org/abs/2011.13456, eq. 13.
    """

    order = 2

    def step(self, problem, x, t, u, memory, noise):
        a, span = problem.process.schedule.a, t - u
        slope = 0.5 * a(t) * (x + problem.preconditioned_score(t, x))
        euler = x + span * slope
        if u == 0:
            return euler, ()
        second = 0.5 * a(u) * (euler + problem.preconditioned_score(u, euler))
        return x + 0.5 * span * (slope + second), ()
