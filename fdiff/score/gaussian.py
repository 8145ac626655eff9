"""Exact score of Gaussian data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from fdiff import backends
from fdiff.covariance import CovarianceOperator
from fdiff.grid import Grid
from fdiff.process import ForwardProcess, per_sample
from fdiff.score.base import Score
from fdiff.score.mean import Mean, mean_coefficients


@final
@dataclass(frozen=True, eq=False)
class GaussianScore(Score):
    """Data ``N(mu, C)``: ``p_t = N(m mu, Sigma)`` with ``Sigma = m^2 c + s^2 q`` per mode.

    ``E[X_0 | x] = mu + K (x - m mu)``, ``K = m c / Sigma``; ``S = -(q / Sigma) (x - m mu)``.
    Modes with ``c = 0`` are denoised to ``mu``; modes with ``c = q = 0`` have score 0.
    """

    process: ForwardProcess
    mean: Mean  # a number, a callable of the coordinates, or a Field
    covariance: CovarianceOperator  # C

    @property
    def reference(self):
        return self.mean, self.covariance

    def denoise_coefficients(self, t, c, grid: Grid):
        m, _, mu, spectrum, _, marginal = self._modes(t, c, grid)
        return mu + _ratio(m * spectrum, marginal, c) * (c - _cast(m, c) * mu)

    def score_coefficients(self, t, c, grid: Grid):
        m, _, mu, _, q, marginal = self._modes(t, c, grid)
        return -_ratio(q, marginal, c) * (c - _cast(m, c) * mu)

    def _modes(self, t, c, grid: Grid):
        """``m, s, mu, c, q, Sigma``; all but ``mu`` in float64, where sums keep every scale."""
        backend = backends.of(c)
        wide = backend.float64(backend.real(c))
        m, s = (per_sample(f(t), wide, grid) for f in (self.process.mean_factor, self.process.std))
        q = backend.constant(self.process.covariance.eigenvalues(grid), wide)
        spectrum = backend.constant(self.covariance.eigenvalues(grid), wide)
        mu = backend.constant(mean_coefficients(self.mean, grid), c)
        return m, s, mu, spectrum, q, m * m * spectrum + s * s * q


def _ratio(numerator, denominator, like):
    """The quotient, 0 where the denominator is 0, in the real precision of ``like``."""
    backend = backends.of(like)
    zero = denominator == 0
    return _cast(numerator * ~zero / (denominator + backend.float64(zero)), like)


def _cast(value, like):
    return value if not hasattr(value, "shape") else backends.of(like).narrow(value, like)
