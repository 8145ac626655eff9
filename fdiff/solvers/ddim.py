"""DDIM: the exponential integrator of order one, with a choice of noise."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import final

from fdiff.solvers.base import Solver
from fdiff.solvers.exponential import snr_clock


@final
@dataclass(frozen=True)
class DDIM(Solver):
    """``m_u D + sqrt(s_u^2 - r^2) eps + r xi``, ``r = eta s_u sqrt(1 - e^-2h)``.

    ``eta = 0`` is the probability-flow ODE (DPM-Solver++(1)), ``eta = 1`` is `Ancestral`.
    Song, Meng and Ermon (2021), https://arxiv.org/abs/2010.02502
    """

    eta: float = 0.0  # in [0, 1]

    order = 1

    def __post_init__(self) -> None:
        if not 0 <= self.eta <= 1:
            raise ValueError(f"eta must lie in [0, 1], got {self.eta}")

    @property
    def draws(self) -> int:  # type: ignore[override]
        return int(self.eta > 0)

    def step(self, problem, x, t, u, memory, noise):
        denoised = problem.denoise(t, x)
        if u == 0:
            return denoised, ()
        m_t, s_t, start = problem.scales(t)
        m_u, s_u, stop = problem.scales(u)
        fresh = self.eta * s_u * math.sqrt(-math.expm1(-2 * (stop - start)))
        kept = math.sqrt(s_u**2 - fresh**2) / s_t
        out = kept * x + (m_u - kept * m_t) * denoised
        return (out + fresh * noise() if self.eta else out), ()

    def clock(self, process, t):
        return snr_clock(process, t)
