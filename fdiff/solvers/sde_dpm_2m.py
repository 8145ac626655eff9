"""SDE-DPM-Solver++(2M): ancestral sampling with a denoiser extrapolated from two times."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import final

from fdiff.solvers.base import Solver
from fdiff.solvers.exponential import extrapolated, snr_clock


@final
@dataclass(frozen=True)
class SDEDPMSolverPP2M(Solver):
    """`Ancestral` with ``D + h / (2 h_0) (D - D_-1)`` for ``D``; its first step is `Ancestral`'s.

    The law has order 2 on Gaussian data (observed); paths have order 1. A last step to ``u = 0``
    returns ``D``. Lu et al. (2022), https://arxiv.org/abs/2211.01095
    """

    order = 2
    strong_order = 1
    draws = 1

    def step(self, problem, x, t, u, memory, noise):
        denoised = problem.denoise(t, x)
        if u == 0:
            return denoised, ()
        _, s_t, start = problem.scales(t)
        m_u, s_u, stop = problem.scales(u)
        h = stop - start
        target, memory = extrapolated(denoised, start, h, memory)
        fresh = -math.expm1(-2 * h)
        kept = s_u / s_t * math.exp(-h) * x
        return kept + m_u * fresh * target + s_u * math.sqrt(fresh) * noise(), memory

    def clock(self, process, t):
        return snr_clock(process, t)
