"""The forward process ``dX = -a/2 X dt + sqrt(a) dW^Q``: exact transitions and bridges.

``X_t = m X_0 + s Z`` with ``Z ~ N(0, Q)``: noising never needs a time step.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import final

from fdiff import backends, noise
from fdiff.covariance import CovarianceOperator
from fdiff.grid import Grid
from fdiff.schedule import NoiseSchedule


@final
@dataclass(frozen=True)
class ForwardProcess:
    """Ornstein-Uhlenbeck process with noise covariance ``Q``; ``X_t -> N(0, Q)`` as t grows.

    Fields are numpy arrays or tensors ``(..., *grid.shape)`` with leading axes ``()``,
    ``(samples,)`` or ``(samples, channels)``. Times are floats in ``[0, T]`` or arrays with one
    time per sample. Methods named ``..._coefficients`` take and give coefficients in
    ``grid.basis``.
    """

    covariance: CovarianceOperator
    schedule: NoiseSchedule

    @property
    def T(self) -> float:
        return self.schedule.T

    def mean_factor(self, t):
        """``m(t)``"""
        return self.schedule.mean_factor(t)

    def std(self, t):
        """``s(t)``"""
        return self.schedule.std(t)

    def half_log_snr(self, t):
        """``lambda(t) = ln(m / s)``"""
        return self.schedule.half_log_snr(t)

    def perturb(self, x0, t, grid: Grid, seed: int = 0, first: int = 0):
        """A draw of ``X_t | X_0 = x0``, samples ``first, first + 1, ...`` of the seed."""
        basis = grid.basis
        c = basis.project(basis.forward(x0))
        return basis.inverse(self.perturb_coefficients(c, t, grid, seed, first))

    def perturb_coefficients(self, c, t, grid: Grid, seed: int = 0, first: int = 0):
        """`perturb` on coefficients: ``m c + s z``."""
        m, s = (per_sample(f(t), c, grid) for f in (self.mean_factor, self.std))
        return m * c + s * self.noise(c, grid, seed, noise.PERTURBATION, first)

    def transition(self, x, r, t, grid: Grid, seed: int = 0, first: int = 0, time: int = 0):
        """A draw of ``X_t | X_r = x``, ``r <= t``: ``N(rho x, (1 - rho^2) Q)``, rho = m_t / m_r.

        ``time`` numbers the draw, so that successive transitions of one path are independent.
        """
        rho, spread = self.transition_factors(r, t)
        basis = grid.basis
        c = basis.project(basis.forward(x))
        z = self.noise(c, grid, seed, noise.PERTURBATION, first, time=time)
        return basis.inverse(per_sample(rho, c, grid) * c + per_sample(spread, c, grid) * z)

    def transition_factors(self, r, t):
        """``(rho, sqrt(1 - rho^2))`` of the transition from ``r`` to ``t >= r``."""
        gap = self.schedule.B(t) - self.schedule.B(r)
        if not hasattr(gap, "shape"):
            if gap < 0:
                raise ValueError(f"a transition goes forward in time, got {r} -> {t}")
            return math.exp(-0.5 * gap), math.sqrt(-math.expm1(-gap))
        xp = backends.of(gap)
        return xp.exp(-0.5 * gap), xp.sqrt(-xp.expm1(-gap))

    def bridge(self, x0, xt, r, t, grid: Grid, seed: int = 0, first: int = 0, time: int = 0):
        """A draw of ``X_r | X_0 = x0, X_t = xt`` for ``0 <= r <= t``."""
        start, end, spread = self.bridge_factors(r, t)
        basis = grid.basis
        c0, ct = (basis.project(basis.forward(x)) for x in (x0, xt))
        z = self.noise(ct, grid, seed, noise.PERTURBATION, first, time=time)
        return basis.inverse(start * c0 + end * ct + spread * z)

    def bridge_factors(self, r: float, t: float) -> tuple[float, float, float]:
        """Weights of ``X_0`` and ``X_t``, and the factor of N(0, Q), in ``X_r | X_0, X_t``."""
        rho, spread = self.transition_factors(r, t)
        m, s, s_t = self.mean_factor(r), self.std(r), self.std(t)
        if s_t == 0:
            return 1.0, 0.0, 0.0
        return m * spread**2 / s_t**2, rho * s**2 / s_t**2, s * spread / s_t

    def noise(self, like, grid: Grid, seed: int, purpose: int, first: int = 0, *, time: int = 0):
        """Coefficients of N(0, Q) with the leading axes, kind and precision of ``like``."""
        root = self.covariance.multiplier(grid, 0.5)
        return noise.like(like, grid, seed, purpose, first, root=root, time=time)


def per_sample(value, c, grid: Grid):
    """A float as it is; one value per sample shaped to broadcast over coefficients ``c``."""
    if not hasattr(value, "shape") or value.shape == ():
        return value
    if len(value.shape) != 1 or c.ndim == grid.dim or value.shape[0] != c.shape[0]:
        raise ValueError(
            f"times are a number or one per sample: got shape {tuple(value.shape)} for "
            f"coefficients of shape {tuple(c.shape)}"
        )
    backend = backends.of(c)
    shaped = backend.pad_axes(value, c.ndim - 1)
    return backend.constant(shaped, c) if backend is not backends.of(value) else shaped
