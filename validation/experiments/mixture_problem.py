"""The mixture on any grid in both conventions: what is sampled, and its closed-form score."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import final

import numpy as np

import fdiff
from fdiff import compat, noise
from fdiff.covariance import CovarianceOperator
from fdiff.score import Field, MixtureScore
from validation.experiments import priors

TRAINED = 32  # nodes a side in training; there both conventions have noise of one size
FINEST = 128  # nodes a side on which the means are given
CROPPED = 2  # the published training crops fields of a grid this many times finer
PRIORS = tuple(compat.PRIORS)
SCHEDULE = fdiff.LinearSchedule()
MULTIPLIER_SEED = 0  # of the random multiplier of "fno" and "combined"


def square(n: int) -> fdiff.Grid:
    """``n x n`` nodes of the periodic unit square."""
    return fdiff.Grid((n, n))


@lru_cache(maxsize=8)
def prior(name: str) -> CovarianceOperator:
    """``Q = h^2 A^2``, h = 1/32: the published noise of the training grid, the same on all grids.

    * standard: ``A = 1``, white noise, the one that has no limit in L2;
    * fno: a random multiplier, here real, positive and even in each ``k_i``, and a floor of the
      least of its values that falls like ``|k|^-4`` beyond its modes, so that none lacks noise;
    * inverse Laplacian, Bessel: as published, with the Laplacian's exact symbol. The zero mode that
      the first lacks is lacking in the data too;
    * combined: the sum of two independent noises, half of FNO's values and inverse Laplacian.
    """
    laplace = fdiff.LaplaceCovariance(10.0**2, 1.1)
    bessel = fdiff.BesselCovariance(1.0, 100.0, 1.1)
    return TRAINED**-2 * priors.named(name, _random_modes(), laplace, bessel, 0.5**2)


def _random_modes(cut: tuple[int, int] = (14, 7), least: float = 0.2) -> CovarianceOperator:
    draw = np.random.Generator(np.random.Philox(MULTIPLIER_SEED))
    shift = (2 * math.pi * min(cut)) ** 2
    floor = fdiff.BesselCovariance((least * shift) ** 2, shift, 2.0)
    return priors.random_modes(draw, cut, least) + floor


@lru_cache(maxsize=8)
def means(name: str) -> tuple[Field, Field]:
    """``A f_i`` of the ramps ``f_1 = x_2`` and ``f_2 = 1 - x_1``, from their Fourier series."""
    grid = square(FINEST)
    root = prior(name).multiplier(grid, 0.5) * TRAINED
    k = grid.basis.wavenumbers(0)
    sawtooth = np.zeros(len(k), complex)  # of x on [0, 1): 1/2, then i / (2 pi k)
    sawtooth[1:] = 1j / (2 * math.pi * k[1:])
    sawtooth[0] = 0.5
    ramps = np.zeros((2, *grid.basis.shape), complex)
    ramps[0, 0, :] = sawtooth[: grid.basis.shape[1]]
    ramps[1, :, 0] = -sawtooth
    ramps[1, 0, 0] = 0.5
    fields = grid.basis.inverse(grid.basis.project(root * ramps))
    return Field(fields[0], grid), Field(fields[1], grid)


@final
@dataclass(frozen=True)
class Consistent:
    """One mixture of functions, seen on every grid: fdiff's convention."""

    name: str  # of the prior

    @property
    def noise(self) -> CovarianceOperator:
        return prior(self.name)

    def score(self, n: int) -> MixtureScore:
        """The same object on every grid."""
        process = fdiff.ForwardProcess(self.noise, SCHEDULE)
        return MixtureScore(process, means(self.name), self.noise)

    def trained_score(self) -> MixtureScore:
        """Of what training sees."""
        return self.score(TRAINED)

    def training_fields(self, size: int, seed: int) -> np.ndarray:
        """``(size, 1, 32, 32)``: fields of 64 x 64 nodes, restricted."""
        fine = square(CROPPED * TRAINED)
        fields = fine.basis.inverse(draws(self.score(TRAINED), 0.0, fine, size, seed))
        return fdiff.levels.restrict_field(fields, fine, square(TRAINED))[:, None]


@final
@dataclass(frozen=True)
class Published:
    """The published code's: noise, means and training data built on each grid by its rules."""

    name: str

    @property
    def mixture(self) -> compat.Mixture:
        keyed = {"seed": MULTIPLIER_SEED} if self.name in ("fno", "combined") else {}
        return compat.Mixture(compat.prior(self.name, **keyed))

    @property
    def noise(self) -> CovarianceOperator:
        return self.mixture.prior.covariance

    def score(self, n: int) -> MixtureScore:
        """Of the mixture that this code builds on ``n x n`` nodes."""
        return self.mixture.score(SCHEDULE, square(n))

    def trained_score(self) -> MixtureScore:
        return self.mixture.score(SCHEDULE, square(TRAINED), CROPPED)

    def training_fields(self, size: int, seed: int) -> np.ndarray:
        """``(size, 1, 32, 32)``: fields of 64 x 64 nodes, cropped."""
        fields = self.mixture.sample(square(CROPPED * TRAINED), size, seed)
        return compat.downsample(fields, CROPPED)[:, None]


def draws(score: MixtureScore, t: float, grid: fdiff.Grid, size: int, seed: int) -> np.ndarray:
    """Coefficients of ``size`` samples of the law of ``X_t``."""
    white = noise.white_coefficients(grid, seed, noise.FIELD, size)
    return score.marginal(t, white, grid, seed, 0)


@final
@dataclass(frozen=True)
class RelativeSpectrum(CovarianceOperator):
    """``c_k = r_j q_k`` for ``|k|`` nearest to j, the last ratio beyond: the data's spectrum
    relative to the noise's, shell by shell."""

    noise: CovarianceOperator
    ratios: tuple[float, ...]

    def spectrum(self, grid: fdiff.Grid) -> np.ndarray:
        return np.array(self.ratios)[_shells(grid, len(self.ratios))] * self.noise.eigenvalues(grid)

    def tail_trace(self, grid: fdiff.Grid) -> float:
        return self.ratios[-1] * self.noise.tail_trace(grid)

    def is_trace_class(self, dim: int) -> bool:
        return self.noise.is_trace_class(dim)


def relative_spectrum(c: np.ndarray, grid: fdiff.Grid, noise: CovarianceOperator):
    """The `RelativeSpectrum` of coefficients ``(samples, ..., *basis.shape)``, their mean removed
    or not, as one wishes to know variances or mean squares."""
    count = grid.shape[0] // 2
    q = noise.eigenvalues(grid)
    power = (np.abs(c) ** 2).reshape(-1, *grid.basis.shape).mean(0)
    shells, weight = _shells(grid, count).ravel(), grid.basis.weights * (q > 0)
    ratio = np.divide(power, q, out=np.zeros_like(q), where=q > 0)
    total = np.bincount(shells, weight.ravel(), count)
    sums = np.bincount(shells, (weight * ratio).ravel(), count)
    # A shell without noise has no data either: any ratio will do.
    return RelativeSpectrum(noise, tuple(np.divide(sums, total, np.ones(count), where=total > 0)))


def _shells(grid: fdiff.Grid, count: int) -> np.ndarray:
    length = np.sqrt(grid.basis.laplacian) / (2 * math.pi)
    return np.minimum(np.round(length).astype(int), count - 1)
