"""Families of covariance operators with closed forms."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import final

import numpy as np

from fdiff.covariance.operator import CovarianceOperator
from fdiff.covariance.tail import heat_tail, power_tail
from fdiff.grid import Grid


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
        return self.scale * power_tail(grid, self.shift, self.power)

    def is_trace_class(self, dim: int) -> bool:
        return self.power > dim / 2

    def sobolev_regularity(self, dim: int) -> float:
        return self.power - dim / 2


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

    def sobolev_regularity(self, dim: int) -> float:
        return self.smoothness


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
        return self.scale * power_tail(grid, 0.0, self.power)

    def is_trace_class(self, dim: int) -> bool:
        return self.power > dim / 2

    def sobolev_regularity(self, dim: int) -> float:
        return self.power - dim / 2


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
        return self._amplitude(grid.dim) * float(heat_tail(grid, time)[0])

    def is_trace_class(self, dim: int) -> bool:
        return True

    def sobolev_regularity(self, dim: int) -> float:
        return math.inf


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

    def __eq__(self, other) -> bool:
        return isinstance(other, FiniteRankCovariance) and np.array_equal(self.values, other.values)

    def __hash__(self) -> int:
        return hash((self.values.shape, self.values.tobytes()))

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

    def sobolev_regularity(self, dim: int) -> float:
        return math.inf

    def __repr__(self) -> str:
        return f"FiniteRankCovariance(rank {int((self.values > 0).sum())} of {self.values.shape})"


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

    def sobolev_regularity(self, dim: int) -> float:
        return -dim / 2


def _positive(operator, *names: str) -> None:
    for name in names:
        value = getattr(operator, name)
        if not 0 < value < math.inf:
            raise ValueError(
                f"{type(operator).__name__}: {name} must be positive and finite, got {value!r}"
            )
