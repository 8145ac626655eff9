"""Exact score of Gaussian data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from fdiff import backends
from fdiff.covariance import Covariance
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
    covariance: Covariance  # C

    @property
    def reference(self):
        return self.mean, self.covariance

    def denoise_coefficients(self, t, c, grid: Grid):
        m, mu, spectrum, _, marginal = self._modes(t, c, grid)
        narrow = backends.of(c).narrow
        mean = narrow(mu, c)
        return mean + narrow(ratio(m * spectrum, marginal), c) * (c - _scalar(m, c) * mean)

    def score_coefficients(self, t, c, grid: Grid):
        m, mu, _, q, marginal = self._modes(t, c, grid)
        narrow = backends.of(c).narrow
        return narrow(ratio(q, marginal), c) * (_scalar(m, c) * narrow(mu, c) - c)

    def log_density_ratio_coefficients(self, t, a, b, grid: Grid):
        m, mu, _, _, marginal = self._modes(t, a, grid)
        return log_gaussian_ratio(a, b, m * mu, marginal, grid)

    def _modes(self, t, c, grid: Grid):
        """``m, mu, c, q, Sigma`` in float64, where sums keep every scale."""
        backend = backends.of(c)
        wide = backend.float64(backend.real(c))
        m, s = (per_sample(f(t), wide, grid) for f in (self.process.mean_factor, self.process.std))
        q = backend.constant(self.process.covariance.eigenvalues(grid), wide)
        spectrum = backend.constant(self.covariance.eigenvalues(grid), wide)
        mu = backend.constant(mean_coefficients(self.mean, grid), wide)
        return m, mu, spectrum, q, m * m * spectrum + s * s * q


def ratio(numerator, denominator):
    """The quotient, 0 where the denominator is 0."""
    zero = denominator == 0
    return numerator * ~zero / (denominator + zero)


def log_gaussian_ratio(a, b, centre, marginal, grid: Grid):
    """``ln p(b) - ln p(a)`` of ``N(centre, marginal)``, one float64 a sample.

    Summed over the modes of the basis and over the channels, the axis before them: a second
    leading axis of ``a``, or one that ``centre`` or ``marginal`` has.
    """
    backend = backends.of(a)
    a, b = backend.float64(a), backend.float64(b)
    weights = backend.constant(grid.basis.weights * grid.basis.retained, backend.real(b))
    products = backend.real_product(b - a, a + b - 2 * centre) * ratio(weights, marginal)
    channels = max(centre.ndim, marginal.ndim) > grid.dim or products.ndim > grid.dim + 1
    return -0.5 * products.sum(tuple(range(-grid.dim - channels, 0)))


def _scalar(m, like):
    """``m`` in the precision of ``like``: a number, or one value per sample."""
    return backends.of(like).narrow(m, like) if hasattr(m, "shape") else m
