"""The probability-flow ODE by adaptive Runge-Kutta schemes of scipy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np

from fdiff import backends
from fdiff.solvers.base import Solver


@final
@dataclass(frozen=True)
class ProbabilityFlow(Solver):
    """``dx / d lambda = m (D - m x)`` between two times, to a given tolerance.

    Each sample is integrated on its own, so that its steps do not depend on the others; a step
    counts the evaluations of the sample that took most. A last step to ``u = 0`` returns ``D``.
    For references and for networks whose accuracy is not known, with few, long steps:
    ``times=[T, 1e-3]``.
    """

    rtol: float = 1e-6
    atol: float = 1e-9
    method: str = "DOP853"  # of scipy.integrate.solve_ivp; explicit ones take complex states

    order = None
    affine = False

    def __post_init__(self) -> None:
        if not (0 < self.rtol < 1 and self.atol > 0):
            raise ValueError(f"tolerances are positive, got rtol={self.rtol}, atol={self.atol}")
        if self.method not in ("RK23", "RK45", "DOP853"):
            raise ValueError(f'method is "RK23", "RK45" or "DOP853", got {self.method!r}')

    def step(self, problem, x, t, u, memory, noise):
        if u == 0:
            return problem.denoise(t, x), ()
        ends, most = [], 0
        before = problem.evaluations
        for i in range(len(x)):
            problem.evaluations = before
            ends.append(self._flow(problem, x[i : i + 1], t, u))
            most = max(most, problem.evaluations)
        problem.evaluations = most
        return backends.of(x).concatenate(ends), ()

    def _flow(self, problem, x, t: float, u: float):
        from scipy.integrate import solve_ivp

        backend, process = backends.of(x), problem.process

        def slope(half_log_snr, flat):
            r = process.schedule.time(half_log_snr)
            m = process.mean_factor(r)
            state = backend.constant(flat.reshape(tuple(x.shape)), x)
            denoised = backend.to_numpy(problem.denoise(r, state)).ravel()
            return m * (denoised - m * flat)

        start = backend.to_numpy(backend.float64(x)).ravel()
        span = (process.half_log_snr(t), process.half_log_snr(u))
        flow = solve_ivp(slope, span, start, self.method, rtol=self.rtol, atol=self.atol)
        if not flow.success:
            return backend.constant(np.full(tuple(x.shape), np.nan, start.dtype), x)
        return backend.constant(flow.y[:, -1].reshape(tuple(x.shape)), x)
