"""Heun's method in the variables of Karras et al."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from fdiff.solvers.base import Solver


@final
@dataclass(frozen=True)
class EDMHeun(Solver):
    """Explicit trapezoid for ``dy / d sigma = (y - D) / sigma``, ``y = x / m``, ``sigma = s / m``.

    Two evaluations a step; a last step to ``sigma = 0`` is Euler's, which returns ``D``.
    Karras, Aittala, Aila and Laine (2022), algorithm 1, https://arxiv.org/abs/2206.00364
    """

    order = 2

    def step(self, problem, x, t, u, memory, noise):
        denoised = problem.denoise(t, x)
        if u == 0:
            return denoised, ()
        m_t, s_t, _ = problem.scales(t)
        m_u, s_u, _ = problem.scales(u)
        here, there = s_t / m_t, s_u / m_u
        y = x / m_t
        slope = (y - denoised) / here
        euler = y + (there - here) * slope
        second = (euler - problem.denoise(u, m_u * euler)) / there
        return m_u * (y + (there - here) * 0.5 * (slope + second)), ()
