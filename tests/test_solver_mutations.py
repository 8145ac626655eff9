"""Planted errors in samplers are found: each fails the check that the right scheme passes."""

from __future__ import annotations

import math

import numpy as np
import pytest
from problems import TP1

from fdiff import laws, solvers
from fdiff.convergence import Verdict, order

END = 0.2


def verdict(solver, declared, prior=None, counts=(64, 128, 256, 512)):
    """Of the order of W2 on the test problem, as the validation scripts judge it."""
    grid, process = TP1.grid(32), TP1.process(prior)
    data = (process, TP1.mean(grid), TP1.data.eigenvalues(grid), grid)
    errors = []
    for count in counts:
        law = laws.sampler_law(solver, *data, solvers.times(process, count, end=END))
        errors.append(laws.wasserstein2(law, laws.target_law(*data, END), grid))
    return order([1 / count for count in counts], errors, declared=declared).verdict


def mutant(right, change):
    """``right`` with its new state passed through ``change(problem, t, u, before, x, noise)``."""

    class Mutant(solvers.Solver):
        order, draws = right.order, right.draws

        def step(self, problem, x, t, u, memory, noise):
            drawn = []

            def draw(*purpose):
                drawn.append(noise(*purpose))
                return drawn[-1]

            new, after = right.step(problem, x, t, u, memory, draw)
            return change(problem, t, u, memory, after, new, drawn), after

    return Mutant()


def half_psi2(problem, t, u, before, after, x, drawn):
    """3M with half of the weight on its second difference, as is widely published."""
    if len(before) < 2:
        return x
    now, last, first = *after, before[1]
    h0 = now.half_log_snr - last.half_log_snr
    h1 = last.half_log_snr - first.half_log_snr
    f01, f12 = (now.value - last.value) / h0, (last.value - first.value) / h1
    m_u, _, stop = problem.scales(u)
    h = stop - now.half_log_snr
    psi2 = h * h - 2 * (h - 1 + math.exp(-h))
    return x - m_u * 0.5 * psi2 * (f01 - f12) / (h0 + h1)


def no_bridge_variance(problem, t, u, before, after, x, drawn):
    """Ancestral sampling without its noise."""
    return x - bridge_std(problem, t, u) * drawn[0]


def bridge_std(problem, t, u):
    (_, _, start), (_, s_u, stop) = problem.scales(t), problem.scales(u)
    return s_u * math.sqrt(-math.expm1(-2 * (stop - start)))


def half_drift(problem, t, u, before, after, x, drawn):
    """Euler-Maruyama whose noise has half of its variance (the flow's drift, the SDE's noise)."""
    work = problem.process.schedule.a(t) * (t - u)
    return x + (math.sqrt(0.5) - 1) * math.sqrt(work) * drawn[0]


@pytest.mark.parametrize(
    ("right", "change"),
    [
        (solvers.DPMSolverPP3M(), half_psi2),
        (solvers.Ancestral(), no_bridge_variance),
        (solvers.EulerMaruyama(), half_drift),
    ],
    ids=lambda value: getattr(value, "__name__", type(value).__name__),
)
def test_a_wrong_weight_or_variance_fails_the_order(right, change):
    assert verdict(right, right.order) is Verdict.PASS
    assert verdict(mutant(right, change), right.order) is Verdict.FAIL


def test_uncoupled_noise_fails_the_strong_order(monkeypatch):
    grid = TP1.grid(32)
    data = (TP1.process(), TP1.mean(grid), TP1.data.eigenvalues(grid), grid)
    counts = (64, 128, 256, 512)

    def judged():
        errors = [
            laws.strong_difference(
                solvers.EulerMaruyama(), *data, solvers.times(TP1.process(), 2 * count)
            )
            for count in counts
        ]
        return order([1 / count for count in counts], errors, declared=1).verdict

    assert judged() is Verdict.PASS
    monkeypatch.setattr(laws.strong, "_clock_weights", lambda *_: (0.0, 0.0))
    assert judged() is Verdict.FAIL


def test_the_clock_of_another_scheme_couples_noise_wrongly():
    """Increments weighted by the wrong clock no longer add up to the noise of the long step."""
    process = TP1.process()
    t, middle, u = 0.5, 0.3, 0.2
    ancestral, euler = solvers.Ancestral(), solvers.EulerMaruyama()
    start, between, stop = (process.half_log_snr(r) for r in (t, middle, u))
    # In units of s_u: the first noise is carried on by s_u / s_m e^-(stop - between).
    first = math.exp(between - stop) * math.sqrt(-math.expm1(2 * (start - between)))
    second = math.sqrt(-math.expm1(2 * (between - stop)))
    whole = math.sqrt(-math.expm1(2 * (start - stop)))
    right = laws.strong._clock_weights(ancestral, process, t, middle, u)
    wrong = laws.strong._clock_weights(euler, process, t, middle, u)
    np.testing.assert_allclose(np.multiply(whole, right), [first, second], rtol=1e-12)
    assert np.abs(np.multiply(whole, wrong) - [first, second]).max() > 0.01 * whole
