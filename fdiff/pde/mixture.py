"""A mixture of Gaussian fields with one covariance, as a law of fields."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, final

import numpy as np

from fdiff import noise
from fdiff.described import constructed, finite, shown
from fdiff.grid import Grid
from fdiff.pde.initial_laws import Initial, covariance_from
from fdiff.pde.systems import System

if TYPE_CHECKING:
    from fdiff.covariance import CovarianceOperator

# The keyed stream of uniform numbers that pick the component; see `initial` for others.
_COMPONENT_STREAM = 900


@final
@dataclass(frozen=True)
class LinearMean:
    """``Q^power (offset + sum_i slope_i xi_i)``, ``xi_i`` in [0, 1] along axis i of the box.

    Given by its coefficients, which are known in closed form: one function on every grid, also
    where it jumps at the ends of a periodic axis.
    """

    offset: float = 0.0
    slope: tuple[float, ...] = ()  # one per axis of the data, (y, x); none is 0
    power: float = 0.0  # of the mixture's covariance Q; 0 leaves the linear function

    def __post_init__(self) -> None:
        values = (self.offset, self.power, *self.slope)
        if not all(isinstance(v, int | float) and math.isfinite(v) for v in values):
            raise ValueError(f"means: offset, slope and power are finite numbers, got {self}")

    def coefficients(self, grid: Grid, covariance: CovarianceOperator) -> np.ndarray:
        """``<mean, e_k>`` on the retained modes, in the layout of ``grid.basis``."""
        if self.slope and len(self.slope) != grid.dim:
            raise ValueError(f"means: slope has {len(self.slope)} of the {grid.dim} axes")
        ones = [_line(grid, axis, of_x=False) for axis in range(grid.dim)]
        total = self.offset * _product(ones)
        for axis, slope in enumerate(self.slope):
            lines = [*ones[:axis], _line(grid, axis, of_x=True), *ones[axis + 1 :]]
            total = total + slope * _product(lines)
        if self.power:
            total = total * covariance.eigenvalues(grid) ** self.power
        return grid.basis.project(total)


def _line(grid: Grid, axis: int, of_x: bool) -> np.ndarray:
    """Coefficients of 1, or of xi, along one axis: integrals against sqrt(L) e_k(xi)."""
    k = grid.basis.wavenumbers(axis)
    turn = math.pi * np.maximum(np.abs(k), 1) * np.where(k < 0, -1, 1)
    sign = (-1.0) ** k
    kind = grid.boundary[axis]
    if kind == "periodic":
        line = np.where(k == 0, 0.5, 0.5j / turn) if of_x else np.where(k == 0, 1.0, 0.0)
    elif kind == "neumann":
        root = math.sqrt(2)
        line = np.where(k == 0, 0.5, root * (sign - 1) / turn**2) if of_x else 1.0 * (k == 0)
    else:
        line = math.sqrt(2) * (-sign if of_x else 1 - sign) / turn
    return math.sqrt(grid.lengths[axis]) * line


def _product(lines: Sequence[np.ndarray]) -> np.ndarray:
    out = np.ones(())
    for line in lines:
        out = np.multiply.outer(out, line)
    return out


@final
@dataclass(frozen=True)
class MixtureInitial(Initial):
    """``sum_i pi_i N(mu_i, Q)``: a component drawn by its weight, then a Gaussian field around it.

    ``means``: tables for `LinearMean`; ``weights``: equal by default. The same function at every
    resolution. `means_on` gives `fdiff.MixtureScore` its means: the exact score of the data.
    """

    covariance: CovarianceOperator | Mapping[str, Any]
    means: Sequence[LinearMean | Mapping[str, Any]]
    weights: Sequence[float] = ()
    name = "mixture"

    def __post_init__(self) -> None:
        if isinstance(self.covariance, Mapping):
            object.__setattr__(self, "covariance", covariance_from(self.covariance))
        if not isinstance(self.means, Sequence) or isinstance(self.means, str):
            raise ValueError(f"means: a list of tables, got {shown(self.means)}")
        if not isinstance(self.weights, Sequence) or not all(map(finite, self.weights)):
            raise ValueError(f"weights: a list of numbers, got {shown(self.weights)}")
        means = tuple(_mean(mean) for mean in self.means)
        weights = tuple(float(w) for w in self.weights) or (1.0,) * len(means)
        if not means or len(weights) != len(means) or not min(weights) > 0:
            raise ValueError(
                f"a mixture has means and a positive weight for each, got {len(means)} means and "
                f"the weights {list(weights)}"
            )
        object.__setattr__(self, "means", means)
        object.__setattr__(self, "weights", weights)

    @cached_property
    def probabilities(self) -> np.ndarray:
        """``pi_i``, which sum to one."""
        return np.array(self.weights) / sum(self.weights)

    def component(self, seed: int, sample: int) -> int:
        """Which mean a sample belongs to."""
        u = noise.uniforms(seed, noise.PDE_INITIAL, 1, sample, kind=_COMPONENT_STREAM)[0]
        edges = np.cumsum(self.probabilities)[:-1]
        return int(np.searchsorted(edges, u, side="right"))

    def mean_coefficients(self, grid: Grid) -> np.ndarray:
        """(components, *basis.shape)"""
        return np.stack([mean.coefficients(grid, self.covariance) for mean in self.means])  # type: ignore[union-attr,arg-type]

    def means_on(self, grid: Grid):
        """The means as one `fdiff.Field` with a first axis of components."""
        from fdiff.score import Field

        return Field(grid.basis.inverse(self.mean_coefficients(grid)), grid)

    def draw(self, system: System, grid: Grid, seed: int, sample: int) -> np.ndarray:
        root = np.sqrt(self.covariance.eigenvalues(grid))  # type: ignore[union-attr]
        c = noise.white_coefficients(
            grid, seed, noise.PDE_INITIAL, 1, sample, channels=len(system.fields), root=root
        )[0]
        mean = self.means[self.component(seed, sample)].coefficients(grid, self.covariance)  # type: ignore[union-attr,arg-type]
        rest = system.state("background").reshape(-1, *[1] * grid.dim)
        return rest + grid.basis.inverse(c + mean)


def _mean(value: LinearMean | Mapping[str, Any]) -> LinearMean:
    if isinstance(value, LinearMean):
        return value
    kind = "means: tables with offset, slope and power"
    if not isinstance(value, Mapping):
        raise ValueError(f"{kind}, got {shown(value)}")
    slope = value.get("slope", ())
    if not isinstance(slope, Sequence) or not all(map(finite, slope)):
        raise ValueError(f"means: slope: a finite number for each axis, got {shown(slope)}")
    return constructed(LinearMean, {**value, "slope": tuple(slope)}, kind)
