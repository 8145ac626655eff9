"""Covariance operators ``Q e_k = q_k e_k`` on L2 of a box, diagonal in the basis of its grids.

An operator has no resolution; it is evaluated on a `Grid`. ``Q1 + Q2`` and ``3.0 * Q`` are
covariance operators too. Formulas, closed forms and tails: Lord, Powell and Shardlow (2014), An
Introduction to Computational Stochastic PDEs, ch. 4 and 7; Lindgren, Rue and Lindström (2011).
"""

from __future__ import annotations

import math
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import final

import numpy as np

from fdiff import backends, noise
from fdiff.grid import Grid


class TraceClassWarning(UserWarning):
    """Samples of this operator have no limit in L2 under refinement."""


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
    def apply(self, u, grid: Grid, power: float = 1.0):
        """``Q^power u`` for fields ``(..., *grid.shape)``, numpy or torch.

        ``power = 0`` is the projection on the retained modes. Powers ``<= 0`` act on retained
        modes and need ``q > 0`` there.
        """
        basis = grid.basis
        c = basis.forward(u)
        return basis.inverse(c * backends.of(c).constant(self.multiplier(grid, power), c))

    @final
    def multiplier(self, grid: Grid, power: float) -> np.ndarray:
        """``q_k^power`` on retained modes, 0 elsewhere."""
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
            squares = _squared_modes(grid, axis)
            variance = np.moveaxis(np.tensordot(squares, variance, (0, axis)), 0, axis)
        return variance

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
    ) -> np.ndarray:
        """Coefficients of samples ``first .. first+size-1`` of ``N(0, Q)``.

        Shape ``(size, *basis.shape)`` or ``(size, channels, *basis.shape)``. Modes that two grids
        on the same box share are bitwise equal.

        Warns:
            TraceClassWarning: where Q is not trace class in this dimension.
        """
        if not self.is_trace_class(grid.dim):
            warnings.warn(
                f"{self!r} is not trace class in {grid.dim}D: its samples have no limit in L2. "
                f"Their pointwise variance grows without bound as the grid is refined (here "
                f"{self.trace(grid) / grid.volume:.3g}), and what is learned from them on one grid "
                "does not carry over to another.",
                TraceClassWarning,
                stacklevel=3,
            )
        return noise.white_coefficients(
            grid, seed, purpose, size, first, channels, root=self.multiplier(grid, 0.5)
        )

    @final
    def sample(
        self,
        grid: Grid,
        size: int = 16,
        seed: int = 0,
        first: int = 0,
        channels: int | None = None,
    ) -> np.ndarray:
        """Samples ``first .. first+size-1`` of ``N(0, Q)`` at the nodes: the same functions on
        every grid. Shape ``(size, *grid.shape)`` or ``(size, channels, *grid.shape)``."""
        return grid.basis.inverse(self.sample_coefficients(grid, size, seed, first, channels))

    def __add__(self, other: CovarianceOperator) -> CovarianceOperator:
        if not isinstance(other, CovarianceOperator):
            return NotImplemented
        return SumCovariance((self, other))

    def __mul__(self, factor: float) -> CovarianceOperator:
        if not isinstance(factor, int | float | np.floating | np.integer):
            return NotImplemented
        return ScaledCovariance(float(factor), self)

    __rmul__ = __mul__


@lru_cache(maxsize=128)
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
    out.setflags(write=False)
    return out


def _squared_modes(grid: Grid, axis: int) -> np.ndarray:
    """``|e_k(x)|^2`` of one axis, shape ``(modes, nodes)``."""
    k = grid.basis.wavenumbers(axis)[:, None]
    length = grid.lengths[axis]
    if grid.boundary[axis] == "periodic":
        return np.full((k.size, grid.shape[axis]), 1.0 / length)
    angle = math.pi * k * (grid.points(axis) - grid.origin[axis]) / length
    if grid.boundary[axis] == "neumann":
        return np.where(k == 0, 1.0, 2.0) / length * np.cos(angle) ** 2
    return 2.0 / length * np.sin(angle) ** 2


@final
@dataclass(frozen=True)
class BesselCovariance(CovarianceOperator):
    """``Q = scale (shift - Laplacian)^-power``; trace class iff ``power > dim / 2``.

    ``tr(Q - Q_n) ~ n^-(2 power - dim)``. A noise *multiplier* of power p in other codes is
    ``power = 2 p`` here.
    """

    scale: float = 1.0  # > 0
    shift: float = 25.0  # > 0, in units of 1 / length^2; correlation length ~ shift^-1/2
    power: float = 2.0  # > 0

    def __post_init__(self) -> None:
        _positive(self, "scale", "shift", "power")

    def spectrum(self, grid: Grid) -> np.ndarray:
        return self.scale * (self.shift + grid.basis.laplacian) ** -self.power

    def tail_trace(self, grid: Grid) -> float:
        return self.scale * _power_tail(grid, self.shift, self.power)

    def is_trace_class(self, dim: int) -> bool:
        return self.power > dim / 2


@final
@dataclass(frozen=True)
class MaternCovariance(CovarianceOperator):
    """Whittle-Matérn: on the whole space, variance ``std^2``, correlation length ``length``.

    ``q = c (2 nu / length^2 + mu)^-(nu + d/2)``, ``c = std^2 (4 pi)^(d/2) Gamma(nu + d/2) /
    Gamma(nu) (2 nu / length^2)^nu``, nu the smoothness; trace class iff ``nu > 0``. On the box the
    kernel is the whole space's, made periodic or mirrored at the walls.

    Lindgren, Rue and Lindström (2011), https://doi.org/10.1111/j.1467-9868.2011.00777.x
    """

    std: float = 1.0  # > 0, in units of u
    length: float = 0.1  # > 0, in units of x
    smoothness: float = 1.5  # nu > 0

    def __post_init__(self) -> None:
        _positive(self, "std", "length", "smoothness")

    def bessel(self, dim: int) -> BesselCovariance:
        """The same operator in ``dim`` dimensions as a power of ``shift - Laplacian``."""
        nu, shift = self.smoothness, 2 * self.smoothness / self.length**2
        log_ratio = math.lgamma(nu + dim / 2) - math.lgamma(nu)
        scale = self.std**2 * (4 * math.pi) ** (dim / 2) * math.exp(log_ratio) * shift**nu
        return BesselCovariance(scale, shift, nu + dim / 2)

    def spectrum(self, grid: Grid) -> np.ndarray:
        return self.bessel(grid.dim).spectrum(grid)

    def tail_trace(self, grid: Grid) -> float:
        return self.bessel(grid.dim).tail_trace(grid)

    def is_trace_class(self, dim: int) -> bool:
        return True


@final
@dataclass(frozen=True)
class LaplaceCovariance(CovarianceOperator):
    """``Q = scale (-Laplacian)^-power``, ``q_0 = zero_mode``; trace class iff ``power > dim / 2``.

    ``zero_mode`` is set, never computed: 0 (the default) means fields of mean zero, whose mean is
    then neither noised nor generated. Without a zero mode (a Dirichlet axis) it is not used.
    """

    scale: float = 1.0  # > 0
    power: float = 1.0  # > 0
    zero_mode: float = field(default=0.0, kw_only=True)  # >= 0

    def __post_init__(self) -> None:
        _positive(self, "scale", "power")
        if not 0 <= self.zero_mode < math.inf:
            raise ValueError(f"zero_mode must be >= 0 and finite, got {self.zero_mode}")

    def spectrum(self, grid: Grid) -> np.ndarray:
        # By the wave number, not by testing for infinity: rounding of mu hides the zero mode.
        zero = grid.basis.laplacian == 0.0
        mu = np.where(zero, 1.0, grid.basis.laplacian)
        return np.where(zero, self.zero_mode, self.scale * mu**-self.power)

    def tail_trace(self, grid: Grid) -> float:
        return self.scale * _power_tail(grid, 0.0, self.power)

    def is_trace_class(self, dim: int) -> bool:
        return self.power > dim / 2


@final
@dataclass(frozen=True)
class SquaredExponentialCovariance(CovarianceOperator):
    """Kernel ``std^2 exp(-|x - y|^2 / (2 length^2))``, made periodic or mirrored at the walls.

    ``q = std^2 (2 pi)^(d/2) length^d exp(-length^2 mu / 2)``; always trace class.
    """

    std: float = 1.0  # > 0, in units of u
    length: float = 0.1  # > 0, in units of x

    def __post_init__(self) -> None:
        _positive(self, "std", "length")

    def _amplitude(self, dim: int) -> float:
        return self.std**2 * (2 * math.pi) ** (dim / 2) * self.length**dim

    def spectrum(self, grid: Grid) -> np.ndarray:
        return self._amplitude(grid.dim) * np.exp(-(self.length**2) * grid.basis.laplacian / 2)

    def tail_trace(self, grid: Grid) -> float:
        time = np.array([self.length**2 / 2])
        return self._amplitude(grid.dim) * float(_heat_tail(grid, time)[0])

    def is_trace_class(self, dim: int) -> bool:
        return True


@final
@dataclass(frozen=True, eq=False)
class FiniteRankCovariance(CovarianceOperator):
    """``q_k = values[|k_1|, .., |k_d|]`` where every ``|k_i| < values.shape[i]``, else 0.

    On a Dirichlet axis ``k`` starts at 1 and entry 0 is not used. Trace class; the tail is zero
    once every axis retains its modes.
    """

    values: np.ndarray  # real, >= 0, one axis per dimension

    def __post_init__(self) -> None:
        values = np.array(self.values, dtype=float)
        if not 1 <= values.ndim <= 3 or not (np.isfinite(values).all() and (values >= 0).all()):
            raise ValueError(
                "a finite-rank spectrum is an array of 1 to 3 axes of finite values >= 0, "
                f"indexed by |k| along each axis; got shape {values.shape}"
            )
        values.setflags(write=False)
        object.__setattr__(self, "values", values)

    def spectrum(self, grid: Grid) -> np.ndarray:
        if grid.dim != self.values.ndim:
            raise ValueError(f"this spectrum has {self.values.ndim} axes, the grid {grid.dim}")
        lines = [np.abs(grid.basis.wavenumbers(axis)) for axis in range(grid.dim)]
        out = np.zeros(grid.basis.shape)
        inside = [np.flatnonzero(k < n) for k, n in zip(lines, self.values.shape)]
        out[np.ix_(*inside)] = self.values[np.ix_(*[k[i] for k, i in zip(lines, inside)])]
        return out

    def tail_trace(self, grid: Grid) -> float:
        total = self.values
        kept = self.values
        for axis, kind in enumerate(grid.boundary):
            k = np.arange(self.values.shape[axis])
            zero = 0.0 if kind == "dirichlet" else 1.0
            count = np.where(k == 0, zero, 2.0 if kind == "periodic" else 1.0)
            n = grid.shape[axis]
            retained = 2 * k < n if kind == "periodic" else k < n
            shape = [-1 if i == axis else 1 for i in range(self.values.ndim)]
            total = total * count.reshape(shape)
            kept = kept * (count * retained).reshape(shape)
        return float((total - kept).sum())

    def is_trace_class(self, dim: int) -> bool:
        return True

    def __repr__(self) -> str:
        return f"FiniteRankCovariance(rank {int((self.values > 0).sum())} of {self.values.shape})"


@final
@dataclass(frozen=True)
class SpectralDensity(CovarianceOperator):
    """``q_k = function(mu_k)``, or ``function(k_1, .., k_d)`` with ``of="wavenumbers"``.

    The function takes and returns arrays. Of wave numbers it must be even: ``q_-k = q_k``. Whether
    the trace is finite is judged from its decay over dyadic shells.
    """

    function: Callable[..., np.ndarray]
    of: str = "laplacian"

    def __post_init__(self) -> None:
        if self.of not in ("laplacian", "wavenumbers"):
            raise ValueError(f'of must be "laplacian" or "wavenumbers", got {self.of!r}')

    def spectrum(self, grid: Grid) -> np.ndarray:
        if self.of == "laplacian":
            return np.asarray(self.function(grid.basis.laplacian), dtype=float)
        lines = [grid.basis.wavenumbers(axis) for axis in range(grid.dim)]
        k = np.meshgrid(*lines, indexing="ij")
        q = np.asarray(self.function(*k), dtype=float)
        signs = [-1 if kind == "periodic" else 1 for kind in grid.boundary]
        mirrored = np.asarray(self.function(*(s * line for s, line in zip(signs, k))), dtype=float)
        if not np.array_equal(q, mirrored):
            raise ValueError("a spectral density must be even in the wave vector: q(-k) = q(k)")
        return q

    def tail_trace(self, grid: Grid) -> float:
        """The value of `tail_trace_with_error`."""
        return self.tail_trace_with_error(grid)[0]

    def tail_trace_with_error(self, grid: Grid) -> tuple[float, float]:
        """``(tr(Q - Q_n), error)``: modes summed to a cut, a fitted power law beyond.

        The error is the difference between the two last extrapolations; ``(inf, inf)`` where the
        shells do not decay.
        """
        sums = _dyadic_sums(self, grid)
        if sums[-1] == 0.0:
            return float(sum(sums)), 0.0
        ratios = np.array(sums[1:]) / np.maximum(np.array(sums[:-1]), 1e-300)
        if ratios[-1] >= 1.0:
            return math.inf, math.inf
        # A geometric series of shells is a power law of the density.
        beyond = sums[-1] * ratios[-1] / (1 - ratios[-1])
        earlier = sums[-2] * ratios[-2] / (1 - ratios[-2]) if ratios[-2] < 1 else math.inf
        value = float(sum(sums) + beyond)
        return value, float(abs(value - (sum(sums[:-1]) + earlier)))

    def is_trace_class(self, dim: int) -> bool:
        sums = _dyadic_sums(self, Grid((8,) * dim))
        # Logarithmic divergence has ratio 1; rounding and slow starts stay below .98.
        return sums[-1] == 0.0 or sums[-1] < 0.98 * sums[-2]


@final
@dataclass(frozen=True)
class WhiteNoise(CovarianceOperator):
    """The identity (on a grid: ``Pi_n``). Not trace class: node variance ~ 1 / cell volume."""

    def spectrum(self, grid: Grid) -> np.ndarray:
        return np.ones(grid.basis.shape)

    def tail_trace(self, grid: Grid) -> float:
        return math.inf

    def is_trace_class(self, dim: int) -> bool:
        return False


@final
@dataclass(frozen=True)
class SumCovariance(CovarianceOperator):
    """``sum_i Q_i``: the covariance of a sum of independent noises."""

    terms: tuple[CovarianceOperator, ...]

    def spectrum(self, grid: Grid) -> np.ndarray:
        return sum(term.eigenvalues(grid) for term in self.terms)

    def tail_trace(self, grid: Grid) -> float:
        return sum(term.tail_trace(grid) for term in self.terms)

    def is_trace_class(self, dim: int) -> bool:
        return all(term.is_trace_class(dim) for term in self.terms)


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


def _positive(operator, *names: str) -> None:
    for name in names:
        value = getattr(operator, name)
        if not 0 < value < math.inf:
            raise ValueError(
                f"{type(operator).__name__}: {name} must be positive and finite, got {value!r}"
            )


def _heat_tail(grid: Grid, t: np.ndarray) -> np.ndarray:
    """``prod_i theta_i - prod_i theta_i^(n)``, written without cancellation."""
    from fdiff_kernels.spectral import axis_heat_tail, axis_heat_trace

    total = np.zeros_like(t)
    before = np.ones_like(t)
    full = [axis_heat_trace(t, length, kind) for length, kind in zip(grid.lengths, grid.boundary)]
    for axis, (length, kind) in enumerate(zip(grid.lengths, grid.boundary)):
        k = grid.basis.wavenumbers(axis)
        kept = np.unique(np.abs(k[grid.basis.axis_retained(axis)]))
        retained, tail = axis_heat_tail(t, length, kind, kept)
        total += before * tail * math.prod(full[axis + 1 :], start=np.ones_like(t))
        before = before * retained
    return total


@lru_cache(maxsize=128)
def _power_tail(grid: Grid, shift: float, power: float) -> float:
    """``sum of (shift + mu_k)^-power`` over the modes not retained, any box.

    ``1 / Gamma(s) int_0^oo t^(s-1) e^(-shift t) [heat tail](t) dt`` with ``t = e^y``, by the
    trapezoidal rule, which converges exponentially for this integrand.
    """
    excess = power - grid.dim / 2
    if excess <= 0:
        return math.inf
    step = 0.1
    lowest = max(math.log(1e-16) / excess - 20.0, -600.0)
    y = np.arange(lowest, math.log(800.0 / (shift + _lowest_eigenvalue(grid))), step)
    t = np.exp(y)
    logs = power * y - shift * t
    integral = step * float((np.exp(logs) * _heat_tail(grid, t)).sum())
    # Below the first node the heat tail is |D| (4 pi t)^(-d/2) to rounding.
    start = lowest - step / 2
    integral += grid.volume * (4 * math.pi) ** (-grid.dim / 2) * math.exp(excess * start) / excess
    return integral / math.gamma(power)


def _lowest_eigenvalue(grid: Grid) -> float:
    """The smallest ``mu_k > 0`` of the box."""
    return min(
        ((2.0 if kind == "periodic" else 1.0) * math.pi / length) ** 2
        for length, kind in zip(grid.lengths, grid.boundary)
    )


def _dyadic_sums(operator: CovarianceOperator, grid: Grid, budget: int = 2**21) -> list[float]:
    """Traces that each doubling of the grid adds, to a grid of about ``budget`` nodes."""
    traces = [float((grid.basis.weights * operator.eigenvalues(grid)).sum())]
    while len(traces) < 4 or (grid.size * 2**grid.dim <= budget and len(traces) < 12):
        grid = grid.refine(2)
        traces.append(float((grid.basis.weights * operator.eigenvalues(grid)).sum()))
    return list(np.diff(traces))
