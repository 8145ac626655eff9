"""Problems with known answers, shared by the tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import fdiff


def shared_data(name: str) -> Path:
    """A file of the reference data that lie beside the checkout; skips where it is absent."""
    path = Path(__file__).resolve().parents[2] / "shared" / "data" / name
    if not path.exists():
        pytest.skip(f"reference data {name} are not beside this checkout")
    return path


class TP1:
    """1D periodic test problem: Bessel prior and data, mean half a standard deviation per mode."""

    prior = fdiff.BesselCovariance(1 / 0.10135673098126084, 25.0, 1.0)
    data = fdiff.BesselCovariance(1 / 0.002163728077229058, 25.0, 2.0)
    schedule = fdiff.LinearSchedule(0.1, 20.0, T=1.0)
    end = 1e-3

    @classmethod
    def process(cls, prior: fdiff.CovarianceOperator | None = None) -> fdiff.ForwardProcess:
        return fdiff.ForwardProcess(prior or cls.prior, cls.schedule)

    @classmethod
    def grid(cls, n: int) -> fdiff.Grid:
        return fdiff.Grid((n,))

    @classmethod
    def mean(cls, grid: fdiff.Grid) -> np.ndarray:
        """Coefficients: half a standard deviation on the cosine and on the sine of every pair."""
        half = 0.5 * np.sqrt(cls.data.eigenvalues(grid))
        pairs = grid.basis.weights == 2
        return half * np.where(pairs, (1 - 1j) / np.sqrt(2), 1.0)

    @classmethod
    def score(cls, grid: fdiff.Grid, prior: fdiff.CovarianceOperator | None = None):
        mean = fdiff.Field(grid.basis.inverse(cls.mean(grid)), grid)
        return fdiff.GaussianScore(cls.process(prior), mean, cls.data)
