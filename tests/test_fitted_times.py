"""Time grids fitted to the correction: closed forms of equidistribution, a gain that is seen."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.polynomial import Polynomial
from numpy.testing import assert_allclose

import fdiff
from fdiff import solvers
from fdiff.solvers.fitted import CorrectionPaths, equidistributed, quadrature_error

GRID = fdiff.Grid((16,), 1.0, "periodic")
DATA = fdiff.BesselCovariance(1.0, 25.0, 2.0)
PROCESS = fdiff.ForwardProcess(fdiff.BesselCovariance(1.0, 25.0, 1.0), fdiff.LinearSchedule())


@pytest.fixture(scope="module")
def score():
    """Two bumps, three standard deviations apart: far from Gaussian."""
    bump = 0.06 * np.cos(2 * np.pi * GRID.points(0))
    means = [fdiff.score.Field(sign * bump, GRID) for sign in (1, -1)]
    return fdiff.MixtureScore(PROCESS, means, DATA)


@pytest.fixture(scope="module")
def reference():
    """The mixture's mean and a covariance that holds its bumps' variance too."""
    return fdiff.score.Field(np.zeros(16), GRID), fdiff.BesselCovariance(3.0, 25.0, 2.0)


def test_equal_shares_of_a_constant_are_equal_steps():
    nodes = equidistributed([0.0, 0.3, 1.0, 4.0], [2.0, 2.0, 2.0, 2.0], 8)
    assert_allclose(nodes, np.linspace(0, 4, 9), rtol=1e-14)


def test_equal_shares_of_a_linear_density_are_roots():
    positions = np.linspace(1.0, 5.0, 7)
    nodes = equidistributed(positions, positions, 10)  # mass (x^2 - 1) / 2
    assert_allclose(nodes, np.sqrt(1 + 24 * np.arange(11) / 10), rtol=1e-13)


@given(
    steps=st.integers(1, 12),
    density=st.lists(st.floats(1e-3, 1e3), min_size=3, max_size=9),
)
def test_shares_are_equal_whatever_the_density(steps, density):
    positions = np.cumsum(1.0 + np.arange(len(density)) % 3)
    nodes = equidistributed(positions, density, steps)
    assert (np.diff(nodes) > 0).all()
    # Between the nodes and the kinks the trapezoidal rule is exact.
    fine = np.unique(np.concatenate([nodes, positions]))
    values = np.interp(fine, positions, density)
    mass = np.concatenate([[0], np.cumsum(np.diff(fine) * (values[1:] + values[:-1]) / 2)])
    shares = np.diff(np.interp(nodes, fine, mass))
    assert_allclose(shares, mass[-1] / steps, rtol=1e-9)


@pytest.mark.parametrize(
    ("positions", "density", "steps"),
    [([0, 1], [1, 0], 2), ([1, 0], [1, 1], 2), ([0, 1], [1, 1], 0)],
)
def test_densities_that_cannot_be_shared_are_refused(positions, density, steps):
    with pytest.raises(ValueError, match="needs a step, increasing positions and a positive"):
        equidistributed(positions, density, steps)


@pytest.mark.parametrize("order", [1, 2, 3])
def test_quadrature_has_its_order_and_is_exact_once_started(order):
    nodes = np.linspace(0.0, 1.0, 33)

    def errors(power: int) -> float:
        # Zero with its first derivatives at the start, where the order is lower.
        path = Polynomial([0] * power + [1.0])
        return quadrature_error(
            lambda x: path(x)[:, None], lambda x: np.atleast_1d(path.integ()(x)), nodes, order
        )

    coarse, fine = nodes, np.linspace(0.0, 1.0, 65)
    assert errors(5) > 0
    nodes = fine
    halved = errors(5)
    nodes = coarse
    assert np.log2(errors(5) / halved) == pytest.approx(order, abs=0.25)


def test_a_fitted_grid_starts_at_the_horizon_and_falls(score, reference):
    solver = solvers.GaussianExact(reference=reference)
    paths = CorrectionPaths.record(score, GRID, 8, 24, solver=solver)
    for steps, order in [(2, 1), (3, 2), (5, 3), (8, 2)]:
        times = paths.times(steps, order)
        assert len(times) == steps + 1
        assert times[0] == PROCESS.T
        assert times[-1] == pytest.approx(1e-3)
        assert (np.diff(times) < 0).all()


@pytest.mark.parametrize("steps", [4, 6])
def test_fitted_steps_bring_samples_nearer_to_their_limit(score, reference, steps):
    """On other samples than those that the grid was fitted to."""
    solver = solvers.GaussianExact(reference=reference)
    times = solvers.fitted_times(score, GRID, steps, size=16, seed=1, solver=solver)

    def error(**grid) -> float:
        found = fdiff.sample(score, GRID, 64, solver=solver, seed=2, start=start, **grid).fields
        return float(np.sqrt(np.mean((found - limit) ** 2)))

    start = fdiff.sample(score, GRID, 64, 1, solver, seed=2, close=False, keep=[1.0])
    start = start.trajectory[0]
    limit = fdiff.sample(score, GRID, 64, 400, solver, seed=2, start=start).fields
    assert error(times=times) < 0.8 * error(steps=steps)


def test_bad_requests_say_what_is_wrong(score, reference):
    solver = solvers.GaussianExact(reference=reference)
    paths = CorrectionPaths.record(score, GRID, 4, 12, solver=solver)
    with pytest.raises(ValueError, match="at least two steps, got 1"):
        paths.times(1)
    with pytest.raises(ValueError, match="orders 1, 2 and 3, got 4"):
        paths.times(3, order=4)
    with pytest.raises(ValueError, match="at least 8 steps, got 3"):
        CorrectionPaths.record(score, GRID, 4, 3, solver=solver)
