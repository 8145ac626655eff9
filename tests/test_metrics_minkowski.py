"""Areas, perimeters and Euler characteristics of level sets that are known."""

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose

from fdiff.covariance import SquaredExponentialCovariance
from fdiff.grid import Grid
from fdiff.metrics import minkowski, perimeter_error


def box(n: int = 64, boundary: str = "neumann") -> Grid:
    return Grid((n, n), 2.0, boundary, -1.0)


def radius(grid: Grid, x0: float = 0.0, y0: float = 0.0) -> np.ndarray:
    x, y = grid.coordinates()
    return np.hypot(x - x0, y - y0)


def functionals(u: np.ndarray, grid: Grid, level: float = 0.0) -> tuple[float, float, float]:
    m = minkowski(u[None], grid, [level])
    return m.area[0, 0, 0], m.perimeter[0, 0, 0], m.euler[0, 0, 0]


@pytest.mark.parametrize("boundary", ["neumann", "dirichlet", "periodic"])
def test_disc_converges_with_second_order(boundary):
    centres = np.random.default_rng(0).uniform(-0.2, 0.2, (20, 2))
    errors = []
    for n in (32, 64, 128):
        grid = box(n, boundary)
        u = np.stack([0.36 - radius(grid, *centre) ** 2 for centre in centres])
        m = minkowski(u, grid, [1e-9])  # on a Dirichlet wall the field ends at 0, below the level
        assert np.all(m.euler == 1)
        errors.append((m.area.mean() - 0.36 * math.pi, m.perimeter.mean() - 1.2 * math.pi))
    ratios = np.array(errors)[:-1] / np.array(errors)[1:]
    assert np.all((ratios > 3.6) & (ratios < 4.4)), ratios
    assert np.all(np.abs(errors[-1]) < 5e-4)


@pytest.mark.parametrize("boundary", ["neumann", "periodic"])
def test_annulus_discs_and_their_complements(boundary):
    grid = box(64, boundary)
    annulus = 0.2 - np.abs(radius(grid) - 0.6)
    area, perimeter, euler = functionals(annulus, grid)
    assert_allclose(area, math.pi * (0.64 - 0.16), rtol=5e-3)
    assert_allclose(perimeter, 2 * math.pi * 1.2, rtol=5e-3)
    assert euler == 0
    discs = 0.3 - np.minimum(radius(grid, -0.5, -0.4), radius(grid, 0.5, 0.4))
    assert functionals(discs, grid)[2] == 2
    # The whole box has characteristic 1, the torus 0; two holes take 2 off.
    assert functionals(-discs, grid, 1e-9)[2] == (-1 if boundary == "neumann" else -2)


def test_stripe_is_exact_and_closes_up_on_the_torus():
    for boundary, lines, characteristic in [("neumann", 1, 1), ("periodic", 2, 0)]:
        grid = box(32, boundary)
        x, y = grid.coordinates()
        u = (0.31 - x) + 0 * y if boundary == "neumann" else 0.31 - np.abs(x) + 0 * y
        area, perimeter, euler = functionals(u, grid)
        assert_allclose(perimeter, 2.0 * lines, rtol=1e-12)
        assert_allclose(area, 2.62 if lines == 1 else 1.24, rtol=1e-12)
        assert euler == characteristic


@pytest.mark.parametrize(("boundary", "characteristic"), [("neumann", 1), ("periodic", 0)])
def test_whole_box_and_nothing(boundary, characteristic):
    grid = box(8, boundary)
    assert functionals(np.ones(grid.shape), grid) == (4.0, 0.0, characteristic)
    assert functionals(-np.ones(grid.shape), grid) == (0.0, 0.0, 0.0)


def test_walls_do_not_count_and_half_cells_do():
    grid = box(128)
    area, perimeter, euler = functionals(0.5 - radius(grid, -1.0, 0.0), grid)
    assert_allclose(area, math.pi * 0.125, rtol=1e-2)
    assert_allclose(perimeter, math.pi * 0.5, rtol=1e-2)
    assert euler == 1


def test_levels_are_independent_of_each_other():
    grid = Grid((20, 24), (1.0, 3.0), ("periodic", "neumann"))
    u = np.random.default_rng(0).standard_normal((3, 2, 20, 24))
    levels = [-1.0, 0.1, 0.7]
    together = minkowski(u, grid, levels)
    assert together.area.shape == (3, 2, 3)
    for i, level in enumerate(levels):
        alone = minkowski(u, grid, [level])
        for name in ("area", "perimeter", "euler"):
            assert_allclose(
                getattr(together, name)[..., i], getattr(alone, name)[..., 0], atol=1e-12
            )


def test_flipping_the_sign_gives_the_complement():
    grid = Grid((20, 24), (1.0, 3.0), "periodic")
    u = np.random.default_rng(1).standard_normal((4, 20, 24))
    above, below = minkowski(u, grid, [0.3]), minkowski(-u, grid, [-0.3])
    assert_allclose(above.area + below.area, 3.0, rtol=1e-12)
    assert_allclose(above.perimeter, below.perimeter, rtol=1e-12)
    assert_allclose(above.euler, -below.euler)  # on a torus chi(A) + chi(complement) = 0


def test_gaussian_field_has_the_expected_functionals():
    """Adler & Taylor (2007), Random Fields and Geometry: expectations of stationary fields."""
    grid, length = Grid((96, 96), 1.0, "periodic"), 0.06
    u = SquaredExponentialCovariance(1.0, length).sample(grid, 60, seed=0)
    levels = np.array([-1.0, 0.0, 1.5])
    m = minkowski(u, grid, levels)
    slope = 1 / length**2  # second spectral moment, the variance of one derivative
    density = np.exp(-(levels**2) / 2)
    perimeter = 0.5 * math.sqrt(slope) * density
    euler = slope * (2 * math.pi) ** -1.5 * levels * density
    for values, expected, bias in [
        (m.perimeter[:, 0], perimeter, 0.01 * perimeter),
        (m.euler[:, 0], euler, 0.2),
    ]:
        error = values.std(axis=0) / math.sqrt(len(u))
        assert np.all(np.abs(values.mean(axis=0) - expected) < 4 * error + bias)


def test_perimeter_error_of_a_rescaled_wave_number():
    grid = box(128)
    rng = np.random.default_rng(2)
    phase = rng.uniform(0, 2 * math.pi, (200, 1, 1))
    x, y = grid.coordinates()
    once, twice = (math.sqrt(2) * np.sin(math.pi * k * x + 0 * y + phase) for k in (4, 6))
    # Straight fronts: the length at every level is proportional to the wave number.
    assert_allclose(perimeter_error(twice, once, grid, [-1, 0, 1]).value, 0.5, rtol=0.02)


def test_only_two_axes():
    with pytest.raises(ValueError, match="2 axes"):
        minkowski(np.zeros((3, 8)), Grid((8,)), [0.0])


def test_a_level_that_one_field_crosses_has_a_wide_interval_and_no_nan():
    """Of six bumps one reaches a height that the others do not: a third of resamples miss it."""
    grid = Grid((16, 16), 1.0, "neumann")
    x, y = grid.coordinates()
    bump = np.exp(-20 * ((x - 0.5) ** 2 + (y - 0.5) ** 2))
    heights = np.array([0.1, 0.1, 0.1, 0.1, 0.1, 4.0])[:, None, None]
    truth, samples = heights * bump, 1.5 * heights * bump
    found = perimeter_error(samples, truth, grid)
    assert np.isfinite([found.value, found.low, found.high]).all()
    assert found.low <= found.value <= found.high
