"""Several fields at once: covariances, scores and samples know their number of channels."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from problems import TP1

import fdiff
from fdiff import solvers
from tests.strategies import covariances, field, grids

GRID = fdiff.Grid((6, 5), (1.0, 4.0), ("neumann", "periodic"))
PRIOR = fdiff.BesselCovariance(30.0, 25.0, 1.5)
PROCESS = fdiff.ForwardProcess(PRIOR, TP1.schedule)
SPECTRA = (fdiff.BesselCovariance(900.0, 25.0, 2.5), fdiff.BesselCovariance(4.0, 9.0, 2.0))
BOTH = fdiff.ChannelCovariance(SPECTRA)
MEAN = fdiff.Field(np.stack([SPECTRA[0].sample(GRID, 1, 7)[0], 3.0 + 0 * field(GRID)]), GRID)
SCORE = fdiff.GaussianScore(PROCESS, MEAN, BOTH)


def alone(i):
    """The score of channel ``i`` by itself."""
    return fdiff.GaussianScore(PROCESS, fdiff.Field(MEAN.values[i], GRID), SPECTRA[i])


# Covariances


@given(grids(max_dim=3, max_side=5), covariances(), covariances(), st.integers(0, 99))
def test_a_covariance_of_channels_is_one_operator_a_channel(grid, first, second, seed):
    both = fdiff.ChannelCovariance((first, second))
    u = field(grid, seed, (3, 2))
    applied, variance = both.apply(u, grid, 0.5), both.pointwise_variance(grid)
    drawn = both.sample(grid, 3, seed, 2)
    for i, operator in enumerate((first, second)):
        assert_allclose(applied[:, i], operator.apply(u[:, i], grid, 0.5), rtol=1e-12, atol=1e-12)
        assert_array_equal(variance[i], operator.pointwise_variance(grid))
        # Channel i of the keyed noise, coloured by operator i.
        expected = operator.sample(grid, 3, seed, 2, channels=2)[:, i]
        assert_allclose(drawn[:, i], expected, rtol=1e-12, atol=1e-12 * np.abs(expected).max())


@given(grids(max_dim=2, max_side=5), covariances(), covariances(), st.floats(0.1, 9.0))
def test_covariances_of_channels_add_and_scale_channel_by_channel(grid, first, second, factor):
    both, q = fdiff.ChannelCovariance((first, second)), PRIOR.eigenvalues(grid)
    own = both.eigenvalues(grid)
    for total in (both + PRIOR, PRIOR + both, both + fdiff.ChannelCovariance((PRIOR, PRIOR))):
        assert_allclose(total.eigenvalues(grid), own + q, rtol=1e-14)
    assert_allclose((factor * both).eigenvalues(grid), factor * own, rtol=1e-14)
    with pytest.raises(TypeError):
        _ = both + fdiff.ChannelCovariance((PRIOR,))


def test_the_summary_of_channels_shows_each_channels_table():
    summary = BOTH.summary(GRID)
    assert summary.channels == tuple(operator.summary(GRID) for operator in SPECTRA)
    tables = [f"channel {i}: {operator.summary(GRID)}" for i, operator in enumerate(SPECTRA)]
    assert str(summary) == "\n".join(tables)
    assert summary.as_dict()["channels"][1] == SPECTRA[1].summary(GRID).as_dict()


def test_what_channels_do_not_have_is_refused_by_name():
    with pytest.raises(AttributeError, match=r"several channels has no kernel of its own"):
        BOTH.kernel(GRID)
    with pytest.raises(AttributeError, match="no attribute 'colour'"):
        _ = BOTH.colour
    with pytest.raises(ValueError, match="has 2 channels, got channels=3"):
        BOTH.sample(GRID, channels=3)
    assert copy.deepcopy(BOTH) == pickle.loads(pickle.dumps(BOTH)) == BOTH


def test_white_noise_in_one_channel_is_warned_of():
    rough = fdiff.ChannelCovariance((SPECTRA[0], fdiff.WhiteNoise()))
    with pytest.warns(fdiff.TraceClassWarning, match="WhiteNoise"):
        rough.sample(GRID, 1)


# Scores


@pytest.mark.parametrize(
    ("score", "channels"),
    [
        (SCORE, 2),
        (fdiff.GaussianScore(PROCESS, 0.0, BOTH), 2),
        (fdiff.WienerScore(PROCESS, MEAN, SPECTRA[0]), 2),
        (fdiff.GaussianScore(PROCESS, 0.0, SPECTRA[0]), None),
        (alone(0), None),
        (fdiff.MixtureScore(PROCESS, [MEAN, 0.0], SPECTRA[0]), 2),
        (fdiff.MixtureScore(PROCESS, [1.0, 0.0], SPECTRA[0]), None),
        (fdiff.MixtureScore(PROCESS, [1.0, 0.0], BOTH), 2),
        (fdiff.MixtureScore(PROCESS, MEAN, SPECTRA[0]), None),  # two components of one field
        (fdiff.EmpiricalScore(PROCESS, field(GRID, 0, (4, 3)), GRID), 3),
        (fdiff.EmpiricalScore(PROCESS, field(GRID, 0, (4,)), GRID), None),
    ],
)
def test_a_score_knows_how_many_channels_its_fields_have(score, channels):
    assert score.channels == channels


def test_a_mean_and_a_covariance_of_other_channels_are_refused():
    three = fdiff.ChannelCovariance((*SPECTRA, PRIOR))
    with pytest.raises(ValueError, match="the mean has 2 channels and the covariance 3"):
        _ = fdiff.GaussianScore(PROCESS, MEAN, three).channels


@pytest.mark.parametrize("solver", [solvers.GaussianExact(), solvers.Ancestral()])
@pytest.mark.parametrize("size", [1, 2, 3])
def test_samples_have_the_channels_of_the_score_without_being_told(solver, size):
    """A size of two is not taken for two channels."""
    out = fdiff.sample(SCORE, GRID, size, 4, solver, seed=3, start="exact").fields
    assert out.shape == (size, 2, *GRID.shape)
    told = fdiff.sample(SCORE, GRID, size, 4, solver, seed=3, start="exact", channels=2)
    assert_array_equal(out, told.fields)
    for i in range(2):  # each channel by itself, on the same noise
        one = fdiff.sample(alone(i), GRID, size, 4, solver, seed=3, start="exact", channels=2)
        assert_allclose(out[:, i], one.fields[:, i], rtol=1e-12, atol=1e-12)


def test_wrong_channels_are_refused_in_a_sentence():
    x = field(GRID, 1, (4, 3))
    with pytest.raises(ValueError, match="have 2 channels, got channels=1: leave channels out"):
        fdiff.sample(SCORE, GRID, 2, channels=1)
    with pytest.raises(ValueError, match=r"have 2 channels: expected .*\(samples, 2\).*got \(4, 3"):
        fdiff.sample(SCORE, GRID, 4, start=x)
    for call in (SCORE.denoise, SCORE, lambda t, x, g: SCORE.log_density_ratio(t, x, x, g)):
        with pytest.raises(ValueError, match="have 2 channels"):
            call(0.3, x[:, 0], GRID)
    with pytest.raises(ValueError, match="have 2 channels"):
        solvers.fitted_times(SCORE, GRID, 4, channels=3)


def test_a_mixture_with_a_spectrum_for_each_channel_has_that_variance():
    one = fdiff.MixtureScore(PROCESS, [MEAN, fdiff.Field(-MEAN.values, GRID)], BOTH)
    drawn = fdiff.sample(one, GRID, 4000, 40, seed=1).fields
    variance = BOTH.pointwise_variance(GRID) + MEAN.values**2
    assert drawn.shape == (4000, 2, *GRID.shape)
    assert_allclose((drawn**2).mean(0).mean((1, 2)), variance.mean((1, 2)), rtol=0.1)


# Densities


def slow_ratio(i, t, x, y):
    """``ln p_t(y) - ln p_t(x)`` of channel ``i``, mode by mode, in real coordinates."""
    m, s = PROCESS.mean_factor(t), PROCESS.std(t)
    sigma = m**2 * SPECTRA[i].eigenvalues(GRID) + s**2 * PRIOR.eigenvalues(GRID)
    kept = GRID.basis.retained
    mu, a, b = (GRID.basis.forward(u)[..., kept] for u in (MEAN.values[i], x, y))
    weight = (GRID.basis.weights[kept]) / sigma[kept]
    return 0.5 * (weight * (np.abs(a - m * mu) ** 2 - np.abs(b - m * mu) ** 2)).sum(-1)


def test_the_density_of_a_function_of_two_channels_is_the_product_of_theirs():
    t, x, y = 0.3, field(GRID, 1, (5, 2)), field(GRID, 2, (5, 2))
    expected = sum(slow_ratio(i, t, x[:, i], y[:, i]) for i in range(2))
    assert_allclose(SCORE.log_density_ratio(t, x, y, GRID), expected, rtol=1e-10)
    assert_allclose(SCORE.log_density_ratio(t, x[0], y[0], GRID), expected[0], rtol=1e-10)


@pytest.mark.parametrize("lead", [(), (5,), (5, 1), (5, 3)])
@pytest.mark.parametrize("kind", ["gaussian", "mixture"])
def test_a_sample_has_one_density_whatever_its_channels(lead, kind):
    score = alone(0)
    if kind == "mixture":
        score = fdiff.MixtureScore(PROCESS, [score.mean, 0.5], SPECTRA[0], (0.3, 0.7))
    x, y = field(GRID, 1, lead), field(GRID, 2, lead)
    ratio = score.log_density_ratio(0.2, x, y, GRID)
    assert ratio.shape == lead[:1]
    if len(lead) == 2:  # independent channels of one law
        one = [score.log_density_ratio(0.2, x[:, i], y[:, i], GRID) for i in range(lead[1])]
        assert_allclose(ratio, sum(one), rtol=1e-10)


@pytest.mark.parametrize("score", [SCORE, fdiff.MixtureScore(PROCESS, [1.0, -1.0], SPECTRA[0])])
def test_the_score_is_q_times_the_gradient_of_the_density_over_all_channels(score):
    t, step = 0.3, 1e-5
    x = field(GRID, 1, (3, 2))
    direction = BOTH.sample(GRID, 3, 9)
    slope = score.log_density_ratio(t, x - step * direction, x + step * direction, GRID)
    gradient = PRIOR.apply(score(t, x, GRID), GRID, power=-1.0)
    inner = GRID.cell_volume * (gradient * direction).reshape(3, -1).sum(-1)
    assert_allclose(slope / (2 * step), inner, rtol=1e-5, atol=1e-5)


def test_metropolis_steps_decide_for_all_channels_of_a_sample_at_once():
    corrector = solvers.PredictorCorrector(corrections=2, step_size=0.4, metropolis=True)
    out = fdiff.sample(SCORE, GRID, 40, 6, corrector, seed=1, start="exact").fields
    assert out.shape == (40, 2, *GRID.shape)
    assert np.isfinite(out).all()
