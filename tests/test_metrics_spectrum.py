"""Shell energies: known eigenvalues, every mode counted, the same shells on every grid."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from strategies import grids

from fdiff.covariance import BesselCovariance
from fdiff.grid import Grid
from fdiff.levels import prolong_field
from fdiff.metrics import spectrum, spectrum_error, spectrum_ratio
from fdiff.metrics.spectra import EMPTY, error_from_energies, shell_energies
from fdiff.shells import complete_shells, shell_index, shell_width

GRIDS = [
    Grid((16, 16)),
    Grid((15, 12), (1.0, 2.0)),
    Grid((12, 16), 2.0, "neumann"),
    Grid((13, 12), 1.0, "dirichlet"),
    Grid((10, 12), 1.0, ("periodic", "neumann")),
    Grid((10, 8), 1.0, ("dirichlet", "periodic")),
    Grid((31,)),
    Grid((8, 9, 10), 1.0, ("periodic", "neumann", "periodic")),
    Grid((16, 64), (1.0, 4.0), "neumann"),
    Grid((6, 4, 5), (1.0, 2.0, 3.0), ("dirichlet", "periodic", "neumann")),
]


def frequencies(grid: Grid) -> list[float]:
    """The frequency, in units of the box's lowest, of every retained mode, one mode at a time."""
    turns = [2 if boundary == "periodic" else 1 for boundary in grid.boundary]
    lowest = min(turn / length for turn, length in zip(turns, grid.lengths))
    ranges = []
    for n, boundary in zip(grid.shape, grid.boundary):
        first = {"periodic": -((n - 1) // 2), "neumann": 0, "dirichlet": 1}[boundary]
        ranges.append(range(first, ((n - 1) // 2 if boundary == "periodic" else n - 1) + 1))
    return [
        math.sqrt(sum((t * k / s / lowest) ** 2 for t, k, s in zip(turns, vector, grid.lengths)))
        for vector in itertools.product(*ranges)
    ]


def counts(grid: Grid, shells: int) -> list[int]:
    """Modes in each of the first shells, by enumeration."""
    found = [0] * shells
    for kappa in frequencies(grid):
        if (j := math.floor(kappa + 1e-9)) < shells:
            found[j] += 1
    return found


@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_shells_count_every_mode_once(grid):
    weights = np.where(grid.basis.retained, grid.basis.weights, 0.0)
    counted = np.bincount(shell_index(grid).ravel(), weights.ravel())
    assert_allclose(counted, counts(grid, len(counted)))
    assert counted.sum() == len(frequencies(grid))


@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_shells_are_complete_and_the_next_is_not(grid):
    shells, fine = complete_shells(grid), grid.refine(3)
    assert counts(grid, shells) == counts(fine, shells)
    assert counts(grid, shells + 1)[shells] < counts(fine, shells + 1)[shells]


@pytest.mark.parametrize(("short", "ratio"), [(0.3, 3), (0.7, 6), (1.1, 5)])
@pytest.mark.parametrize("boundary", ["periodic", "neumann"])
def test_rounding_moves_no_mode_across_the_begin_of_its_shell(short, ratio, boundary):
    """Mode k of the short side has exactly ``ratio k`` times the lowest frequency of the box."""
    grid = Grid((16, 16), (short, short * ratio), boundary)
    assert (shell_index(grid)[:8, 0] == ratio * np.arange(8)).all()


@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_a_plane_wave_is_in_the_shell_of_its_frequency(grid):
    """Sampled from its formula on each axis alone: no basis, no index of ours."""
    for axis, boundary in enumerate(grid.boundary):
        k, length = 2, grid.lengths[axis]
        x = grid.coordinates()[axis] - grid.origin[axis]
        turn = (2 if boundary == "periodic" else 1) * math.pi / length
        wave = np.sin if boundary == "dirichlet" else np.cos
        u = wave(turn * k * x) * np.ones(grid.shape)
        for other, kind in enumerate(grid.boundary):
            if kind == "dirichlet" and other != axis:
                y = grid.coordinates()[other] - grid.origin[other]
                u = u * np.sin(math.pi * y / grid.lengths[other])
        across = sum(
            (math.pi / grid.lengths[other]) ** 2
            for other, kind in enumerate(grid.boundary)
            if kind == "dirichlet" and other != axis
        )
        expected = math.floor(math.sqrt((turn * k) ** 2 + across) / shell_width(grid) + 1e-9)
        energy = shell_energies(u[None, None], grid)[0]
        assert energy.argmax() == expected
        assert energy[expected] == pytest.approx(energy.sum())


@given(grid=grids(), seed=st.integers(0, 99))
def test_the_energies_of_a_field_add_up_to_its_square_norm(grid, seed):
    u = np.random.default_rng(seed).standard_normal((3, 2, *grid.shape))
    axes = tuple(range(1, u.ndim))
    norms = grid.cell_volume * (u**2).sum(axis=axes)
    assert_allclose(shell_energies(u, grid).sum(axis=1), norms, rtol=1e-10)


@pytest.mark.parametrize(
    "grid",
    [
        Grid((16, 64), (1.0, 4.0), "neumann"),
        Grid((16, 64), 1.0, "periodic"),
        Grid((6, 4, 15), (1.0, 2.0, 3.0), ("dirichlet", "periodic", "neumann")),
    ],
    ids=str,
)
def test_variance_that_is_missing_anywhere_is_seen(grid):
    """Every second shell loses a share of its energy that is known, wherever it lies."""
    q = BesselCovariance(1.0, 500.0, 2.0)
    c = q.sample_coefficients(grid, 40, seed=0)
    shell = shell_index(grid)
    poor = shell % 2 == 1
    u, v = grid.basis.inverse(c), grid.basis.inverse(np.where(poor, 0.5 * c, c))
    there = np.unique(shell[grid.basis.retained & (shell > 0)])
    expected = 0.75 * (there % 2 == 1).mean()
    energies = (shell_energies(fields[:, None], grid) for fields in (v, u))
    assert error_from_energies(*energies).value == pytest.approx(expected, rel=1e-9)


def test_energy_where_the_truth_has_none_is_an_error_in_units_of_the_empty_share():
    grid = Grid((32,), 1.0, "neumann")
    c = BesselCovariance(1.0, 25.0, 2.0).sample_coefficients(grid, 50, seed=0)
    c[:, 12:] = 0.0
    truth = grid.basis.inverse(c)
    more = c.copy()
    more[:, 20] = 1e-3
    found = spectrum_ratio(grid.basis.inverse(more), truth, grid)
    centred = c.copy()
    centred[:, 0] -= truth.mean()
    share = 1e-6 / (np.abs(centred) ** 2).sum(axis=1).mean()
    assert list(found.shells) == [*range(12), 20]
    assert found.value[-1] == pytest.approx(share / EMPTY, rel=1e-6)
    same = spectrum_error(truth, truth, grid)
    assert same.value == 0
    assert spectrum_error(grid.basis.inverse(more), truth, grid).value > 1


@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_energy_has_the_mean_of_the_known_eigenvalues(grid):
    q = BesselCovariance(1.0, 25.0, 2.0)
    table = shell_energies(q.sample(grid, 400, seed=3)[:, None], grid)
    weighted = grid.basis.weights * q.eigenvalues(grid)
    expected = np.bincount(shell_index(grid).ravel(), weighted.ravel())[: table.shape[1]]
    error = table.std(axis=0) / np.sqrt(len(table))
    filled = expected > 0
    assert table[:, ~filled].max(initial=0.0) < 1e-25 * expected.sum()
    assert np.max(np.abs(table.mean(axis=0) - expected)[filled] / error[filled]) < 4


def test_intervals_cover_the_known_energies():
    grid, q = Grid((16, 16), 1.0, "neumann"), BesselCovariance(1.0, 25.0, 2.0)
    expected = np.bincount(shell_index(grid).ravel(), q.eigenvalues(grid).ravel())
    hits = []
    for seed in range(20):
        s = spectrum(q.sample(grid, 100, seed=seed), grid)
        hits.append((s.low <= expected) & (expected <= s.high))
    assert 0.88 < np.mean(hits) < 0.99


def test_shells_of_a_walled_square_are_cosine_indices():
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
    assert_allclose(
        spectrum_error(v, u, grid).value, 0.44 * 10 / shell_index(grid).max(), rtol=1e-10
    )


def test_shells_mean_the_same_modes_at_every_resolution():
    coarse = Grid((16, 16), 2.0, ("neumann", "periodic"))
    u = BesselCovariance(1.0, 25.0, 2.0).sample(coarse, 5, seed=1)
    fine = coarse.refine(4)
    shells = complete_shells(coarse)
    expected = shell_energies(u[:, None], coarse)[:, :shells]
    energies = shell_energies(prolong_field(u, coarse, fine)[:, None], fine)[:, :shells]
    assert_allclose(energies, expected, rtol=1e-9)
