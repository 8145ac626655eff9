"""DPM-Solver++(2S): exponential midpoint rule."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import final

from fdiff.solvers.base import Solver
from fdiff.solvers.exponential import ddim


@final
@dataclass(frozen=True)
class DPMSolverPP2S(Solver):
    """``l x + m_u (1 - e^-h) D_mid``, ``D_mid`` after a step of `DDIM` to ``lambda + h / 2``.

    Two evaluations a step; a last step to ``u = 0`` returns ``D``.
    Lu et al. (2022), https://arxiv.org/abs/2211.01095
    """

    order = 2

    def step(self, problem, x, t, u, memory, noise):
        denoised = problem.denoise(t, x)
        if u == 0:
            return denoised, ()
        _, s_t, start = problem.scales(t)
        m_u, s_u, stop = problem.scales(u)
        h = stop - start
        middle = problem.process.schedule.time(start + 0.5 * h)
        target = problem.denoise(middle, ddim(problem, x, denoised, t, middle))
        return s_u / s_t * x - m_u * math.expm1(-h) * target, ()
