"""Exact laws: the printed table of the test problem, explicit formulas, and Monte Carlo."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from numpy.testing import assert_allclose
from problems import TP1

import fdiff
from fdiff import laws, solvers


def error(solver, n, times, prior=None, start="exact"):
    """W2 of the sampler's law to the exact law at the last time."""
    grid, process = TP1.grid(n), TP1.process(prior)
    data = (process, TP1.mean(grid), TP1.data.eigenvalues(grid), grid)
    law = laws.sampler_law(solver, *data, times, start)
    return laws.wasserstein2(law, laws.target_law(*data, float(times[-1])), grid)


def uniform(steps, end=TP1.end):
    return solvers.times(TP1.process(), steps, end=end)


# W2 on 128 points after 32, 64, 128 and 256 steps.
TABLE = {
    "euler-maruyama": (3.4385e-2, 1.6473e-2, 8.0721e-3, 3.9966e-3),
    "exponential-euler": (7.7005e-2, 3.6121e-2, 1.7511e-2, 8.6229e-3),
    "ancestral": (1.3261e-1, 7.0390e-2, 3.6287e-2, 1.8426e-2),
    "sde-dpm-2m": (1.3947e-2, 3.6816e-3, 9.3040e-4, 2.3315e-4),
    "ddim": (7.2119e-2, 3.6734e-2, 1.8539e-2, 9.3128e-3),
    "heun": (1.7847e-3, 4.4375e-4, 1.1051e-4, 2.7566e-5),
    "edm-heun": (1.2111e-2, 2.9108e-3, 7.1385e-4, 1.7678e-4),
    "exponential-heun": (7.1469e-3, 1.8299e-3, 4.6239e-4, 1.1618e-4),
    "dpm-2s": (5.3017e-3, 1.3645e-3, 3.4576e-4, 8.7006e-5),
    "dpm-2m": (5.4287e-3, 1.3903e-3, 3.4940e-4, 8.7457e-5),
    "dpm-3s": (2.2607e-5, 3.3499e-6, 4.5214e-7, 5.8622e-8),
    "dpm-3m": (4.3074e-4, 2.6557e-5, 1.6604e-6, 1.0644e-7),
}


@pytest.mark.parametrize("name", TABLE)
def test_each_sampler_has_the_exact_error_of_the_test_problem(name):
    observed = [error(solvers.SCHEMES[name](), 128, uniform(n)) for n in (32, 64, 128, 256)]
    assert_allclose(observed, TABLE[name], rtol=1e-4)


# W2 after 64 steps on 32 and on 2048 points, for trace-class noise and for white noise.
GROWTH = {
    "euler-maruyama": (0.01647, 0.01647, 0.0276, 0.0720),
    "exponential-euler": (0.03612, 0.03612, 0.0512, 0.0916),
    "ancestral": (0.07039, 0.07039, 0.07034, 0.07034),
    "sde-dpm-2m": (0.003682, 0.003682, 0.003659, 0.003659),
    "ddim": (0.03673, 0.03673, 0.03671, 0.03671),
    "heun": (4.437e-4, 4.438e-4, 5.2e-4, 4.68e-3),
}


@pytest.mark.parametrize("name", GROWTH)
def test_errors_are_free_of_the_dimension_for_trace_class_noise_only(name):
    priors = (TP1.prior, fdiff.WhiteNoise())
    observed = [
        error(solvers.SCHEMES[name](), n, uniform(64), prior)
        for prior in priors
        for n in (32, 2048)
    ]
    assert_allclose(observed, GROWTH[name], rtol=1e-2)


def test_euler_maruyama_with_white_noise_grows_with_the_number_of_points():
    observed = [
        error(solvers.EulerMaruyama(), n, uniform(64), fdiff.WhiteNoise())
        for n in (32, 128, 512, 2048)
    ]
    assert_allclose(observed, [0.027607, 0.031182, 0.042592, 0.071982], rtol=1e-4)


@pytest.mark.parametrize(
    ("prior", "expected"),
    [
        (None, (7.0716e-4, 7.1808e-4, 7.7001e-4, 8.3395e-4)),
        (fdiff.WhiteNoise(), (0.027557, 0.10627, 0.24015, 0.49421)),
    ],
    ids=["trace-class", "white"],
)
def test_the_usual_procedure_uniform_in_time_from_the_prior_to_zero(prior, expected):
    times = solvers.times(TP1.process(), 1000, "time", end=0.0)
    observed = [
        error(solvers.EulerMaruyama(), n, times, prior, "prior") for n in (32, 128, 512, 2048)
    ]
    assert_allclose(observed, expected, rtol=1e-4)


def test_white_noise_in_two_dimensions_grows_like_the_number_of_points_per_axis():
    process = fdiff.ForwardProcess(fdiff.WhiteNoise(), TP1.schedule)
    times = solvers.times(process, 500, "time", end=0.0)
    errors = []
    for n in (32, 64, 128):
        grid = fdiff.Grid((n, n))
        c = fdiff.BesselCovariance(scale=1.0, shift=25.0, power=2.0).eigenvalues(grid)
        data = (process, np.zeros(grid.basis.shape), c, grid)
        law = laws.sampler_law(solvers.EulerMaruyama(), *data, times, "prior")
        errors.append(laws.wasserstein2(law, laws.target_law(*data, 0.0), grid))
    assert_allclose(np.diff(np.log2(errors)), 1.0, atol=0.1)


@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("prior", [None, fdiff.WhiteNoise()], ids=["trace-class", "white"])
def test_gaussian_exact_has_no_error_in_one_step(order, prior):
    solver = solvers.GaussianExact(order)
    assert error(solver, 128, np.array([1.0, TP1.end]), prior) < 1e-13
    assert error(solver, 128, np.array([1.0, 0.0]), prior) < 1e-13


def test_gaussian_exact_closes_at_time_zero_with_the_data():
    grid, process = TP1.grid(64), TP1.process()
    data = (process, TP1.mean(grid), TP1.data.eigenvalues(grid), grid)
    times = np.array([1.0, 0.3, 0.01])
    law = laws.sampler_law(solvers.GaussianExact(), *data, times, close=True)
    assert laws.wasserstein2(law, laws.target_law(*data, 0.0), grid) < 1e-13


def test_the_published_weights_of_3m_lose_an_order():
    observed = [error(HalfWeight3M(), 128, uniform(n)) for n in (128, 256, 512)]
    assert_allclose(observed, [1.2019e-4, 2.9536e-5, 7.335e-6], rtol=1e-3)
    late = [error(HalfWeight3M(), 32, uniform(n, 0.2)) for n in (32, 64, 128, 256, 512)]
    assert_allclose(-np.diff(np.log2(late)), [2.67, 2.43, 2.23, 2.11], atol=0.01)


class HalfWeight3M(solvers.Solver):
    """The planted error: half of ``psi_2`` on the second difference."""

    order = 2

    def step(self, problem, x, t, u, memory, noise):
        right, after = solvers.DPMSolverPP3M().step(problem, x, t, u, memory, noise)
        if len(memory) < 2:
            return right, after
        m_u, _, stop = problem.scales(u)
        now, last = after
        h0 = now.half_log_snr - last.half_log_snr
        h1 = last.half_log_snr - memory[1].half_log_snr
        f01 = (now.value - last.value) / h0
        f012 = (f01 - (last.value - memory[1].value) / h1) / (h0 + h1)
        h = stop - now.half_log_snr
        psi2 = h**2 - 2 * (h - 1 + math.exp(-h))
        return right - m_u * 0.5 * psi2 * f012, after


def modes(t):
    """``m, s, lambda, a, B, g, K`` of the test problem on 32 points, with ``q`` and ``c``."""
    grid = TP1.grid(32)
    c, q = TP1.data.eigenvalues(grid), TP1.prior.eigenvalues(grid)
    B = 0.1 * t + 9.95 * t * t
    m, s = math.exp(-B / 2), math.sqrt(-math.expm1(-B))
    sigma = m * m * c + s * s * q
    inverse = np.divide(1, sigma, where=sigma > 0, out=np.zeros_like(sigma))
    return m, s, math.log(m / s), 0.1 + 19.9 * t, B, q * inverse, m * c * inverse


def euler_maruyama(t, u, mu):
    m, _, _, a, _, g, _ = modes(t)
    d = t - u
    return 1 + d * a * (0.5 - g), d * a * g * m * mu, a * d


def exponential_euler(t, u, mu):
    m, _, _, _, B, g, _ = modes(t)
    E = math.exp(0.5 * (B - modes(u)[4]))
    return E - 2 * (E - 1) * g, 2 * (E - 1) * g * m * mu, E * E - 1


def ancestral(t, u, mu):
    m, s, start, _, _, _, K = modes(t)
    m_u, s_u, stop = modes(u)[:3]
    h = stop - start
    w = m_u * (1 - math.exp(-2 * h))
    nu = s_u**2 * (1 - math.exp(-2 * h))
    return s_u / s * math.exp(-h) + w * K, w * (1 - K * m) * mu, nu


def ddim(t, u, mu):
    m, s, start, _, _, _, K = modes(t)
    m_u, s_u, stop = modes(u)[:3]
    w = m_u * (1 - math.exp(start - stop))
    return s_u / s + w * K, w * (1 - K * m) * mu, 0.0


def heun(t, u, mu):
    m, _, _, a, _, g, _ = modes(t)
    m_u, _, _, a_u, _, g_u, _ = modes(u)
    d = t - u
    slope, slope_u = 0.5 * a * (1 - g), 0.5 * a_u * (1 - g_u)
    push, push_u = 0.5 * a * g * m * mu, 0.5 * a_u * g_u * m_u * mu
    gain = 1 + 0.5 * d * (slope + slope_u * (1 + d * slope))
    return gain, 0.5 * d * (push + push_u + d * slope_u * push), 0.0


def edm_heun(t, u, mu):
    m, s, _, _, _, _, K = modes(t)
    m_u, s_u, _, _, _, _, K_u = modes(u)
    here, there = s / m, s_u / m_u
    d = there - here
    k, k_u = (1 - m * K) / here, (1 - m_u * K_u) / there
    k0, k0_u = (1 - m * K) * mu, (1 - m_u * K_u) * mu
    gain = m_u / m * (1 + 0.5 * d * (k + k_u * (1 + d * k)))
    return gain, -0.5 * m_u * d * (k0 / here + k0_u / there + d * k_u * k0 / here), 0.0


def exponential_heun(t, u, mu):
    m, s, start, _, _, _, K = modes(t)
    m_u, s_u, stop, _, _, _, K_u = modes(u)
    h = stop - start
    psi0, psi1 = 1 - math.exp(-h), h - 1 + math.exp(-h)
    a1, b1, _ = ddim(t, u, mu)
    k0, k0_u = (1 - m * K) * mu, (1 - m_u * K_u) * mu
    early, late = psi0 - psi1 / h, psi1 / h
    gain = s_u / s + m_u * (early * K + late * K_u * a1)
    return gain, m_u * (early * k0 + late * (K_u * b1 + k0_u)), 0.0


EXPLICIT = {
    "euler-maruyama": euler_maruyama,
    "exponential-euler": exponential_euler,
    "ancestral": ancestral,
    "ddim": ddim,
    "heun": heun,
    "edm-heun": edm_heun,
    "exponential-heun": exponential_heun,
}


@pytest.mark.parametrize("name", EXPLICIT)
def test_the_map_read_off_a_step_is_the_formula(name):
    grid = TP1.grid(32)
    problem = solvers.Problem(TP1.score(grid), grid)
    observed = laws.step_map(solvers.SCHEMES[name](), problem, 0.6, 0.45)
    gain, offset, nu = EXPLICIT[name](0.6, 0.45, TP1.mean(grid))
    kept = grid.basis.retained
    assert_allclose(observed.gain[0, 0][kept], gain[kept], rtol=1e-12, atol=1e-13)
    assert_allclose(observed.offset[0][kept], offset[kept], rtol=1e-10, atol=1e-14)
    assert_allclose((observed.noise[0] ** 2).sum(0)[kept], nu, rtol=1e-12)


def test_the_law_of_sde_2m_is_the_recursion_of_its_covariances():
    grid, process = TP1.grid(32), TP1.process()
    mean, c, q = TP1.mean(grid), TP1.data.eigenvalues(grid), TP1.prior.eigenvalues(grid)
    times = uniform(12)
    exact = laws.target_law(process, mean, c, grid, 1.0)
    x, v = exact.mean, exact.variance
    x_before, v_before, cross, h0, K_before, k0_before = 0.0, 0.0, 0.0, math.inf, 0.0, 0.0
    for t, u in itertools.pairwise(times):
        m, s, start, _, _, _, K = modes(t)
        m_u, s_u, stop = modes(u)[:3]
        h = stop - start
        w, theta = m_u * (1 - math.exp(-2 * h)), h / (2 * h0)
        k0 = (1 - K * m) * mean
        a = s_u / s * math.exp(-h) + w * (1 + theta) * K
        a2 = -w * theta * K_before
        x, x_before = a * x + a2 * x_before + w * ((1 + theta) * k0 - theta * k0_before), x
        fresh = s_u**2 * (1 - math.exp(-2 * h)) * q
        new = a**2 * v + a2**2 * v_before + 2 * a * a2 * cross + fresh
        v, v_before, cross = new, v, a * v + a2 * cross
        h0, K_before, k0_before = h, K, k0
    law = laws.sampler_law(solvers.SDEDPMSolverPP2M(), process, mean, c, grid, times)
    assert_allclose(law.mean[:16], x[:16], rtol=1e-10)
    assert_allclose(law.variance[:16], v[:16], rtol=1e-10)


@pytest.mark.parametrize("name", ["euler-maruyama", "sde-dpm-2m", "dpm-3m"])
def test_samples_have_the_law_mode_by_mode(name):
    grid, size, times = TP1.grid(16), 20000, uniform(6)
    process, solver = TP1.process(), solvers.SCHEMES[name]()
    out = fdiff.sample(TP1.score(grid), grid, size, solver=solver, times=times, seed=3, close=False)
    c = grid.basis.forward(out.fields)
    law = laws.sampler_law(
        solver, process, TP1.mean(grid), TP1.data.eigenvalues(grid), grid, times, "prior"
    )
    kept = grid.basis.retained
    deviation = np.abs(c.mean(0) - law.mean)[kept] / np.sqrt(law.variance[kept] / size)
    ratio = (np.abs(c - law.mean) ** 2).mean(0)[kept] / law.variance[kept]
    assert deviation.max() < 5
    assert_allclose(ratio, 1, atol=5 * math.sqrt(2 / size))


def strong(solver, steps):
    grid = TP1.grid(128)
    data = (TP1.process(), TP1.mean(grid), TP1.data.eigenvalues(grid), grid)
    return laws.strong_difference(solver, *data, uniform(2 * steps))


def test_the_strong_error_of_euler_maruyama_is_the_exact_number():
    observed = [strong(solvers.EulerMaruyama(), n) for n in (64, 128, 256)]
    assert_allclose(observed, [0.02618, 0.01281, 0.00634], rtol=1e-3)


@pytest.mark.parametrize("name", [n for n, s in solvers.SCHEMES.items() if s().strong_order])
def test_paths_driven_by_the_same_noise_converge_with_the_declared_strong_order(name):
    solver = solvers.SCHEMES[name]()
    errors = [strong(solver, n) for n in (256, 512, 1024)]
    assert_allclose(np.log2(np.array(errors[:-1]) / errors[1:]), solver.strong_order, atol=0.05)


@pytest.mark.parametrize(
    ("name", "low", "high"), [("euler-maruyama", 0.9, 1.1), ("ancestral", 0.7, 1.0)]
)
def test_paths_may_go_down_to_time_zero(name, low, high):
    """The bridge loses order there: its steps in ``lambda`` do not shrink with those in t."""
    grid, process = TP1.grid(32), TP1.process()
    data = (process, TP1.mean(grid), TP1.data.eigenvalues(grid), grid)
    times = [solvers.times(process, steps, "time", end=0.0) for steps in (200, 400, 800)]
    errors = [laws.strong_difference(solvers.SCHEMES[name](), *data, t) for t in times]
    orders = np.log2(np.array(errors[:-1]) / errors[1:])
    assert ((low < orders) & (orders < high)).all()


def test_uncoupled_noise_does_not_converge(monkeypatch):
    """The planted error: paths with independent noise differ by the spread of the law."""
    monkeypatch.setattr(laws.strong, "_clock_weights", lambda *_: (0.0, 0.0))
    errors = [strong(solvers.Ancestral(), n) for n in (64, 256)]
    assert_allclose(errors, math.sqrt(2.0), rtol=0.1)


def test_bad_input_says_what_was_expected():
    grid, process = TP1.grid(8), TP1.process()
    c, times = TP1.data.eigenvalues(grid), uniform(3)
    solver = solvers.DDIM()
    with pytest.raises(ValueError, match="has the layout of"):
        laws.sampler_law(solver, process, np.zeros(8), c, grid, times)
    with pytest.raises(ValueError, match=">= 0"):
        laws.sampler_law(solver, process, 0.0, c - 1, grid, times)
    with pytest.raises(ValueError, match="start must be"):
        laws.sampler_law(solver, process, 0.0, c, grid, times, "anywhere")
    with pytest.raises(ValueError, match="one draw"):
        laws.strong_difference(solver, process, 0.0, c, grid, times)
