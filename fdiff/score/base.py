"""What a score is: the denoiser ``E[X_0 | X_t = x]`` of a forward process, on any grid."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import final

import numpy as np

from fdiff import backends
from fdiff.covariance import Covariance
from fdiff.grid import Grid
from fdiff.process import ForwardProcess, per_sample
from fdiff.score.mean import Mean, channels_of, mean_coefficients


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
    def reference(self) -> tuple[Mean, Covariance] | None:
        """``(mean, covariance)`` of a Gaussian near the data, or None.

        The solver `GaussianExact` integrates its linear part exactly, and ``start="exact"`` draws
        from its law at the first time unless a score knows its own.
        """
        return None

    @property
    def channels(self) -> int | None:
        """How many channels the fields have, on the axis before those of the grid.

        None where the score takes fields without that axis as well as any number of channels,
        which are then independent of each other and have one law.
        """
        return None if self.reference is None else channels_of(*self.reference)

    @final
    def channels_for(self, asked: int | None) -> int | None:
        """The channels of samples for which ``asked`` were asked; None: no axis of channels.

        Raises:
            ValueError: another number than the score has.
        """
        known = self.channels
        if known is None or asked == known:
            return asked
        if asked is not None:
            raise ValueError(
                f"the fields of this score have {known} channel{'s' if known > 1 else ''}, got "
                f"channels={asked}: leave channels out, or give {known}"
            )
        return known if known > 1 else None

    @final
    def check_channels(self, c, grid: Grid) -> None:
        """Check that fields or coefficients ``c`` have the channels of the score.

        Raises:
            ValueError: the axis before those of the grid is missing or has another length.
        """
        known, lead = self.channels, tuple(c.shape)[: c.ndim - grid.dim]
        # Fields of one channel may come without the axis.
        if known is None or (known == 1 and len(lead) < 2) or lead[-1:] == (known,):
            return
        raise ValueError(
            f"the fields of this score have {known} channel{'s' if known > 1 else ''}: expected "
            f"leading axes (samples, {known}) before those of the grid, got {lead}"
        )

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
        """``ln p_t(b) - ln p_t(a)`` on the retained modes, one float64 a sample; where known.

        Channels are summed over, see `log_density_ratio`.
        """
        raise ValueError(
            f"{type(self).__name__} knows no density, so steps cannot be accepted or rejected: use "
            "a corrector without the Metropolis rule"
        )

    @final
    def log_density_ratio(self, t: float, x, y, grid: Grid):
        """``ln p_t(y) - ln p_t(x)`` for fields, on the retained modes; one float64 a sample.

        ``x``, ``y``: ``(*grid.shape)``, ``(samples, *grid.shape)`` or ``(samples, channels,
        *grid.shape)``. The channels are the components of one random function with values in
        ``R^channels``, so a sample has one density. A score whose mean and covariance have no
        axis of channels says that these are independent with one law: the law of the function is
        their product, ``p_t(x) = prod_i p_t(x_i)``, and its log-density ratio the sum of theirs.

        Raises:
            ValueError: a score that knows no density, or fields with other channels.
        """
        a, b = (self._coefficients(u, grid) for u in (x, y))
        return self.log_density_ratio_coefficients(_positive(t), a, b, grid)

    @final
    def denoise(self, t, x, grid: Grid):
        """``E[X_0 | X_t = x]`` at the nodes; ``x``: ``(..., *grid.shape)``, numpy or torch."""
        c = self._coefficients(x, grid)
        return grid.basis.inverse(self.denoise_coefficients(_positive(t), c, grid))

    @final
    def __call__(self, t, x, grid: Grid):
        """The preconditioned score ``S(t, x)`` at the nodes, the shape of ``x``; ``t > 0``."""
        c = self._coefficients(x, grid)
        return grid.basis.inverse(self.score_coefficients(_positive(t), c, grid))

    def _coefficients(self, x, grid: Grid):
        c = grid.basis.project(grid.basis.forward(x))
        self.check_channels(c, grid)
        return c


def _positive(t):
    if not hasattr(t, "shape") and not t > 0:
        raise ValueError(f"scores and denoisers are defined for t > 0, got t = {t}")
    return t
