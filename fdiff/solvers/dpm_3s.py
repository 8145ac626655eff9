"""DPM-Solver++(3S): exponential Runge-Kutta scheme of order three."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from fdiff.solvers.base import Solver
from fdiff.solvers.exponential import ddim, phi


@final
@dataclass(frozen=True)
class DPMSolverPP3S(Solver):
    """Stages at ``lambda + h / 3`` and ``lambda + 2 h / 3``; three evaluations a step.

    ``l x + m_u [psi_0 D + psi_1 / (2 h / 3) (D_2 - D)]``, where ``D_2`` is the denoiser at a second
    stage of the same form that uses ``D_1``, one `DDIM` step of ``h / 3`` away. A last step to
    ``u = 0`` returns ``D``. Algorithm 2 of Lu et al. (2022), https://arxiv.org/abs/2206.00927, with
    the denoiser in place of the noise.
    """

    order = 3

    def step(self, problem, x, t, u, memory, noise):
        denoised = problem.denoise(t, x)
        if u == 0:
            return denoised, ()
        return third_order_step(problem, x, denoised, t, u), ()


def third_order_step(problem, x, denoised, t: float, u: float):
    """One step of 3S from ``t`` to ``u > 0``; ``denoised`` is ``D(t, x)``."""
    _, s_t, start = problem.scales(t)
    h = problem.scales(u)[2] - start
    first, second = (problem.process.schedule.time(start + r * h) for r in (1 / 3, 2 / 3))
    d1 = problem.denoise(first, ddim(problem, x, denoised, t, first))
    d2 = problem.denoise(second, _stage(problem, x, denoised, s_t, second, d1, 2 * h / 3, h / 3))
    return _stage(problem, x, denoised, s_t, u, d2, h, 2 * h / 3)


def _stage(problem, x, denoised, s_t: float, r: float, other, h: float, distance: float):
    """``x(r)``, a step ``h`` on, for the denoiser linear through ``D`` and ``other``."""
    m_r, s_r, _ = problem.scales(r)
    psi0, psi1, _ = phi(h)
    return s_r / s_t * x + m_r * (psi0 * denoised + psi1 / distance * (other - denoised))
