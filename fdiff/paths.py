"""Random paths in time that are functions: any time of any sample on any grid, in any order.

A path is a linear combination of keyed normal numbers, those of the midpoints of a dyadic tree
(Lévy's construction), so a query costs at most 33 of them and holds no other time in memory. The
same path is seen on every grid (shared modes) and at every time step (coarse increments are sums
of fine ones).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import final

import numpy as np

from fdiff import noise
from fdiff.covariance import CovarianceOperator
from fdiff.grid import Grid
from fdiff.process import ForwardProcess

LEVELS = 32
_CELLS = 2**LEVELS

# Of the key (level, time index): its weight in a value of the path.
Weights = dict[tuple[int, int], float]


@final
@dataclass(frozen=True)
class QWiener:
    """Q-Wiener process ``W`` on ``[0, horizon]``: ``W_b - W_a ~ N(0, (b - a) Q)``, ``W_0 = 0``.

    ``W_T = sqrt(T) zeta_{0,0}``; at the midpoint of the interval ``j`` of the ``2^(l-1)`` intervals
    of level ``l`` the bridge adds ``sqrt(Delta) / 2 zeta_{l,j}``, ``Delta`` the interval's length.
    A time is rounded to the nearest multiple of ``horizon / 2^32``; dyadic times are exact.

    ``fdiff.sample(..., path=path)`` drives a sampler by it: each scheme's clock is laid on the
    path, so that few steps and many see the same noise.
    """

    covariance: CovarianceOperator
    horizon: float = 1.0  # > 0, in units of t
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.horizon < math.inf:
            raise ValueError(f"horizon must be positive and finite, got {self.horizon}")
        noise.checked_seed(self.seed)

    def coefficients(
        self,
        t: float,
        grid: Grid,
        size: int = 1,
        first: int = 0,
        channels: int | None = None,
        *,
        threads: int = 1,
    ) -> np.ndarray:
        """``W_t`` of samples ``first .. first+size-1``: ``(size, [channels,] *basis.shape)``."""
        weights = _brownian(_position(t, self.horizon), self.horizon)
        return self._combine(weights, grid, size, first, channels, threads)

    def increment(
        self,
        a: float,
        b: float,
        grid: Grid,
        size: int = 1,
        first: int = 0,
        channels: int | None = None,
        *,
        threads: int = 1,
    ) -> np.ndarray:
        """Coefficients of ``W_b - W_a`` for ``0 <= a <= b <= horizon``; as `coefficients`."""
        if not a <= b:
            raise ValueError(f"an increment goes forward in time, got {a} -> {b}")
        weights = dict(_brownian(_position(b, self.horizon), self.horizon))
        for key, weight in _brownian(_position(a, self.horizon), self.horizon).items():
            weights[key] = weights.get(key, 0.0) - weight
        return self._combine(weights, grid, size, first, channels, threads)

    def __call__(
        self, t: float, grid: Grid, size: int = 1, first: int = 0, channels: int | None = None
    ) -> np.ndarray:
        """``W_t`` at the nodes: ``(size, [channels,] *grid.shape)``."""
        return grid.basis.inverse(self.coefficients(t, grid, size, first, channels))

    def _combine(self, weights, grid, size, first, channels, threads):
        return _combine(self.covariance, self.seed, weights, grid, size, first, channels, threads)


@final
@dataclass(frozen=True)
class OrnsteinUhlenbeckPath:
    """Paths of the forward process ``dX = -a/2 X dt + sqrt(a) dW^Q``, from ``X_0`` on.

    ``at`` refines by the bridge: any time, in any order, of one path. ``along`` goes through given
    times by exact transitions: another path of the same law, at one draw a time.
    """

    process: ForwardProcess
    seed: int = 0

    def __post_init__(self) -> None:
        noise.checked_seed(self.seed)

    def at(self, t: float, x0, grid: Grid, first: int = 0) -> np.ndarray:
        """Coefficients of ``X_t`` from those of ``X_0``, ``(size, [channels,] *basis.shape)``."""
        x0 = np.asarray(x0)
        start, weights = _ornstein_uhlenbeck(_position(t, self.process.T), self.process)
        size, channels = _leading(x0, grid)
        z = _combine(
            self.process.covariance, self.seed, weights, grid, size, first, channels, threads=1
        )
        return start * x0 + z

    def along(self, times: Sequence[float], x0, grid: Grid, first: int = 0) -> Iterator[np.ndarray]:
        """Coefficients of ``X_t`` at increasing ``times``, each a new array."""
        state = np.array(x0)
        _leading(state, grid)
        root = self.process.covariance.multiplier(grid, 0.5)
        for step, (r, t) in enumerate(pairwise([0.0, *map(float, times)])):
            rho, spread = self.process.transition_factors(r, t)
            noise.advance(state, rho, spread * root, grid, self.seed, noise.PATHS, first, time=step)
            yield state.copy()


def _position(t: float, horizon: float) -> int:
    """``t`` as a whole number of the finest intervals."""
    if not 0 <= t <= horizon * (1 + 1e-12):
        raise ValueError(f"a time of this path lies in [0, {horizon:g}], got {t}")
    return min(round(t / horizon * _CELLS), _CELLS)


def _combine(covariance, seed, weights: Weights, grid, size, first, channels, threads):
    terms = [(level, time, weight) for (level, time), weight in weights.items() if weight]
    return noise.combined_coefficients(
        grid, seed, noise.PATHS, terms, size, first, channels,
        root=covariance.multiplier(grid, 0.5), threads=threads,
    )  # fmt: skip


def _leading(x, grid: Grid) -> tuple[int, int | None]:
    """``(size, channels)`` of coefficients ``(size, [channels,] *basis.shape)``."""
    lead = x.shape[: x.ndim - grid.dim]
    if x.shape[len(lead) :] != grid.basis.shape or len(lead) not in (1, 2):
        raise ValueError(
            f"expected coefficients (samples, [channels,] *{grid.basis.shape}), got {x.shape}"
        )
    return lead[0], lead[1] if len(lead) == 2 else None


@lru_cache(maxsize=4096)
def _brownian(position: int, horizon: float) -> Weights:
    """Weights of ``W`` at ``position`` of `_CELLS`: the hat functions of the tree at that time."""
    if position == 0:
        return {}
    weights = {(0, 0): math.sqrt(horizon) * position / _CELLS}
    for level in range(1, LEVELS + 1):
        width = _CELLS >> (level - 1)
        index, inside = divmod(position, width)
        if inside == 0:  # a node of the levels above
            break
        length = horizon * width / _CELLS
        weights[level, index] = math.sqrt(length) * min(inside, width - inside) / width
    return weights


@lru_cache(maxsize=1024)
def _ornstein_uhlenbeck(position: int, process: ForwardProcess) -> tuple[float, Weights]:
    """Weights of ``X_0`` and of the keyed numbers in ``X`` at ``position`` of `_CELLS`.

    ``X_m | X_a, X_b`` has mean ``r1 (1 - r2^2) / (1 - r^2) X_a + r2 (1 - r1^2) / (1 - r^2) X_b``
    and variance ``(1 - r1^2)(1 - r2^2) / (1 - r^2) Q``, with the transitions' ``r1`` from a to m,
    ``r2`` from m to b, ``r = r1 r2``.
    """
    left, right = 0, _CELLS
    rho, spread = process.transition_factors(0.0, process.T)
    at_left: tuple[float, Weights] = (1.0, {})
    at_right: tuple[float, Weights] = (rho, {(0, 0): spread})
    for level in range(1, LEVELS + 1):
        if position in (left, right):
            break
        middle = (left + right) // 2
        times = (process.T * node / _CELLS for node in (left, middle, right))
        a, m, b = times
        (r1, s1), (r2, s2) = process.transition_factors(a, m), process.transition_factors(m, b)
        _, whole = process.transition_factors(a, b)
        if whole == 0:  # the rate vanishes here: nothing moves
            break
        from_left, from_right = r1 * (s2 / whole) ** 2, r2 * (s1 / whole) ** 2
        weights = {key: from_left * weight for key, weight in at_left[1].items()}
        for key, weight in at_right[1].items():
            weights[key] = weights.get(key, 0.0) + from_right * weight
        weights[level, left // (right - left)] = s1 * s2 / whole
        at_middle = (from_left * at_left[0] + from_right * at_right[0], weights)
        if position < middle:
            right, at_right = middle, at_middle
        else:
            left, at_left = middle, at_middle
    return at_right if position == right else at_left
