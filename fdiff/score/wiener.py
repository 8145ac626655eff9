"""Best linear denoiser of any data."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import final

from fdiff.covariance import Covariance
from fdiff.grid import Grid
from fdiff.process import ForwardProcess
from fdiff.score.base import Score
from fdiff.score.gaussian import GaussianScore
from fdiff.score.mean import Mean


@final
@dataclass(frozen=True, eq=False)
class WienerScore(Score):
    """``mu + K (x - m mu)``, ``K = m c / (m^2 c + s^2 q)``, for data with this mean and covariance.

    The Wiener filter: of all linear denoisers the one of least mean square error, ``sum c s^2 q /
    (m^2 c + s^2 q)``, whatever the law of the data. It is `GaussianScore`'s denoiser, but no
    density is claimed for data that may not be Gaussian.
    """

    process: ForwardProcess
    mean: Mean
    covariance: Covariance

    @cached_property
    def _gaussian(self) -> GaussianScore:
        return GaussianScore(self.process, self.mean, self.covariance)

    @property
    def reference(self):
        return self.mean, self.covariance

    def denoise_coefficients(self, t, c, grid: Grid):
        return self._gaussian.denoise_coefficients(t, c, grid)

    def score_coefficients(self, t, c, grid: Grid):
        return self._gaussian.score_coefficients(t, c, grid)

    def mean_square_error(self, t: float, grid: Grid) -> float:
        """``E ||X_0 - D(X_t)||^2`` on the retained modes of ``grid``."""
        m, s = self.process.mean_factor(t), self.process.std(t)
        c, q = self.covariance.eigenvalues(grid), self.process.covariance.eigenvalues(grid)
        marginal = m * m * c + s * s * q
        known = marginal > 0
        error = grid.basis.weights * c * s * s * q
        return float((error[known] / marginal[known]).sum())
