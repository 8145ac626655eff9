"""Linear stochastic partial differential equations, exact in time and mode by mode."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import final

import numpy as np

from fdiff import noise
from fdiff.covariance import CovarianceOperator
from fdiff.grid import Grid


@final
@dataclass(frozen=True)
class LinearSPDE:
    """``dX = -A X dt + dW^Q`` with ``A e_k = rate(mu_k) e_k``, rate ``>= 0``.

    ``rate`` takes and returns arrays, in units of 1/t: ``lambda mu: 0.1 * mu`` is the stochastic
    heat equation of conductivity 0.1. Per mode an Ornstein-Uhlenbeck process, so that a step of
    any length is exact in law: ``X_{t+h} = e^{-rate h} X_t + sqrt(q (1 - e^{-2 rate h}) /
    (2 rate)) zeta``. Lord, Powell and Shardlow (2014), sec. 10.2.
    """

    rate: Callable[[np.ndarray], np.ndarray]
    covariance: CovarianceOperator

    def rates(self, grid: Grid) -> np.ndarray:
        """``rate(mu_k)`` in the layout of ``grid.basis``.

        Raises:
            ValueError: a rate that is negative, infinite or not a number.
        """
        rates = np.broadcast_to(
            np.asarray(self.rate(grid.basis.laplacian), float), grid.basis.shape
        )
        if not (np.isfinite(rates).all() and (rates >= 0).all()):
            raise ValueError(f"rates must be finite and >= 0, got {rates.min()} .. {rates.max()}")
        return rates

    def transition(self, step: float, grid: Grid) -> tuple[np.ndarray, np.ndarray]:
        """``(decay, spread)`` per mode of a step of this length."""
        if not 0 <= step < math.inf:
            raise ValueError(f"a step has a length >= 0, got {step}")
        rates = self.rates(grid)
        z = 2 * step * rates
        # (1 - e^-z) / z keeps its digits near 0, where a mode is a Wiener process.
        mean = np.divide(-np.expm1(-z), z, out=np.ones_like(z), where=z > 1e-300)
        return np.exp(-step * rates), self.covariance.multiplier(grid, 0.5) * np.sqrt(step * mean)

    def stationary_variance(self, grid: Grid) -> np.ndarray:
        """``q_k / (2 rate_k)``; infinite where a driven mode is not damped."""
        rates, q = self.rates(grid), self.covariance.eigenvalues(grid)
        out = np.where(q > 0, math.inf, 0.0)
        return np.divide(q, 2 * rates, out=out, where=rates > 0)

    def coefficients(
        self,
        times: Sequence[float],
        grid: Grid,
        size: int = 1,
        seed: int = 0,
        first: int = 0,
        channels: int | None = None,
        *,
        start: np.ndarray | None = None,
        threads: int = 1,
    ) -> Iterator[np.ndarray]:
        """Coefficients ``(size, [channels,] *basis.shape)`` at increasing ``times``, from t = 0 on.

        ``start``: coefficients at 0, by default none. The arrays are new; only one is held. On
        two grids the same times give the same path.
        """
        lead = (size,) if channels is None else (size, channels)
        kind = complex if grid.basis.is_complex else float
        state = np.zeros((*lead, *grid.basis.shape), kind)
        if start is not None:
            state[...] = grid.basis.project(np.asarray(start))
        steps: dict[float, tuple[np.ndarray, np.ndarray]] = {}
        for index, (a, b) in enumerate(pairwise([0.0, *map(float, times)])):
            # Uniform times have a step length or two, up to rounding.
            step = float(f"{b - a:.12g}")
            if step not in steps:
                steps = {step: self.transition(step, grid)}
            decay, spread = steps[step]
            noise.advance(
                state, decay, spread, grid, seed, noise.FORCING, first, time=index, threads=threads
            )
            yield state.copy()

    def sample(self, times: Sequence[float], grid: Grid, **options) -> np.ndarray:
        """Fields at ``times``: ``(len(times), size, [channels,] *grid.shape)``; see `coefficients`.

        One transform a stored time.
        """
        return np.stack([grid.basis.inverse(c) for c in self.coefficients(times, grid, **options)])
