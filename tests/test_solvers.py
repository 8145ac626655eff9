"""Every scheme: declared order, numpy against torch, and the pieces they are made of."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose
from problems import TP1

import fdiff
from fdiff import laws, solvers
from fdiff.solvers.exponential import phi

ORDERED = [name for name, scheme in solvers.SCHEMES.items() if scheme().order is not None]


def with_wrong_reference(name):
    """The scheme; the one without step error on Gaussian data gets another Gaussian's reference."""
    scheme = solvers.SCHEMES[name]
    if scheme is solvers.GaussianExact:
        return scheme(reference=(0.0, TP1.prior))
    return scheme()


def errors(solver, steps, end=0.2):
    grid, process = TP1.grid(32), TP1.process()
    data = (process, TP1.mean(grid), TP1.data.eigenvalues(grid), grid)
    out = []
    for n in steps:
        times = solvers.times(process, n, end=end)
        law = laws.sampler_law(solver, *data, times)
        out.append(laws.wasserstein2(law, laws.target_law(*data, end), grid))
    return np.array(out)


# Ending at t = 0.2, where every scheme is asymptotic: from 1e-3 on, 3M has an error of order 4.
@pytest.mark.parametrize("name", ORDERED)
def test_observed_order_is_the_declared_one(name):
    solver = with_wrong_reference(name)
    observed = errors(solver, (128, 256, 512))
    assert_allclose(np.log2(observed[:-1] / observed[1:]), solver.order, atol=0.1)


@pytest.mark.parametrize(("order", "steps", "end"), [(1, 128, 0.2), (2, 128, 0.2), (3, 16, 1e-3)])
def test_gaussian_exact_with_another_reference_has_its_own_order(order, steps, end):
    """Order 3 on coarse grids: its first step, of order 1, leaves a small error of order 2."""
    solver = solvers.GaussianExact(order, reference=(0.0, TP1.prior))
    observed = errors(solver, (steps, 2 * steps, 4 * steps), end)
    assert_allclose(np.log2(observed[:-1] / observed[1:]), order, atol=0.1)


def test_the_orders_of_3m_on_its_asymptotic_range():
    observed = errors(solvers.DPMSolverPP3M(), (32, 64, 128, 256, 512, 1024))
    assert_allclose(
        np.log2(observed[:-1] / observed[1:]), [3.07, 3.05, 3.03, 3.01, 3.01], atol=0.01
    )


@pytest.mark.parametrize("name", solvers.SCHEMES)
def test_a_step_to_time_zero_is_finite_and_a_multistep_scheme_starts_alone(name):
    grid = TP1.grid(16)
    solver = solvers.SCHEMES[name]()
    out = fdiff.sample(TP1.score(grid), grid, 2, solver=solver, times=[1.0, 0.5, 0.1, 0.0])
    assert np.isfinite(out.fields).all()
    assert out.times[-1] == 0


@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_ddim_is_the_flow_at_eta_0_and_ancestral_at_eta_1(eta):
    grid = TP1.grid(16)
    other = solvers.Ancestral() if eta else solvers.DDIM()
    a, b = (
        fdiff.sample(TP1.score(grid), grid, 3, solver=s, steps=5).fields
        for s in (solvers.DDIM(eta), other)
    )
    assert_allclose(a, b, atol=1e-13)


def test_bad_options_of_solvers():
    with pytest.raises(ValueError, match="eta"):
        solvers.DDIM(1.5)
    with pytest.raises(ValueError, match="orders 1, 2 and 3"):
        solvers.GaussianExact(4)


def test_phi_functions_against_their_series_and_their_integrals():
    from scipy.integrate import quad

    for h in (1e-8, 1e-3, 0.0999, 0.1001, 1.0, 7.0):
        for j, value in enumerate(phi(h)):
            expected = quad(lambda r, j=j, h=h: math.exp(r - h) * r**j, 0, h, epsrel=1e-13)[0]
            assert_allclose(value, expected, rtol=2e-12)


def mixture_of_the_check():
    """Half N(mu, c), half N(-mu, c) on the 31 real modes of the test problem, as a cosine basis."""
    k = (np.arange(31) + 1) // 2
    shifted = 25.0 + (2 * np.pi * k) ** 2
    q, c = 1 / (0.10135673098126084 * shifted), 1 / (0.002163728077229058 * shifted**2)
    mu = 1.5 * np.sqrt(c) * np.cos(np.arange(31))
    grid = fdiff.Grid((31,), boundary="neumann")
    process = fdiff.ForwardProcess(fdiff.FiniteRankCovariance(q), TP1.schedule)
    means = [fdiff.Field(grid.basis.inverse(sign * mu), grid) for sign in (1, -1)]
    score = fdiff.MixtureScore(process, means, fdiff.FiniteRankCovariance(c))
    return grid, score, c + mu**2, q


def flow_to_data(solver, steps, close=True):
    """The check of the specification: coefficients at t = 0 of the path from y_j = cos(1 + j)."""
    grid, score, variance, q = mixture_of_the_check()
    m, s = score.process.mean_factor(1.0), score.process.std(1.0)
    x = np.sqrt(m * m * variance + s * s * q) * np.cos(1 + np.arange(31))
    reference = (0.0, fdiff.FiniteRankCovariance(variance))
    out = fdiff.sample(
        score, grid, 1, steps, solver(reference), start=grid.basis.inverse(x)[None], close=close
    )
    return grid.basis.forward(out.fields)[0]


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        (1, [3.0006e-2, 1.4476e-2, 6.7844e-3, 3.2863e-3, 1.6174e-3, 8.0237e-4]),
        (2, [1.4003e-2, 5.3479e-3, 1.6484e-3, 4.4618e-4, 1.1537e-4, 2.9291e-5]),
        (3, [3.0842e-2, 4.6414e-3, 5.2918e-4, 5.7405e-5, 6.7509e-6, 8.8796e-7]),
    ],
)
def test_gaussian_exact_on_a_mixture_has_the_printed_errors(order, expected, limit):
    observed = [
        np.linalg.norm(flow_to_data(lambda r: solvers.GaussianExact(order, r), n) - limit)
        for n in (10, 20, 40, 80, 160, 320)
    ]
    assert_allclose(observed, expected, rtol=2e-3)


def test_the_limit_of_the_mixture_flow_is_the_printed_one(limit):
    assert_allclose(np.linalg.norm(limit), 1.58362337, rtol=1e-8)
    assert_allclose(limit[:3], [1.46716967, 0.09240559, -0.50812756], rtol=1e-7)


def test_dpm_2m_on_the_same_mixture_errs_ten_times_as_much():
    """From the same start to ``t = 1e-3``; with a law that is not Gaussian no scheme is exact."""
    end = flow_to_data(lambda r: solvers.GaussianExact(3, r), 4000, close=False)
    observed = [
        np.linalg.norm(flow_to_data(lambda r: solvers.DPMSolverPP2M(), n, close=False) - end)
        for n in (10, 20, 40)
    ]
    assert_allclose(observed, [1.0091e-1, 2.4429e-2, 5.5825e-3], rtol=1e-3)


@pytest.fixture(scope="module")
def limit():
    return flow_to_data(lambda r: solvers.GaussianExact(3, r), 4000)


def test_the_adaptive_flow_is_the_exact_flow_map():
    """``x -> m_u mu + sqrt(Sigma_u / Sigma_t) (x - m_t mu)``, within ten tolerances."""
    grid, process, u = TP1.grid(32), TP1.process(), 0.01
    score, mean = TP1.score(grid), TP1.mean(grid)
    x = grid.basis.project(grid.basis.forward(TP1.prior.sample(grid, 3, 1)))
    laws_at = [
        laws.target_law(process, mean, TP1.data.eigenvalues(grid), grid, t) for t in (1.0, u)
    ]
    ratio = np.sqrt(laws_at[1].variance / np.where(grid.basis.retained, laws_at[0].variance, 1))
    expected = laws_at[1].mean + ratio * (x - laws_at[0].mean)
    for rtol in (1e-4, 1e-8):
        solver = solvers.ProbabilityFlow(rtol=rtol, atol=1e-3 * rtol)
        out = fdiff.sample(
            score, grid, 3, times=[1.0, u], solver=solver, start=grid.basis.inverse(x), close=False
        )
        error = np.abs(grid.basis.forward(out.fields) - expected).max()
        assert error < 10 * rtol * np.abs(expected).max()
    with pytest.raises(ValueError, match="not affine"):
        laws.step_map(solver, solvers.Problem(score, grid), 0.5, 0.4)


def test_gaussian_exact_meets_the_adaptive_flow_on_a_mixture(limit):
    """An oracle of another kind: both limits of the mixture's flow agree."""
    grid, score, variance, q = mixture_of_the_check()
    m, s = score.process.mean_factor(1.0), score.process.std(1.0)
    x = np.sqrt(m * m * variance + s * s * q) * np.cos(1 + np.arange(31))
    solver = solvers.ProbabilityFlow(rtol=1e-10, atol=1e-12)
    start = grid.basis.inverse(x)[None]
    out = fdiff.sample(score, grid, 1, times=[1.0, 1e-6], solver=solver, start=start)
    assert np.abs(grid.basis.forward(out.fields)[0] - limit).max() < 1e-4


def test_picard_sweeps_are_the_sequential_steps_one_after_another():
    grid, score, _, _ = mixture_of_the_check()
    times = solvers.times(score.process, 8)
    run = {"times": times, "keep": times[1:], "seed": 3, "size": 2, "start": "prior"}
    sequential = fdiff.sample(score, grid, solver=solvers.DDIM(), **run)
    for sweeps in (1, 3, 8):
        out = fdiff.sample(score, grid, solver=solvers.Picard(sweeps=sweeps), **run)
        assert_allclose(out.trajectory[:sweeps], sequential.trajectory[:sweeps], atol=1e-12)
        assert out.evaluations == 8 * sweeps + 1
    early = fdiff.sample(score, grid, solver=solvers.Picard(sweeps=3), **run)
    assert np.abs(early.trajectory[6] - sequential.trajectory[6]).max() > 1e-6


def test_picard_converges_in_half_the_sweeps_on_any_grid():
    for n in (32, 512):
        grid, out = TP1.grid(n), []
        for solver in (solvers.DDIM(), solvers.Picard(0.0, sweeps=32)):
            out.append(fdiff.sample(TP1.score(grid), grid, 2, 64, solver, seed=1).fields)
        assert np.abs(out[0] - out[1]).max() < 1e-12


@pytest.mark.parametrize("n", [32, 512])
def test_acceptance_of_langevin_steps_does_not_depend_on_the_grid(n):
    """``t = .2``, ``delta = .2``: .982 for every n, from states of the exact law."""
    accepted, _ = corrected(n, size=4000 if n == 32 else 400)
    assert abs(accepted - 0.982) < 0.01


def corrected(n, size, t=0.2, delta=0.2, steps=1):
    """Mean acceptance, and coefficients after Metropolised steps from the exact law at t."""
    from fdiff import noise
    from fdiff.solvers.draws import StepNoise
    from fdiff.solvers.predictor_corrector import metropolised_langevin

    grid = TP1.grid(n)
    problem = solvers.Problem(TP1.score(grid), grid)
    x = problem.score.marginal(t, noise.white_coefficients(grid, 2, 1, size), grid, 2, 0)
    rates = []
    for i in range(steps):
        draws = StepNoise(problem, x, 5, 0, None, i)
        x, flags = metropolised_langevin(problem, x, t, delta, draws)
        rates.append(flags.mean())
    return np.mean(rates), x


def test_the_metropolis_rule_keeps_the_law_where_a_large_step_alone_does_not():
    size, delta, t = 8000, 1.5, 0.2
    rate, x = corrected(16, size, delta=delta, steps=4)
    grid = TP1.grid(16)
    law = laws.target_law(TP1.process(), TP1.mean(grid), TP1.data.eigenvalues(grid), grid, t)
    kept = grid.basis.retained
    variance = (np.abs(x - law.mean) ** 2).mean(0)[kept] / law.variance[kept]
    assert 0.05 < rate < 0.95
    assert_allclose(variance, 1, atol=5 * math.sqrt(2 / size))
    assert (np.abs((x.mean(0) - law.mean)[kept]) < 5 * np.sqrt(law.variance[kept] / size)).all()


def test_the_invariant_law_of_langevin_steps_is_the_formula():
    from fdiff.solvers.base import Solver
    from fdiff.solvers.predictor_corrector import langevin

    class Corrections(Solver):
        order, draws = None, 1

        def step(self, problem, x, t, u, memory, noise):
            return langevin(problem, x, 0.2, 0.5, noise), ()

    grid, process = TP1.grid(32), TP1.process()
    mean, c = TP1.mean(grid), TP1.data.eigenvalues(grid)
    law = laws.sampler_law(Corrections(), process, mean, c, grid, np.linspace(1, 0.1, 400))
    exact = laws.target_law(process, mean, c, grid, 0.2)
    kept = grid.basis.retained
    g = TP1.prior.eigenvalues(grid)[kept] / exact.variance[kept]
    expected = exact.variance[kept] / (1 + 0.25 * (1 - process.std(0.2) ** 2 * g))
    assert_allclose(law.variance[kept], expected, rtol=1e-9)
    assert_allclose(law.mean[kept], exact.mean[kept], rtol=1e-9)


def test_corrections_lower_the_error_of_a_coarse_predictor():
    plain, corrected = (
        errors(solver, (16,), end=0.05)[0]
        for solver in (
            solvers.Ancestral(),
            solvers.PredictorCorrector(corrections=4, step_size=0.1),
        )
    )
    assert corrected < 0.7 * plain


def test_a_metropolised_corrector_needs_a_density():
    grid = TP1.grid(16)
    solver = solvers.PredictorCorrector(metropolis=True)
    out = fdiff.sample(TP1.score(grid), grid, 3, 4, solver)
    assert out.evaluations == 4 + 2 * 4 + 1
    wiener = fdiff.WienerScore(TP1.process(), 0.0, TP1.data)
    with pytest.raises(ValueError, match="knows no density"):
        fdiff.sample(wiener, grid, 3, 4, solver)
    with pytest.raises(ValueError, match="positive step size"):
        solvers.PredictorCorrector(step_size=0.0)
