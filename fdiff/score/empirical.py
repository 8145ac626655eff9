"""Exact score of a finite data set."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import final

import numpy as np

from fdiff.grid import Grid
from fdiff.process import ForwardProcess
from fdiff.score.base import Score
from fdiff.score.mean import Field
from fdiff.score.mixture import MixtureScore


@final
@dataclass(frozen=True, eq=False)
class EmpiricalScore(Score):
    """Data uniform on ``K`` given fields: a mixture with ``C = 0``, ``Sigma = s^2 q``.

    ``E[X_0 | x]`` is an average of the data, so its samples are the data themselves. Where these
    are as rough as ``Q`` or rougher, it is one field already at large ``t`` once the grid is fine:
    this denoiser memorises. Modes with ``q = 0`` are averaged and tell no field from another.
    """

    process: ForwardProcess
    data: np.ndarray  # (K, *grid.shape), or (K, channels, *grid.shape)
    grid: Grid  # of the data; other grids see them restricted or prolonged

    @cached_property
    def mixture(self) -> MixtureScore:
        zero = 0.0 * self.process.covariance
        return MixtureScore(self.process, Field(self.data, self.grid), zero)

    def denoise_coefficients(self, t, c, grid: Grid):
        return self.mixture.denoise_coefficients(t, c, grid)

    def score_coefficients(self, t, c, grid: Grid):
        return self.mixture.score_coefficients(t, c, grid)

    def log_density_ratio_coefficients(self, t, a, b, grid: Grid):
        return self.mixture.log_density_ratio_coefficients(t, a, b, grid)

    def responsibilities(self, t, x, grid: Grid):
        """``P(field i | X_t = x)``: float64, ``(samples, K)``."""
        return self.mixture.responsibilities(t, x, grid)

    @property
    def channels(self):
        return self.mixture.channels

    @property
    def reference(self):
        return self.mixture.reference

    def marginal(self, t: float, white, grid: Grid, seed: int, first: int):
        return self.mixture.marginal(t, white, grid, seed, first)
