"""Intervals: coverage of the bootstrap and the jackknife where the answer is known."""

import numpy as np
from numpy.testing import assert_allclose

from fdiff.metrics.estimate import bootstrap, bootstrap_estimate, grouped_jackknife, normal, student


def test_bootstrap_of_a_mean_covers():
    rng, hits = np.random.default_rng(0), 0
    for seed in range(300):
        table = rng.standard_exponential((80, 1))
        estimate = bootstrap_estimate(lambda m: m[..., 0], [table], seed)
        hits += estimate.low <= 1.0 <= estimate.high
    assert 0.89 < hits / 300 < 0.98


def test_bootstrap_of_a_distance_has_zero_in_reach():
    """|difference of means| of equal laws: biased upward, as all distances of samples are."""
    rng, hits = np.random.default_rng(1), 0
    for seed in range(300):
        tables = [rng.standard_normal((60, 1)), rng.standard_normal((90, 1))]
        low = bootstrap_estimate(lambda a, b: np.abs(a - b)[..., 0], tables, seed, floor=0.0).low
        hits += low == 0.0
    assert 0.9 < hits / 300 < 0.98


def test_interval_holds_the_value_and_two_tables_are_drawn_apart():
    table = np.random.default_rng(2).standard_normal((40, 3))
    value, low, high = bootstrap(lambda a, b: a - b, [table, table])
    assert_allclose(value, 0.0)
    assert np.all((low < 0) & (high > 0))  # with the same draws for both it would be [0, 0]


def test_a_seed_gives_one_interval():
    table = np.random.default_rng(3).standard_normal((40, 1))
    first, same, other = (bootstrap_estimate(lambda m: m[..., 0], [table], s) for s in (5, 5, 6))
    assert first == same != other


def test_jackknife_over_groups_estimates_the_variance_of_a_mean():
    rng = np.random.default_rng(4)
    estimates = []
    for _ in range(200):
        values = rng.standard_normal(100)
        estimates.append(grouped_jackknife(lambda kept, v=values: v[kept].mean(), 100, 20))
    assert_allclose(np.mean(estimates), 0.01, rtol=0.1)


def test_floor_cuts_the_lower_end_only():
    estimate = normal(0.1, 1.0, floor=0.0)
    assert estimate.low == 0.0
    assert_allclose(estimate.high, 2.059963984540054)
    assert normal(-0.1, 0.0, floor=0.0).low == -0.1  # the value itself is never cut


def test_students_interval_covers_with_three_runs():
    rng = np.random.default_rng(5)
    inside = 0
    for _ in range(2000):
        estimate = student(rng.normal(1.0, 2.0, 3))
        inside += estimate.low <= 1.0 <= estimate.high
    assert 0.935 < inside / 2000 < 0.965
    assert_allclose(student([2.0]).high, 2.0)
