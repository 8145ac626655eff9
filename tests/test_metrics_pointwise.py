"""Moments, Wasserstein-1 distances of pooled values and of gradients."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy.stats import wasserstein_distance

from fdiff.covariance import MaternCovariance
from fdiff.grid import Grid
from fdiff.metrics import gradient_w1, kurtosis, pointwise_w1, std
from fdiff.metrics.pointwise import Bins, gradient_magnitude

GRID = Grid((16, 16), 2.0, "neumann", -1.0)


def fields(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).gamma(2.0, size=(n, 16, 16))


def test_moments_are_those_of_the_pooled_values():
    u = fields(40) * 3 + 7
    centred = u - u.mean()
    assert_allclose(std(u, GRID).value, u.std(), rtol=1e-12)
    assert_allclose(kurtosis(u, GRID).value, np.mean(centred**4) / u.var() ** 2, rtol=1e-12)


def test_intervals_are_those_of_fields_not_of_pixels():
    amplitude = np.random.default_rng(1).standard_normal((400, 1, 1))
    u = amplitude * np.ones((1, 16, 16))
    interval = std(u, GRID)
    # The standard deviation of 400 normal numbers has the relative error 1/sqrt(800).
    assert_allclose((interval.high - interval.low) / 2 / 1.96, 1 / np.sqrt(800), rtol=0.25)
    assert kurtosis(u, GRID).low < 3 < kurtosis(u, GRID).high


@pytest.mark.parametrize("shift", [0.37, -2.5, 40.0])
def test_w1_of_a_shift_is_the_shift(shift):
    y = fields(30)
    assert_allclose(pointwise_w1(y + shift, y, GRID).value, abs(shift) / y.std(), rtol=1e-10)


def test_w1_of_a_scaling_is_the_mean_stretch():
    y = fields(30)
    assert_allclose(pointwise_w1(1.3 * y, y, GRID).value, 0.3 * y.mean() / y.std(), rtol=1e-10)


@pytest.mark.parametrize("outlier", [0.0, 1e7])
def test_w1_equals_scipy(outlier):
    x, y = fields(25, seed=3) ** 1.1, fields(40, seed=4)
    x[0, 0, 0] += outlier
    expected = wasserstein_distance(x.ravel(), y.ravel()) / y.std()
    assert_allclose(pointwise_w1(x, y, GRID).value, expected, rtol=1e-4)


@given(st.lists(st.floats(-20, 20), min_size=1, max_size=9))
def test_bins_hold_the_integral_of_the_distribution_function(values):
    bins = Bins(-3.0, 5.0, 16)
    table = bins.table(np.array(values)[None, :])[0]
    edges = np.linspace(-3.0, 5.0, 17)
    clipped = np.clip(np.array(values)[:, None], edges[:-1], edges[1:])
    assert_allclose(table[1:-1], (edges[1:] - clipped).mean(axis=0), atol=1e-12)
    assert_allclose(table[0], np.maximum(-3.0 - np.array(values), 0).mean(), atol=1e-12)
    assert_allclose(table[-1], -np.maximum(np.array(values) - 5.0, 0).mean(), atol=1e-12)


def test_w1_of_two_sets_from_one_law_has_zero_in_reach():
    rng = np.random.default_rng(2)
    x, y = rng.standard_normal((2, 300, 16, 16))
    estimate = pointwise_w1(x, y, GRID)
    assert estimate.low < 0.01
    assert estimate.value < 0.02


def test_gradient_of_a_plane_and_its_w1():
    x, y = GRID.coordinates()
    plane = (3 * x + 4 * y)[None, None]
    slope = gradient_magnitude(plane, GRID)
    assert slope.shape == (1, 1, 15, 15)
    assert_allclose(slope, 5.0, rtol=1e-12)
    amplitude = np.array([1.0, 2.0, 4.0])[:, None, None]
    truth, samples = amplitude * plane[0], 1.5 * amplitude * plane[0]
    expected = 0.5 * np.mean([1, 2, 4]) / np.std([1, 2, 4])
    assert_allclose(gradient_w1(samples, truth, GRID).value, expected, rtol=1e-10)


def test_gradient_wraps_where_the_axis_is_periodic():
    grid = Grid((8, 6), (1.0, 1.0), ("periodic", "neumann"))
    u = np.random.default_rng(0).standard_normal((1, 1, 8, 6))
    slope = gradient_magnitude(u, grid)
    assert slope.shape == (1, 1, 8, 5)
    across, along = 8 * (u[0, 0, 0, 2] - u[0, 0, 7, 2]), 6 * (u[0, 0, 7, 3] - u[0, 0, 7, 2])
    assert_allclose(slope[0, 0, 7, 2], np.hypot(across, along), rtol=1e-12)


def test_gradient_is_that_of_the_restriction_to_32_points():
    coarse = Grid((32, 32), 2.0, "neumann")
    q = MaternCovariance(1.0, 0.4, 2.0)
    fine = coarse.refine(4)
    sets = [(q.sample(g, 20, seed=1), q.sample(g, 20, seed=2), g) for g in (coarse, fine)]
    values = [gradient_w1(x, y, g).value for x, y, g in sets]
    assert_allclose(values[1], values[0], rtol=1e-3)  # the units' pooled std differs by the tail
