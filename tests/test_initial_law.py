"""A start from N(0, Q) where the process has not forgotten its data: the error, and the warning."""

from __future__ import annotations

import math
import warnings

import pytest
from numpy.testing import assert_allclose

import fdiff
from fdiff import laws, solvers
from fdiff.solvers.initial_law import TOLERATED, initial_law_error

GRIDS = [
    fdiff.Grid((16,)),
    fdiff.Grid((4, 6), (1.0, 4.0), ("neumann", "periodic")),
    fdiff.Grid((3, 4, 5), (1.0, 2.0, 0.5), "dirichlet"),
]
PRIOR = fdiff.BesselCovariance(30.0, 25.0, 2.0)
SHORT = fdiff.ForwardProcess(PRIOR, fdiff.ConstantSchedule(1.0))  # m(1) = .61
SCHEDULES = [fdiff.LinearSchedule(), fdiff.CosineSchedule(), fdiff.ConstantSchedule(10.0)]


def score(process, grid, mean=0.3, data=0.5 * PRIOR):
    centre = fdiff.Field(mean + PRIOR.sample(grid, 1, 3)[0], grid) if mean else 0.0
    return fdiff.GaussianScore(process, centre, data)


@pytest.mark.parametrize("stochastic", [False, True])
@pytest.mark.parametrize("grid", GRIDS, ids=str)
@pytest.mark.parametrize("rate", [0.3, 1.0, 3.0])
def test_the_error_is_that_of_the_exact_laws_in_the_limit_of_small_steps(grid, rate, stochastic):
    """By the laws of two solvers: the exact flow, and 1000 steps of the reverse SDE."""
    process = fdiff.ForwardProcess(PRIOR, fdiff.ConstantSchedule(rate))
    one = score(process, grid, data=fdiff.BesselCovariance(200.0, 25.0, 2.4))
    found = initial_law_error(one, grid, 1.0, stochastic)
    c = one.covariance.eigenvalues(grid)
    known = (process, grid.basis.project(grid.basis.forward(one.mean.values)), c, grid)
    if stochastic:
        solver, times = solvers.SDEDPMSolverPP2M(), solvers.times(process, 1000, end=1e-6)
    else:
        solver, times = solvers.GaussianExact(), [1.0, 0.0]
    law = laws.sampler_law(solver, *known, times, "prior", close=True)
    target = laws.target_law(*known, 0.0)
    size = math.sqrt((grid.basis.weights * c).sum())
    distance = laws.wasserstein2(law, target, grid) / size
    tolerance = 1e-4 if stochastic else 1e-12
    assert found.distance == pytest.approx(distance, abs=tolerance)
    total = math.sqrt((grid.basis.weights * law.variance).sum()) / size - 1
    assert found.total_std == pytest.approx(total, abs=tolerance)


def test_eleven_percent_too_much_is_what_the_samples_show():
    """``1 / sqrt(.5 e^-1 + 1 - e^-1) - 1 = .107`` for data with half of the noise's variance."""
    grid = GRIDS[0]
    expected = 1 / math.sqrt(0.5 * math.exp(-1) + 1 - math.exp(-1)) - 1
    one = score(SHORT, grid, mean=0.0)
    found = initial_law_error(one, grid, 1.0, False)
    assert_allclose([found.total_std, found.std, found.mean], [expected, expected, 0], atol=1e-12)
    with pytest.warns(fdiff.InitialLawWarning, match=r"t = 1 .* m = 0\.61 .* 11 % too large"):
        fields = fdiff.sample(one, grid, 20000, seed=1, start="prior").fields
    spread = math.sqrt((0.5 * PRIOR).pointwise_variance(grid).mean())
    assert math.sqrt(fields.var(0).mean()) / spread - 1 == pytest.approx(expected, abs=0.01)
    # What the message advises.
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fields = fdiff.sample(one, grid, 20000, seed=1, start="exact").fields
    assert math.sqrt(fields.var(0).mean()) / spread == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("name", list(solvers.SCHEMES))
def test_every_scheme_warns_once_of_a_short_process_and_not_of_the_defaults(name):
    grid, scheme = GRIDS[1], solvers.SCHEMES[name]()
    options = {"start": "prior", "steps": 2, "batch": 2, "channels": 2}
    with pytest.warns(fdiff.InitialLawWarning) as caught:
        fdiff.sample(score(SHORT, grid), grid, 5, solver=scheme, **options)
    assert len(caught) == 1
    assert caught[0].filename == __file__  # the line of the caller
    for schedule in SCHEDULES:
        process = fdiff.ForwardProcess(PRIOR, schedule)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            fdiff.sample(score(process, grid), grid, 2, solver=scheme, **options)


def test_a_law_that_is_the_prior_at_all_times_is_not_warned_of():
    grid = GRIDS[0]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fdiff.sample(score(SHORT, grid, 0.0, PRIOR), grid, 2, start="prior")


def test_a_start_at_an_earlier_time_is_judged_there():
    grid, process = GRIDS[0], fdiff.ForwardProcess(PRIOR, fdiff.LinearSchedule())
    with pytest.warns(fdiff.InitialLawWarning, match="the law at t = 0.3 is another"):
        fdiff.sample(score(process, grid), grid, 2, times=[0.3, 0.01], start="prior")


def test_a_prior_that_is_much_smoother_than_the_data_is_warned_of_at_any_horizon():
    grid = fdiff.Grid((256,))
    data = fdiff.BesselCovariance(1.0, 25.0, 1.0)
    smooth = fdiff.BesselCovariance(25.0**2, 25.0, 3.0)
    process = fdiff.ForwardProcess(smooth, fdiff.LinearSchedule())
    one = score(process, grid, 0.0, data)
    with pytest.warns(fdiff.InitialLawWarning, match="too small .*a noise as rough as the data"):
        fdiff.sample(one, grid, 2, 2, start="prior")


def test_a_large_mean_counts_for_the_flow_and_is_forgotten_by_the_reverse_sde():
    grid, process = GRIDS[0], fdiff.ForwardProcess(PRIOR, fdiff.LinearSchedule())
    one = fdiff.GaussianScore(process, 60.0 * math.sqrt((0.5 * PRIOR).trace(grid)), 0.5 * PRIOR)
    flow, sde = (initial_law_error(one, grid, 1.0, kind).distance for kind in (False, True))
    assert sde < TOLERATED < flow


def test_of_two_channels_the_worse_one_counts():
    grid, half = GRIDS[1], fdiff.ChannelCovariance((1e6 * PRIOR, 0.5 * PRIOR))
    worse = initial_law_error(fdiff.GaussianScore(SHORT, 0.0, half), grid, 1.0, True)
    alone = [initial_law_error(fdiff.GaussianScore(SHORT, 0.0, c), grid, 1.0, True)
             for c in half.channels]  # fmt: skip
    assert worse.distance == max(error.distance for error in alone)


def test_a_score_that_does_not_tell_is_judged_by_what_is_left_of_its_data():
    class Unknown(fdiff.Score):
        def __init__(self, process):
            self.process = process

        def denoise_coefficients(self, t, c, grid):
            return 0.5 * c

    with pytest.warns(fdiff.InitialLawWarning, match="does not tell. Take a schedule") as caught:
        fdiff.sample(Unknown(SHORT), GRIDS[0], 2, 2, solvers.DDIM())
    assert "exact" not in str(caught[0].message)
    usual = fdiff.ForwardProcess(PRIOR, fdiff.LinearSchedule())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fdiff.sample(Unknown(usual), GRIDS[0], 2, 2, solvers.DDIM())


@pytest.mark.parametrize("scale", [1e-18, 1e20])
def test_units_do_not_matter(scale):
    grid = GRIDS[1]
    process = fdiff.ForwardProcess(scale**2 * PRIOR, fdiff.ConstantSchedule(1.0))
    one = fdiff.GaussianScore(process, 0.3 * scale, 0.5 * scale**2 * PRIOR)
    unit = fdiff.GaussianScore(SHORT, 0.3, 0.5 * PRIOR)
    for kind in (False, True):
        a, b = (initial_law_error(s, grid, 1.0, kind) for s in (one, unit))
        assert_allclose([a.mean, a.std, a.total_std], [b.mean, b.std, b.total_std], rtol=1e-9)
