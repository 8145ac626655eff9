"""Estimates are of the quantity that they name: roots, units, channels, precision, intervals."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose

import fdiff
from fdiff import budget, laws, metrics
from fdiff.convergence import order
from fdiff.metrics import estimate, pointwise, sliced, vendi
from fdiff.metrics.fields import Scale

GRID = fdiff.Grid((4, 6), (1.0, 4.0), ("periodic", "neumann"))


def fields(size, seed=0, channels=()):
    return np.random.default_rng(seed).gamma(2.0, size=(size, *channels, *GRID.shape))


def test_float32_fields_are_summed_in_float64():
    """A thousand and a spread of one: float32 sums of so many values lose the spread's digits."""
    narrow = (1000 + fields(3000, 1, (1,))).astype(np.float32)
    wide = narrow.astype(np.float64)
    assert_allclose(pointwise.moments(narrow), pointwise.moments(wide), rtol=1e-13)
    a, b = Scale.of(narrow), Scale.of(wide)
    assert_allclose(a.mean, b.mean, rtol=1e-12)
    assert_allclose(a.std, b.std, rtol=1e-9)
    (mean_a, spread_a), (mean_b, spread_b) = (sliced.GroupSums(u).moments() for u in (narrow, wide))
    assert_allclose(mean_a, mean_b, rtol=1e-12)
    assert_allclose(spread_a, spread_b, rtol=1e-7)


def test_every_channel_is_measured_in_its_own_unit():
    u = fields(50, 2, (2,)) * np.reshape([1.0, 30.0], (2, 1, 1)) + np.reshape([0, 7.0], (2, 1, 1))
    spread = u.std(axis=(0, 2, 3))
    scale = Scale.of(u)
    assert_allclose(scale.std, spread, rtol=1e-12)
    assert_allclose(scale.unit, math.sqrt(np.mean(spread**2)), rtol=1e-12)
    standard = scale.standardise(u)
    assert_allclose(standard.mean(axis=(0, 2, 3)), 0, atol=1e-12)
    assert_allclose(standard.std(axis=(0, 2, 3)), 1, rtol=1e-12)
    assert_allclose(metrics.std(u, GRID).value, math.sqrt(np.mean(spread**2)), rtol=1e-12)
    # Nothing that compares two sets sees the units of a channel.
    names = [n for n in metrics.METRICS if n not in ("std", "vendi_cosine", "vendi_gaussian")]
    rows = metrics.compare(u, u[::-1] * 1.1, GRID, metrics=names)
    change = np.reshape([5.0, 0.01], (2, 1, 1))
    others = metrics.compare(u * change, u[::-1] * 1.1 * change, GRID, metrics=names)
    for row, other in zip(rows, others):
        assert_allclose(other.value, row.value, rtol=1e-7, atol=1e-12, err_msg=row.metric)


def test_the_sliced_distance_is_the_root_of_the_mean_of_squares():
    x, y = fields(30, 4), 1.7 * fields(30, 5) - 1
    scale = Scale.of(y[:, None])
    xi = sliced.white_directions(GRID, 1, 16, 3)
    squares = []
    for direction in xi:
        a, b = (np.sort(scale.standardise(u[:, None]).reshape(30, -1) @ direction) for u in (x, y))
        squares.append(np.mean((a - b) ** 2))
    found = metrics.sliced_wasserstein(x, y, GRID, seed=3, directions=16)
    assert_allclose(found.value, math.sqrt(np.mean(squares)), rtol=1e-12)
    assert np.std(squares) > 0.3 * np.mean(squares)  # the mean of roots would be another number


def test_each_number_of_a_table_has_an_interval_of_its_own():
    table = np.random.default_rng(6).gamma(2.0, size=(60, 3)) * [1.0, 10.0, 100.0]
    value, low, high = estimate.bootstrap(lambda m: m, [table], seed=2)
    for j in range(3):
        alone = estimate.bootstrap(lambda m: m, [table[:, [j]]], seed=2)
        assert_allclose([value[j], low[j], high[j]], np.ravel(alone), rtol=1e-10)


def test_intervals_are_two_sided_at_95_percent():
    """Of a mean of many values the bootstrap's half-width is 1.96 standard errors."""
    table = np.random.default_rng(7).standard_normal((4000, 1))
    _, low, high = estimate.bootstrap(lambda m: m, [table], resamples=20000)
    half = (high - low) / 2 / (table.std() / math.sqrt(4000))
    assert_allclose(half, 1.96, rtol=0.03)


def test_a_bias_of_resampling_is_taken_off_not_added_again():
    """The square of a mean is biased by the variance of the mean, upward; so is its resample."""
    table = np.random.default_rng(8).standard_normal((50, 1)) + 0.4
    value, low, high = estimate.bootstrap(lambda m: m**2, [table], resamples=20000)
    error = table.std() / math.sqrt(50)
    # Quantiles of (v + e z)^2 are skewed upward: reflected, the interval reaches further down.
    assert value - low > high - value
    assert value - low > 2 * error * abs(table.mean()) * 1.96


def test_two_fields_have_one_distance():
    u = fields(2, 9)
    expected = math.sqrt(np.mean((u[0] - u[1]) ** 2))
    assert_allclose(vendi.median_distance(u, GRID), expected, rtol=1e-12)
    three = np.stack([np.zeros(GRID.shape), np.ones(GRID.shape), 3 * np.ones(GRID.shape)])
    assert_allclose(vendi.median_distance(three, GRID), 2.0)  # of 1, 2, 3


def test_the_interval_of_a_vendi_score_is_that_of_leaving_fields_out():
    u = fields(60, 10) - 2
    found = vendi.vendi_gaussian(u, GRID, 1.0)
    left_out = [vendi.vendi_gaussian(np.delete(u, i, 0), GRID, 1.0).value for i in range(60)]
    jackknife = math.sqrt(59 / 60 * np.sum((np.array(left_out) - np.mean(left_out)) ** 2))
    # The score grows with the number of fields: its scatter is compared, to a tenth or two.
    assert 0.6 < (found.high - found.value) / (1.96 * jackknife) < 1.6


def test_standard_errors_of_sampled_errors_are_those_of_their_mean():
    rng = np.random.default_rng(11)
    steps = np.array([0.4, 0.2, 0.1, 0.05])
    runs = steps**2 * (1 + 0.3 * rng.standard_normal((200, 4)))
    first = order(steps, samples=runs, declared=2).errors
    assert_allclose(first.deviations, runs.std(0, ddof=1) / math.sqrt(200), rtol=1e-12)
    # The root of a mean square has half the relative error of the mean square.
    second = order(steps, samples=runs**2, power=2, declared=2).errors
    relative = (runs**2).std(0, ddof=1) / math.sqrt(200) / (runs**2).mean(0)
    assert_allclose(second.deviations / second.values, relative / 2, rtol=1e-12)


def test_w2_is_between_standard_deviations_and_counts_both_of_a_pair():
    basis = GRID.basis
    rng = np.random.default_rng(12)
    one, two = (
        laws.Law(rng.standard_normal(basis.shape) + 0j, rng.gamma(2.0, size=basis.shape))
        for _ in range(2)
    )
    total = 0.0
    for index in np.argwhere(basis.retained):
        k = tuple(index)
        pairs = 1 if basis.wavenumbers(0)[k[0]] == 0 else 2
        gap = math.sqrt(one.variance[k]) - math.sqrt(two.variance[k])
        total += pairs * (abs(one.mean[k] - two.mean[k]) ** 2 + gap**2)
    assert_allclose(laws.wasserstein2(one, two, GRID), math.sqrt(total), rtol=1e-12)


def test_a_budget_counts_the_mean_in_its_scale_and_beyond_the_grid():
    fine = fdiff.Grid((64,))
    x = fine.points(0)
    mean = fdiff.Field(3 * np.sqrt(2) * np.cos(2 * np.pi * x) + 0.5 * np.cos(40 * np.pi * x), fine)
    data = fdiff.FiniteRankCovariance(np.array([0.5, 0.25]))
    process = fdiff.ForwardProcess(fdiff.BesselCovariance(), fdiff.LinearSchedule())
    out = budget.error_budget(process, mean, data, fdiff.Grid((16,)))
    assert_allclose(out.scale, math.sqrt(9 + 0.5 + 2 * 0.25), rtol=1e-9)
    assert_allclose(out.truncation, 0.5 / math.sqrt(2), rtol=1e-9)


@pytest.mark.parametrize("grid", [GRID, fdiff.Grid((4, 6), (1.0, 4.0))], ids=str)
def test_the_linear_models_error_is_summed_over_all_modes(grid):
    process = fdiff.ForwardProcess(fdiff.BesselCovariance(3.0, 4.0, 2.0), fdiff.LinearSchedule())
    data = fdiff.BesselCovariance(2.0, 2.0, 2.0)
    score, t = fdiff.WienerScore(process, 0.0, data), 0.2
    m, s = process.mean_factor(t), process.std(t)
    total = 0.0
    for index in np.argwhere(grid.basis.retained):
        k = tuple(index)
        halved = grid.basis.halved_axis
        pairs = 1 if grid.basis.wavenumbers(halved)[k[halved]] == 0 else 2
        c, q = data.eigenvalues(grid)[k], process.covariance.eigenvalues(grid)[k]
        total += pairs * c * s * s * q / (m * m * c + s * s * q)
    assert_allclose(score.mean_square_error(t, grid), total, rtol=1e-12)


def test_a_mixture_weighs_float32_states_in_float64():
    """Near t = 0 log odds of 1e5 differ by a few: one state in two precisions has one answer."""
    rough, t = fdiff.BesselCovariance(3.0, 4.0, 2.0), 1e-4
    process = fdiff.ForwardProcess(rough, fdiff.LinearSchedule())
    means = [fdiff.Field(u, GRID) for u in fields(2, 13)]
    # A score keeps its means for a grid: each precision asks one that was asked nothing before.
    one, other = (fdiff.MixtureScore(process, means, 1e-6 * rough) for _ in range(2))
    centres = [GRID.basis.project(GRID.basis.forward(mean.values)) for mean in means]
    # On the way from one mean to the other the odds change from one side to the other.
    shares = 0.5 + np.linspace(-1e-5, 1e-5, 9)[:, None, None]
    states = process.mean_factor(t) * ((1 - shares) * centres[0] + shares * centres[1])
    narrow = states.astype(np.complex64)
    found = one.denoise_coefficients(t, narrow, GRID)
    expected = other.denoise_coefficients(t, narrow.astype(complex), GRID)
    assert_allclose(found, expected, atol=1e-6 * np.abs(expected).max())
    assert np.abs(expected[0] - expected[-1]).max() > 0.1 * np.abs(expected).max()
