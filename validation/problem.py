"""The Gaussian problem on which samplers are measured: each mode is known, in any dimension."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np

import fdiff
from fdiff import laws, solvers

SCHEDULE = fdiff.LinearSchedule(0.1, 20.0, T=1.0)
WHITE = fdiff.WhiteNoise()


@final
@dataclass(frozen=True)
class GaussianProblem:
    """Data ``N(mu, C)`` with ``mu`` half a standard deviation on every real mode.

    ``C = (25 - Laplacian)^-data_power`` and ``Q = (25 - Laplacian)^-prior_power`` with trace one,
    or white noise, on the periodic unit box.
    """

    dim: int = 1
    prior_power: float = 1.0
    data_power: float = 2.0
    white: bool = False

    @property
    def prior(self) -> fdiff.CovarianceOperator:
        return WHITE if self.white else self._unit(self.prior_power)

    @property
    def data(self) -> fdiff.CovarianceOperator:
        return self._unit(self.data_power)

    @property
    def process(self) -> fdiff.ForwardProcess:
        return fdiff.ForwardProcess(self.prior, SCHEDULE)

    def _unit(self, power: float) -> fdiff.CovarianceOperator:
        operator = fdiff.BesselCovariance(1.0, 25.0, power)
        grid = self.grid(64)
        return (1.0 / (operator.trace(grid) + operator.tail_trace(grid))) * operator

    def grid(self, n: int) -> fdiff.Grid:
        return fdiff.Grid((n,) * self.dim)

    def mean(self, grid: fdiff.Grid) -> np.ndarray:
        """Coefficients: half a standard deviation on the cosine and on the sine of every pair."""
        half = 0.5 * np.sqrt(self.data.eigenvalues(grid))
        return half * np.where(grid.basis.weights == 2, (1 - 1j) / np.sqrt(2), 1.0)

    def score(self, grid: fdiff.Grid) -> fdiff.GaussianScore:
        mean = fdiff.Field(grid.basis.inverse(self.mean(grid)), grid)
        return fdiff.GaussianScore(self.process, mean, self.data)

    def known(self, n: int) -> tuple:
        """``(process, mean, spectrum, grid)``, as `fdiff.laws` takes them."""
        grid = self.grid(n)
        return self.process, self.mean(grid), self.data.eigenvalues(grid), grid

    def error(self, solver: solvers.Solver, n: int, times, start="exact") -> float:
        """``W_2`` of the sampler to the exact law at the last time, on ``n`` points an axis."""
        known = self.known(n)
        law = laws.sampler_law(solver, *known, times, start)
        return laws.wasserstein2(law, laws.target_law(*known, float(times[-1])), known[-1])


def measured(name: str) -> solvers.Solver:
    """The scheme of that name, with a step error on Gaussian data.

    `GaussianExact` has none with their own mean and spectrum; it gets another Gaussian's.
    """
    if name == "gaussian-exact":
        return solvers.GaussianExact(reference=(0.0, GaussianProblem().prior))
    return solvers.SCHEMES[name]()


ORDERED = [name for name, scheme in solvers.SCHEMES.items() if scheme().order is not None]
