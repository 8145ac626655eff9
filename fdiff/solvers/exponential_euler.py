"""Exponential Euler on the reverse SDE: the linear part exactly, the score frozen."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import final

from fdiff.solvers.base import Solver


@final
@dataclass(frozen=True)
class ExponentialEuler(Solver):
    """``E x + 2 (E - 1) S + sqrt(E^2 - 1) xi``, ``E = e^((B_t - B_u) / 2)``.

    Lord, Powell and Shardlow (2014), An Introduction to Computational Stochastic PDEs, sec. 10.8.
    """

    order = 1
    strong_order = 1
    draws = 1

    def step(self, problem, x, t, u, memory, noise):
        schedule = problem.process.schedule
        elapsed = schedule.B(t) - schedule.B(u)
        growth = math.expm1(0.5 * elapsed)
        drift = x + 2.0 * problem.preconditioned_score(t, x)
        return x + growth * drift + math.sqrt(math.expm1(elapsed)) * noise(), ()

    def clock(self, process, t):
        return -math.expm1(process.schedule.B(t))
