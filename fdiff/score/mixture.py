"""Exact score of a mixture of Gaussians with one covariance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import final

import numpy as np

from fdiff import backends, noise
from fdiff.covariance import Covariance, CovarianceOperator
from fdiff.grid import Grid
from fdiff.process import ForwardProcess, per_sample
from fdiff.score.base import Score
from fdiff.score.gaussian import log_gaussian_ratio, ratio
from fdiff.score.mean import Average, Field, Mean, channels_of, mean_coefficients


@final
@dataclass(frozen=True, eq=False)
class MixtureScore(Score):
    """Data ``sum_i pi_i N(mu_i, C)``: ``E[X_0 | x] = sum_i r_i [mu_i + K (x - m mu_i)]``.

    ``r = softmax(l)``, ``l_i = ln pi_i + m <mu_i, x>_Sigma - m^2 / 2 |mu_i|^2_Sigma``, where
    ``<a, b>_Sigma = sum omega Re(conj(a) b) / Sigma``. The term in ``x^2`` is common to all and
    left out; means and states are centred first, and the ``l_i`` are computed in float64.

    Cost: one product of the states with the ``K`` means, ``O(K N)`` a sample.

    Precision: a state rounded to float32 moves ``l_i - l_j`` by up to about ``6e-8 m |mu_i - mu_j|
    |x|`` in the norm of ``Sigma``, which grows like ``1 / s^2`` as ``t -> 0`` where ``C`` is small:
    between two means the responsibilities are only as sharp as the state that is asked about.

    Means with channels, shape ``(channels, *grid.shape)``, are compared over all channels at once.
    """

    process: ForwardProcess
    means: Sequence[Mean] | Field  # or one field whose values have a first axis of components
    covariance: Covariance  # C, common to all components
    weights: Sequence[float] | None = None  # pi_i > 0, scaled to sum to one; equal by default

    def __post_init__(self) -> None:
        if not isinstance(self.means, Field):
            object.__setattr__(self, "means", tuple(self.means))
        if self.count < 1:
            raise ValueError("a mixture needs at least one mean")
        if self.weights is not None:
            weights = np.asarray(self.weights, dtype=float)
            if weights.shape != (self.count,) or not (weights > 0).all():
                raise ValueError(
                    f"weights are {self.count} positive numbers, one a mean; got {self.weights!r}"
                )

    @property
    def count(self) -> int:
        """Number of components."""
        return len(self.means.values) if isinstance(self.means, Field) else len(self.means)

    @cached_property
    def probabilities(self) -> np.ndarray:
        """``pi_i``, which sum to one."""
        weights = np.ones(self.count) if self.weights is None else np.array(self.weights, float)
        return weights / weights.sum()

    def denoise_coefficients(self, t, c, grid: Grid):
        return _Marginal(self, t, c, grid).denoised(c)

    def score_coefficients(self, t, c, grid: Grid):
        return _Marginal(self, t, c, grid).score(c)

    def responsibilities(self, t, x, grid: Grid):
        """``P(component i | X_t = x)``: float64, ``(samples, K)`` for fields ``(samples, ...)``."""
        c = grid.basis.project(grid.basis.forward(x))
        return _Marginal(self, t, c, grid).responsibilities(c)

    def log_density_ratio_coefficients(self, t, a, b, grid: Grid):
        at = _Marginal(self, t, a, grid)
        common = log_gaussian_ratio(a, b, at.m * at.centre, at.marginal, grid)
        ratio = at.log_mixture(b) - at.log_mixture(a)
        # Channels that the means do not tell apart are independent mixtures.
        return (ratio if ratio.ndim == common.ndim else ratio.sum(-1)) + common

    @property
    def channels(self) -> int | None:
        if isinstance(self.means, Field):  # whose first axis is that of the components
            axes = self.means.values.ndim - self.means.grid.dim
            known = self.means.values.shape[axes - 1] if axes > 1 else None
            return known or channels_of(0.0, self.covariance)
        mean = Average(tuple(self.means), tuple(self.probabilities.tolist()))
        return channels_of(mean, self.covariance)

    @cached_property
    def reference(self):
        """The mixture's mean, and its variance mode by mode."""
        if isinstance(self.means, Field):
            values = np.tensordot(self.probabilities, self.means.values, 1)
            return Field(values, self.means.grid), self.covariance + _Between(self)
        mean = Average(tuple(self.means), tuple(self.probabilities.tolist()))
        return mean, self.covariance + _Between(self)

    def marginal(self, t: float, white, grid: Grid, seed: int, first: int):
        u = noise.uniforms(seed, noise.START, len(white), first, kind=noise.APART)
        chosen = np.searchsorted(np.cumsum(self.probabilities), u).clip(max=self.count - 1)
        m, s = self.process.mean_factor(t), self.process.std(t)
        q = self.process.covariance.eigenvalues(grid)
        root = np.sqrt(m * m * self.covariance.eigenvalues(grid) + s * s * q)
        means = self.component_means(grid)[chosen]
        if means.ndim != white.ndim:
            raise ValueError(
                f"the means of this mixture have shape {means.shape[1:]} on the grid, the samples "
                f"{tuple(white.shape)[1:]}: give both the same channels"
            )
        constant = backends.of(white).constant
        return m * constant(means, white) + constant(root, white) * white

    def component_means(self, grid: Grid) -> np.ndarray:
        """Coefficients of all means, shape ``(K, *basis.shape)`` or with channels."""
        if isinstance(self.means, Field):
            return mean_coefficients(self.means, grid)
        return np.stack([mean_coefficients(mean, grid) for mean in self.means])

    @cached_property
    def _kept(self) -> dict:
        return {}

    def centred_means(self, grid: Grid, like):
        """``(mu_bar, means - mu_bar, |means - mu_bar|^2)`` in float64, the kind of ``like``.

        The two last are flat, ``(K, modes)``; complex numbers are pairs of reals.
        """
        backend = backends.of(like)
        key = (grid, backend.__name__, str(getattr(like, "device", None)))
        if key not in self._kept:
            means = self.component_means(grid)
            centre = np.tensordot(self.probabilities, means, 1)
            centred = means - centre
            self._kept.clear()  # one grid at a time: the means may be a whole data set
            with backend.lasting():
                wide = backend.float64(backend.real(like))
                flat = backend.constant(centred, wide).reshape(self.count, -1)
                squares = backend.constant(np.abs(centred) ** 2, wide).reshape(self.count, -1)
                self._kept[key] = (
                    backend.constant(centre, wide), backend.interleaved(flat), squares
                )  # fmt: skip
        return self._kept[key]


class _Marginal:
    """The mixture at time ``t`` for states ``(..., *channels, *basis.shape)``."""

    def __init__(self, score: MixtureScore, t, like, grid: Grid):
        self.backend = backend = backends.of(like)
        self.grid, self.like = grid, like
        wide = backend.float64(backend.real(like))
        self.centre, self.flat, self.squares = score.centred_means(grid, like)
        self.log_weights = backend.constant(np.log(score.probabilities), wide)
        process = score.process
        self.m, s = (per_sample(f(t), wide, grid) for f in (process.mean_factor, process.std))
        self.q = backend.constant(process.covariance.eigenvalues(grid), wide)
        self.spectrum = backend.constant(score.covariance.eigenvalues(grid), wide)
        self.marginal = self.m * self.m * self.spectrum + s * s * self.q

    def denoised(self, c):
        average = self._average(c)
        return average + self._narrow(ratio(self.m * self.spectrum, self.marginal)) * (
            c - self._narrow(self.m) * average
        )

    def score(self, c):
        pull = self._narrow(ratio(self.q, self.marginal))
        return pull * (self._narrow(self.m) * self._average(c) - c)

    def responsibilities(self, c):
        logits = self._logits(c)
        weights = self.backend.exp(logits - self.backend.largest(logits))
        return weights / weights.sum(-1)[..., None]

    def log_mixture(self, c):
        """``ln sum_i e^(l_i)``"""
        logits = self._logits(c)
        top = self.backend.largest(logits)
        return self.backend.log(self.backend.exp(logits - top).sum(-1)) + top[..., 0]

    def _narrow(self, value):
        return self.backend.narrow(value, self.like) if hasattr(value, "shape") else value

    def _average(self, c):
        """``sum_i r_i mu_i``, the shape and precision of the states."""
        moved = self.responsibilities(c) @ self.flat
        if self.grid.basis.is_complex:
            moved = self.backend.paired(moved)
        return self._narrow(self.centre + moved.reshape(tuple(c.shape)))

    def _logits(self, c):
        axes = self.centre.ndim  # of a state without its samples
        weights = self.backend.constant(self.grid.basis.weights, self.backend.real(self.centre))
        # Spread over the channels, of which all count.
        precision = ratio(weights, self.marginal) + 0 * self.backend.real(self.centre)
        centred = (self.backend.float64(c) - self.m * self.centre) * precision
        states = self.backend.interleaved(_flat(centred, axes))
        m = self.m
        if hasattr(m, "shape"):
            m = m.reshape(tuple(m.shape)[: m.ndim - axes + 1])
        norms = _flat(precision, axes) @ self.squares.T
        return self.log_weights + m * (states @ self.flat.T) - 0.5 * m * m * norms


def _flat(array, axes: int):
    """``array`` with its last ``axes`` axes made one."""
    return array.reshape(*tuple(array.shape)[: array.ndim - axes], -1)


@final
@dataclass(frozen=True, eq=False)
class _Between(CovarianceOperator):
    """Variance of the component means, mode by mode; over channels, their average."""

    score: MixtureScore

    def spectrum(self, grid: Grid) -> np.ndarray:
        means = self.score.component_means(grid)
        centred = np.abs(means - np.tensordot(self.score.probabilities, means, 1)) ** 2
        variance = np.tensordot(self.score.probabilities, centred, 1)
        return variance.mean(tuple(range(variance.ndim - grid.dim)))

    def tail_trace(self, grid: Grid) -> float:
        """Unknown beyond the grids that the means are given on; taken to be 0."""
        return 0.0

    def is_trace_class(self, dim: int) -> bool:
        return True
