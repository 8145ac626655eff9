"""The forward process: exact transitions, the semigroup, bridges, the truncation formula."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

import fdiff
from fdiff import levels, noise
from tests.problems import TP1
from tests.strategies import as_kind, as_numpy, dtypes, field, grids, kinds, nested_grids, seeds

PROCESS = fdiff.ForwardProcess(TP1.prior, TP1.schedule)
SMOOTH = fdiff.ForwardProcess(fdiff.BesselCovariance(power=2.0), TP1.schedule)


def test_verified_bridge():
    start, end, spread = PROCESS.bridge_factors(0.3, 0.7)
    assert start == pytest.approx(0.6226782890, rel=1e-9)
    assert end == pytest.approx(0.0814641606, rel=1e-8)
    assert spread**2 == pytest.approx(0.5970776080, rel=1e-9)


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))
def test_transitions_are_a_semigroup(a, b, c):
    r, s, t = sorted((a, b, c))
    rho1, spread1 = PROCESS.transition_factors(r, s)
    rho2, spread2 = PROCESS.transition_factors(s, t)
    rho, spread = PROCESS.transition_factors(r, t)
    assert rho1 * rho2 == pytest.approx(rho, rel=1e-13)
    assert (rho2 * spread1) ** 2 + spread2**2 == pytest.approx(spread**2, rel=1e-12, abs=1e-15)


@given(st.floats(0.001, 0.999), st.floats(0.001, 1))
def test_a_bridge_is_the_conditional_law(fraction, t):
    """Its mean and variance against the joint Gaussian law of ``(X_r, X_t)`` given ``X_0``."""
    r = fraction * t
    start, end, spread = PROCESS.bridge_factors(r, t)
    m, s = PROCESS.mean_factor(r), PROCESS.std(r)
    rho, _ = PROCESS.transition_factors(r, t)
    s_t, m_t = PROCESS.std(t), PROCESS.mean_factor(t)
    gain = rho * s**2 / s_t**2
    assert end == pytest.approx(gain, rel=1e-10)
    assert start == pytest.approx(m - gain * m_t, rel=1e-6, abs=1e-12)
    assert spread**2 == pytest.approx(s**2 * (1 - gain * rho), rel=1e-6, abs=1e-12)


def test_a_bridge_ends_where_it_should():
    grid = fdiff.Grid((16,))
    x0, xt = TP1.data.sample(grid, 3), TP1.data.sample(grid, 3, first=3)
    assert_allclose(
        PROCESS.bridge(x0, xt, 0.0, 0.7, grid),
        grid.basis.inverse(grid.basis.project(grid.basis.forward(x0))),
        atol=1e-12,
    )
    assert_allclose(PROCESS.bridge(x0, xt, 0.7, 0.7, grid), xt, atol=1e-12)


def test_a_dropped_bridge_variance_is_noticed():
    """Start law through the bridge: ``X_r`` must have the marginal variance; without noise not."""
    grid = fdiff.Grid((64,))
    size, r, t = 3000, 0.3, 0.7
    x0 = np.zeros((size, 64))
    xt = PROCESS.perturb(x0, t, grid, seed=3)
    xr = PROCESS.bridge(x0, xt, r, t, grid, seed=4)
    start, end, _ = PROCESS.bridge_factors(r, t)
    expected = PROCESS.std(r) ** 2 * TP1.prior.trace(grid)
    got = (xr**2).mean()
    assert got == pytest.approx(expected, rel=0.05)
    assert ((start * x0 + end * xt) ** 2).mean() < 0.5 * expected


@given(grids(max_side=6), kinds, dtypes, st.sampled_from([(), (2,), (2, 3)]), seeds)
def test_perturb_keeps_shape_kind_and_precision(grid, kind, dtype, lead, seed):
    x0 = as_kind(field(grid, 0, lead, dtype), kind)
    xt = SMOOTH.perturb(x0, 0.3, grid, seed=seed)
    assert tuple(xt.shape) == tuple(x0.shape)
    assert xt.dtype == x0.dtype
    reference = SMOOTH.perturb(field(grid, 0, lead), 0.3, grid, seed=seed)
    tolerance = 1e-5 if dtype == np.float32 else 1e-12
    assert_allclose(as_numpy(xt), reference, rtol=0, atol=tolerance * (1 + np.abs(reference).max()))


@pytest.mark.parametrize("kind", ["numpy", "torch"])
def test_one_time_per_sample(kind):
    grid = fdiff.Grid((8, 8))
    x0 = as_kind(field(grid, 0, (3, 2)), kind)
    t = as_kind(np.array([0.1, 0.4, 0.9]), kind)
    together = as_numpy(SMOOTH.perturb(x0, t, grid, seed=1))
    for i, time in enumerate((0.1, 0.4, 0.9)):
        alone = as_numpy(SMOOTH.perturb(x0[i : i + 1], time, grid, seed=1, first=i))
        assert_allclose(together[i : i + 1], alone, atol=1e-13)
    with pytest.raises(ValueError, match="one per sample"):
        SMOOTH.perturb(x0, t[:2], grid)


@given(nested_grids(max_side=5), seeds, st.floats(0.01, 1.0))
def test_perturbing_commutes_with_restriction(pair, seed, t):
    coarse, fine = pair
    c = fine.basis.project(fine.basis.forward(field(fine, 0, (2,))))
    fine_first = levels.restrict(SMOOTH.perturb_coefficients(c, t, fine, seed), fine, coarse)
    coarse_first = SMOOTH.perturb_coefficients(levels.restrict(c, fine, coarse), t, coarse, seed)
    assert_array_equal(fine_first, coarse_first)


def test_the_marginal_is_the_transitions():
    grid = fdiff.Grid((64,))
    size = 4000
    x0 = TP1.data.sample(grid, size)
    m, s = PROCESS.mean_factor(0.4), PROCESS.std(0.4)
    expected = m**2 * TP1.data.trace(grid) + s**2 * TP1.prior.trace(grid)
    direct = PROCESS.perturb(x0, 0.4, grid, seed=1)
    half = PROCESS.transition(x0, 0.0, 0.15, grid, seed=2)
    steps = PROCESS.transition(half, 0.15, 0.4, grid, seed=2, time=1)
    for x in (direct, steps):
        assert (x**2).mean() == pytest.approx(expected, rel=0.05)
    with pytest.raises(ValueError, match="forward in time"):
        PROCESS.transition(x0, 0.4, 0.1, grid)


def test_truncation_error_is_exactly_the_formula():
    """``E |X_t - X_t^n|^2 = m^2 E_0 + s^2 tau``: same path, noise cut at n, data cut at n."""
    fine, coarse = fdiff.Grid((257,)), fdiff.Grid((17,))
    size, t = 2000, 0.2
    c0 = TP1.data.sample_coefficients(fine, size, seed=7)
    ct = PROCESS.perturb_coefficients(c0, t, fine, seed=8)
    kept = levels.prolong(
        PROCESS.perturb_coefficients(levels.restrict(c0, fine, coarse), t, coarse, seed=8),
        coarse,
        fine,
    )
    difference = fine.basis.inner(ct - kept, ct - kept)
    m, s = PROCESS.mean_factor(t), PROCESS.std(t)

    def between(Q):
        return Q.tail_trace(coarse) - Q.tail_trace(fine)

    expected = m**2 * between(TP1.data) + s**2 * between(TP1.prior)
    spread = difference.std() / math.sqrt(size)
    assert abs(difference.mean() - expected) < 4 * spread
    assert spread < 0.02 * expected


def test_one_seed_serves_all_uses_independently():
    grid = fdiff.Grid((32,))
    size = 400
    white = {
        purpose: noise.white_coefficients(grid, 1, purpose, size)[:, 1:16]
        for purpose in (noise.FIELD, noise.START, noise.STEPS, noise.PERTURBATION, noise.PATHS)
    }
    for a in white:
        for b in white:
            correlation = np.abs((white[a] * white[b].conj()).mean(0))
            assert (correlation.max() < 5 / math.sqrt(size)) == (a != b)
