"""What a score is: the denoiser ``E[X_0 | X_t = x]`` of a forward process, on any grid."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import final

import numpy as np

from fdiff import backends
from fdiff.covariance import CovarianceOperator
from fdiff.grid import Grid
from fdiff.process import ForwardProcess, per_sample
from fdiff.score.mean import Mean, mean_coefficients


class Score(ABC):
    """Score of the law of ``X_t``; a subclass gives the denoiser in the grid's basis.

    The preconditioned score ``S = Q grad log p_t = -(x - m E[X_0 | x]) / s^2`` has a limit under
    refinement, where ``grad log p_t`` has none.
    """

    process: ForwardProcess

    @abstractmethod
    def denoise_coefficients(self, t, c, grid: Grid):
        """Coefficients of ``E[X_0 | X_t]`` from those of ``X_t``, same shape and kind.

        ``c``: ``(..., *grid.basis.shape)``, zero on modes that are not retained; ``t > 0``: a
        float, or one time per sample (``c`` then has a first axis of samples).
        """

    def score_coefficients(self, t, c, grid: Grid):
        """Coefficients of ``S(t, x)``. Overridden where a form without cancellation is known."""
        m, s = (per_sample(f(t), c, grid) for f in (self.process.mean_factor, self.process.std))
        return (m * self.denoise_coefficients(t, c, grid) - c) / (s * s)

    @property
    def reference(self) -> tuple[Mean, CovarianceOperator] | None:
        """``(mean, covariance)`` of a Gaussian near the data, or None.

        The solver `GaussianExact` integrates its linear part exactly, and ``start="exact"`` draws
        from its law at the first time unless a score knows its own.
        """
        return None

    def marginal(self, t: float, white, grid: Grid, seed: int, first: int):
        """Coefficients drawn from the law of ``X_t``, made of white noise of the same shape.

        From the Gaussian reference, ``N(m mu, m^2 c + s^2 q)``. ``seed`` and ``first`` key further
        choices (the component of a mixture).
        """
        if self.reference is None:
            raise ValueError(
                f'{type(self).__name__} does not know its law at t = {t:g}: use start="prior", or '
                "an array"
            )
        mean, covariance = self.reference
        m, s = self.process.mean_factor(t), self.process.std(t)
        q = self.process.covariance.eigenvalues(grid)
        root = np.sqrt(m * m * covariance.eigenvalues(grid) + s * s * q)
        constant = backends.of(white).constant
        return m * constant(mean_coefficients(mean, grid), white) + constant(root, white) * white

    def log_density_ratio_coefficients(self, t: float, a, b, grid: Grid):
        """``ln p_t(b) - ln p_t(a)`` on the retained modes, one float64 a sample; where known."""
        raise ValueError(
            f"{type(self).__name__} knows no density, so steps cannot be accepted or rejected: use "
            "a corrector without the Metropolis rule"
        )

    @final
    def log_density_ratio(self, t: float, x, y, grid: Grid):
        """``ln p_t(y) - ln p_t(x)`` for fields, on the retained modes; one float64 a sample.

        Raises:
            ValueError: a score that knows no density.
        """
        basis = grid.basis
        a, b = (basis.project(basis.forward(u)) for u in (x, y))
        return self.log_density_ratio_coefficients(_positive(t), a, b, grid)

    @final
    def denoise(self, t, x, grid: Grid):
        """``E[X_0 | X_t = x]`` at the nodes; ``x``: ``(..., *grid.shape)``, numpy or torch."""
        basis = grid.basis
        c = basis.project(basis.forward(x))
        return basis.inverse(self.denoise_coefficients(_positive(t), c, grid))

    @final
    def __call__(self, t, x, grid: Grid):
        """The preconditioned score ``S(t, x)`` at the nodes, the shape of ``x``; ``t > 0``."""
        basis = grid.basis
        c = basis.project(basis.forward(x))
        return basis.inverse(self.score_coefficients(_positive(t), c, grid))


def _positive(t):
    if not hasattr(t, "shape") and not t > 0:
        raise ValueError(f"scores and denoisers are defined for t > 0, got t = {t}")
    return t
