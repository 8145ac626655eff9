"""Observed orders: exact laws, floors, drifts, noise, and when not to judge."""

import csv
import io
import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from fdiff.convergence import (
    Record,
    Verdict,
    order,
    order_figure,
    to_csv,
    to_json,
    verdict_of,
    write_json,
)

STEPS = 2.0 ** -np.arange(3, 10)


@given(
    p=st.floats(0.3, 6),
    constant=st.floats(1e-3, 1e3),
    ratios=st.lists(st.floats(1.2, 4), min_size=2, max_size=8),
)
def test_power_law_gives_its_exponent(p, constant, ratios):
    steps = 1 / np.cumprod([1.0, *ratios])
    errors = constant * steps**p
    # The smallest error is far above the round-off of its own size.
    estimate = order(steps, errors, declared=p, scale=errors[-1])
    assert_allclose([estimate.observed, estimate.low, estimate.high], p, rtol=1e-6)
    assert estimate.verdict is Verdict.PASS
    assert estimate.used.all()


def test_order_of_the_arguments_does_not_matter():
    errors = STEPS**2 * (1 + STEPS)
    shuffle = np.random.default_rng(0).permutation(len(STEPS))
    a, b = order(STEPS, errors, declared=2), order(STEPS[shuffle], errors[shuffle], declared=2)
    assert (a.observed, a.low, a.high) == (b.observed, b.low, b.high)


@pytest.mark.parametrize("true", [0.5, 1.0, 2.0, 3.0])
@pytest.mark.parametrize("declared", [0.5, 1.0, 2.0, 3.0])
def test_verdict_is_two_sided(true, declared):
    errors = 0.3 * STEPS**true * (1 + 0.7 * STEPS)
    estimate = order(STEPS, errors, declared=declared)
    assert estimate.verdict is (Verdict.PASS if true == declared else Verdict.FAIL)
    assert estimate.low <= true <= estimate.high


def test_round_off_is_left_out_and_named():
    rng = np.random.default_rng(1)
    errors = 1e-2 * STEPS**6 + 2e-16 * rng.uniform(0.5, 2, len(STEPS)) / STEPS
    estimate = order(STEPS, errors, declared=6)
    assert estimate.verdict is Verdict.PASS
    assert "round-off" in estimate.reason
    assert not estimate.used[-1]
    scaled = order(STEPS, 1e9 * errors, declared=6, scale=1e9)
    assert_allclose(scaled.observed, estimate.observed, rtol=1e-9)


def test_exact_scheme_has_no_order_to_read():
    estimate = order(STEPS, np.full(len(STEPS), 1e-16), declared=2)
    assert estimate.verdict is Verdict.INCONCLUSIVE
    assert "round-off" in estimate.reason
    assert math.isnan(estimate.observed)
    assert order(STEPS, np.zeros(len(STEPS)), declared=2).verdict is Verdict.INCONCLUSIVE


def test_stagnation_above_every_floor_fails():
    """A scheme that converges to something else is wrong, not lost in round-off."""
    assert order(STEPS, STEPS**2 + 1e-4, declared=2).verdict is Verdict.FAIL


def weak_samples(rng, runs: int, noise: float, p: float = 1.0) -> np.ndarray:
    return 0.5 * STEPS**p + noise * rng.standard_normal((runs, len(STEPS)))


def test_monte_carlo_floor_is_left_out_and_named():
    samples = weak_samples(np.random.default_rng(2), 40_000, 0.3)
    estimate = order(STEPS, samples=samples, declared=1, tolerance=0.3)
    assert "Monte Carlo noise" in estimate.reason
    assert estimate.used[0]
    assert not estimate.used[-1]
    assert estimate.verdict is Verdict.PASS
    assert order(STEPS, samples=samples, declared=2, tolerance=0.3).verdict is Verdict.FAIL


def test_noise_alone_is_inconclusive():
    samples = np.random.default_rng(3).standard_normal((500, len(STEPS)))
    assert order(STEPS, samples=samples, declared=1).verdict is Verdict.INCONCLUSIVE


def strong_samples(rng, runs: int, p: float = 0.5) -> np.ndarray:
    """Squared distances of coupled runs: a common size of each path, and a little of its own."""
    path = rng.standard_exponential((runs, 1))
    return path * STEPS ** (2 * p) * rng.gamma(20, 1 / 20, (runs, len(STEPS)))


def test_interval_of_paired_runs_covers_and_is_narrow():
    rng, hits, widths, alone = np.random.default_rng(4), 0, [], []
    for seed in range(200):
        samples = strong_samples(rng, 60)
        estimate = order(STEPS, samples=samples, power=2, declared=0.5, seed=seed)
        hits += estimate.low <= 0.5 <= estimate.high
        widths.append(estimate.high - estimate.low)
        if seed < 20:
            unpaired = np.stack([rng.permutation(column) for column in samples.T], axis=1)
            other = order(STEPS, samples=unpaired, power=2, declared=0.5, seed=seed)
            alone.append(other.high - other.low)
    assert hits / 200 > 0.9
    assert np.mean(widths) < 0.5 * np.mean(alone)


def test_wrong_strong_order_is_found_out():
    rng, verdicts = np.random.default_rng(5), []
    for _ in range(50):
        samples = strong_samples(rng, 100, p=0.5)
        verdicts.append(order(STEPS, samples=samples, power=2, declared=1.0).verdict)
    assert set(verdicts) == {Verdict.FAIL}


def test_coarse_steps_before_the_asymptotic_range_are_left_out():
    errors = STEPS**2 * (1 + (30 * STEPS) ** 4)
    estimate = order(STEPS, errors, declared=2)
    assert not estimate.used[0]
    assert estimate.used[-1]
    assert estimate.low <= 2.01
    finer = order(STEPS / 16, (STEPS / 16) ** 2 * (1 + (30 * STEPS / 16) ** 4), declared=2)
    assert finer.verdict is Verdict.PASS


def test_orders_on_their_way_to_the_declared_one_are_not_judged():
    """A term of order 4 that fades: local orders 3.98, 3.95, ..., 3.6 are no proof against 3."""
    errors = STEPS**3 * (STEPS + 4e-4)
    estimate = order(STEPS, errors, declared=3)
    assert estimate.verdict is Verdict.INCONCLUSIVE
    assert "pre-asymptotic" in estimate.reason
    assert order(STEPS, errors, declared=2).verdict is not Verdict.PASS
    # The same order with a lower one that fades moves away from 3 and fails.
    assert order(STEPS, STEPS**2 * (1 + 3 * STEPS), declared=3).verdict is Verdict.FAIL


def test_scatter_is_not_judged():
    errors = STEPS * (1 + 0.9 * np.cos(7 * np.arange(len(STEPS))))
    estimate = order(STEPS, errors, declared=1)
    assert estimate.verdict is Verdict.INCONCLUSIVE
    assert "scatter" in estimate.reason


def test_scatter_within_the_band_is_good_enough():
    errors = STEPS * np.exp(0.035 * (-1.0) ** np.arange(len(STEPS)))  # local orders 1 +- .1
    estimate = order(STEPS, errors, declared=1)
    assert estimate.verdict is Verdict.PASS
    assert_allclose([estimate.low, estimate.high], [0.9, 1.1], atol=0.01)


EXACT_ORDER = STEPS**2  # the interval is the point 2


@pytest.mark.parametrize(
    ("errors", "declared", "says"),
    [
        (EXACT_ORDER, 2, "[2, 2] contains the declared order 2 and lies within the band 2 +- 0.15"),
        (EXACT_ORDER, 1.9, "[2, 2] lies within the band 1.9 +- 0.15"),
        (EXACT_ORDER, 3, "[2, 2] lies below the band 3 +- 0.15 of the declared order"),
        (EXACT_ORDER, 1, "[2, 2] lies above the band 1 +- 0.15 of the declared order"),
    ],
)
def test_the_reason_says_where_the_interval_lies(errors, declared, says):
    reason = order(STEPS, errors, declared=declared).reason
    assert reason == f"the 95 % interval {says}; read from {len(STEPS)} of {len(STEPS)} steps"


@pytest.mark.parametrize(
    ("tolerance", "declared", "says"),
    [
        (0.15, 1.1, "crosses the end 0.95 of the band 1.1 +- 0.15, so it neither passes nor fails"),
        (0.15, 0.9, "crosses the end 1.05 of the band 0.9 +- 0.15, so it neither passes nor fails"),
        (0.05, 1.0, "crosses both ends of the band 1 +- 0.05, so it neither passes nor fails"),
    ],
)
def test_the_reason_says_what_an_inconclusive_interval_crosses(tolerance, declared, says):
    errors = STEPS * np.exp(0.035 * (-1.0) ** np.arange(len(STEPS)))  # local orders 1 +- .1
    estimate = order(STEPS, errors, declared=declared, tolerance=tolerance)
    assert estimate.verdict is Verdict.INCONCLUSIVE
    assert f"interval [{estimate.low:.4g}, {estimate.high:.4g}] {says}" in estimate.reason


@pytest.mark.parametrize("n", [0, 1, 2])
def test_too_few_steps_are_not_judged(n):
    estimate = order(STEPS[:n], STEPS[:n] ** 2, declared=2)
    assert estimate.verdict is Verdict.INCONCLUSIVE
    assert "at least 3" in estimate.reason


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_errors_that_are_not_finite_fail(bad):
    errors = STEPS**2
    errors[2] = bad
    assert order(STEPS, errors, declared=2).verdict is Verdict.FAIL
    samples = np.tile(np.where(np.isfinite(errors), errors, np.nan), (10, 1))
    assert order(STEPS, samples=samples, declared=2).verdict is Verdict.FAIL


def test_wrong_arguments_are_refused():
    for arguments, options, message in [
        ((STEPS,), {}, "either errors or samples"),
        ((STEPS, STEPS[1:]), {}, "one error a step"),
        ((-STEPS, STEPS), {}, "positive and differ"),
        (([1.0, 1.0, 0.5], [1, 1, 1]), {}, "positive and differ"),
        ((STEPS, -STEPS), {}, "not be negative"),
        ((STEPS,), {"samples": [STEPS]}, "at least 2 runs"),
    ]:
        with pytest.raises(ValueError, match=message):
            order(*arguments, declared=1, **options)


def test_verdicts_compare_intervals():
    assert verdict_of(0.9, 1.1, 0.8, 1.2) is Verdict.PASS
    assert verdict_of(0.7, 1.1, 0.8, 1.2) is Verdict.INCONCLUSIVE
    assert verdict_of(0.5, 1.5, 0.8, 1.2) is Verdict.INCONCLUSIVE
    assert verdict_of(1.3, 1.4, 0.8, 1.2) is Verdict.FAIL
    assert verdict_of(math.nan, math.nan, 0.8, 1.2) is Verdict.FAIL


def test_records_survive_json_and_csv(tmp_path):
    nan = math.nan
    records = [
        Record("a, b", "§2", 2.0, 1.98, 1.9, 2.1, Verdict.PASS, 0.5),
        Record("c", "§3", 1.0, nan, nan, nan, Verdict.INCONCLUSIVE, 0.1, "too few"),
    ]
    keys = {"claim", "source", "declared", "observed", "low", "high", "verdict", "seconds"}
    read = json.loads(to_json(records))
    assert keys <= set(read[0])
    assert (read[0]["verdict"], read[1]["observed"]) == ("PASS", None)
    rows = list(csv.DictReader(io.StringIO(to_csv(records))))
    assert (rows[0]["claim"], float(rows[0]["high"])) == ("a, b", 2.1)
    assert json.loads(write_json(records, tmp_path / "records.json").read_text()) == read


def test_figure_shows_every_series():
    pytest.importorskip("matplotlib")
    rng = np.random.default_rng(6)
    figure = order_figure(
        {
            "strong": order(STEPS, samples=strong_samples(rng, 50), power=2, declared=0.5),
            "weak": order(STEPS, samples=weak_samples(rng, 10_000, 0.3), declared=1.0),
            "exact": order(STEPS, np.zeros(len(STEPS)), declared=2.0),
        }
    )
    axes = figure.axes[0]
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    assert len(axes.containers) == 3  # strong; weak, used and not used
