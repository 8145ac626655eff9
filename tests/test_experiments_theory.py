"""The theory experiment: its tails, its estimate of the network's part, and the threshold."""

import numpy as np
import pytest

import fdiff

pytest.importorskip("torch")

from validation.experiments import patterns, theory_tasks
from validation.experiments import setting as settings
from validation.experiments.patterns import grid_of


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("fields")
    patterns.make(path, 24, 24, {}, 1)
    return str(path)


@pytest.fixture(scope="module")
def v():
    return settings.load("theory", "quick").values | {"lambdas": 400, "fields": 4}


def test_energy_beyond_a_grid_is_that_of_its_missing_modes():
    grid = grid_of(16)
    c = np.random.default_rng(0).standard_normal((5, 16, 16))
    kept = np.zeros((16, 16), bool)
    kept[:6, :6] = True
    slow = (c**2 * ~kept).sum((1, 2)).mean()
    assert theory_tasks.beyond(c, grid, 6) == pytest.approx(slow)
    assert theory_tasks.beyond(c, grid, 16) == 0


def test_tails_are_sums_over_the_modes_up_to_the_finest_grid(folder, v):
    _, noise = theory_tasks.tails(folder, v, 1.75)
    q = theory_tasks.prior_of(folder, v, 1.75).eigenvalues(patterns.BOX)
    slow = [q.sum() - q[:n, :n].sum() for n in v["truncations"]]
    np.testing.assert_allclose(noise, slow, rtol=1e-6)


def test_truncation_of_pure_noise_is_its_tail(folder, v):
    """At T hardly anything of the data is left."""
    rows = [theory_tasks.truncated(folder, i, v | {"times": [1.0]})[0] for i in range(v["sets"])]
    _, noise = theory_tasks.tails(folder, v, v["power"])
    np.testing.assert_allclose(np.mean(rows, 0), noise, rtol=0.05)


def test_path_integral_of_a_gap_in_one_mode(folder, v):
    """``K_k m d`` in one mode, integrated: ``int sqrt(c m^2 / Sigma) d dl`` by a fine sum."""
    gap = np.zeros((v["lambdas"], 32, 32))
    gap[:, 2, 3] = 0.25
    grid = grid_of(32)
    c = patterns.training_set(folder, 32).covariance.eigenvalues(grid)[2, 3]
    q = theory_tasks.prior_of(folder, v, v["power"]).eigenvalues(grid)[2, 3]
    t = np.linspace(1e-3, 1.0, 200001)
    lam, m, s = (getattr(patterns.SCHEDULE, f)(t) for f in ("half_log_snr", "mean_factor", "std"))
    rate = 0.5 * np.sqrt(m**2 * c / (m**2 * c + s**2 * q))
    slow = -np.trapezoid(rate, lam)
    assert theory_tasks.path_integral(gap, folder, v) == pytest.approx(slow, rel=1e-3)


def test_networks_of_equal_weights_have_no_gap(folder, v):
    score = patterns.score_of(
        patterns.build(folder, theory_tasks.prior_of(folder, v, 1.75), 32, 0, v["network"])
    )
    weights = theory_tasks.weights_of(score.denoiser)
    again = theory_tasks.restored(folder, v, 1.75, weights + 0.01)
    few = v | {"lambdas": 3}
    gap, excess = theory_tasks.network_gap(folder, score, score, 0, few)
    assert not gap.any()
    assert not excess.any()
    gap, _ = theory_tasks.network_gap(folder, again, score, 0, few)
    assert gap.shape == (3, 32, 32)
    assert gap.sum() > 0


def test_spectral_distance_of_a_scaled_field():
    u = fdiff.BesselCovariance(1.0, 20.0, 2.0).sample(grid_of(32), 20, seed=0, channels=1)
    assert theory_tasks.spectral_distance(1.1 * u, u, grid_of(32)) == pytest.approx(0.1)
    assert theory_tasks.spectral_distance(u, u, grid_of(32)) == 0


def test_marginal_distance_of_a_shift():
    u = np.random.default_rng(0).standard_normal((4, 1, 32, 32))
    assert theory_tasks.marginal_w2(u + 0.3, u) == pytest.approx(0.3)


def test_lost_modes_of_the_flow_are_those_beyond_the_threshold(folder, v):
    powers = [1.75, 4.0, 5.5, 7.0]
    laws = theory_tasks.sweep(folder, powers, v)
    np.testing.assert_array_equal(laws["lost_ode"], laws["beyond"])
    assert laws["lost_ode"][0] == 0 < laws["lost_ode"][-1]


def test_threshold_is_where_the_ratio_crosses_one():
    powers = np.array([1.0, 2.0, 3.0])
    assert theory_tasks.threshold(powers, np.array([1e-2, 1e-1, 10.0])) == pytest.approx(2.5)
    assert theory_tasks.threshold(powers, np.array([1e-3, 1e-2, 1e-1])) == np.inf
