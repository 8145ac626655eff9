"""Q-Wiener and Ornstein-Uhlenbeck paths, linear equations: one function of time and space."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

import fdiff
from fdiff import levels, noise
from tests.problems import TP1
from tests.strategies import nested_grids, seeds

GRID = fdiff.Grid((24,))
PATH = fdiff.QWiener(TP1.prior, horizon=2.0, seed=7)
PROCESS = fdiff.ForwardProcess(TP1.prior, TP1.schedule)


def covariance_of_weights(path, times):
    """``E W_s W_t / Q``, exactly, from the weights of independent numbers."""
    from fdiff.paths import _brownian, _position

    weights = [_brownian(_position(t, path.horizon), path.horizon) for t in times]
    return np.array(
        [[sum(v * b.get(k, 0.0) for k, v in a.items()) for b in weights] for a in weights]
    )


@given(st.lists(st.floats(0, 2), min_size=1, max_size=5))
def test_the_law_is_brownian_exactly(times):
    expected = np.minimum.outer(times, times)
    assert_allclose(covariance_of_weights(PATH, times), expected, rtol=1e-12, atol=2 * 2.0**-31)


@given(seeds, st.integers(0, 6), st.data())
def test_coarse_increments_are_sums_of_fine_ones(seed, level, data):
    path = fdiff.QWiener(TP1.prior, 1.0, seed)
    fine = level + data.draw(st.integers(1, 4))
    j = data.draw(st.integers(0, 2**level - 1))
    a, b = j / 2**level, (j + 1) / 2**level
    coarse = path.increment(a, b, GRID, 2)
    ends = np.linspace(a, b, 2 ** (fine - level) + 1)
    parts = sum(path.increment(s, t, GRID, 2) for s, t in pairwise(ends))
    assert_allclose(parts, coarse, rtol=0, atol=1e-13)


@given(st.floats(0, 2), st.floats(0, 2), st.floats(0, 2))
def test_increments_add_up_at_any_times(a, b, c):
    a, b, c = sorted((a, b, c))
    total = PATH.increment(a, c, GRID)
    assert_allclose(PATH.increment(a, b, GRID) + PATH.increment(b, c, GRID), total, atol=1e-13)
    assert_allclose(PATH.coefficients(c, GRID) - PATH.coefficients(a, GRID), total, atol=1e-13)
    assert_array_equal(PATH.increment(0.0, c, GRID), PATH.coefficients(c, GRID))


def test_midpoints_are_the_bridge_of_the_specification():
    """``(W_a + W_b) / 2 + sqrt(Delta / 4) zeta`` with the written level and time index."""
    root = TP1.prior.multiplier(GRID, 0.5)
    for level, j in ((1, 0), (2, 1), (5, 11)):
        width = 2.0 / 2 ** (level - 1)
        a, b = j * width, (j + 1) * width
        zeta = noise.white_coefficients(GRID, 7, noise.PATHS, 1, root=root, level=level, time=j)
        ends = [PATH.coefficients(t, GRID) for t in (a, b)]
        middle = PATH.coefficients((a + b) / 2, GRID)
        assert_allclose(middle, (ends[0] + ends[1]) / 2 + math.sqrt(width / 4) * zeta, atol=1e-14)
        without = middle - (ends[0] + ends[1]) / 2
        assert np.abs(without).max() > 0.01  # a dropped bridge variance would give 0


def test_increments_are_independent_normal_and_have_their_variance():
    size, n = 400, 16
    ends = np.linspace(0, 2, n + 1)
    steps = np.stack([PATH.increment(a, b, GRID, size) for a, b in pairwise(ends)])
    q = TP1.prior.eigenvalues(GRID)[1:12]
    z = steps[:, :, 1:12] / np.sqrt(q * 2 / n)
    # Each of the 16 x 11 variances, as a sum of 2 size squares of normals.
    assert (np.abs((np.abs(z) ** 2).mean(1) - 1) < 5 / math.sqrt(size)).all()
    correlation = np.abs(np.einsum("isk,jsk->ij", z, z.conj())) / (size * 11)
    assert (correlation[~np.eye(n, dtype=bool)] < 5 / math.sqrt(size * 11)).all()


@given(nested_grids(max_dim=2), seeds, st.floats(0.01, 1.0))
def test_space_refinement_shares_the_modes(pair, seed, t):
    coarse, fine = pair
    path = fdiff.QWiener(fdiff.BesselCovariance(power=2.0), 1.0, seed)
    on_fine = levels.restrict(path.coefficients(t, fine, 2, 3), fine, coarse)
    assert_array_equal(on_fine, path.coefficients(t, coarse, 2, 3))


def test_what_space_refinement_adds_is_the_tail():
    coarse, fine = fdiff.Grid((17,)), fdiff.Grid((129,))
    size, t = 2000, 0.7
    w = PATH.coefficients(t, fine, size)
    rest = w - levels.prolong(levels.restrict(w, fine, coarse), coarse, fine)
    square = fine.basis.inner(rest, rest)
    expected = t * (TP1.prior.tail_trace(coarse) - TP1.prior.tail_trace(fine))
    assert abs(square.mean() - expected) < 4 * square.std() / math.sqrt(size)


def test_samples_channels_and_threads():
    grid = fdiff.Grid((80, 90), boundary="neumann")
    path = fdiff.QWiener(fdiff.MaternCovariance(), 1.0, 3)
    whole = path.increment(0.2, 0.9, grid, 4, channels=2)
    assert whole.shape == (4, 2, 80, 90)
    assert_array_equal(path.increment(0.2, 0.9, grid, 2, 1, channels=2, threads=2), whole[1:3])
    assert path(0.3, grid, 2).shape == (2, 80, 90)


def test_times_outside_the_path_are_refused():
    with pytest.raises(ValueError, match=r"lies in \[0, 2\], got 2.5"):
        PATH.coefficients(2.5, GRID)
    with pytest.raises(ValueError, match="forward in time"):
        PATH.increment(0.5, 0.2, GRID)
    with pytest.raises(ValueError, match="horizon must be positive"):
        fdiff.QWiener(TP1.prior, 0.0)
    with pytest.raises(TypeError, match="a seed is a whole number"):
        fdiff.QWiener(TP1.prior, 1.0, 0.5)


# Ornstein-Uhlenbeck paths


@given(st.lists(st.floats(0.0, 1.0), min_size=2, max_size=4))
def test_ornstein_uhlenbeck_weights_have_the_exact_law(times):
    from fdiff.paths import _ornstein_uhlenbeck, _position

    times = sorted(times)
    weights = [_ornstein_uhlenbeck(_position(t, 1.0), PROCESS) for t in times]
    for i, (s, a) in enumerate(zip(times, weights)):
        # A time is rounded by 2^-33, where B has the slope 20 at most.
        assert a[0] == pytest.approx(PROCESS.mean_factor(s), abs=3e-9)
        for t, b in zip(times[i:], weights[i:]):
            rho, _ = PROCESS.transition_factors(s, t)
            got = sum(v * b[1].get(k, 0.0) for k, v in a[1].items())
            assert got == pytest.approx(rho * PROCESS.std(s) ** 2, abs=1e-8)


def test_both_kinds_of_path_have_the_law_of_the_process():
    path = fdiff.OrnsteinUhlenbeckPath(PROCESS, seed=5)
    size = 3000
    x0 = TP1.data.sample_coefficients(GRID, size, seed=1)
    times = (0.1, 0.35, 0.8)
    steps = list(path.along(times, x0, GRID))
    for t, stepped in zip(times, steps):
        m, s = PROCESS.mean_factor(t), PROCESS.std(t)
        expected = m**2 * TP1.data.trace(GRID) + s**2 * TP1.prior.trace(GRID)
        for x in (path.at(t, x0, GRID), stepped):
            square = GRID.basis.inner(x, x)
            assert abs(square.mean() - expected) < 4 * square.std() / math.sqrt(size)
    rho, _ = PROCESS.transition_factors(0.1, 0.35)
    for x, y in ((steps[0], steps[1]), (path.at(0.1, x0, GRID), path.at(0.35, x0, GRID))):
        gain = GRID.basis.inner(x, y).mean() / GRID.basis.inner(x, x).mean()
        assert gain == pytest.approx(rho, abs=0.03)


def test_ornstein_uhlenbeck_paths_are_refined_in_any_order_and_space():
    path = fdiff.OrnsteinUhlenbeckPath(PROCESS, seed=5)
    fine = fdiff.Grid((60,))
    x0 = TP1.data.sample_coefficients(fine, 3, seed=1)
    coarse_x0 = levels.restrict(x0, fine, GRID)
    late = path.at(0.75, x0, fine)
    early = path.at(0.3, x0, fine)
    assert_array_equal(path.at(0.75, x0, fine), late)
    assert_allclose(levels.restrict(early, fine, GRID), path.at(0.3, coarse_x0, GRID), atol=1e-15)
    assert_array_equal(path.at(0.0, x0, fine), x0)
    # Continuous: the paths of nearby times are near, and a midpoint is not a mean of the ends.
    assert np.abs(path.at(0.300001, x0, fine) - early).max() < 0.05
    with pytest.raises(ValueError, match="expected coefficients"):
        path.at(0.3, x0[0], fine)


def test_expected_supremum_of_a_truncated_path():
    """``E sup |D_t|^2 / tau`` at B = 10.05 with D_0 = 0: 5.26 for one mode (real), below 22.1."""
    grid = fdiff.Grid((1,), boundary="neumann")  # one real mode
    Q = fdiff.FiniteRankCovariance(np.array([1.0]))
    process = fdiff.ForwardProcess(Q, TP1.schedule)
    path = fdiff.OrnsteinUhlenbeckPath(process, seed=2)
    size, n = 2000, 2000
    # Uniform in B, so that the steps resolve the supremum equally everywhere.
    times = [min(1.0, TP1.schedule.time_of(10.05 * i / n)) for i in range(1, n + 1)]
    top = np.zeros(size)
    for x in path.along(times, np.zeros((size, 1)), grid):
        np.maximum(top, x[:, 0] ** 2, out=top)
    spread = top.std() / math.sqrt(size)
    # The supremum over n steps falls short by about 0.58 sqrt(2 B / n) standard deviations.
    assert top.mean() == pytest.approx(5.26, abs=0.11 + 4 * spread + 0.25)
    assert top.mean() < 22.1


# Linear equations


@given(st.floats(0.0, 0.5), st.floats(0.001, 0.5))
def test_linear_transitions_are_a_semigroup(a, b):
    heat = fdiff.LinearSPDE(lambda mu: 0.1 * mu, TP1.prior)
    (d1, s1), (d2, s2), (d, s) = (heat.transition(h, GRID) for h in (a, b, a + b))
    assert_allclose(d1 * d2, d, rtol=1e-12)
    assert_allclose((d2 * s1) ** 2 + s2**2, s**2, rtol=1e-12, atol=1e-300)


def test_stochastic_heat_has_the_exact_variance_and_a_wiener_mean():
    heat = fdiff.LinearSPDE(lambda mu: 0.1 * mu, TP1.prior)
    size = 3000
    times = np.linspace(0.02, 0.2, 10)
    *_, last = heat.coefficients(times, GRID, size, seed=4)
    rates, q = heat.rates(GRID), TP1.prior.eigenvalues(GRID)
    with np.errstate(invalid="ignore"):
        exact = np.where(rates > 0, q * (1 - np.exp(-0.4 * rates)) / (2 * rates), 0.2 * q)
    got = (np.abs(last) ** 2).mean(0)
    inside = GRID.basis.retained
    assert_allclose(got[inside], exact[inside], rtol=5 * math.sqrt(2 / size))
    assert heat.stationary_variance(GRID)[0] == math.inf
    assert_allclose(heat.stationary_variance(GRID)[1:12], (q / (2 * rates + 1e-300))[1:12])


def test_linear_paths_do_not_depend_on_grid_batch_or_threads():
    equation = fdiff.LinearSPDE(lambda mu: 1 + 0.01 * mu, fdiff.BesselCovariance(power=2.0))
    coarse, fine = (fdiff.Grid(s, boundary=("periodic", "neumann")) for s in ((70, 80), (91, 82)))
    times = [0.1, 0.2, 0.5]
    start = fdiff.BesselCovariance().sample_coefficients(fine, 4)
    a = list(equation.coefficients(times, fine, 4, seed=9, start=start))
    b = list(
        equation.coefficients(
            times, coarse, 2, seed=9, first=1, threads=2,
            start=levels.restrict(start, fine, coarse)[1:3],
        )
    )  # fmt: skip
    for x, y in zip(a, b):
        assert_array_equal(levels.restrict(x[1:3], fine, coarse), y)
    fields = equation.sample(times, coarse, size=2, seed=9, channels=2)
    assert fields.shape == (3, 2, 2, 70, 80)


def test_rates_that_grow_are_refused():
    with pytest.raises(ValueError, match="rates must be finite and >= 0"):
        fdiff.LinearSPDE(lambda mu: mu - 1, TP1.prior).transition(0.1, GRID)
    with pytest.raises(ValueError, match="length >= 0"):
        next(fdiff.LinearSPDE(lambda mu: mu, TP1.prior).coefficients([-0.1], GRID))
