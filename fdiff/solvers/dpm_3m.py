"""DPM-Solver++(3M): exponential multistep scheme of order three."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from fdiff.solvers.base import Evaluation, Solver
from fdiff.solvers.dpm_3s import third_order_step
from fdiff.solvers.exponential import phi


@final
@dataclass(frozen=True)
class DPMSolverPP3M(Solver):
    """``l x + m_u [psi_0 D + psi_1 f_01 + (psi_2 + h_0 psi_1) f_012]``; starts with two 3S steps.

    ``f_01 = (D - D_-1) / h_0``, ``f_12 = (D_-1 - D_-2) / h_1``, ``f_012 = (f_01 - f_12) /
    (h_0 + h_1)``: the divided differences of the last three denoisers in ``lambda``. The widely
    published coefficients have half of ``psi_2`` and are of order two only. A last step to
    ``u = 0`` returns ``D``.
    """

    order = 3

    def step(self, problem, x, t, u, memory, noise):
        denoised = problem.denoise(t, x)
        if u == 0:
            return denoised, ()
        _, s_t, start = problem.scales(t)
        now = Evaluation(start, denoised)
        if len(memory) < 2:
            return third_order_step(problem, x, denoised, t, u), (now, *memory)
        m_u, s_u, stop = problem.scales(u)
        last, before = memory
        h0, h1 = start - last.half_log_snr, last.half_log_snr - before.half_log_snr
        f01 = (denoised - last.value) / h0
        f012 = (f01 - (last.value - before.value) / h1) / (h0 + h1)
        psi0, psi1, psi2 = phi(stop - start)
        target = psi0 * denoised + psi1 * f01 + (psi2 + h0 * psi1) * f012
        return s_u / s_t * x + m_u * target, (now, last)
