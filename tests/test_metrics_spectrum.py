"""Shell energies: known eigenvalues, layout-independence, and the shells' limits."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from fdiff.covariance import BesselCovariance
from fdiff.grid import Grid
from fdiff.levels import prolong_field
from fdiff.metrics import spectrum, spectrum_error, spectrum_ratio
from fdiff.metrics.spectra import complete_shells, shell_energies, shell_index

GRIDS = [
    Grid((16, 16)),
    Grid((15, 12), (1.0, 2.0)),
    Grid((12, 16), 2.0, "neumann"),
    Grid((13, 12), 1.0, "dirichlet"),
    Grid((10, 12), 1.0, ("periodic", "neumann")),
    Grid((10, 8), 1.0, ("dirichlet", "periodic")),
    Grid((31,)),
    Grid((8, 9, 10), 1.0, ("periodic", "neumann", "periodic")),
]


def full_wave_vectors(grid: Grid) -> np.ndarray:
    """|k| of every mode of the box that counts once, by enumeration of both signs."""
    lines = []
    for n, boundary in zip(grid.shape, grid.boundary):
        first = {"periodic": -((n - 1) // 2), "neumann": 0, "dirichlet": 1}[boundary]
        last = {"periodic": (n - 1) // 2, "neumann": n - 1, "dirichlet": n - 1}[boundary]
        lines.append(np.arange(first, last + 1))
    return np.sqrt(sum(k.astype(float) ** 2 for k in np.meshgrid(*lines, indexing="ij"))).ravel()


@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_shells_count_every_mode_once(grid):
    shells = complete_shells(grid)
    weights = np.where(grid.basis.retained, grid.basis.weights, 0.0)
    counted = np.bincount(shell_index(grid).ravel(), weights.ravel())[:shells]
    expected = np.bincount(full_wave_vectors(grid).astype(int))[:shells]
    assert_allclose(counted, expected)


@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_shells_are_complete_and_the_next_is_not(grid):
    def counts(g: Grid, shells: int) -> np.ndarray:
        return np.bincount(full_wave_vectors(g).astype(int), minlength=shells)[:shells]

    shells, fine = complete_shells(grid), grid.refine(3)
    assert_allclose(counts(grid, shells), counts(fine, shells))
    assert counts(grid, shells + 1)[shells] < counts(fine, shells + 1)[shells]


@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_energy_has_the_mean_of_the_known_eigenvalues(grid):
    q = BesselCovariance(1.0, 25.0, 2.0)
    table = shell_energies(q.sample(grid, 400, seed=3)[:, None], grid)
    weighted = grid.basis.weights * q.eigenvalues(grid)
    expected = np.bincount(shell_index(grid).ravel(), weighted.ravel())[: table.shape[1]]
    error = table.std(axis=0) / np.sqrt(len(table))
    filled = expected > 0
    assert not table[:, ~filled].any()
    assert np.max(np.abs(table.mean(axis=0) - expected)[filled] / error[filled]) < 4


def test_intervals_cover_the_known_energies():
    grid, q = Grid((16, 16), 1.0, "neumann"), BesselCovariance(1.0, 25.0, 2.0)
    expected = np.bincount(shell_index(grid).ravel(), q.eigenvalues(grid).ravel())[:16]
    hits = []
    for seed in range(20):
        s = spectrum(q.sample(grid, 100, seed=seed), grid)
        hits.append((s.low <= expected) & (expected <= s.high))
    assert 0.88 < np.mean(hits) < 0.99


def test_cosine_shells_are_cosine_indices():
    grid = Grid((32, 32), 2.0, "neumann", -1.0)
    x, y = grid.coordinates()
    u = np.cos(np.pi * 3 * (x + 1) / 2) * np.cos(np.pi * 4 * (y + 1) / 2)
    values = spectrum(np.stack([u, 2 * u]), grid).value
    assert_allclose(values[5], (1 + 4) / 2 * np.mean(u**2) * 4, rtol=1e-12)  # |D| = 4
    assert_allclose(np.delete(values, 5), 0.0, atol=1e-12)


def test_error_of_a_scaled_band_is_exact():
    grid = Grid((32, 32), 1.0, "neumann")
    q = BesselCovariance(1.0, 25.0, 2.0)
    c = q.sample_coefficients(grid, 50, seed=0)
    band = (shell_index(grid) >= 10) & (shell_index(grid) < 20)
    u, v = grid.basis.inverse(c), grid.basis.inverse(np.where(band, 1.2 * c, c))
    ratio = spectrum_ratio(v, u, grid)
    expected = np.where((ratio.shells >= 10) & (ratio.shells < 20), 0.44, 0.0)
    # Energies are those about the truth's pooled mean, which only shell 0 knows of.
    assert_allclose(ratio.value[1:], expected[1:], atol=1e-10)
    assert_allclose(spectrum_error(v, u, grid).value, 0.44 * 10 / 31, rtol=1e-10)


def test_shells_mean_the_same_modes_at_every_resolution():
    coarse = Grid((16, 16), 2.0, ("neumann", "periodic"))
    u = BesselCovariance(1.0, 25.0, 2.0).sample(coarse, 5, seed=1)
    fine = coarse.refine(4)
    expected = shell_energies(u[:, None], coarse)
    energies = shell_energies(prolong_field(u, coarse, fine)[:, None], fine)
    assert_allclose(energies[:, : expected.shape[1]], expected, rtol=1e-9)
