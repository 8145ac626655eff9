"""Euler-Maruyama on the reverse SDE."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import final

from fdiff.solvers.base import Solver


@final
@dataclass(frozen=True)
class EulerMaruyama(Solver):
    """``x + (t - u) a (x/2 + S) + sqrt(a (t - u)) xi``, ``a = a(t)``.

    Strong order 1, since the noise is additive. Kloeden and Platen (1992), sec. 10.2.
    """

    order = 1
    strong_order = 1
    draws = 1

    def step(self, problem, x, t, u, memory, noise):
        work = problem.process.schedule.a(t) * (t - u)
        drifted = (1 + 0.5 * work) * x + work * problem.preconditioned_score(t, x)
        return drifted + math.sqrt(work) * noise(), ()
