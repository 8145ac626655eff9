"""Sliced Wasserstein: translations, sizes that differ, directions that are functions."""

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose

from fdiff.covariance import BesselCovariance
from fdiff.grid import Grid
from fdiff.levels import prolong_field
from fdiff.metrics import approximate_sliced_wasserstein, sliced, sliced_wasserstein

GRID = Grid((16, 16), 2.0, "neumann", -1.0)
Q = BesselCovariance(1.0, 25.0, 2.0)


def test_w2_of_sizes_that_differ_is_that_of_repeated_samples():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((6, 3)), rng.standard_normal((4, 3))
    repeated = np.sort(np.repeat(x, 2, axis=0), axis=0) - np.sort(np.repeat(y, 3, axis=0), axis=0)
    assert_allclose(sliced.w2_squared(x, y), np.mean(repeated**2, axis=0), rtol=1e-12)


def test_projection_is_the_inner_product_with_white_noise():
    from fdiff.noise import white_coefficients

    c = Q.sample_coefficients(GRID, 3, seed=1)
    xi = white_coefficients(GRID, 5, sliced.PURPOSE, 7)
    projections = sliced.project(
        GRID.basis.inverse(c)[:, None], sliced.white_directions(GRID, 1, 7, seed=5)
    )
    expected = [[GRID.basis.inner(a, b) for b in xi] for a in c]
    assert_allclose(projections, np.array(expected) / math.sqrt(GRID.volume), rtol=1e-11)


@pytest.mark.parametrize("boundary", ["neumann", "periodic"])
def test_directions_mean_the_same_on_every_grid(boundary):
    coarse = Grid((16, 16), 2.0, boundary)
    x, y = Q.sample(coarse, 30, seed=1), 1.1 * Q.sample(coarse, 40, seed=2) + 0.01
    expected = sliced_wasserstein(x, y, coarse).value
    for factor in (2, 4):
        fine = coarse.refine(factor)
        u, v = (prolong_field(a, coarse, fine) for a in (x, y))
        assert_allclose(sliced_wasserstein(u, v, fine).value, expected, rtol=1e-9)
        assert_allclose(
            approximate_sliced_wasserstein(u, v, fine).value,
            approximate_sliced_wasserstein(x, y, coarse).value,
            rtol=1e-9,
        )


def test_translation_is_seen_in_full():
    y = Q.sample(GRID, 200, seed=3)
    shift = Q.sample(GRID, 1, seed=4)[0]
    size = math.sqrt(np.mean(shift**2)) / y.std()
    assert_allclose(approximate_sliced_wasserstein(y + shift, y, GRID).value, size, rtol=1e-10)
    estimate = sliced_wasserstein(y + shift, y, GRID, directions=2000)
    # The mean of 2000 squares of normals: relative error of its root 1/sqrt(2 * 2 * 2000) each.
    assert_allclose(estimate.value, size, rtol=4 / math.sqrt(4000))
    assert estimate.low < size < estimate.high


def test_scaling_changes_the_spread():
    y = Q.sample(GRID, 400, seed=5)
    centred = y - y.mean(axis=0)
    assert_allclose(
        approximate_sliced_wasserstein(1.5 * centred, centred, GRID).value, 0.5, rtol=1e-10
    )
    # Of Gaussian fields the projections are Gaussian, with standard deviation |Q^1/2 xi|.
    assert_allclose(sliced_wasserstein(1.5 * centred, centred, GRID).value, 0.5, rtol=0.15)


def test_interval_of_the_spread_covers():
    hits, spread = 0, math.sqrt(Q.trace(GRID) / GRID.volume)
    for seed in range(60):
        x, y = 1.5 * Q.sample(GRID, 600, seed=2 * seed), Q.sample(GRID, 600, seed=2 * seed + 1)
        estimate = approximate_sliced_wasserstein(x, y, GRID)
        hits += estimate.low <= 0.5 * spread / y.std() <= estimate.high
    assert hits >= 51  # the plug-in's bias through the mean fields costs a little


def test_order_of_samples_does_not_matter():
    x, y = Q.sample(GRID, 20, seed=1), Q.sample(GRID, 25, seed=2)
    value = sliced_wasserstein(x, y, GRID, seed=9).value
    assert_allclose(sliced_wasserstein(x[::-1], y[::-1], GRID, seed=9).value, value, rtol=1e-12)
