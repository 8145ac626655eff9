"""Energy distance: closed forms on the line, unbiasedness, coverage, cancellation."""

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose

from fdiff.grid import Grid
from fdiff.metrics import energy, energy_distance, energy_distance_h1


def mean_absolute_normal(mean: float, std: float) -> float:
    """``E|N(mean, std^2)|``."""
    z = mean / std
    return std * math.sqrt(2 / math.pi) * math.exp(-(z**2) / 2) + mean * math.erf(z / math.sqrt(2))


def energy_of_normals(mean: float, std: float) -> float:
    """Energy distance of N(mean, std^2) to N(0, 1)."""
    return (
        2 * mean_absolute_normal(mean, math.hypot(1, std))
        - mean_absolute_normal(0, math.sqrt(2) * std)
        - mean_absolute_normal(0, math.sqrt(2))
    )


def normals(rng: np.random.Generator, n: int, mean=0.0, std=1.0) -> np.ndarray:
    return mean + std * rng.standard_normal((n, 1))


@pytest.mark.parametrize(("mean", "std"), [(1.0, 1.0), (0.0, 2.0), (0.7, 0.5), (0.0, 1.0)])
def test_estimate_is_unbiased(mean, std):
    rng = np.random.default_rng(5)
    values = [
        energy.from_vectors(normals(rng, 6, mean, std), normals(rng, 9)).value for _ in range(3000)
    ]
    error = np.mean(values) - energy_of_normals(mean, std)
    assert abs(error) < 4 * np.std(values) / math.sqrt(len(values))


# For equal laws the limit is a skewed, degenerate one: here its worst case, a single dimension.
@pytest.mark.parametrize(("mean", "low", "high"), [(0.8, 0.91, 0.985), (0.0, 0.9, 1.0)])
def test_jackknife_interval_covers(mean, low, high):
    rng = np.random.default_rng(6)
    truth, hits = energy_of_normals(mean, 1.0), 0
    for _ in range(600):
        estimate = energy.from_vectors(normals(rng, 40, mean), normals(rng, 60))
        hits += estimate.low <= truth <= estimate.high
    assert low < hits / 600 <= high


def test_one_mode_has_the_closed_form_in_both_norms():
    grid = Grid((16, 16), 2.0, "neumann", -1.0)
    x, _ = grid.coordinates()
    k, n = 3, 1500
    mode = np.broadcast_to(math.sqrt(2) * np.cos(math.pi * k * (x + 1) / 2), grid.shape)
    # Normal quantiles instead of draws: the error left is that of a midpoint rule, and the
    # exclusion of i = j, of relative size 1/n.
    from scipy.special import ndtri

    y = ndtri((np.arange(n) + 0.5) / n)
    samples, truth = (a[:, None, None] * mode for a in (0.8 + 1.5 * y, y))
    expected = energy_of_normals(0.8, 1.5)
    assert_allclose(energy_distance(samples, truth, grid).value, expected, atol=5e-3)
    # One mode: the H1 norm is a multiple of the L2 norm, and the units divide it out.
    assert_allclose(energy_distance_h1(samples, truth, grid).value, expected, atol=5e-3)


def test_h1_sees_fine_structure_that_l2_hardly_sees():
    grid = Grid((32, 32))
    rng = np.random.default_rng(1)
    x = grid.points(0)[:, None] + 0 * grid.points(1)
    smooth, fine = np.sin(2 * np.pi * x), 0.1 * np.sin(2 * np.pi * 15 * x)
    a, b, c = rng.standard_normal((3, 200, 1, 1))
    truth = a * smooth + b * fine
    samples = np.roll(a, 1, axis=0) * smooth + 3 * c * fine
    in_l2, in_h1 = energy_distance(samples, truth, grid), energy_distance_h1(samples, truth, grid)
    assert in_h1.value > 10 * in_l2.value
    assert in_h1.low > 0


def test_h1_norm_is_the_sum_over_modes():
    grid = Grid((8, 10), (1.0, 3.0), ("periodic", "neumann"))
    u = np.random.default_rng(0).standard_normal((4, 1, *grid.shape))
    c = grid.basis.forward(u)
    expected = np.sum(grid.basis.weights * (1 + grid.basis.laplacian) * np.abs(c) ** 2, (1, 2, 3))
    rows = energy.flatten(energy.h1_filter(u, grid))
    assert_allclose(np.sum(rows**2, axis=1) * grid.volume, expected, rtol=1e-12)


def test_sums_equal_their_slow_twin(monkeypatch):
    rng = np.random.default_rng(2)
    x, y = rng.standard_normal((7, 5)), rng.standard_normal((11, 5))
    monkeypatch.setattr(energy, "ROWS", 4)
    slow = np.linalg.norm(x[:, None] - y[None], axis=-1)
    rows, columns = energy.mean_distances_between(x, y)
    assert_allclose(rows, slow.mean(axis=1), rtol=1e-13)
    assert_allclose(columns, slow.mean(axis=0), rtol=1e-13)
    slow = np.linalg.norm(y[:, None] - y[None], axis=-1)
    assert_allclose(energy.mean_distances_within(y), slow.sum(axis=1) / 10, rtol=1e-13)


def test_jackknife_equals_leaving_each_field_out():
    rng = np.random.default_rng(3)
    x, y = normals(rng, 9, 0.5), normals(rng, 12)
    value = energy.from_vectors(x, y)
    without_x = [energy.from_vectors(np.delete(x, i, 0), y).value for i in range(9)]
    without_y = [energy.from_vectors(x, np.delete(y, j, 0)).value for j in range(12)]
    variance = 8 * np.var(without_x) + 11 * np.var(without_y)
    assert_allclose(value.high - value.value, 1.959963985 * math.sqrt(variance), rtol=1e-8)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_near_fields_keep_their_distance(dtype):
    base = np.random.default_rng(4).standard_normal((1, 500)).astype(dtype)
    step = np.zeros((3, 500), dtype)
    step[1, 0], step[2, 1] = 2.0**-12, 2.0**-10
    base[0, :2] = 1.0  # so that the steps are representable
    x = base + step
    norms = energy.squared_norms(x)
    expected = np.linalg.norm(x[:, None].astype(float) - x[None], axis=-1)
    assert_allclose(energy.distances(x, x, norms, norms), expected, rtol=1e-12)


def test_energy_distance_does_not_see_units_or_order():
    grid = Grid((8, 8))
    rng = np.random.default_rng(7)
    x, y = rng.standard_normal((20, 8, 8)), rng.standard_normal((30, 8, 8))
    value = energy_distance(x, y, grid).value
    other = energy_distance(1e3 * x[::-1] + 5e4, 1e3 * y[rng.permutation(30)] + 5e4, grid)
    assert_allclose(other.value, value, rtol=0, atol=1e-9)
