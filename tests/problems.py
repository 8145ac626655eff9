"""Problems with known answers, shared by the tests."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import pytest

import fdiff
from fdiff.grid import BOUNDARIES


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


class PosteriorScore(fdiff.Score):
    """Exact score of Gaussian data given their values at some nodes, measured with noise.

    Data ``N(mu, C)``, observations ``y = u(x_i) + N(0, r)``: the posterior is ``N(mu + G (y - H
    mu), C - G H C)`` with the gain ``G = C H^T (H C H^T + r)^-1``, and the law of ``X_t`` ``N(m
    mu_p, m^2 C_p + s^2 Q)``. Its denoiser is affine and couples the modes. All of it is computed
    with matrices between nodes, from the kernels of the operators.
    """

    def __init__(self, process, mean, covariance, grid, nodes, values, noise=0.01):
        self.process, self.grid = process, grid
        self.reference_law = (mean, covariance)
        prior, self.noise = (_between_nodes(q, grid) for q in (covariance, process.covariance))
        mu = np.full(grid.size, float(mean))
        seen = prior[:, nodes]
        gain = seen @ np.linalg.inv(seen[nodes] + noise * np.eye(len(nodes)))
        self.mean = mu + gain @ (np.asarray(values) - mu[nodes])
        self.covariance = prior - gain @ seen.T

    @property
    def reference(self):
        return self.reference_law  # of the data before the observation

    def law(self, t):
        """Mean and covariance of ``X_t`` at the nodes."""
        m, s = self.process.mean_factor(t), self.process.std(t)
        return m * self.mean, m * m * self.covariance + s * s * self.noise

    def gain(self, t):
        """``K`` with ``D(t, x) = mu_p + K (x - m mu_p)``, between nodes."""
        precision = np.linalg.pinv(self.law(t)[1], rcond=1e-12, hermitian=True)
        return self.process.mean_factor(t) * self.covariance @ precision

    def denoise_coefficients(self, t, c, grid):
        x = self._flat(grid.basis.inverse(c))
        times = np.broadcast_to(t, len(x))
        out = np.empty_like(x)
        for one in np.unique(times):
            rows = times == one
            out[rows] = self.mean + (x[rows] - self.law(one)[0]) @ self.gain(one).T
        return self._modes(out)

    def marginal(self, t, white, grid, seed, first):
        mean, covariance = self.law(t)
        values, vectors = np.linalg.eigh(covariance)
        root = vectors * np.sqrt(np.maximum(values, 0.0) * grid.cell_volume) @ vectors.T
        return self._modes(mean + self._flat(grid.basis.inverse(white)) @ root)

    def _flat(self, fields):
        return fields.reshape(*fields.shape[: fields.ndim - self.grid.dim], -1)

    def _modes(self, flat):
        basis = self.grid.basis
        return basis.project(basis.forward(flat.reshape(*flat.shape[:-1], *self.grid.shape)))


def _between_nodes(operator, grid):
    """``C(x_i, x_j)``, one row a node."""
    points = np.stack(np.broadcast_arrays(*grid.coordinates()), -1).reshape(-1, grid.dim)
    return np.stack([operator.kernel(grid, at).ravel() for at in points])


def unequal_boxes(kinds: tuple[str, ...] = BOUNDARIES) -> list[fdiff.Grid]:
    """Small grids on which no exchange of axes, sides or boundaries goes unseen.

    4×6 nodes of a 1×4 box with every pair of ``kinds``, 3×4×5 nodes of a 1×2×3 box with every
    triple that is not the same backwards. Sides, nodes and spacings of two axes differ, and the
    spacings of three are no palindrome; no corner is 0.
    """
    flat = [fdiff.Grid((4, 6), (1.0, 4.0), pair, (-0.5, 2.0)) for pair in product(kinds, repeat=2)]
    solid = [
        fdiff.Grid((3, 4, 5), (1.0, 2.0, 3.0), triple, (-0.5, 2.0, 1.0))
        for triple in product(kinds, repeat=3)
        if triple != triple[::-1]
    ]
    return flat + solid


def box_name(grid: fdiff.Grid) -> str:
    """For the ids of tests: ``4x6 periodic-neumann``."""
    return f"{'x'.join(map(str, grid.shape))} {'-'.join(grid.boundary)}"
