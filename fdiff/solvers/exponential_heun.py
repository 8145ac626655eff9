"""Exponential Heun: the denoiser interpolated between both ends of the step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from fdiff.solvers.base import Solver
from fdiff.solvers.exponential import ddim, phi


@final
@dataclass(frozen=True)
class ExponentialHeun(Solver):
    """``l x + m_u [(psi_0 - psi_1 / h) D + psi_1 / h D']``, ``D'`` at the end of a step of `DDIM`.

    ETD2RK of Cox and Matthews (2002), https://doi.org/10.1006/jcph.2002.6995, in ``lambda``. Two
    evaluations a step; a last step to ``u = 0`` returns ``D``.
    """

    order = 2

    def step(self, problem, x, t, u, memory, noise):
        denoised = problem.denoise(t, x)
        if u == 0:
            return denoised, ()
        _, s_t, start = problem.scales(t)
        m_u, s_u, stop = problem.scales(u)
        psi0, psi1, _ = phi(stop - start)
        late = psi1 / (stop - start)
        end = problem.denoise(u, ddim(problem, x, denoised, t, u))
        return s_u / s_t * x + m_u * ((psi0 - late) * denoised + late * end), ()
