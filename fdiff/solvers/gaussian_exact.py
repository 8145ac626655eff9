"""Multistep scheme that is exact for Gaussian data: only what is not Gaussian costs steps."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import final

import numpy as np

from fdiff.covariance import Covariance
from fdiff.grid import Grid
from fdiff.process import ForwardProcess
from fdiff.score.mean import Mean, mean_coefficients
from fdiff.solvers.base import Evaluation, Problem, Solver


@final
@dataclass(frozen=True)
class GaussianExact(Solver):
    """Adams-Bashforth in ``lambda`` for the part of the denoiser that is not linear.

    With a Gaussian reference ``N(mu, C)`` write ``D = mu + K (x - m mu) + r``. In the coordinates
    ``y = (x - m mu) / sqrt(Sigma)``, ``Sigma = m^2 c + s^2 q``, the probability-flow ODE is, per
    mode and exactly, ``dy / d lambda = z``, ``z = m r / sqrt(Sigma)``; and ``x_0 = mu + sqrt(c) y``
    at ``lambda = oo``. So the linear part has no error at any number of steps, the last map to
    ``t = 0`` needs no evaluation, and a start from the reference's own law at ``T`` has no
    initial-law error for Gaussian data. Order 1 adds ``h z``, order 2 ``h^2/2 f_01`` and order 3
    ``(h^3/3 + h_0 h^2/2) f_012`` with the divided differences of the last values of ``z``; the
    first steps use the orders they have values for, which costs order 3 an error ``O(h^2)`` times
    ``dz / d lambda`` at ``T``, small because ``m(T)`` is. Modes with ``c = 0`` end at ``mu``.

    ``reference``: ``(mean, covariance)``; by default the score's own.
    """

    order: int = 2  # type: ignore[misc]  # 1, 2 or 3
    reference: tuple[Mean, Covariance] | None = None

    start = "exact"

    def __post_init__(self) -> None:
        if self.order not in (1, 2, 3):
            raise ValueError(f"GaussianExact has orders 1, 2 and 3, got {self.order!r}")

    def step(self, problem, x, t, u, memory, noise):
        if u == 0:
            return self.close(problem, x, t), memory
        mean, covariance = self.reference_of(problem)
        m, _, start = problem.scales(t)
        root = _marginal_root(problem.process, covariance, problem.grid, t)
        gain = m * covariance.eigenvalues(problem.grid) * _reciprocal(root) ** 2
        mu, gain, inverse_root, root_u = (
            problem.constant(array, x)
            for array in (
                mean_coefficients(mean, problem.grid),
                gain,
                _reciprocal(root),
                _marginal_root(problem.process, covariance, problem.grid, u),
            )
        )
        centred = x - m * mu
        z = m * inverse_root * (problem.denoise(t, x) - mu - gain * centred)
        memory = (Evaluation(start, z), *memory)[: self.order]
        m_u, _, stop = problem.scales(u)
        y = inverse_root * centred + _adams_bashforth(stop - start, memory)
        return m_u * mu + root_u * y, memory

    def close(self, problem, x, t):
        """``mu + sqrt(c / Sigma) (x - m mu)``, without an evaluation."""
        mean, covariance = self.reference_of(problem)
        root = _marginal_root(problem.process, covariance, problem.grid, t)
        scale = np.sqrt(covariance.eigenvalues(problem.grid)) * _reciprocal(root)
        mu = problem.constant(mean_coefficients(mean, problem.grid), x)
        return mu + problem.constant(scale, x) * (x - problem.scales(t)[0] * mu)

    def reference_of(self, problem: Problem) -> tuple[Mean, Covariance]:
        """The Gaussian reference ``(mean, covariance)`` that the steps use."""
        reference = self.reference if self.reference is not None else problem.score.reference
        if reference is None:
            raise ValueError(
                f"{type(problem.score).__name__} has no Gaussian reference of its own: pass "
                "GaussianExact(reference=(mean, covariance)), e.g. the data's mean and spectrum"
            )
        return reference


# Each time ends one step and begins the next: two entries are all that a run uses again.
@lru_cache(maxsize=2)
def _marginal_root(
    process: ForwardProcess, covariance: Covariance, grid: Grid, t: float
) -> np.ndarray:
    """``sqrt(Sigma)`` per mode."""
    m, s = process.mean_factor(t), process.std(t)
    c, q = covariance.eigenvalues(grid), process.covariance.eigenvalues(grid)
    return np.sqrt(m * m * c + s * s * q)


def _adams_bashforth(h: float, memory):
    """``int_0^h`` of the polynomial through the remembered values, the latest at 0."""
    z = memory[0].value
    increment = h * z
    if len(memory) == 1:
        return increment
    h0 = memory[0].half_log_snr - memory[1].half_log_snr
    f01 = (z - memory[1].value) / h0
    increment = increment + h**2 / 2 * f01
    if len(memory) == 2:
        return increment
    h1 = memory[1].half_log_snr - memory[2].half_log_snr
    f12 = (memory[1].value - memory[2].value) / h1
    return increment + (h**3 / 3 + h0 * h**2 / 2) * ((f01 - f12) / (h0 + h1))


def _reciprocal(root: np.ndarray) -> np.ndarray:
    """``1 / root``, 0 where the root is 0 (a mode that is neither data nor noise)."""
    return np.divide(1.0, root, out=np.zeros_like(root), where=root > 0)
