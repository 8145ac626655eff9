"""Random numbers that must be independent are: within a step, of channels, fields and samples."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from problems import TP1, unequal_boxes
from scipy import stats

import fdiff
from fdiff import laws, noise, pde, solvers
from fdiff.pde import forcing
from fdiff.solvers.draws import StepNoise

GRID = unequal_boxes()[1]  # 4×6 nodes, periodic by no-flux
PROCESS = fdiff.ForwardProcess(fdiff.BesselCovariance(3.0, 4.0, 2.0), TP1.schedule)
DATA = fdiff.BesselCovariance(2.0, 2.0, 2.0)
SCORE = fdiff.GaussianScore(PROCESS, 0.5, DATA)
KEPT = GRID.basis.retained


def correlation(a, b):
    """Over samples and modes; of independent draws it is normal with deviation 1 / sqrt(count)."""
    a, b = (c[:, KEPT] / np.sqrt((np.abs(c[:, KEPT]) ** 2).mean(0)) for c in (a, b))
    return abs((a * b.conj()).mean()), 1 / math.sqrt(a.size)


def apart(draws):
    for (one, a), (two, b) in itertools.combinations(draws.items(), 2):
        found, deviation = correlation(a, b)
        assert found < 5 * deviation, (one, two)


def test_all_draws_of_a_sampler_are_independent():
    """The start, and two draws for each purpose in each of two steps."""
    size = 300
    x = np.zeros((size, *GRID.basis.shape), complex)
    problem = solvers.Problem(SCORE, GRID)
    root = PROCESS.covariance.multiplier(GRID, 0.5)
    draws = {"start": noise.white_coefficients(GRID, 7, noise.START, size, root=root)}
    uniforms = []
    for step in range(2):
        step_noise = StepNoise(problem, x, 7, 0, None, step)
        for purpose in (noise.STEPS, noise.CORRECTOR):
            for count in range(2):
                draws[step, purpose, count] = step_noise(purpose)
        uniforms += [step_noise.log_uniforms() for _ in range(2)]
    apart(draws)
    found = np.corrcoef(np.exp(uniforms))
    assert np.abs(found - np.eye(4)).max() < 5 / math.sqrt(size)
    later = StepNoise(problem, x[:5], 7, 20, None, 1)
    assert_array_equal(later(), draws[1, noise.STEPS, 0][20:25])
    assert_array_equal(later.log_uniforms(), uniforms[2][20:25])


STOCHASTIC = {
    name: make() for name, make in solvers.SCHEMES.items() if make().draws and make().affine
}
STOCHASTIC["three corrections"] = solvers.PredictorCorrector(corrections=3, step_size=0.3)
STOCHASTIC["ddim, eta 1/2"] = solvers.DDIM(0.5)


@pytest.mark.parametrize("name", STOCHASTIC)
def test_samples_have_the_exact_law_of_their_scheme(name):
    """Three long steps from N(0, Q): mean and variance of every mode against the exact ones.

    Whatever is drawn twice within a step, or in two of them, adds up instead of averaging.
    """
    size, times = 3000, [1.0, 0.6, 0.4, 0.25]
    solver = STOCHASTIC[name]
    mu, spectrum = GRID.basis.forward(np.full(GRID.shape, 0.5)), DATA.eigenvalues(GRID)
    law = laws.sampler_law(solver, PROCESS, mu, spectrum, GRID, times, "prior")
    options = {"solver": solver, "times": times, "start": "prior", "seed": 3, "close": False}
    c = GRID.basis.forward(fdiff.sample(SCORE, GRID, size, **options).fields)
    found = (np.abs(c - law.mean) ** 2).mean(0)[KEPT] / law.variance[KEPT]
    assert_allclose(found, 1, atol=5 * (2 / size) ** 0.5)
    assert (np.abs(c.mean(0) - law.mean)[KEPT] < 5 * np.sqrt(law.variance[KEPT] / size)).all()


def test_the_noise_of_ddim_is_eta_times_the_bridges():
    problem = solvers.Problem(SCORE, GRID)
    whole = laws.step_map(solvers.Ancestral(), problem, 0.6, 0.4).noise
    for eta in (0.25, 0.5):
        part = laws.step_map(solvers.DDIM(eta), problem, 0.6, 0.4).noise
        assert_allclose(part, eta * whole, rtol=1e-12)


def test_a_correction_keeps_the_law_of_the_time_that_was_reached():
    """Steps that stand still in time leave p_u as it is, to the first order of the step size."""
    data = (PROCESS, np.zeros(GRID.basis.shape), DATA.eigenvalues(GRID), GRID)

    class Flow(solvers.Solver):
        """Exact from t to u on Gaussian data."""

        order = None

        def step(self, problem, x, t, u, memory, noise):
            a, b = (laws.target_law(*data, r).variance for r in (t, u))
            return np.sqrt(b / np.where(a > 0, a, 1)) * x, ()

    for size in (0.1, 0.05):
        solver = solvers.PredictorCorrector(Flow(), corrections=2, step_size=size)
        law = laws.sampler_law(solver, *data, [1.0, 0.3])
        exact = laws.target_law(*data, 0.3).variance
        assert np.abs(law.variance[KEPT] / exact[KEPT] - 1).max() < size**2


@pytest.mark.parametrize("metropolis", [False, True])
def test_a_corrected_sampler_does_not_depend_on_the_batch(metropolis):
    solver = solvers.PredictorCorrector(corrections=2, step_size=1.0, metropolis=metropolis)
    options = {"solver": solver, "steps": 3, "seed": 5}
    whole = fdiff.sample(SCORE, GRID, 9, **options).fields
    assert_array_equal(fdiff.sample(SCORE, GRID, 9, batch=4, **options).fields, whole)
    assert_array_equal(fdiff.sample(SCORE, GRID, 3, first=5, **options).fields, whole[5:8])


def test_a_mixture_starts_each_sample_in_its_own_component_whatever_the_batch():
    means = [fdiff.Field(np.full(GRID.shape, v), GRID) for v in (-3.0, 3.0)]
    score = fdiff.MixtureScore(PROCESS, means, 0.01 * DATA, [0.3, 0.7])
    options = {"steps": 4, "start": "exact", "seed": 2}
    whole = fdiff.sample(score, GRID, 12, **options).fields
    assert 0 < (whole.mean((1, 2)) > 0).sum() < 12
    assert_array_equal(fdiff.sample(score, GRID, 12, batch=5, **options).fields, whole)
    assert_array_equal(fdiff.sample(score, GRID, 4, first=6, **options).fields, whole[6:10])


def test_an_exact_start_has_the_law_at_its_own_time():
    """Mean ``m mu`` and variance ``m^2 c + s^2 q``, at a time when m is neither 0 nor 1."""
    size, t = 4000, 0.3
    m, s = PROCESS.mean_factor(t), PROCESS.std(t)
    white = noise.white_coefficients(GRID, 1, noise.START, size)
    one = fdiff.Field(np.full(GRID.shape, 2.0), GRID)
    for score in (
        fdiff.GaussianScore(PROCESS, 2.0, DATA), fdiff.WienerScore(PROCESS, 2.0, DATA),
        fdiff.MixtureScore(PROCESS, [one], DATA),
    ):  # fmt: skip
        c = score.marginal(t, white, GRID, 1, 0)
        mean = m * GRID.basis.forward(np.full(GRID.shape, 2.0))
        variance = m * m * DATA.eigenvalues(GRID) + s * s * PROCESS.covariance.eigenvalues(GRID)
        assert_allclose(
            (np.abs(c - mean) ** 2).mean(0)[KEPT] / variance[KEPT], 1, atol=5 * (2 / size) ** 0.5
        )
        assert (np.abs(c.mean(0) - mean)[KEPT] < 5 * np.sqrt(variance[KEPT] / size)).all()


def test_points_of_a_bridge_and_transitions_are_numbered_and_keyed_by_sample():
    size = 300
    zero = np.zeros((size, *GRID.shape))
    draws = {}
    for time in (0, 1):
        u = PROCESS.bridge(zero, zero, 0.3, 0.7, GRID, seed=4, time=time)
        draws["bridge", time] = GRID.basis.forward(u)
        later = PROCESS.bridge(zero[:3], zero[:3], 0.3, 0.7, GRID, seed=4, first=7, time=time)
        assert_allclose(later, u[7:10], atol=1e-13)
    apart(draws)
    draws = {}
    for time in (0, 1):
        u = PROCESS.transition(zero, 0.3, 0.7, GRID, seed=4, time=time)
        draws["transition", time] = GRID.basis.forward(u)
        later = PROCESS.transition(zero[:3], 0.3, 0.7, GRID, seed=4, first=7, time=time)
        assert_allclose(later, u[7:10], atol=1e-13)
    apart(draws)
    path = fdiff.OrnsteinUhlenbeckPath(PROCESS, seed=5)
    start = np.zeros((size, *GRID.basis.shape), complex)
    steps = list(path.along([0.2, 0.5, 0.9], start, GRID))
    for a, b in zip(steps, path.along([0.2, 0.5, 0.9], start[:3], GRID, first=7)):
        assert_array_equal(a[7:10], b)


def test_initial_states_and_forcing_are_independent_in_every_field_sample_and_step():
    """One seed serves both: a state whose first push repeats it would start along itself."""
    size, system = 200, pde.system("linear")
    law = pde.GaussianInitial({"family": "bessel", "scale": 1.0, "shift": 3.0, "power": 2.0})
    draws = {}
    states = np.array([law.draw(system, GRID, 9, i) for i in range(size)])
    grf = np.array([pde.GRFInitial().draw(system, GRID, 9, i) for i in range(size)])
    pushes = np.array([[forcing.keyed(GRID, 2, 9, i)(n) for n in range(2)] for i in range(size)])
    for channel in range(2):
        draws["state", channel] = GRID.basis.forward(states[:, channel])
        for step in range(2):
            draws["push", channel, step] = pushes[:, step, channel]
    apart(draws)
    apart({channel: GRID.basis.forward(grf[:, channel]) for channel in range(2)})
    neighbours = {"this": draws["push", 0, 0][:-1], "next": draws["push", 0, 0][1:]}
    apart(neighbours)


def test_forcing_is_numbered_over_the_whole_run():
    """Stored times in between change nothing: the noise of step n is that of step n."""
    system = pde.system("linear")
    q = DATA.eigenvalues(GRID)
    ends = []
    for times in ([0.4], [0.1, 0.2, 0.4]):
        out = np.empty((len(times), *GRID.shape, 2))
        draw = forcing.keyed(GRID, 2, 3, 1)
        start = np.ones((2, *GRID.shape))
        steps = forcing.trajectory(system, start, GRID, np.array(times), 0.1, q, draw, out)
        assert steps == 4
        ends.append(out[-1])
    assert_allclose(ends[1], ends[0], atol=1e-12)


def test_spots_lie_anywhere_in_the_box():
    """Fractions of the sides are uniform and independent of each other."""
    grid = unequal_boxes(("neumann",))[0].refine(4)
    law, system = pde.SpotsInitial(1, 0.2), pde.system("none")
    fractions = []
    for i in range(300):
        state = law.draw(system, grid, 4, i)[0]
        place = np.unravel_index(state.argmax(), grid.shape)
        fractions.append([(j + 0.5) / n for j, n in zip(place, grid.shape)])
    fractions = np.array(fractions)
    assert abs(np.corrcoef(fractions.T)[0, 1]) < 5 / math.sqrt(300)
    for line, n in zip(fractions.T, grid.shape):
        # Places are known to a node.
        assert stats.kstest(line, "uniform").statistic < 1.7 / math.sqrt(300) + 0.5 / n


def test_heat_is_pushed_anew_in_every_step():
    """Increments of a mode without damping are independent: their sum has the summed variance."""
    heat = fdiff.LinearSPDE(lambda mu: 0.0 * mu, DATA)
    size = 400
    states = list(heat.coefficients([0.1, 0.2, 0.3, 0.4], GRID, size, seed=6))
    steps = np.diff([0 * states[0], *states], axis=0)
    apart(dict(enumerate(steps)))
    found = (np.abs(states[-1]) ** 2).mean(0)[KEPT] / (0.4 * DATA.eigenvalues(GRID)[KEPT])
    assert_allclose(found, 1, atol=5 * (2 / size) ** 0.5)
