"""Covariance operators: closed forms, tails on any box, and the law of samples mode by mode."""

from __future__ import annotations

import copy
import math
import pickle
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy import stats
from scipy.integrate import dblquad

import fdiff
from fdiff.covariance import SumCovariance
from tests.strategies import covariances, grids

BESSEL_1 = fdiff.BesselCovariance(1.0, 25.0, 1.0)
BESSEL_2 = fdiff.BesselCovariance(1.0, 25.0, 2.0)
R = 5.0  # sqrt(shift)

FAMILIES = {
    "bessel": fdiff.BesselCovariance(2.0, 25.0, 2.0),
    "matern": fdiff.MaternCovariance(1.0, 0.2, 1.0),
    "laplace": fdiff.LaplaceCovariance(1.0, 2.0),
    "laplace with mean": fdiff.LaplaceCovariance(1.0, 2.0, zero_mode=0.1),
    "squared exponential": fdiff.SquaredExponentialCovariance(1.0, 0.1),
    "finite rank": fdiff.FiniteRankCovariance(np.linspace(1, 2, 20).reshape(5, 4)),
    "density": fdiff.SpectralDensity(lambda mu: (40.0 + mu) ** -1.7),
    "density of k": fdiff.SpectralDensity(
        lambda k, l: (3.0 + k**2 + 2 * l**2) ** -2.0, of="wavenumbers"
    ),
    "sum": fdiff.MaternCovariance(0.5, 0.1, 2.0) + fdiff.BesselCovariance(3.0, 50.0, 1.5),
    "multiple": 3.0 * fdiff.BesselCovariance(1.0, 25.0, 2.0),
}


def line(n, boundary, length=1.0):
    return fdiff.Grid((n,), length, boundary)


# Traces and closed forms


@pytest.mark.parametrize("n", [1, 2, 7, 32, 101])
@pytest.mark.parametrize(
    ("boundary", "value", "closed"),
    [
        ("periodic", 0.10135673098, 1 / math.tanh(R / 2) / (2 * R)),
        ("neumann", 0.12000908040, 1 / math.tanh(R) / (2 * R) + 1 / 50),
        ("dirichlet", 0.08000908040, 1 / math.tanh(R) / (2 * R) - 1 / 50),
    ],
)
def test_trace_and_tail_add_up_to_the_closed_form(n, boundary, value, closed):
    grid = line(n, boundary)
    total = BESSEL_1.trace(grid) + BESSEL_1.tail_trace(grid)
    assert total == pytest.approx(closed, rel=1e-12)
    assert total == pytest.approx(value, rel=1e-10)


def test_trace_of_the_second_power_is_the_hilbert_schmidt_norm_of_the_first():
    grid = line(64, "periodic")
    closed = 1 / math.tanh(R / 2) / (4 * R**3) + 1 / (8 * 25 * math.sinh(R / 2) ** 2)
    assert closed == pytest.approx(0.002163728077229, rel=1e-12)
    assert BESSEL_2.trace(grid) + BESSEL_2.tail_trace(grid) == pytest.approx(closed, rel=1e-12)
    assert BESSEL_1.hilbert_schmidt(grid.refine(64)) ** 2 == pytest.approx(closed, rel=1e-9)


@pytest.mark.parametrize(("boundary", "value"), [("periodic", 1 / 12), ("neumann", 1 / 6)])
def test_trace_of_the_inverse_laplacian_without_its_zero_mode(boundary, value):
    Q = fdiff.LaplaceCovariance(1.0, 1.0)
    grid = line(17, boundary)
    assert Q.trace(grid) + Q.tail_trace(grid) == pytest.approx(value, rel=1e-12)
    assert Q.eigenvalues(grid)[0] == 0.0


def test_tail_traces_in_one_dimension():
    expected = [3.2644320e-3, 1.6077959e-3, 7.9774635e-4]
    got = [BESSEL_1.tail_trace(line(n, "periodic")) for n in (32, 64, 128)]
    assert_allclose(got, expected, rtol=1e-6)


@pytest.mark.parametrize(("shift", "value"), [(8.0, 0.67917180), (100.0, 0.50210885)])
def test_barely_trace_class_in_two_dimensions(shift, value):
    """The reference's power .55 on the square root: power 1.1, and most of it beyond any grid."""
    Q = fdiff.BesselCovariance(1.0, shift, 1.1)
    missing = []
    for n in (32, 64, 128, 1024):
        grid = fdiff.Grid((n, n))
        assert Q.trace(grid) + Q.tail_trace(grid) == pytest.approx(value, rel=1e-6)
        missing.append(round(100 * Q.tail_trace(grid) / value))
    assert missing == {8.0: [46, 40, 35, 23], 100.0: [62, 54, 47, 31]}[shift]


def test_tail_on_a_mixed_box():
    grid = fdiff.Grid((32, 24), (1.0, 2.0), ("periodic", "neumann"))
    assert BESSEL_2.tail_trace(grid) == pytest.approx(6.01853e-5, rel=1e-5)


def test_finite_difference_symbol_as_a_spectrum():
    """2D trace of power 1.1 with the five-point symbol, all modes of a 64 x 64 grid."""
    n, turn = 64, 2 * math.pi / 64
    k = np.arange(n)
    mu = 4 * n**2 * np.sin(turn * k / 2) ** 2
    trace = ((8 + mu[:, None] + mu) ** -1.1).sum()
    assert trace == pytest.approx(0.4413565, rel=1e-6)
    Q = fdiff.SpectralDensity(
        lambda k, l: (
            (8 + 4 * n**2 * (np.sin(turn * k / 2) ** 2 + np.sin(turn * l / 2) ** 2)) ** -1.1
        ),
        of="wavenumbers",
    )
    edge = 2 * ((8 + mu[32] + mu) ** -1.1).sum() - (8 + 2 * mu[32]) ** -1.1
    assert Q.trace(fdiff.Grid((n, n))) == pytest.approx(trace - edge, rel=1e-12)


def bessel_of_frequencies(*kappa):
    return 2.0 * (25.0 + sum(k**2 for k in kappa)) ** -2.0


@given(grids(max_dim=3, max_side=8))
def test_a_density_of_the_frequencies_is_the_operator_of_the_laplacian_on_any_box(grid):
    Q = fdiff.SpectralDensity(bessel_of_frequencies, of="frequencies")
    expected = fdiff.BesselCovariance(2.0, 25.0, 2.0)
    assert_allclose(Q.eigenvalues(grid), expected.eigenvalues(grid), rtol=1e-13)


@pytest.mark.parametrize("boundary", ["periodic", "neumann", "dirichlet"])
def test_the_tail_of_a_density_of_the_frequencies_is_that_of_the_operator(boundary):
    grid = fdiff.Grid((4, 6), (1.0, 4.0), boundary)
    Q = fdiff.SpectralDensity(bessel_of_frequencies, of="frequencies")
    value, error = Q.tail_trace_with_error(grid)
    expected = fdiff.BesselCovariance(2.0, 25.0, 2.0).tail_trace(grid)
    assert abs(value - expected) <= 3 * error
    assert value == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("boundary", ["periodic", "neumann", "dirichlet"])
def test_frequencies_and_wave_numbers_differ_by_the_box(boundary):
    """On 4 x 6 nodes of a 1 x 4 box: ``kappa = turn k / L``, by hand; ``k`` is the index."""
    grid = fdiff.Grid((4, 6), (1.0, 4.0), boundary)
    turn = 2 * math.pi if boundary == "periodic" else math.pi
    k, l = np.meshgrid(*(grid.basis.wavenumbers(axis) for axis in range(2)), indexing="ij")
    density = lambda x, y: np.exp(-0.1 * x**2 - 0.3 * np.abs(y))  # noqa: E731
    kept = grid.basis.retained
    seen = {
        of: fdiff.SpectralDensity(density, of=of).eigenvalues(grid)[kept]
        for of in ("frequencies", "wavenumbers")
    }
    assert_allclose(seen["frequencies"], density(turn * k, turn * l / 4.0)[kept], rtol=1e-14)
    assert_allclose(seen["wavenumbers"], density(k, l)[kept], rtol=0)
    unit = fdiff.Grid((4, 6), (1.0, 1.0), boundary)
    assert_allclose(
        fdiff.SpectralDensity(density, of="wavenumbers").eigenvalues(unit)[kept],
        seen["wavenumbers"], rtol=0,
    )  # fmt: skip


@given(grids(max_dim=3, max_side=6), st.floats(0.5, 60.0), st.floats(0.03, 3.0))
def test_tails_of_two_grids_differ_by_their_traces(grid, shift, excess):
    Q = fdiff.BesselCovariance(1.0, shift, grid.dim / 2 + excess)
    fine = grid.refine(3)
    expected = Q.trace(fine) - Q.trace(grid)
    got = Q.tail_trace(grid) - Q.tail_trace(fine)
    rounding = 1e-14 * Q.trace(fine) + 1e-11 * Q.tail_trace(grid)
    assert got == pytest.approx(expected, rel=1e-9, abs=rounding)


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize(
    "boundary", [("periodic", "periodic"), ("neumann", "dirichlet"), ("periodic", "neumann")]
)
def test_every_tail_is_what_refinement_adds(name, boundary):
    Q = FAMILIES[name]
    grid = fdiff.Grid((7, 6), (1.0, 1.5), boundary)
    fine = grid.refine(16)
    assert Q.trace(grid) + Q.tail_trace(grid) == pytest.approx(
        Q.trace(fine) + Q.tail_trace(fine), rel=1e-6
    )


@pytest.mark.parametrize(("dim", "power", "w"), [(1, 2.0, 2.0), (2, 2.0, math.pi + 2)])
def test_tail_constant_of_a_periodic_cube(dim, power, w):
    Q = fdiff.BesselCovariance(1.0, 25.0, power)
    n = 2049  # odd: retained |k| <= (n - 1) / 2, cut at n / 2
    leading = w * (2 * math.pi) ** (-2 * power) * (n / 2) ** (dim - 2 * power) / (2 * power - dim)
    assert Q.tail_trace(fdiff.Grid((n,) * dim)) == pytest.approx(leading, rel=1e-4)


def test_tail_constant_in_three_dimensions():
    # The integral of |omega|_inf over the sphere, face by face of the cube.
    w3, _ = dblquad(lambda x, y: 24 / (1 + x * x + y * y) ** 2, 0, 1, 0, 1, epsrel=1e-11)
    assert w3 == pytest.approx(10.445037016, rel=1e-8)
    Q = fdiff.BesselCovariance(1.0, 25.0, 2.0)
    n = 257
    leading = w3 * (2 * math.pi) ** -4 * (n / 2) ** -1.0
    assert Q.tail_trace(fdiff.Grid((n,) * 3)) == pytest.approx(leading, rel=2e-4)


def test_squared_exponential_tail_keeps_its_digits_and_its_bound():
    Q = fdiff.SquaredExponentialCovariance(1.0, 0.1)
    k = np.arange(16, 200)
    direct = 2 * (math.sqrt(2 * math.pi) * 0.1 * np.exp(-0.005 * (2 * math.pi * k) ** 2)).sum()
    tail = Q.tail_trace(line(31, "periodic"))
    assert tail == pytest.approx(direct, rel=1e-12)
    assert tail <= math.erfc(0.1 * math.pi * 30 / math.sqrt(2))


def test_density_tail_comes_with_an_error_that_holds():
    Q = fdiff.SpectralDensity(lambda mu: (25.0 + mu) ** -1.5)
    grid = fdiff.Grid((24, 16), (1.0, 2.0), ("neumann", "periodic"))
    value, error = Q.tail_trace_with_error(grid)
    exact = fdiff.BesselCovariance(1.0, 25.0, 1.5).tail_trace(grid)
    assert abs(value - exact) <= error < 1e-3 * exact


def test_finite_rank_has_no_tail_once_its_modes_fit():
    Q = fdiff.FiniteRankCovariance(np.ones((4, 3)))
    assert Q.tail_trace(fdiff.Grid((7, 5))) == 0.0
    assert Q.tail_trace(fdiff.Grid((6, 5))) == pytest.approx(2 * 5)
    assert Q.tail_trace(fdiff.Grid((4, 3), boundary="neumann")) == 0.0
    assert Q.tail_trace(fdiff.Grid((4, 3), boundary="dirichlet")) == 0.0
    assert Q.trace(fdiff.Grid((4, 3), boundary="dirichlet")) == pytest.approx(3 * 2)


def test_finite_rank_operators_are_equal_by_their_values():
    Q = fdiff.FiniteRankCovariance(np.ones((4, 3)))
    same = fdiff.FiniteRankCovariance(np.ones((4, 3)))
    assert copy.deepcopy(2.0 * Q) == 2.0 * Q
    assert same == Q
    assert hash(Q) == hash(same)
    assert fdiff.FiniteRankCovariance(np.ones(4)) != Q


# Kernels


def kernel_column(Q, grid, node):
    """``C(., x_node)`` at the nodes: Q applied to the delta of height 1/w."""
    delta = np.zeros(grid.shape)
    delta[node] = 1 / grid.cell_volume
    return Q.apply(delta, grid)


def test_periodic_kernel_is_the_closed_form():
    grid = line(20001, "periodic")
    rho = 0.3 * 20001
    value = math.cosh(R * 0.2) / (2 * R * math.sinh(R / 2))
    assert value == pytest.approx(0.025504603020, rel=1e-9)
    column = kernel_column(BESSEL_1, grid, (0,))
    x = grid.points(0)
    closed = np.cosh(R * (0.5 - np.minimum(x, 1 - x))) / (2 * R * np.sinh(R / 2))
    assert_allclose(column, closed, atol=2e-5)
    assert column[round(rho)] == pytest.approx(value, rel=1e-3)


def test_neumann_variance_doubles_at_the_wall():
    grid = line(4096, "neumann")
    variance = BESSEL_1.pointwise_variance(grid)
    x = grid.points(0)
    closed = np.cosh(R * x) * np.cosh(R * (1 - x)) / (R * np.sinh(R))
    # What is missing beyond the grid is at most twice the tail trace.
    missing = closed - variance
    assert missing.min() > -1e-12
    assert missing.max() <= 2 * BESSEL_1.tail_trace(grid)
    expected = {0.0: 0.2000181608, 0.25: 0.1082732639, 0.5: 0.1013567310}
    for at, value in expected.items():
        exact = math.cosh(R * at) * math.cosh(R * (1 - at)) / (R * math.sinh(R))
        assert exact == pytest.approx(value, rel=1e-9)


@pytest.mark.parametrize("boundary", ["periodic", "neumann", "dirichlet"])
def test_matern_kernel_is_the_whole_spaces_with_its_images(boundary):
    """Smoothness 1/2: std^2 exp(-r / length); periodised, or mirrored at the walls."""
    std, length = 1.3, 0.07
    Q = fdiff.MaternCovariance(std, length, 0.5)
    grid = line(3001, boundary)
    node = 1200
    y, x = grid.points(0)[node], grid.points(0)
    m = np.arange(-20, 21)[:, None]
    if boundary == "periodic":
        closed = np.exp(-np.abs(x - y + m) / length).sum(0)
    else:
        sign = 1 if boundary == "neumann" else -1
        direct = np.exp(-np.abs(x - y + 2 * m) / length)
        closed = (direct + sign * np.exp(-np.abs(x + y + 2 * m) / length)).sum(0)
    far = np.abs(x - y) > 0.01  # the kink at 0 is resolved slowly
    got = kernel_column(Q, grid, (node,))
    assert_allclose(got[far], std**2 * closed[far], atol=2e-3 * std**2)


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_std_and_length_are_the_pointwise_ones(dim):
    n = {1: 512, 2: 128, 3: 48}[dim]
    grid = fdiff.Grid((n,) * dim)
    smooth = fdiff.MaternCovariance(1.5, 0.08, 3.5)
    assert smooth.pointwise_variance(grid).max() == pytest.approx(1.5**2, rel=2e-3)
    gauss = fdiff.SquaredExponentialCovariance(1.5, 0.08)
    assert gauss.pointwise_variance(grid).max() == pytest.approx(1.5**2, rel=1e-8)
    column = kernel_column(gauss, grid, (0,) * dim)
    distance = grid.points(0)[: n // 4]
    along = column[(slice(0, n // 4),) + (0,) * (dim - 1)]
    assert_allclose(along, 1.5**2 * np.exp(-(distance**2) / (2 * 0.08**2)), atol=1e-6)


def test_variance_is_four_times_at_a_corner_and_nothing_at_a_dirichlet_edge():
    Q = fdiff.SquaredExponentialCovariance(1.0, 0.05)
    grid = fdiff.Grid((400, 400), boundary="neumann")
    variance = Q.pointwise_variance(grid)
    assert variance[0, 0] == pytest.approx(4, rel=2e-3)
    assert variance[0, 200] == pytest.approx(2, rel=2e-3)
    assert variance[200, 200] == pytest.approx(1, rel=1e-9)
    walls = fdiff.Grid((400, 400), boundary="dirichlet")
    assert Q.pointwise_variance(walls)[0, 200] < 2e-3


@given(grids(max_side=6), covariances())
def test_pointwise_variance_integrates_to_the_trace(grid, covariance):
    variance = covariance.pointwise_variance(grid)
    assert grid.cell_volume * variance.sum() == pytest.approx(covariance.trace(grid), rel=1e-10)


# Samples


@pytest.mark.parametrize("name", FAMILIES)
def test_pointwise_std_agrees_between_resolutions_as_the_tail_predicts(name):
    """At 32, 64, 128, 256 the variance is ``(tr Q - tail_n) / |D|``: tested mode by mode.

    Each retained mode's power over the samples is chi-square; the smallest p-value passes
    Bonferroni. The mean square of the fields then equals the sum over modes (Parseval), so the
    pointwise standard deviation follows the trace.
    """
    Q = FAMILIES[name]
    size = 24
    total = None
    for n in (32, 64, 128, 256):
        grid = fdiff.Grid((n, n), (1.0, 1.5), ("periodic", "neumann"))
        c = Q.sample_coefficients(grid, size, seed=5)
        q, weights = Q.eigenvalues(grid), grid.basis.weights
        assert mode_by_mode_p_value(c, q, grid) > 1e-3
        # On the same functions: what the finer grid adds is what the coarser one lacks.
        whole = Q.trace(grid) + Q.tail_trace(grid)
        total = whole if total is None else total
        assert whole == pytest.approx(total, rel=1e-6)
        u = grid.basis.inverse(c)
        power = (weights * np.abs(c) ** 2).sum((1, 2))
        assert_allclose((u**2).mean((1, 2)) * grid.volume, power, rtol=1e-10)
        spread = math.sqrt(2 * (weights * q**2).sum() / size)
        assert abs(power.mean() - Q.trace(grid)) < 5 * spread


def mode_by_mode_p_value(c, q, grid) -> float:
    """Bonferroni-corrected smallest two-sided p-value of each mode's chi-square statistic.

    A mode whose periodic components all vanish is real (one number a sample), the others are
    complex (two); the partner of a mode within the ``k_last = 0`` plane is not independent but is
    tested all the same.
    """
    size = len(c)
    lines = [grid.basis.wavenumbers(axis) for axis in range(grid.dim)]
    k = np.meshgrid(*lines, indexing="ij")
    periodic = [kk != 0 for kk, kind in zip(k, grid.boundary) if kind == "periodic"]
    paired = np.any(periodic, axis=0) if periodic else np.zeros(grid.basis.shape, bool)
    active = q > 0
    assert (c[:, ~active] == 0).all()
    power = (np.abs(c[:, active]) ** 2).sum(0) / q[active]
    numbers = np.where(paired, 2, 1)[active]
    statistic = power * numbers
    p = 2 * np.minimum(
        stats.chi2.cdf(statistic, numbers * size), stats.chi2.sf(statistic, numbers * size)
    )
    return min(1.0, p.min() * p.size)


@pytest.mark.parametrize(
    "grid",
    [
        fdiff.Grid((16, 16)),
        fdiff.Grid((9, 12), boundary=("dirichlet", "periodic")),
        fdiff.Grid((12, 9), boundary=("periodic", "neumann")),
        fdiff.Grid((6, 8, 5), boundary=("periodic", "periodic", "neumann")),
        fdiff.Grid((7, 6, 8), boundary="periodic"),
        fdiff.Grid((10, 11), boundary="neumann"),
    ],
    ids=lambda g: "x".join(map(str, g.shape)) + "-" + "-".join(b[0] for b in g.boundary),
)
def test_zero_planes_and_boundary_modes_have_their_variance(grid):
    Q = fdiff.BesselCovariance(1.0, 25.0, 2.0)
    c = Q.sample_coefficients(grid, 2000, seed=1)
    q = Q.eigenvalues(grid)
    assert mode_by_mode_p_value(c, q, grid) > 1e-3
    # The planes where one wave number vanishes, each by itself.
    for axis in range(grid.dim):
        zero = grid.basis.wavenumbers(axis) == 0
        if zero.any():
            plane = (slice(None),) * axis + (zero,)
            ratio = (np.abs(c[(slice(None), *plane)]) ** 2).mean(0) / np.maximum(q[plane], 1e-300)
            count = (q[plane] > 0).sum()
            assert abs(ratio.sum() / count - 1) < 5 * math.sqrt(2 / (2000 * count))
    assert (c[:, ~grid.basis.retained] == 0).all()


def test_modes_are_uncorrelated():
    grid = fdiff.Grid((6, 6), boundary=("periodic", "neumann"))
    u = fdiff.BesselCovariance().sample_coefficients(grid, 4000, seed=2)
    z = u[:, grid.basis.retained & (grid.basis.laplacian > 0)]
    z = z / np.sqrt((np.abs(z) ** 2).mean(0))
    correlation = np.abs(z.T @ z.conj() / 4000)
    np.fill_diagonal(correlation, 0)
    # Conjugate partners would show as z z, not as z conj z; both must vanish but on the diagonal.
    assert correlation.max() < 5.5 / math.sqrt(4000)
    assert np.abs(z.T @ z / 4000)[np.abs(z.imag).max(0) > 0].max() < 5.5 / math.sqrt(4000)


def test_channels_are_independent():
    grid = line(64, "periodic")
    c = fdiff.BesselCovariance().sample_coefficients(grid, 500, channels=2)
    a, b = c[:, 0, 1:32], c[:, 1, 1:32]
    assert c.shape == (500, 2, 33)
    correlation = np.abs((a * b.conj()).mean(0)) / np.sqrt(
        (np.abs(a) ** 2).mean(0) * (np.abs(b) ** 2).mean(0)
    )
    assert correlation.max() < 5 / math.sqrt(500)
    alone = fdiff.BesselCovariance().sample_coefficients(grid, 500)
    assert (c[:, 0] == alone).all()


def test_white_noise_works_and_names_the_consequence():
    grid = fdiff.Grid((33, 33))
    with pytest.warns(fdiff.TraceClassWarning, match="grows without bound"):
        u = fdiff.WhiteNoise().sample(grid, 200)
    assert u.var() == pytest.approx(1 / grid.cell_volume, rel=0.02)
    even = line(32, "periodic")
    assert fdiff.WhiteNoise().trace(even) == 31
    with pytest.warns(fdiff.TraceClassWarning, match="not trace class in 2D"):
        fdiff.BesselCovariance(1, 25, 1.0).sample(grid, 1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fdiff.BesselCovariance(1, 25, 1.0).sample(even, 1)


@pytest.mark.parametrize(
    ("Q", "dims"),
    [
        (fdiff.BesselCovariance(power=1.0), (True, False, False)),
        (fdiff.BesselCovariance(power=1.1), (True, True, False)),
        (fdiff.BesselCovariance(power=1.6), (True, True, True)),
        (fdiff.LaplaceCovariance(power=0.5), (False, False, False)),
        (fdiff.MaternCovariance(smoothness=0.1), (True, True, True)),
        (fdiff.SquaredExponentialCovariance(), (True, True, True)),
        (fdiff.WhiteNoise(), (False, False, False)),
        (fdiff.SpectralDensity(lambda mu: (1 + mu) ** -1.0), (True, False, False)),
        (fdiff.SpectralDensity(lambda mu: (1 + mu) ** -1.25), (True, True, False)),
        (fdiff.SpectralDensity(lambda mu: np.exp(-mu)), (True, True, True)),
        (fdiff.BesselCovariance(power=2.0) + fdiff.WhiteNoise(), (False, False, False)),
        (0.0 * fdiff.WhiteNoise() + fdiff.BesselCovariance(power=2.0), (True, True, True)),
    ],
    ids=lambda value: "" if isinstance(value, tuple) else type(value).__name__,
)
def test_is_trace_class(Q, dims):
    assert tuple(Q.is_trace_class(dim) for dim in (1, 2, 3)) == dims


# Algebra and borders


def test_sums_and_multiples():
    grid = fdiff.Grid((8, 8))
    a, b = fdiff.BesselCovariance(), fdiff.MaternCovariance()
    assert isinstance(a + b, SumCovariance)
    assert_allclose((a + b).eigenvalues(grid), a.eigenvalues(grid) + b.eigenvalues(grid))
    assert_allclose((3.0 * a).eigenvalues(grid), 3 * a.eigenvalues(grid))
    assert_allclose((a * 3).trace(grid), 3 * a.trace(grid))
    with pytest.raises(TypeError):
        a + 1.0
    with pytest.raises(TypeError):
        a * a


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: fdiff.BesselCovariance(scale=-1), "scale must be positive"),
        (lambda: fdiff.BesselCovariance(shift=0), "shift must be positive"),
        (lambda: fdiff.MaternCovariance(length=math.nan), "length must be positive"),
        (lambda: fdiff.LaplaceCovariance(zero_mode=-1.0), "zero_mode must be >= 0"),
        (lambda: -1.0 * fdiff.WhiteNoise(), "factor >= 0"),
        (lambda: fdiff.FiniteRankCovariance(np.array([1.0, -1.0])), "finite values >= 0"),
        (
            lambda: fdiff.SpectralDensity(np.exp, of="k"),
            '"laplacian", "frequencies", "wavenumbers"; got',
        ),
        (
            lambda: fdiff.SpectralDensity(lambda mu: 1 - mu).eigenvalues(line(8, "periodic")),
            "at wave number",
        ),
        *(
            (
                lambda of=of: fdiff.SpectralDensity(
                    lambda k: np.exp(-np.abs(k - 0.5)), of=of
                ).eigenvalues(line(8, "periodic")),
                "even in the wave vector",
            )
            for of in ("wavenumbers", "frequencies")
        ),
        (
            lambda: fdiff.FiniteRankCovariance(np.ones(3)).eigenvalues(fdiff.Grid((4, 4))),
            "1 axes, the grid 2",
        ),
        (
            lambda: fdiff.LaplaceCovariance().apply(np.zeros(8), line(8, "periodic"), -1.0),
            "needs positive eigenvalues; 1 retained",
        ),
    ],
)
def test_what_means_nothing_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_eigenvalues_are_shared_and_read_only():
    grid = fdiff.Grid((8, 8))
    q = fdiff.BesselCovariance().eigenvalues(grid)
    assert q is fdiff.BesselCovariance().eigenvalues(fdiff.Grid((8, 8)))
    with pytest.raises(ValueError, match="read-only"):
        q[0, 0] = 1
    with pytest.raises(ValueError, match="read-only"):
        grid.basis.weights[0, 0] = 3


def test_operators_are_pickled_as_they_are():
    Q = 2.0 * fdiff.MaternCovariance(1.0, 0.2, 0.7) + fdiff.LaplaceCovariance(zero_mode=0.5)
    assert pickle.loads(pickle.dumps(Q)) == Q


def test_a_cache_is_bounded_by_bytes():
    from fdiff.cache import cached_arrays

    calls = []

    def make(n):
        calls.append(n)
        return np.zeros(n)

    cached = cached_arrays(make, limit=800 * 8, largest=800)
    for n in (100, 90, 80, 100, 90, 80):  # 270 numbers: all kept
        cached(n)
    assert calls == [100, 90, 80]
    cached(101)  # above an eighth of the limit: never kept
    cached(101)
    assert calls == [100, 90, 80, 101, 101]
    for n in range(60, 80):
        cached(n)
    cached(100)  # pushed out by the others
    assert calls[-1] == 100
    with pytest.raises(ValueError, match="read-only"):
        cached(80)[0] = 1.0


@pytest.mark.parametrize("n", [2048, 3001])
def test_the_tail_of_a_density_on_a_fine_grid_is_extrapolated_within_its_error(n):
    grid = fdiff.Grid((n, n))
    density = fdiff.SpectralDensity(lambda mu: (25 + mu) ** -2.0)
    value, error = density.tail_trace_with_error(grid)
    assert abs(value - fdiff.BesselCovariance(1.0, 25.0, 2.0).tail_trace(grid)) < error
    divergent = fdiff.SpectralDensity(lambda mu: (25 + mu) ** -1.0)
    assert divergent.tail_trace(grid) == float("inf")
