"""Ancestral sampling: the bridge of the forward process with X_0 replaced by the denoiser."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import final

from fdiff.solvers.base import Solver
from fdiff.solvers.exponential import snr_clock


@final
@dataclass(frozen=True)
class Ancestral(Solver):
    """``l e^-h x + m_u (1 - e^-2h) D + s_u sqrt(1 - e^-2h) xi``, ``l = s_u / s_t``.

    The same as DDPM's posterior sampling, SDE-DPM-Solver++(1) and DDIM with eta = 1.
    Ho, Jain and Abbeel (2020), https://arxiv.org/abs/2006.11239
    """

    order = 1
    strong_order = 1
    draws = 1

    def step(self, problem, x, t, u, memory, noise):
        denoised = problem.denoise(t, x)
        if u == 0:
            return denoised, ()
        _, s_t, start = problem.scales(t)
        m_u, s_u, stop = problem.scales(u)
        h = stop - start
        fresh = -math.expm1(-2 * h)
        kept = s_u / s_t * math.exp(-h) * x
        return kept + m_u * fresh * denoised + s_u * math.sqrt(fresh) * noise(), ()

    def clock(self, process, t):
        return snr_clock(process, t)
