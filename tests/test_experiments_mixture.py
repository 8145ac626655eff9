"""The mixture experiment: its two problems against closed forms, its error measure when planted."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import fdiff  # noqa: E402
from fdiff import compat, noise  # noqa: E402
from fdiff.dataset.recipe import load  # noqa: E402
from fdiff.levels import restrict  # noqa: E402
from fdiff.score.mean import mean_coefficients  # noqa: E402
from validation.experiments import mixture, setting  # noqa: E402
from validation.experiments.mixture_problem import (  # noqa: E402
    PRIORS,
    SCHEDULE,
    TRAINED,
    Consistent,
    Published,
    means,
    prior,
    relative_spectrum,
    square,
)
from validation.experiments.mixture_results import Results  # noqa: E402
from validation.experiments.mixture_training import (  # noqa: E402
    compare,
    trained_errors,
    with_linspace,
)

COARSE = square(TRAINED)


def test_the_means_are_the_ramps_of_the_unit_square():
    """<x, e_k> = i / (2 pi k) for k > 0, and the mean value 1/2."""
    grid = square(64)
    first, second = (mean_coefficients(mean, grid) for mean in means("standard"))
    assert first[0, 3] == pytest.approx(1j / (6 * math.pi))
    assert second[2, 0] == pytest.approx(-1j / (4 * math.pi))
    assert second[-2, 0] == pytest.approx(1j / (4 * math.pi))
    assert first[0, 0] == pytest.approx(0.5)
    assert second[0, 0] == pytest.approx(0.5)
    assert np.count_nonzero(np.abs(first) > 1e-12) == 32
    filtered = mean_coefficients(means("bessel")[0], grid)[0, 3]
    mu = (6 * math.pi) ** 2
    assert filtered == pytest.approx((100 + mu) ** -0.55 * 1j / (6 * math.pi))


@pytest.mark.parametrize("n", [16, 33, 128])
def test_the_recipe_is_the_mixture_of_the_experiment(n):
    """Two derivations of one law: `fdiff.pde.mixture` and `mixture_problem`."""
    law, grid = load("paper-mixture").law, square(n)
    pair = [grid.basis.project(mean_coefficients(mean, grid)) for mean in means("bessel")]
    assert law.mean_coefficients(grid) == pytest.approx(np.stack(pair), abs=1e-15)
    q = law.covariance.eigenvalues(grid)
    assert q == pytest.approx(prior("bessel").eigenvalues(grid), rel=1e-12)
    assert law.probabilities.tolist() == [0.5, 0.5]


@pytest.mark.parametrize("name", ["standard", "inverse_laplacian", "bessel"])
def test_both_conventions_have_one_noise_on_the_training_grid(name):
    """Low modes agree up to the stencil's symbol, 1 - mu h^2 / 12 of the Laplacian's."""
    ours, theirs = (Q.eigenvalues(COARSE) for Q in (prior(name), Published(name).noise))
    assert theirs[:4, 1:4] == pytest.approx(ours[:4, 1:4], rel=0.04)
    fine = square(2 * TRAINED)
    kept = restrict(Published(name).noise.eigenvalues(fine), fine, COARSE)
    assert kept[:4, 1:4] == pytest.approx(ours[:4, 1:4] / 4, rel=0.04)


@pytest.mark.parametrize("name", PRIORS)
def test_our_priors_leave_no_mode_without_noise_but_one_zero_mode(name):
    q = prior(name).eigenvalues(COARSE)
    without = np.argwhere((q == 0) & COARSE.basis.retained)
    assert without.tolist() == ([[0, 0]] if name == "inverse_laplacian" else [])
    u = np.random.default_rng(0).standard_normal((2, *COARSE.shape))
    left, right = (prior(name).apply(u, COARSE)[i] * u[1 - i] for i in (0, 1))
    assert left.sum() == pytest.approx(right.sum())
    assert prior(name).is_trace_class(2) == (name != "standard")


@pytest.mark.parametrize("kind", [Consistent, Published])
@pytest.mark.parametrize("name", ["bessel", "combined"])
def test_training_fields_have_the_law_whose_score_is_the_trained_one(kind, name):
    """Mode by mode, E c = mean and E |c - mean|^2 = variance of the score's reference."""
    problem, size = kind(name), 600
    c = COARSE.basis.forward(problem.training_fields(size, seed=3)[:, 0])
    mean, covariance = problem.trained_score().reference
    expected = mean_coefficients(mean, COARSE)
    variance = covariance.eigenvalues(COARSE)
    kept = COARSE.basis.retained
    deviation = np.abs(c.mean(0) - expected)[kept] / np.sqrt(variance[kept] / size)
    assert np.mean(deviation**2) == pytest.approx(1.0, abs=0.3)
    ratio = (np.abs(c - expected) ** 2).mean(0)[kept] / variance[kept]
    assert ratio.mean() == pytest.approx(1.0, abs=0.02)
    assert np.abs(ratio - 1).max() < 0.4


def test_the_published_training_sees_twice_the_means_of_its_closed_form():
    trained, tested = (s.component_means(COARSE) for s in trained_and_tested("bessel"))
    gap = np.linalg.norm(trained) / np.linalg.norm(tested)
    assert gap == pytest.approx(2.0, abs=0.01)
    same = Consistent("bessel")
    assert same.trained_score().component_means(COARSE) == pytest.approx(
        restrict(same.score(64).component_means(square(64)), square(64), COARSE), abs=1e-15
    )


def trained_and_tested(name):
    problem = Published(name)
    return problem.trained_score(), problem.score(TRAINED)


def test_relative_spectrum_finds_planted_ratios():
    q = fdiff.BesselCovariance(1.0, 60.0, 1.5)
    white = noise.white_coefficients(COARSE, 0, noise.FIELD, 4000)
    length = np.sqrt(COARSE.basis.laplacian) / (2 * math.pi)
    planted = np.where(np.round(length) <= 3, 4.0, 0.5)
    found = relative_spectrum(white * np.sqrt(planted * q.eigenvalues(COARSE)), COARSE, q)
    assert found.ratios[:4] == pytest.approx([4.0] * 4, rel=0.06)
    assert found.ratios[4:] == pytest.approx([0.5] * 12, rel=0.03)
    fine = square(64)
    assert found.eigenvalues(fine)[20, 20] == pytest.approx(
        found.ratios[-1] * q.eigenvalues(fine)[20, 20]
    )
    assert found.tail_trace(COARSE) == pytest.approx(found.ratios[-1] * q.tail_trace(COARSE))


class Planted(torch.nn.Module):
    """The exact denoiser of a problem, its score too large by the factor 1 + error."""

    def __init__(self, exact, t, error):
        super().__init__()
        self.precision = torch.nn.Parameter(torch.zeros(1, dtype=torch.float64))
        self.exact, self.t, self.error, self.noise = exact, t, error, exact.process.covariance
        self.mean, self.covariance = exact.reference

    def denoise_coefficients(self, half_log_snr, c, grid, condition=None):
        m, s = SCHEDULE.mean_factor(self.t), SCHEDULE.std(self.t)
        state = c[:, 0].numpy()
        score = self.exact.score_coefficients(self.t, state, grid)
        return torch.from_numpy((state + s * s * (1 + self.error) * score) / m)[:, None]


def test_a_network_of_another_amplitude_is_asked_in_its_own():
    """Data a hundred times larger: exact once the input is multiplied, the score divided."""
    grid, t = square(16), 0.3
    one, large = (
        fdiff.MixtureScore(
            fdiff.ForwardProcess(factor**2 * prior("bessel"), SCHEDULE),
            [0.02 * factor, -0.02 * factor],
            factor**2 * prior("bessel"),
        )
        for factor in (1.0, 100.0)
    )
    network = Planted(large, t, 0.0)
    network.noise = one.process.covariance
    raw = compare(network, one, grid, [t], 8)
    by_hand = compare(network, one, grid, [t], 8, 100.0)
    assert by_hand[0, 0] < 1e-20 * by_hand[1, 0] < raw[0, 0]


@pytest.mark.parametrize("error", [0.0, 0.1])
def test_a_planted_error_is_found(error):
    exact, grid = Consistent("bessel").score(16), square(16)
    squares, norm, linear = compare(Planted(exact, 0.3, error), exact, grid, [0.3], 16)
    assert math.sqrt(squares[0] / norm[0]) == pytest.approx(error, abs=1e-9)
    assert 0.05 < math.sqrt(linear[0] / norm[0]) < 0.6


def test_the_norm_of_the_score_is_that_of_the_closed_form():
    """One component: S = -(x - m mu), so that E ||S||^2 = tr Q_n at every t."""
    grid = square(16)
    process = fdiff.ForwardProcess(prior("bessel"), SCHEDULE)
    exact = fdiff.MixtureScore(process, [0.3], prior("bessel"))
    norm = compare(Planted(exact, 0.3, 0.0), exact, grid, [0.3], 2000)[1]
    assert norm[0] == pytest.approx(prior("bessel").trace(grid), rel=0.05)


def test_the_published_network_sees_linspace():
    seen = []

    def spy(x, t, condition=None):
        seen.append(x)
        return x[:, :1]

    class Spy(torch.nn.Module):
        forward = staticmethod(spy)

    with_linspace(Spy())(torch.zeros(2, 1, 5, 5), torch.zeros(2))
    assert seen[0].shape == (2, 3, 5, 5)
    assert seen[0][1, 1, :, 0].tolist() == [0, 0.25, 0.5, 0.75, 1]
    assert seen[0][1, 2, 0].tolist() == [0, 0.25, 0.5, 0.75, 1]


def test_conventions_hold_as_claimed_and_a_broken_one_is_seen(monkeypatch):
    assert {claim.verdict for claim in mixture.conventions()} == {"PASS"}
    good = compat.downsample
    monkeypatch.setattr(compat, "downsample", lambda u, factor=2: good(u, factor) / factor)
    verdicts = [claim.verdict for claim in mixture.conventions()]
    assert verdicts.count("FAIL") == 1 + len(PRIORS)


def test_errors_are_averaged_over_equally_spaced_times_only():
    values = setting.load("mixture", "full")
    times = values["times"]
    assert np.diff(times[1:]) == pytest.approx([0.1] * (len(times) - 2))
    counts = len(values["resolutions"]) + 1
    one = {
        "error": np.ones((counts, len(times))) * 0.25,
        "norm": np.ones((counts, len(times))),
        "linear": np.ones((counts, len(times))),
        "by_hand": np.array([[0.09] * len(times), [1.0] * len(times)]),
    }
    one["error"][:, 0] = 1e6
    work = SimpleNamespace(map=lambda function, tasks: {key: one for key in tasks})
    results = Results(values, work)
    assert results.at("wiener", "bessel", 64) == pytest.approx([0.5] * 3)
    assert results.error("published", "fno").shape == (3, counts)
    assert results.absolute("plain", "standard") == pytest.approx(np.full((3, counts), 0.5))
    claims = list(mixture.comparisons(results))
    assert results.by_hand("fno") == pytest.approx([0.3] * 3)
    assert len(claims) == 4 * 10 + 2
    assert not any(claim.verdict == "FAIL" for claim in claims)


@pytest.mark.parametrize("mode", ["published", "plain", "wiener"])
def test_a_training_gives_finite_errors_and_depends_on_nothing_but_its_seed(mode):
    small = {
        "fields": 8, "steps": 2, "batch_size": 4, "learning_rate": 1e-2,
        "resolutions": [16, 32, 64], "times": [0.05, 0.5], "samples": [2, 2, 1],
        "network": {"hidden_channels": 4, "n_layers": 1, "n_modes": 16},
    }  # fmt: skip
    runs = [trained_errors(mode, "standard", seed, **small) for seed in (0, 0, 1)]
    for entry in ("error", "norm", "linear"):
        assert runs[0][entry].shape == (4, 2)
        assert np.isfinite(runs[0][entry]).all()
    np.testing.assert_array_equal(runs[0]["error"], runs[1]["error"])
    assert not np.array_equal(runs[0]["error"], runs[2]["error"])
