"""The published code's conventions: its measured figures, matrices, and laws as operators."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

import fdiff
from fdiff import compat, levels

SIZES = (16, 32, 64, 128)
SCHEDULE = fdiff.LinearSchedule()


def square(n: int) -> fdiff.Grid:
    return fdiff.Grid((n, n))


def matrix_of(prior: compat.Prior, n: int) -> np.ndarray:
    """The matrix of A, column by column from the response to one node."""
    units = np.eye(n * n).reshape(n * n, n, n)
    return prior.apply(units, square(n)).reshape(n * n, n * n).T


@pytest.mark.parametrize(
    ("n", "std"), [(32, 0.01991), (64, 0.01038), (128, 0.00537), (256, 0.00276)]
)
def test_bessel_noise_fades_as_measured(n, std):
    assert compat.bessel(8.0, 0.55).std(square(n)) == pytest.approx(std, abs=5.1e-6)


@pytest.mark.parametrize(("n", "std"), [(32, 0.3604), (64, 0.1811), (128, 0.0914), (256, 0.0461)])
def test_combined_noise_fades_as_measured(n, std):
    """With 7 modes the published sum; its random weights are not ours, hence the tolerance."""
    assert compat.combined((14, 7), 10.0, 0.5).std(square(n)) == pytest.approx(std, rel=0.01)


def test_figures_of_the_published_code_itself():
    """Standard deviations of a few hundred of its samples: three per cent of sampling error."""
    prior, data = compat.bessel(8.0), compat.Mixture(compat.bessel(100.0))
    measured = {"prior": (0.0387, 0.0201, 0.0104, 0.0054), "data": (0.0315, 0.0221, 0.0180, 0.0167)}
    assert [prior.std(square(n)) for n in SIZES] == pytest.approx(measured["prior"], rel=0.03)
    assert [data.std(square(n)) for n in SIZES] == pytest.approx(measured["data"], rel=0.03)


def test_crop_maps_one_to_two_and_a_wave_to_twice_the_wave():
    assert compat.downsample(np.ones((64, 64))) == pytest.approx(np.full((32, 32), 2.0))
    assert compat.downsample(np.ones((2, 64, 64)), 4) == pytest.approx(np.full((2, 16, 16), 4.0))
    waves = [
        np.cos(2 * np.pi * (3 * np.arange(n)[:, None] - 5 * np.arange(n)) / n) for n in (64, 32)
    ]
    np.testing.assert_allclose(compat.downsample(waves[0]), 2 * waves[1], atol=1e-12)


def test_crop_is_twice_the_restriction_on_retained_modes():
    u = np.random.default_rng(0).standard_normal((3, 24, 24))
    coarse = square(12)
    ours = levels.restrict_field(u, square(24), coarse)
    theirs = coarse.basis.forward(compat.downsample(u))
    np.testing.assert_allclose(
        coarse.basis.inverse(coarse.basis.project(theirs)), 2 * ours, atol=1e-12
    )


@pytest.mark.parametrize("name", compat.PRIORS)
def test_fine_means_are_twice_the_coarse_ones_beside_noise_of_one_size(name):
    prior = compat.prior(name)
    data, coarse, fine = compat.Mixture(prior), square(32), square(64)
    means = np.linalg.norm(compat.downsample(data.means(fine))) / np.linalg.norm(data.means(coarse))
    assert means == pytest.approx(2.0, abs=0.01)
    noise = 1.0 if name == "standard" else 2 * prior.std(fine) / prior.std(coarse)
    assert 0.99 < noise < 1.09


def test_means_are_the_filtered_ramps():
    """Zero mode: a_0 times the ramp's mean; the first varies along the last axis, the second along
    the first, downward."""
    n = 32
    first, second = compat.Mixture(compat.bessel(100.0)).means(square(n))
    zero = 100.0**-0.55
    assert first.mean() == pytest.approx(zero * (n - 1) / (2 * n))
    assert second.mean() == pytest.approx(zero * (n + 1) / (2 * n))
    assert np.ptp(first, axis=0).max() < 1e-15 < np.ptp(first, axis=1).min()
    assert np.ptp(second, axis=1).max() < 1e-15 < np.ptp(second, axis=0).min()
    assert first[0, n // 4] < first[0, 3 * n // 4]
    assert second[n // 4, 0] > second[3 * n // 4, 0]
    ramp = compat.Mixture(compat.standard()).means(square(n))
    np.testing.assert_allclose(ramp[0][0], np.arange(n) / n)
    np.testing.assert_allclose(ramp[1][:, 0], (n - np.arange(n)) / n)


def test_stencil_power_is_the_power_of_the_stencil():
    n = 6
    laplacian = np.zeros((n * n, n * n))
    for i in range(n):
        for j in range(n):
            row = i * n + j
            laplacian[row, row] = 4 * n * n
            for a, b in ((1, 0), (-1, 0), (0, 1), (0, -1)):
                laplacian[row, (i + a) % n * n + (j + b) % n] -= n * n
    values, vectors = np.linalg.eigh(laplacian + 8.0 * np.eye(n * n))
    power = vectors @ np.diag(values**-0.55) @ vectors.T
    np.testing.assert_allclose(matrix_of(compat.bessel(8.0), n), power, atol=1e-13)


@pytest.mark.parametrize("n", [16, 61])
def test_inverse_laplacian_has_no_zero_mode(n):
    prior = compat.inverse_laplacian()
    assert prior.multiplier(square(n))[0, 0] == 0.0
    assert prior.multiplier(square(n))[0, 1] == pytest.approx(
        10 * (4 * n * n * math.sin(math.pi / n) ** 2) ** -0.55
    )


@pytest.mark.parametrize("n", [15, 16, 17, 31])
def test_random_modes_follow_the_two_blocks_of_the_real_inverse_transform(n):
    """The slow way: two blocks written into the half spectrum, the rest left to `irfft2`."""
    rows, columns = 6, 3
    weights = compat._generator(4, compat._WEIGHTS).random((2, 2, rows, columns))
    upper, lower = 0.2 + 0.8 * (weights[0] + 1j * weights[1])
    u = np.random.default_rng(0).standard_normal((n, n))
    c = np.fft.rfft2(u)
    out = np.zeros_like(c)
    out[:rows, :columns] = upper * c[:rows, :columns]
    out[-rows:, :columns] = lower * c[-rows:, :columns]
    slow = np.fft.irfft2(out, s=(n, n))
    prior = compat.fno((rows, columns), seed=4)
    np.testing.assert_allclose(prior.apply(u, square(n)), slow, atol=1e-13)


def test_random_modes_are_not_self_adjoint_and_leave_fine_modes_without_noise():
    matrix = matrix_of(compat.fno((3, 2)), 12)
    assert np.linalg.norm(matrix - matrix.T) > 0.5 * np.linalg.norm(matrix)
    assert np.linalg.matrix_rank(matrix) < 40
    with pytest.raises(ValueError, match="at least 14 nodes"):
        compat.fno().multiplier(square(12))


@pytest.mark.parametrize("n", [11, 12])
@pytest.mark.parametrize("name", ["standard", "fno", "inverse_laplacian", "bessel", "combined"])
def test_the_operator_is_the_law_of_the_noise(name, n):
    """Its covariance matrix at the nodes is A A^T, projected on the retained modes."""
    parameters = {"modes": (4, 3)} if name in ("fno", "combined") else {}
    prior, grid = compat.prior(name, **parameters), square(n)
    law = matrix_of(prior, n) @ matrix_of(prior, n).T
    projection = fdiff.WhiteNoise().apply(np.eye(n * n).reshape(-1, n, n), grid).reshape(n * n, -1)
    expected = projection @ law @ projection
    np.testing.assert_allclose(dense(prior.covariance, grid), expected, atol=1e-12 * law.max())
    assert prior.std(grid) == pytest.approx(math.sqrt(law[0, 0]))
    assert n % 2 == 0 or np.allclose(expected, law)


def test_samples_have_the_law_of_the_operator_and_their_own_keys():
    prior, grid = compat.bessel(8.0), square(16)
    u = prior.sample(grid, 600, seed=3)
    c = grid.basis.forward(u)[:, 1, 2]
    q = prior.covariance.eigenvalues(grid)[1, 2]
    assert stats.kstest(c.real / math.sqrt(q / 2), "norm").pvalue > 1e-3
    assert u.std() == pytest.approx(prior.std(grid), rel=0.1)
    np.testing.assert_array_equal(prior.sample(grid, 2, seed=3, first=4), u[4:6])
    assert not np.array_equal(prior.sample(grid, 1, seed=4), u[:1])


def test_the_mixture_has_both_components_about_its_means():
    data, grid = compat.Mixture(compat.bessel(100.0)), square(16)
    u = data.sample(grid, 800, seed=1)
    np.testing.assert_array_equal(data.sample(grid, 3, seed=1, first=7), u[7:10])
    assert u.std() == pytest.approx(data.std(grid), rel=0.05)
    noise = data.prior.sample(grid, 800, seed=1)
    means = data.means(grid)
    first = np.isclose(u - noise, means[0]).all((1, 2))
    second = np.isclose(u - noise, means[1]).all((1, 2))
    assert (first ^ second).all()
    assert 0.4 < first.mean() < 0.6


@pytest.mark.parametrize("cropped", [1, 2])
def test_the_exact_score_is_the_gradient_of_the_log_density(cropped):
    """Dense: sum of two Gaussians with the covariance matrices of the nodes, at a field of the
    retained modes (7 nodes have no others)."""
    n, t = 6 if cropped == 2 else 7, 0.3
    grid, prior = square(n), compat.bessel(8.0)
    data = compat.Mixture(prior)
    score = data.score(SCHEDULE, grid, cropped)
    x = grid.basis.inverse(grid.basis.project(grid.basis.forward(data.sample(grid, 1, seed=2)[0])))
    m, s = SCHEDULE.mean_factor(t), SCHEDULE.std(t)
    Q = dense(score.process.covariance, grid)
    C = dense(score.covariance, grid)
    means = data.means(grid.refine(cropped))
    means = compat.downsample(means, cropped) if cropped > 1 else means
    inverse = np.linalg.pinv(m * m * C + s * s * Q, rcond=1e-10)
    pulls = [inverse @ (m * mean.ravel() - x.ravel()) for mean in means]
    logs = [0.5 * (x - m * mean).ravel() @ pull for mean, pull in zip(means, pulls)]
    weights = np.exp(np.array(logs) - max(logs))
    gradient = sum(w * pull for w, pull in zip(weights / weights.sum(), pulls))
    np.testing.assert_allclose(score(t, x, grid).ravel(), Q @ gradient, rtol=1e-6, atol=1e-9)


def dense(operator, grid) -> np.ndarray:
    """Covariance matrix of the values at the nodes."""
    units = np.eye(grid.size).reshape(-1, *grid.shape)
    return operator.apply(units, grid).reshape(grid.size, -1) / grid.cell_volume


def test_the_crop_of_the_fine_noise_has_the_cropped_operator():
    prior, coarse = compat.bessel(8.0), square(8)
    u = compat.downsample(prior.sample(square(16), 2000, seed=0))
    c = coarse.basis.forward(u)
    q = compat.GridNoise(prior, 2).eigenvalues(coarse)
    ratio = (np.abs(c) ** 2).mean(0)[coarse.basis.retained] / q[coarse.basis.retained]
    assert np.abs(ratio - 1).max() < 0.2
    assert ratio.mean() == pytest.approx(1.0, abs=0.02)


def test_samplers_run_on_it():
    grid = square(16)
    score = compat.Mixture(compat.bessel(100.0)).score(SCHEDULE, grid)
    fields = fdiff.sample(score, grid, 64, steps=12, seed=0).fields
    assert fields.std() == pytest.approx(compat.Mixture(compat.bessel(100.0)).std(grid), rel=0.15)


def test_coordinates_have_both_ends():
    rows, columns = compat.coordinates(square(5))
    np.testing.assert_allclose(rows[:, 0], [0, 0.25, 0.5, 0.75, 1])
    assert (rows + columns).shape == (5, 5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: compat.prior("bessle"), "standard, fno"),
        (lambda: compat.standard().std(fdiff.Grid((8, 9))), "square periodic"),
        (lambda: compat.coordinates(fdiff.Grid((8, 8), 1.0, "neumann")), "square periodic"),
        (lambda: compat.downsample(np.ones((6, 6)), 2), "divisible"),
        (lambda: compat.downsample(np.ones((8, 6)), 2), "divisible"),
    ],
)
def test_what_it_does_not_know_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
