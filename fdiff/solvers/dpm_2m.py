"""DPM-Solver++(2M): exponential multistep scheme of order two."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import final

from fdiff.solvers.base import Solver
from fdiff.solvers.exponential import extrapolated


@final
@dataclass(frozen=True)
class DPMSolverPP2M(Solver):
    """``l x + m_u (1 - e^-h) [D + h / (2 h_0) (D - D_-1)]``, ``l = s_u / s_t``.

    ``h_0`` is the step before, in ``lambda``; the first step is `DDIM`'s. A last step to ``u = 0``
    returns ``D``. Lu et al. (2022), https://arxiv.org/abs/2211.01095
    """

    order = 2

    def step(self, problem, x, t, u, memory, noise):
        denoised = problem.denoise(t, x)
        if u == 0:
            return denoised, ()
        _, s_t, start = problem.scales(t)
        m_u, s_u, stop = problem.scales(u)
        h = stop - start
        target, memory = extrapolated(denoised, start, h, memory)
        return s_u / s_t * x - m_u * math.expm1(-h) * target, memory
