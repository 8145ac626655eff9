"""What a covariance operator is: eigenvalues on any grid, and all that follows from them."""

from __future__ import annotations

import functools
import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import final

import numpy as np

from fdiff import backends, noise
from fdiff.cache import LIMIT, cached_arrays
from fdiff.covariance.certificate import CovarianceSummary, decay_regularity, summarise
from fdiff.covariance.kernel import correlation_length, kernel, mode_values
from fdiff.covariance.tail import dyadic_sums
from fdiff.errors import TraceClassWarning
from fdiff.grid import Grid
from fdiff.words import warn


class CovarianceOperator(ABC):
    """Self-adjoint, non-negative operator on ``L2(D)``, diagonal in the grid's basis."""

    @abstractmethod
    def spectrum(self, grid: Grid) -> np.ndarray:
        """``q_k`` in the layout of ``grid.basis``; values on modes not retained are ignored."""

    @abstractmethod
    def tail_trace(self, grid: Grid) -> float:
        """``tr(Q - Q_n)``: the sum of ``q_k`` over all modes that the grid does not retain."""

    @abstractmethod
    def is_trace_class(self, dim: int) -> bool:
        """Whether ``sum q_k`` is finite in ``dim`` dimensions, so that samples lie in L2."""

    @final
    def eigenvalues(self, grid: Grid) -> np.ndarray:
        """``q_k >= 0`` in the layout of ``grid.basis``, 0 on modes that are not retained.

        The array is shared and read-only.

        Raises:
            ValueError: an eigenvalue that is negative, infinite or not a number.
        """
        return _eigenvalues(self, grid)

    @final
    def apply(self, u, grid: Grid, power: float = 1.0, *, threads: int = 1):
        """``Q^power u`` for fields ``(..., *grid.shape)``, numpy or torch.

        ``power = 0`` is the projection on the retained modes. Powers ``<= 0`` act on retained
        modes and need ``q > 0`` there.
        """
        basis = grid.basis
        c = basis.forward(u, threads)
        multiplier = backends.of(c).constant(self.multiplier(grid, power), c)
        return basis.inverse(c * multiplier, threads)

    @final
    def multiplier(self, grid: Grid, power: float) -> np.ndarray:
        """``q_k^power`` on retained modes, 0 elsewhere; read-only."""
        if power in (0.5, 1.0):
            return _root(self, grid) if power == 0.5 else self.eigenvalues(grid)
        q, retained = self.eigenvalues(grid), grid.basis.retained
        if power == 0:
            return retained.astype(float)
        if power < 0 and (q[retained] == 0).any():
            raise ValueError(
                f"Q^{power:g} needs positive eigenvalues; {int((q[retained] == 0).sum())} retained "
                "modes have none: add another operator, or give the zero mode a value"
            )
        out = np.zeros_like(q)
        np.power(q, power, out=out, where=retained & (q > 0))
        return out

    @final
    def trace(self, grid: Grid) -> float:
        """``tr Q_n``, the sum of ``q_k`` over the retained modes, in units of u^2 length^dim."""
        return float((grid.basis.weights * self.eigenvalues(grid)).sum())

    @final
    def hilbert_schmidt(self, grid: Grid) -> float:
        """``||Q_n||_HS = (sum q_k^2)^(1/2)`` over the retained modes."""
        return math.sqrt(float((grid.basis.weights * self.eigenvalues(grid) ** 2).sum()))

    @final
    def pointwise_variance(self, grid: Grid) -> np.ndarray:
        """``E u(x)^2 = sum_k q_k |e_k(x)|^2`` at the nodes, shape ``grid.shape``, in units of u^2.

        Constant ``tr Q_n / |D|`` where every axis is periodic; on the whole line's kernel it
        doubles at a Neumann wall and vanishes at a Dirichlet wall.
        """
        basis = grid.basis
        variance = self.eigenvalues(grid) * basis.weights
        for axis in range(grid.dim):
            squares = np.abs(mode_values(grid, axis, grid.points(axis))) ** 2
            variance = np.moveaxis(np.tensordot(squares, variance, (0, axis)), 0, axis)
        return variance

    def sobolev_regularity(self, dim: int) -> float:
        """The supremum of b such that samples lie in ``H^b``: ``sum mu^b q < oo``.

        Negative for distributions. Estimated from the traces of dyadic shells; families with a
        closed form give that.
        """
        return decay_regularity(dyadic_sums(self, Grid((8,) * dim)))

    @final
    def cameron_martin_norm(self, u, grid: Grid):
        """``(sum |u_k|^2 / q_k)^(1/2)`` over the retained modes, one number a field.

        ``u``: numpy ``(..., *grid.shape)``. Infinite where u has a mode that is not noised: such a
        shift of ``N(0, Q)`` is singular.
        """
        basis, q = grid.basis, self.eigenvalues(grid)
        square = np.abs(basis.project(basis.forward(np.asarray(u)))) ** 2 * basis.weights
        total = square.sum(tuple(range(-grid.dim, 0)), keepdims=True)
        # What rounding leaves in a mode without noise is no shift.
        negligible = (q == 0) & (square <= 1e-28 * total)
        with np.errstate(divide="ignore", invalid="ignore"):
            terms = np.where(negligible | (square == 0), 0.0, square / q)
        return np.sqrt(terms.sum(tuple(range(-grid.dim, 0))))

    @final
    def kernel(self, grid: Grid, at=None) -> np.ndarray:
        """``C(x, at) = sum_k q_k e_k(x) conj(e_k(at))`` at the nodes x; ``at``: a point of the box,
        its centre by default."""
        return kernel(self.eigenvalues(grid), grid, at)

    @final
    def correlation_length(self, grid: Grid, axis: int = 0, at=None) -> float:
        """Distance from ``at`` along ``axis`` at which the correlation falls to 1/e, in units of x.

        Infinite where it does not within half of the box.
        """
        return correlation_length(self.eigenvalues(grid), grid, axis, at)

    @final
    def summary(self, grid: Grid) -> CovarianceSummary:
        """The operator's certificate on a grid: ``print(Q.summary(grid))``."""
        return summarise(self, grid)

    @final
    def sample_coefficients(
        self,
        grid: Grid,
        size: int = 16,
        seed: int = 0,
        first: int = 0,
        channels: int | None = None,
        *,
        purpose: int = noise.FIELD,
        threads: int = 1,
    ) -> np.ndarray:
        """Coefficients of samples ``first .. first+size-1`` of ``N(0, Q)``.

        Shape ``(size, *basis.shape)`` or ``(size, channels, *basis.shape)``. Modes that two grids
        on the same box share are bitwise equal.

        Warns:
            TraceClassWarning: where Q is not trace class in this dimension.
        """
        self._warn_unless_trace_class(grid)
        return noise.white_coefficients(
            grid,
            seed,
            purpose,
            size,
            first,
            channels,
            root=self.multiplier(grid, 0.5),
            threads=threads,
        )

    @final
    def sample(
        self,
        grid: Grid,
        size: int = 16,
        seed: int = 0,
        first: int = 0,
        channels: int | None = None,
        *,
        threads: int = 1,
    ) -> np.ndarray:
        """Samples ``first .. first+size-1`` of ``N(0, Q)`` at the nodes: the same functions on
        every grid. Shape ``(size, *grid.shape)`` or ``(size, channels, *grid.shape)``.

        ``threads`` changes the time only, not a bit of the coefficients.
        """
        self._warn_unless_trace_class(grid)
        root = self.multiplier(grid, 0.5)
        return noise.white_fields(
            grid, seed, noise.FIELD, size, first, channels, root=root, threads=threads
        )

    def _warn_unless_trace_class(self, grid: Grid) -> None:
        if not self.is_trace_class(grid.dim):
            warn(
                f"{self!r} is not trace class in {grid.dim}D: its samples have no limit in L2. "
                f"Their pointwise variance grows without bound as the grid is refined (here "
                f"{self.trace(grid) / grid.volume:.3g}), and what is learned from them on one grid "
                "does not carry over to another.",
                TraceClassWarning,
            )

    def __add__(self, other: CovarianceOperator) -> CovarianceOperator:
        if not isinstance(other, CovarianceOperator):
            return NotImplemented
        return SumCovariance((self, other))

    def __mul__(self, factor: float) -> CovarianceOperator:
        if not isinstance(factor, int | float | np.floating | np.integer):
            return NotImplemented
        return ScaledCovariance(float(factor), self)

    __rmul__ = __mul__


@cached_arrays
def _eigenvalues(operator: CovarianceOperator, grid: Grid) -> np.ndarray:
    retained = grid.basis.retained
    # Values off the retained modes are discarded, so 0^-s there is nobody's error.
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        q = np.broadcast_to(np.asarray(operator.spectrum(grid), dtype=float), grid.basis.shape)
    out = np.where(retained, q, 0.0)
    if not (np.isfinite(out).all() and (out >= 0).all()):
        where = np.argwhere(~(np.isfinite(out) & (out >= 0)))[0]
        k = tuple(int(grid.basis.wavenumbers(i)[j]) for i, j in enumerate(where))
        raise ValueError(
            f"eigenvalues must be finite and >= 0, got {out[tuple(where)]} at wave number {k} of "
            f"{operator!r}"
        )
    return out


# The root is kept for larger grids than the eigenvalues: sampling needs nothing else.
@functools.partial(cached_arrays, largest=LIMIT // 2)
def _root(operator: CovarianceOperator, grid: Grid) -> np.ndarray:
    # sqrt is correctly rounded, so shared modes have the same bits on every grid.
    return np.sqrt(operator.eigenvalues(grid))


@final
@dataclass(frozen=True)
class SumCovariance(CovarianceOperator):
    """``sum_i Q_i``: the covariance of a sum of independent noises."""

    terms: tuple[CovarianceOperator, ...]

    def spectrum(self, grid: Grid) -> np.ndarray:
        return np.sum([term.eigenvalues(grid) for term in self.terms], axis=0)

    def tail_trace(self, grid: Grid) -> float:
        return sum(term.tail_trace(grid) for term in self.terms)

    def is_trace_class(self, dim: int) -> bool:
        return all(term.is_trace_class(dim) for term in self.terms)

    def sobolev_regularity(self, dim: int) -> float:
        return min(term.sobolev_regularity(dim) for term in self.terms)


@final
@dataclass(frozen=True)
class ScaledCovariance(CovarianceOperator):
    """``factor Q``, ``factor >= 0``."""

    factor: float
    operator: CovarianceOperator

    def __post_init__(self) -> None:
        if not 0 <= self.factor < math.inf:
            raise ValueError(f"a covariance can be scaled by a factor >= 0, got {self.factor}")

    def spectrum(self, grid: Grid) -> np.ndarray:
        return self.factor * self.operator.eigenvalues(grid)

    def tail_trace(self, grid: Grid) -> float:
        return self.factor * self.operator.tail_trace(grid) if self.factor else 0.0

    def is_trace_class(self, dim: int) -> bool:
        return self.factor == 0 or self.operator.is_trace_class(dim)

    def sobolev_regularity(self, dim: int) -> float:
        return self.operator.sobolev_regularity(dim) if self.factor else math.inf
