"""Known defects of other codes: each check passes on fdiff and fails on the defective formula.

The checks are functions of the thing checked, so that every test runs them twice: once on ours,
once on the formula as it is published elsewhere, which must not pass.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import fft, stats

import fdiff
from fdiff import levels
from fdiff.score.mean import mean_coefficients
from tests.strategies import field


def fails(check, *arguments) -> bool:
    """Whether ``check`` raises AssertionError."""
    try:
        check(*arguments)
    except AssertionError:
        return True
    return False


def bessel_multiplier(n: int, shift: float = 8.0, power: float = 1.1) -> np.ndarray:
    """Square roots of Bessel eigenvalues in the layout of ``rfft2`` on the unit square."""
    kx, ky = fft.fftfreq(n, 1 / n)[:, None], fft.rfftfreq(n, 1 / n)
    return (shift + 4 * math.pi**2 * (kx**2 + ky**2)) ** (-power / 2)


def filtered_pixels(n: int, size: int, seed: int = 0) -> np.ndarray:
    """The defective prior: pixel noise of variance 1, filtered, without the factor 1/h."""
    pixels = np.random.default_rng(seed).standard_normal((size, n, n))
    return fft.irfft2(bessel_multiplier(n) * fft.rfft2(pixels), s=(n, n))


def ortho_crop(u: np.ndarray, n: int) -> np.ndarray:
    """The defective restriction: crop the Fourier coefficients of ``norm="ortho"``."""
    half = n // 2
    c = fft.fftn(u, axes=(-2, -1), norm="ortho")
    rows = np.r_[:half, c.shape[-1] - half : c.shape[-1]]
    return fft.ifftn(c[..., rows[:, None], rows], axes=(-2, -1), norm="ortho").real


# 1. Filtered grid noise without 1/h; a Fourier crop that maps the constant 1 to 2


def check_std_does_not_fall_under_refinement(std_at) -> None:
    """From 16^2 to 128^2 the pointwise std may only grow, and by no more than the tail allows."""
    Q = fdiff.BesselCovariance(1.0, 8.0, 1.1)
    for n in (16, 32, 64):
        a, b = (math.sqrt(Q.trace(fdiff.Grid((m, m)))) for m in (n, 2 * n))
        assert std_at(2 * n) / std_at(n) == pytest.approx(b / a, rel=0.03)


def test_1_prior_std_does_not_depend_on_the_grid():
    Q = fdiff.BesselCovariance(1.0, 8.0, 1.1)
    check_std_does_not_fall_under_refinement(lambda n: Q.sample(fdiff.Grid((n, n)), 64).std())
    assert fails(check_std_does_not_fall_under_refinement, lambda n: filtered_pixels(n, 64).std())


def check_constants_stay(restrict) -> None:
    assert restrict(np.ones((64, 64))) == pytest.approx(np.ones((32, 32)), abs=1e-12)


def test_1_restriction_keeps_function_values():
    fine = fdiff.Grid((64, 64))
    check_constants_stay(lambda u: levels.restrict_field(u, fine, fine.coarsen()))
    assert fails(check_constants_stay, lambda u: ortho_crop(u, 32))
    assert ortho_crop(np.ones((64, 64)), 32) == pytest.approx(2 * np.ones((32, 32)))


# 2. Mixture means built per resolution without scaling


def check_means_are_one_function(mean_at, restrict) -> None:
    """The mean of the fine problem, restricted, is the mean of the coarse problem."""
    fine, coarse = mean_at(64), mean_at(32)
    got = restrict(fine)
    assert np.abs(got - coarse).max() < 0.3 * np.abs(coarse).max()


def test_2_the_fine_and_the_coarse_mixture_are_one_problem():
    fine, coarse = fdiff.Grid((64, 64)), fdiff.Grid((32, 32))
    mean = fdiff.Field(fdiff.MaternCovariance(1.0, 0.2, 1.0).sample(fine, 1)[0], fine)
    Q = fdiff.BesselCovariance(1.0, 100.0, 1.1)
    process = fdiff.ForwardProcess(Q, fdiff.LinearSchedule())
    score = fdiff.MixtureScore(process, [mean, lambda x, y: np.cos(2 * np.pi * x) + 0 * y], Q)

    def mean_at(n, i):
        grid = fdiff.Grid((n, n))
        return grid.basis.inverse(mean_coefficients(score.means[i], grid))

    for i in (0, 1):
        check_means_are_one_function(
            lambda n, i=i: mean_at(n, i), lambda u: levels.restrict_field(u, fine, coarse)
        )

    def defective(n):
        # The same drawing program at both sizes: the pulse response has no scale.
        pixels = np.zeros((n, n))
        pixels[n // 4 : n // 2, n // 4 : n // 2] = 1.0
        return fft.irfft2(bessel_multiplier(n, 100.0) * fft.rfft2(pixels), s=(n, n))

    assert fails(check_means_are_one_function, defective, lambda u: ortho_crop(u, 32))
    ratio = np.abs(ortho_crop(defective(64), 32)).max() / np.abs(defective(32)).max()
    assert ratio == pytest.approx(2.0, abs=0.1)


# 3. Power .55 on the square root is power 1.1 of the operator: barely trace class


def check_the_grid_carries_the_prior(Q) -> None:
    grid = fdiff.Grid((32, 32))
    assert Q.tail_trace(grid) < 0.05 * (Q.trace(grid) + Q.tail_trace(grid))


def test_3_a_prior_whose_trace_lies_beyond_the_grid_is_noticed():
    check_the_grid_carries_the_prior(fdiff.BesselCovariance(1.0, 8.0, 2.0))
    for shift, missing in ((8.0, 46), (100.0, 62)):
        multiplier_power = 0.55
        Q = fdiff.BesselCovariance(1.0, shift, 2 * multiplier_power)
        assert fails(check_the_grid_carries_the_prior, Q)
        grid = fdiff.Grid((32, 32))
        share = Q.tail_trace(grid) / (Q.trace(grid) + Q.tail_trace(grid))
        assert round(100 * share) == missing
        assert bessel_multiplier(8, shift)[1, 2] == pytest.approx(
            Q.multiplier(fdiff.Grid((8, 8)), 0.5)[1, 2]
        )


# 4. A random complex multiplier is not self-adjoint and leaves fine modes without noise


def check_covariance(apply, n: int = 12) -> None:
    """Self-adjoint, real, and positive on every retained mode: read off the matrix."""
    grid = fdiff.Grid((n, n))
    matrix = apply(np.eye(n * n).reshape(n * n, n, n)).reshape(n * n, n * n)
    asymmetry = np.linalg.norm(matrix - matrix.T) / np.linalg.norm(matrix)
    assert asymmetry < 1e-12
    positive = (np.linalg.eigvalsh((matrix + matrix.T) / 2) > 1e-12).sum()
    assert positive == grid.basis.weights[grid.basis.retained].sum()


def test_4_covariances_are_self_adjoint_and_positive():
    grid = fdiff.Grid((12, 12))
    Q = fdiff.BesselCovariance(1.0, 8.0, 1.1)
    check_covariance(lambda u: Q.apply(u, grid))

    def random_multiplier(u):
        rng = np.random.default_rng(0)
        c, m = fft.rfft2(u), 3
        out = np.zeros_like(c)
        for rows in (slice(0, m), slice(-m, None)):
            factor = rng.random((m, m)) + 1j * rng.random((m, m))
            out[:, rows, :m] = factor * c[:, rows, :m]
        return fft.irfft2(out, s=u.shape[1:])

    assert fails(check_covariance, random_multiplier)
    assert fails(check_covariance, lambda u: (random_multiplier(u) + u.swapaxes(1, 2)) / 2)


# 5. The zero mode of the inverse Laplacian by a test for infinity


def check_zero_mode(eigenvalue_at_zero) -> None:
    for n in range(4, 257):
        assert eigenvalue_at_zero(n) == 0.0


def test_5_the_zero_mode_is_set_not_found():
    Q = fdiff.LaplaceCovariance(1.0, 1.1)

    def defective(n):
        """The symbol as the float32 transform of the stencil, its zeros as infinities."""
        stencil = np.zeros((n, n), np.float32)
        h = 1 / n
        stencil[0, 0] = 4 / h**2
        for at in ((0, 1), (1, 0), (0, -1), (-1, 0)):
            stencil[at] = -1 / h**2
        symbol = np.abs(fft.rfft2(stencil)[0, 0])
        with np.errstate(divide="ignore"):
            multiplier = symbol**-0.55
        return 0.0 if np.isinf(multiplier) else float(multiplier)

    check_zero_mode(lambda n: Q.eigenvalues(fdiff.Grid((n, 4)))[0, 0])
    assert fails(check_zero_mode, defective)
    let_through = [n for n in range(4, 257) if defective(n) > 0]
    assert len(let_through) > 20
    assert max(map(defective, let_through)) > 20  # against .13 at |k| = 1
    grid = fdiff.Grid((61, 61))
    single = Q.apply(np.full(grid.shape, 7.0, np.float32), grid)
    assert np.abs(single).max() < 1e-4  # only rounding of the other modes


# 6. hx and hy swapped, odd widths lose a column, Qmv applies the square root


def check_side_lengths(symbol) -> None:
    """``mu`` at wave vector (1, 0) of the unit square on 16 x 32 nodes: near (2 pi)^2."""
    assert symbol((16, 32), (1, 0)) == pytest.approx((2 * math.pi) ** 2, rel=0.05)
    assert symbol((16, 32), (0, 1)) == pytest.approx((2 * math.pi) ** 2, rel=0.05)


def test_6_side_lengths_belong_to_their_axes():
    check_side_lengths(lambda shape, k: fdiff.Grid(shape).basis.laplacian[k])

    def five_point(shape, k, swapped):
        spacing = [1 / n for n in (shape[::-1] if swapped else shape)]
        parts = [
            4 / h**2 * math.sin(math.pi * number / n) ** 2
            for h, number, n in zip(spacing, k, shape)
        ]
        return sum(parts)

    check_side_lengths(lambda shape, k: five_point(shape, k, False))
    assert fails(check_side_lengths, lambda shape, k: five_point(shape, k, True))
    assert five_point((16, 32), (1, 0), True) == pytest.approx(155.9, abs=0.05)
    assert five_point((16, 32), (1, 0), False) == pytest.approx(39.0, abs=0.05)
    long = fdiff.Grid((8, 8), (1.0, 4.0)).basis.laplacian
    assert long[1, 0] == pytest.approx(16 * long[0, 1])


def check_width(apply) -> None:
    u = field(fdiff.Grid((8, 9)))
    assert apply(u).shape == u.shape


def test_6_odd_widths_keep_their_last_column():
    Q = fdiff.BesselCovariance()
    check_width(lambda u: Q.apply(u, fdiff.Grid(u.shape)))
    assert fails(check_width, lambda u: fft.irfft2(fft.rfft2(u)))


def check_operator(apply) -> None:
    """On the eigenfunction cos(2 pi x), Q acts as multiplication by q, not by its root."""
    grid = fdiff.Grid((16, 16))
    e = np.cos(2 * np.pi * grid.coordinates()[0]) + np.zeros(grid.shape)
    assert apply(e) == pytest.approx((8 + 4 * math.pi**2) ** -1.1 * e, rel=1e-10, abs=1e-12)


def test_6_applying_the_operator_applies_the_operator():
    Q, grid = fdiff.BesselCovariance(1.0, 8.0, 1.1), fdiff.Grid((16, 16))
    check_operator(lambda u: Q.apply(u, grid))
    check_operator(lambda u: Q.apply(Q.apply(u, grid, 0.5), grid, 0.5))
    assert fails(
        check_operator, lambda u: fft.irfft2(bessel_multiplier(16) * fft.rfft2(u), s=u.shape)
    )


# 7. Coordinates linspace(0, 1, n) at every resolution; a fixed padding of nine cells


def check_coordinates(points) -> None:
    """The function x -> sin 2 pi x on two grids is one function: restricted, the values agree."""
    coarse, fine = fdiff.Grid((32,)), fdiff.Grid((64,))
    u, v = (np.sin(2 * np.pi * points(grid)) for grid in (coarse, fine))
    assert np.abs(levels.restrict_field(v, fine, coarse) - u).max() < 1e-12


def test_7_coordinates_are_those_of_the_grid():
    check_coordinates(lambda grid: grid.points(0))
    assert fails(check_coordinates, lambda grid: np.linspace(0, 1, *grid.shape))
    walls = fdiff.Grid((8,), boundary="neumann")
    assert walls.points(0).mean() == pytest.approx(0.5)
    assert np.array_equal(walls.refine(3).points(0)[1::3], walls.points(0))


def check_resolution_of(smooth) -> None:
    """Smoothing one function at 32 and at 64 nodes gives one function."""

    def at(n):
        return smooth(np.exp(np.sin(2 * np.pi * fdiff.Grid((n,)).points(0))))

    assert np.abs(at(64)[::2] - at(32)).max() < 1e-8


def test_7_no_padding_by_a_number_of_cells():
    Q = fdiff.BesselCovariance(25.0, 25.0, 1.0)
    check_resolution_of(lambda u: Q.apply(u, fdiff.Grid(u.shape)))

    def padded(u):
        # Nine cells are 9/n of the box: the box, and with it every mode, changes with n.
        wide = np.concatenate([u, np.zeros(9)])
        k = np.arange(len(wide) // 2 + 1)
        weights = 25.0 / (25.0 + 4 * math.pi**2 * k**2)
        return fft.irfft(weights * fft.rfft(wide), n=len(wide))[: len(u)]

    assert fails(check_resolution_of, padded)


# 8. No-flux data with periodic priors


def check_no_flux(sample, grid) -> None:
    """No slope at the walls, and opposite walls know nothing of each other."""
    u = sample(2000)
    at_wall = (u[:, 1] - u[:, 0]).std()
    inside = (u[:, grid.shape[0] // 2 + 1] - u[:, grid.shape[0] // 2]).std()
    assert at_wall < 0.1 * inside
    assert abs(np.corrcoef(u[:, 0], u[:, -1])[0, 1]) < 0.1


def test_8_no_flux_data_have_no_flux_priors():
    Q = fdiff.MaternCovariance(1.0, 0.1, 3.5)
    walls = fdiff.Grid((512,), boundary="neumann")
    check_no_flux(lambda size: Q.sample(walls, size), walls)
    assert fails(check_no_flux, lambda size: Q.sample(fdiff.Grid((512,)), size), walls)


def check_expansion(coefficients_of) -> None:
    """A smooth no-flux function is spanned by its modes: the last tenth carries nothing."""
    x = fdiff.Grid((64,), boundary="neumann").points(0)
    power = np.abs(coefficients_of(np.cos(np.pi * x) + 0.3 * np.cos(3 * np.pi * x))) ** 2
    assert power[-len(power) // 10 :].sum() < 1e-12 * power.sum()


def test_8_no_flux_data_are_expanded_in_cosines():
    grid = fdiff.Grid((64,), boundary="neumann")
    check_expansion(grid.basis.forward)
    assert fails(check_expansion, fdiff.Grid((64,)).basis.forward)


# Elsewhere: kernels, half spectra, noise per node, batches


def check_squared_exponential(kernel) -> None:
    """Near 0 a squared exponential is ``1 - r^2 / (2 length^2)``, continuous at 0."""
    length, r = 0.1, np.array([0.005, 0.01])
    assert (1 - kernel(r, length)) / (r**2 / (2 * length**2)) == pytest.approx(np.ones(2), rel=0.01)


def test_squared_exponential_is_of_the_squared_distance():
    grid = fdiff.Grid((400,))

    def ours(r, length):
        Q = fdiff.SquaredExponentialCovariance(1.0, length)
        delta = np.zeros(400)
        delta[0] = 1 / grid.cell_volume
        return Q.apply(delta, grid)[np.round(r * 400).astype(int)]

    check_squared_exponential(ours)
    assert fails(check_squared_exponential, lambda r, s: np.exp(-np.abs(r) / (2 * s**2)))
    assert fails(check_squared_exponential, lambda r, s: np.exp(-(r**2) / (2 * s**2)) / 1.01)


def check_zero_plane(coefficients) -> None:
    """The modes with last wave number 0 have the variance of all the others (16 x 16, white)."""
    plane = np.abs(coefficients[:, 1:8, 0]) ** 2
    count = 2 * plane.size
    p = stats.chi2.cdf(2 * plane.sum(), count)
    assert min(p, 1 - p) > 1e-6


def test_zero_planes_have_their_full_variance():
    grid = fdiff.Grid((16, 16))
    with pytest.warns(fdiff.TraceClassWarning):
        c = fdiff.WhiteNoise().sample_coefficients(grid, 400)
    check_zero_plane(c)
    # Through the nodes and back: what is drawn is what the field has.
    check_zero_plane(grid.basis.forward(grid.basis.inverse(c)))

    rng = np.random.default_rng(0)
    by_hand = rng.standard_normal((400, 16, 9)) + 1j * rng.standard_normal((400, 16, 9))
    values = fft.irfft2(by_hand / math.sqrt(2), s=(16, 16), norm="ortho")
    defective = fft.rfft2(values, norm="ortho")
    assert fails(check_zero_plane, defective)
    assert (np.abs(defective[:, 1:8, 0]) ** 2).mean() == pytest.approx(0.5, abs=0.05)


def check_same_function(sample) -> None:
    coarse, fine = fdiff.Grid((32, 32)), fdiff.Grid((64, 64))
    u, v = sample(coarse), levels.restrict_field(sample(fine), fine, coarse)
    assert np.corrcoef(u.ravel(), v.ravel())[0, 1] > 0.999


def test_one_seed_is_one_function_at_every_resolution():
    Q = fdiff.MaternCovariance(1.0, 0.1, 1.5)
    check_same_function(lambda grid: Q.sample(grid, 1, seed=3)[0])

    def per_node(grid):
        pixels = np.random.default_rng(3).standard_normal(grid.shape)
        return Q.apply(pixels / math.sqrt(grid.cell_volume), grid, power=0.5)

    assert fails(check_same_function, per_node)


def check_batches(draw) -> None:
    """Sample 5 is the same in a batch of 8 as in a batch of 6, at the second step too."""
    assert np.array_equal(draw(8)[1][5], draw(6)[1][5])


def test_results_do_not_depend_on_the_batch():
    from fdiff import noise

    grid = fdiff.Grid((16,))

    def keyed(size):
        return [noise.white_coefficients(grid, 1, noise.STEPS, size, time=i) for i in range(2)]

    def sequential(size):
        rng = np.random.default_rng(1)
        return [rng.standard_normal((size, 16)) for _ in range(2)]

    check_batches(keyed)
    assert fails(check_batches, sequential)


def check_white_noise(pixels, grid) -> None:
    """White noise tested with the function 1 has variance |D|, on every grid."""
    means = grid.cell_volume * pixels.sum((1, 2))
    assert means.var() == pytest.approx(grid.volume, rel=0.3)


def test_white_noise_has_the_factor_of_the_cell():
    for n in (9, 33):
        grid = fdiff.Grid((n, n), (1.0, 2.0))
        with pytest.warns(fdiff.TraceClassWarning):
            check_white_noise(fdiff.WhiteNoise().sample(grid, 400), grid)
        pixels = np.random.default_rng(0).standard_normal((400, n, n))
        assert fails(check_white_noise, pixels, grid)
