"""Formulas that the exponential schemes share: they integrate all but the denoiser exactly.

With ``lambda = ln(m / s)`` and ``h = lambda_u - lambda_t > 0`` the probability-flow ODE is
``x_u = (s_u / s_t) x + m_u int_0^h e^(r - h) D dr``; a scheme is a polynomial for ``D``.
"""

from __future__ import annotations

import math

from fdiff.solvers.base import Evaluation


def ddim(problem, x, denoised, t: float, u: float):
    """One step with ``D`` frozen, from ``t`` to ``u > 0``."""
    _, s_t, start = problem.scales(t)
    m_u, s_u, stop = problem.scales(u)
    return s_u / s_t * x - m_u * math.expm1(start - stop) * denoised


def extrapolated(denoised, half_log_snr: float, h: float, memory):
    """``D + h / (2 h_0) (D - D_-1)``, the denoiser at the step's middle, and the new memory."""
    now = (Evaluation(half_log_snr, denoised),)
    if not memory:
        return denoised, now
    ratio = h / (2 * (half_log_snr - memory[0].half_log_snr))
    return denoised + ratio * (denoised - memory[0].value), now


def snr_clock(process, t: float) -> float:
    """``m^2 / s^2``: the time in which the noise of the reverse bridge is a Wiener process."""
    return math.exp(2 * process.half_log_snr(t))


def phi(h: float) -> tuple[float, float, float]:
    """``psi_0 = 1 - e^-h``, ``psi_1 = h - psi_0``, ``psi_2 = h^2 - 2 psi_1``; ``h > 0``.

    ``psi_j = int_0^h e^(r - h) r^j dr``. For small ``h`` from their Taylor series, since the
    differences lose all digits.
    """
    psi0 = -math.expm1(-h)
    if h < 0.1:
        return psi0, _remainder(h, 2), 2.0 * _remainder(h, 3)
    psi1 = h - psi0
    return psi0, psi1, h * h - 2.0 * psi1


def _remainder(h: float, degree: int) -> float:
    """``h^degree / degree! - h^(degree+1) / (degree+1)! + ...``"""
    term = h**degree / math.factorial(degree)
    total = 0.0
    for n in range(degree + 1, degree + 14):
        total += term
        term *= -h / n
    return total
