"""Scores against closed forms, slow twins, and each other in two precisions and two backends."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose
from problems import TP1

import fdiff
from fdiff import noise

GRIDS = [
    fdiff.Grid((16,)),
    fdiff.Grid((9,), boundary="neumann"),
    fdiff.Grid((8, 7), (1.0, 2.0), ("periodic", "neumann")),
    fdiff.Grid((6, 5), boundary="periodic"),
    fdiff.Grid((5, 4, 6), boundary=("dirichlet", "periodic", "periodic")),
]
PROCESS = fdiff.ForwardProcess(
    fdiff.BesselCovariance(scale=30.0, shift=25.0, power=1.5), TP1.schedule
)
DATA = fdiff.BesselCovariance(scale=900.0, shift=25.0, power=2.5)


def fields(grid, size, seed):
    return DATA.sample(grid, size, seed) + 0.3


def mixture(grid, weights=(0.2, 0.5, 0.3)):
    return fdiff.MixtureScore(PROCESS, fdiff.Field(fields(grid, 3, 5), grid), DATA, weights)


def real_modes(grid, c):
    """Real coordinates of coefficients on retained modes, an orthonormal basis of H_n."""
    scaled = (np.sqrt(grid.basis.weights) * c)[..., grid.basis.retained]
    return np.concatenate([scaled.real, scaled.imag], -1) if np.iscomplexobj(c) else scaled


def log_density(score, t, x, grid):
    """Slow twin: ``ln p_t`` of a mixture in real coordinates, up to a constant."""
    m, s = PROCESS.mean_factor(t), PROCESS.std(t)
    sigma = m * m * DATA.eigenvalues(grid) + s * s * PROCESS.covariance.eigenvalues(grid)
    spread = real_modes(grid, np.sqrt(sigma / grid.basis.weights))
    if grid.basis.is_complex:
        spread = np.concatenate([spread, spread], -1)
    c = real_modes(grid, grid.basis.forward(x))
    means = real_modes(grid, grid.basis.forward(score.means.values))
    quadratic = [-0.5 * (((c - m * mu) / spread) ** 2).sum(-1) for mu in means]
    logits = np.stack(quadratic, -1) + np.log(score.probabilities)
    top = logits.max(-1)
    return top + np.log(np.exp(logits - top[..., None]).sum(-1)), logits


@pytest.mark.parametrize("grid", GRIDS, ids=str)
@pytest.mark.parametrize("t", [0.02, 0.3, 1.0])
def test_mixture_density_and_responsibilities_are_the_slow_twins(grid, t):
    score = mixture(grid)
    x, y = fields(grid, 4, 7), fields(grid, 4, 8)
    (lx, logits), (ly, _) = log_density(score, t, x, grid), log_density(score, t, y, grid)
    expected = np.exp(logits - lx[:, None])
    assert_allclose(score.responsibilities(t, x, grid), expected, rtol=1e-8, atol=1e-12)
    assert_allclose(score.log_density_ratio(t, x, y, grid), ly - lx, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_the_score_is_q_times_the_gradient_of_the_log_density(grid):
    score, t, step = mixture(grid), 0.3, 1e-5
    x, direction = fields(grid, 2, 7), DATA.sample(grid, 2, 9)
    up, down = x + step * direction, x - step * direction
    slope = score.log_density_ratio(t, down, up, grid) / (2 * step)
    gradient = PROCESS.covariance.apply(score(t, x, grid), grid, power=-1.0)
    inner = grid.cell_volume * (gradient * direction).reshape(2, -1).sum(-1)
    assert_allclose(slope, inner, rtol=1e-6)


def test_scores_and_denoisers_are_one_function():
    grid = GRIDS[2]
    x = fields(grid, 3, 1)
    zero = fdiff.GaussianScore(PROCESS, 0.3, DATA)
    for score in (zero, mixture(grid), fdiff.EmpiricalScore(PROCESS, fields(grid, 4, 2), grid)):
        for t in (0.01, 0.5):
            m, s = PROCESS.mean_factor(t), PROCESS.std(t)
            expected = -(x - m * score.denoise(t, x, grid)) / s**2
            expected = PROCESS.covariance.apply(expected, grid, power=0)
            assert_allclose(score(t, x, grid), expected, rtol=1e-6, atol=1e-7)


def test_a_mixture_of_one_and_the_wiener_filter_are_the_gaussian_score():
    grid = GRIDS[2]
    x, mean = fields(grid, 3, 1), fdiff.Field(fields(grid, 1, 4)[0], grid)
    gaussian = fdiff.GaussianScore(PROCESS, mean, DATA)
    others = (fdiff.MixtureScore(PROCESS, [mean], DATA), fdiff.WienerScore(PROCESS, mean, DATA))
    for other in others:
        assert_allclose(other(0.2, x, grid), gaussian(0.2, x, grid), atol=1e-12)
        assert_allclose(other.denoise(0.2, x, grid), gaussian.denoise(0.2, x, grid), atol=1e-12)
    y = fields(grid, 3, 2)
    ratios = [s.log_density_ratio(0.2, x, y, grid) for s in (gaussian, others[0])]
    assert_allclose(ratios[0], ratios[1], rtol=1e-10)
    with pytest.raises(ValueError, match="knows no density"):
        others[1].log_density_ratio(0.2, x, y, grid)


def test_the_wiener_filter_has_the_least_error_of_all_gains():
    grid, t, size = fdiff.Grid((16,)), 0.3, 4000
    score = fdiff.WienerScore(PROCESS, 0.0, DATA)
    x0 = DATA.sample(grid, size, 1)
    xt = PROCESS.perturb(x0, t, grid, seed=2)
    errors = grid.cell_volume * ((score.denoise(t, xt, grid) - x0) ** 2).sum(-1)
    assert abs(errors.mean() - score.mean_square_error(t, grid)) < 5 * errors.std() / size**0.5
    for factor in (0.9, 1.1):
        worse = grid.cell_volume * ((factor * score.denoise(t, xt, grid) - x0) ** 2).sum(-1)
        assert worse.mean() > errors.mean()


@pytest.mark.parametrize(
    ("power", "scale", "smooth", "cameron_martin"),
    [
        (3.0, 25.0**2, (0.018791, 0.018791, 0.018791), (0.6096, 0.6096, 0.6096)),
        (1.0, 1.0, (0.0388772, 0.03985, 0.04009), (12.2863, 50.3, 202.5)),
        (0.75, 25.0**-0.25, (0.04563, 0.04758, 0.04811), (19.9, 98.2, 443.0)),
    ],
    ids=["smooth", "as the prior", "rough"],
)
def test_irreducible_losses_converge_in_h_and_in_cm_only_for_smooth_data(
    power, scale, smooth, cameron_martin
):
    """``m^2 / s^2`` times the Wiener filter's error is the least H-loss of a noise prediction."""
    prior, data = fdiff.BesselCovariance(1.0, 25.0, 1.0), fdiff.BesselCovariance(scale, 25.0, power)
    process, t = fdiff.ForwardProcess(prior, TP1.schedule), 0.3
    m, s = process.mean_factor(t), process.std(t)
    for n, h_loss, cm_loss in zip((32, 128, 512), smooth, cameron_martin):
        grid = fdiff.Grid((n,))
        error = fdiff.WienerScore(process, 0.0, data).mean_square_error(t, grid)
        assert_allclose(m * m / (s * s) * error, h_loss, rtol=2e-4)
        c, q, kept = data.eigenvalues(grid), prior.eigenvalues(grid), grid.basis.retained
        shares = (grid.basis.weights * m * m * c)[kept] / (m * m * c + s * s * q)[kept]
        assert_allclose(shares.sum(), cm_loss, rtol=2e-3)


def test_the_plain_score_diverges_under_refinement_and_the_preconditioned_one_does_not():
    """``E|grad log p|^2 = sum 1 / Sigma``; ``E|S|^2 = sum q^2 / Sigma <= tr Q / s^2``."""
    prior, data = (fdiff.BesselCovariance(25.0 ** (p - 1), 25.0, p) for p in (1.0, 3.0))
    process, t = fdiff.ForwardProcess(prior, TP1.schedule), 0.3
    s = process.std(t)
    plain = []
    for n in (32, 128, 512):
        grid = fdiff.Grid((n,))
        kept, weights = grid.basis.retained, grid.basis.weights[grid.basis.retained]
        q = prior.eigenvalues(grid)[kept]
        sigma = process.mean_factor(t) ** 2 * data.eigenvalues(grid)[kept] + s * s * q
        plain.append((weights / sigma).sum())
        assert (weights * q * q / sigma).sum() <= prior.trace(grid) / s**2
    assert_allclose(plain, [1.6e5, 1.1e7, 7.3e8], rtol=0.05)


def test_posterior_entropy_of_the_empirical_measure_shows_memorisation():
    """64 samples at t = .5: data as smooth as the CM space average, data like Q memorise."""
    prior = fdiff.BesselCovariance(1.0, 25.0, 1.0)
    process = fdiff.ForwardProcess(prior, TP1.schedule)
    for data, expected in (
        (fdiff.BesselCovariance(25.0**2, 25.0, 3.0), (4.10, 4.10, 4.10)),
        (prior, (3.61, 2.06, 0.084)),
    ):
        for n, value in zip((16, 64, 256), expected):
            grid = fdiff.Grid((n,))
            x0 = data.sample(grid, 64, 0)
            score = fdiff.EmpiricalScore(process, x0, grid)
            xt = np.concatenate([process.perturb(x0, 0.5, grid, seed=s) for s in range(40)])
            r = score.responsibilities(0.5, xt, grid)
            entropy = -(r * np.log(np.maximum(r, 1e-300))).sum(-1).mean()
            assert abs(entropy - value) < 0.1 * value + 0.06, (n, entropy, value)


def test_the_empirical_denoiser_returns_the_nearest_field_at_small_times():
    grid = GRIDS[2]
    data = fields(grid, 5, 3)
    score = fdiff.EmpiricalScore(PROCESS, data, grid)
    for t in (1e-2, 1e-4, 1e-8):
        xt = PROCESS.perturb(data, t, grid, seed=4)
        kept = PROCESS.covariance.apply(data, grid, power=0)
        assert_allclose(score.denoise(t, xt, grid), kept, atol=1e-9)


@pytest.mark.parametrize("t", [1e-3, 0.05, 0.4])
def test_float32_agrees_with_float64_within_the_condition_of_the_problem(t):
    grid = fdiff.Grid((16, 16))
    data = fields(grid, 20, 3)
    xt = PROCESS.perturb(data[:6], t, grid, seed=4)
    xt[3:] = PROCESS.mean_factor(t) * 0.5 * (data[:3] + data[3:6]) + xt[3:] - xt[:3]
    for score in (
        fdiff.EmpiricalScore(PROCESS, data, grid),
        fdiff.GaussianScore(PROCESS, 0.3, DATA),
    ):
        wide = score.denoise(t, xt, grid)
        narrow = score.denoise(t, xt.astype(np.float32), grid)
        assert narrow.dtype == np.float32
        scale = np.abs(wide).max()
        bound = 1e-5 if t > 0.3 else 1e-5 + 6e-8 * condition(t, data, xt, grid)
        assert np.abs(wide - narrow).max() <= bound * scale


def condition(t, data, x, grid):
    """``m max |mu_i - mu_j|_Sigma |x|_Sigma``, the factor of the rounding of a state."""
    m, s = PROCESS.mean_factor(t), PROCESS.std(t)
    norms = [
        np.sqrt(grid.basis.inner(*[PROCESS.covariance.multiplier(grid, -0.5) * c / s] * 2))
        for c in (grid.basis.forward(data[:, None] - data[None]), grid.basis.forward(x))
    ]
    return m * norms[0].max() * norms[1].max()


@pytest.mark.parametrize("kind", ["gaussian", "mixture", "empirical", "wiener"])
def test_torch_and_numpy_agree_also_with_one_time_per_sample(kind):
    torch = pytest.importorskip("torch")
    grid = GRIDS[2]
    score = {
        "gaussian": fdiff.GaussianScore(PROCESS, 0.3, DATA),
        "mixture": mixture(grid),
        "empirical": fdiff.EmpiricalScore(PROCESS, fields(grid, 4, 2), grid),
        "wiener": fdiff.WienerScore(PROCESS, 0.3, DATA),
    }[kind]
    x, times = fields(grid, 3, 1), np.array([0.02, 0.3, 0.9])
    rows = np.stack([score(float(t), u, grid) for t, u in zip(times, x)])
    assert_allclose(score(times, x, grid), rows, atol=1e-11)
    tensor = score(torch.from_numpy(times), torch.from_numpy(x), grid)
    assert_allclose(tensor.numpy(), rows, atol=1e-11)
    single = score(torch.from_numpy(times).float(), torch.from_numpy(x).float(), grid)
    assert single.dtype == torch.float32


def test_means_with_channels_are_compared_over_all_of_them():
    grid, t = fdiff.Grid((8,)), 0.3
    data = np.stack([fields(grid, 3, 1), fields(grid, 3, 2)], 1)
    score = fdiff.EmpiricalScore(PROCESS, data, grid)
    x = np.stack([fields(grid, 5, 3), fields(grid, 5, 4)], 1)
    parts = [fdiff.EmpiricalScore(PROCESS, data[:, i], grid) for i in range(2)]
    product = parts[0].responsibilities(t, x[:, 0], grid) * parts[1].responsibilities(
        t, x[:, 1], grid
    )
    product /= product.sum(-1, keepdims=True)
    assert_allclose(score.responsibilities(t, x, grid), product, rtol=1e-9)
    expected = np.einsum("si,icn->scn", product, PROCESS.covariance.apply(data, grid, power=0))
    assert_allclose(score.denoise(t, x, grid), expected, atol=1e-9)
    assert score.denoise(np.full(5, t), x, grid).shape == x.shape


def test_a_mixture_starts_from_its_own_law():
    grid, size = fdiff.Grid((8,)), 20000
    score = mixture(grid)
    white = noise.white_coefficients(grid, 1, noise.START, size)
    c = score.marginal(0.3, white, grid, 1, 0)
    m = PROCESS.mean_factor(0.3)
    means = grid.basis.forward(score.means.values)
    mean = m * np.tensordot(score.probabilities, means, 1)
    kept = grid.basis.retained
    assert (np.abs(c.mean(0) - mean)[kept] < 6 * c.std(0)[kept] / size**0.5).all()
    variance = score.reference[1].eigenvalues(grid)
    s = PROCESS.std(0.3)
    expected = m * m * variance + s * s * PROCESS.covariance.eigenvalues(grid)
    assert_allclose((np.abs(c - c.mean(0)) ** 2).mean(0)[kept], expected[kept], rtol=0.08)


def test_oracles_converge_under_refinement():
    """The same functions on two grids: the coarse denoiser is the fine one without its tail."""
    coarse, fine = fdiff.Grid((32,)), fdiff.Grid((128,))
    data = fdiff.BesselCovariance(scale=9e4, shift=25.0, power=3.5)
    for make in (
        lambda g: fdiff.GaussianScore(PROCESS, 0.3, data),
        lambda g: fdiff.MixtureScore(PROCESS, fdiff.Field(data.sample(fine, 3, 1), fine), data),
    ):
        x, y = (PROCESS.perturb(data.sample(g, 4, 2), 0.3, g, seed=3) for g in (coarse, fine))
        a, b = make(coarse).denoise(0.3, x, coarse), make(fine).denoise(0.3, y, fine)
        assert np.abs(b[:, ::4] - a).max() < 0.02 * np.abs(b).max()


def test_bad_mixtures_are_refused():
    with pytest.raises(ValueError, match="at least one"):
        fdiff.MixtureScore(PROCESS, [], DATA)
    with pytest.raises(ValueError, match="positive numbers"):
        fdiff.MixtureScore(PROCESS, [0.0, 1.0], DATA, weights=[1.0, -1.0])
    with pytest.raises(ValueError, match="t > 0"):
        fdiff.GaussianScore(PROCESS, 0.0, DATA)(0.0, np.zeros(8), fdiff.Grid((8,)))
    assert math.isclose(fdiff.MixtureScore(PROCESS, [0, 1], DATA, [1, 3]).probabilities[0], 0.25)
