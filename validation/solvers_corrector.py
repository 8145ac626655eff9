"""Preconditioned Crank-Nicolson Langevin corrections do not degrade as the grid is refined.

With N(0, s^2 Q) as reference the acceptance of a Metropolised step tends to a limit (.982 for the
Gaussian problem at t = .2, delta = .2), where steps that are explicit in the prior are accepted
ever more rarely. Without the Metropolis rule the invariant variance on Gaussian data is Sigma /
(1 + delta/2 (1 - s^2 q / Sigma)).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import final

import numpy as np

from fdiff import laws, noise, solvers
from fdiff.solvers.draws import StepNoise
from fdiff.solvers.predictor_corrector import langevin, metropolised_langevin
from validation.claim import Claim, at_most, close, equal
from validation.problem import GaussianProblem

SOURCE = "Cotter, Roberts, Stuart and White (2013)"
PROBLEM = GaussianProblem()
T = 0.2
DELTA = 0.2
SIDES = (32, 128, 512, 2048)


def run(quick: bool) -> Iterator[Claim]:
    for n in (32, 512) if quick else SIDES:
        yield acceptance(n, 2000 if quick else 8000)
    for n, rate in ((32, 0.88), (512, 0.46)) if quick else zip(SIDES, (0.88, 0.73, 0.46, 0.15)):
        yield explicit_acceptance(n, rate, 2000 if quick else 4000)
    for delta in (0.05, 0.5):
        yield invariant_variance(delta)
    for delta in (0.1, 0.05):
        yield kept_law(delta)


def states(n: int, size: int):
    """The problem, and batches of ``(states of the exact law, noise of one step)``."""
    grid = PROBLEM.grid(n)
    problem = solvers.Problem(PROBLEM.score(grid), grid)

    def batches():
        for first in range(0, size, 500):
            white = noise.white_coefficients(grid, 2, noise.START, 500, first)
            x = problem.score.marginal(T, white, grid, 2, first)
            yield x, StepNoise(problem, x, 5, first, None, 0)

    return problem, batches()


def acceptance(n: int, size: int) -> Claim:
    problem, batches = states(n, size)
    flags = [metropolised_langevin(problem, x, T, DELTA, draws)[1] for x, draws in batches]
    rate = float(np.concatenate(flags).mean())
    return equal(
        f"acceptance of pCN-Langevin, n = {n}", SOURCE, declared=0.982, observed=rate,
        error=1.96 * np.sqrt(rate * (1 - rate) / size), tolerance=0.01,
    )  # fmt: skip


def explicit_acceptance(n: int, declared: float, size: int) -> Claim:
    """Proposals ``x + d S + sqrt(2 d) xi``, ``d = delta s^2``: mean of ``min(1, ratio)``."""
    problem, batches = states(n, size)
    d = DELTA * problem.process.std(T) ** 2
    q, weights = PROBLEM.prior.eigenvalues(problem.grid), problem.grid.basis.weights
    precision = np.divide(weights, 2 * d * q, out=np.zeros_like(q), where=q > 0)
    chances = []
    for x, draws in batches:
        there = d * problem.preconditioned_score(T, x)
        step = there + np.sqrt(2 * d) * draws(noise.CORRECTOR)
        back = d * problem.preconditioned_score(T, x + step)
        proposals = -0.5 * (precision * ((there + back).conj() * (2 * step + back - there)).real)
        density = problem.score.log_density_ratio_coefficients(T, x, x + step, problem.grid)
        chances.append(np.exp(np.minimum(0.0, density + proposals.sum(-1))))
    chances = np.concatenate(chances)
    return equal(
        f"acceptance of explicit Langevin steps falls, n = {n}", SOURCE, declared=declared,
        observed=float(chances.mean()), error=float(1.96 * chances.std() / np.sqrt(size)),
        tolerance=0.05,
    )  # fmt: skip


@final
@dataclass(frozen=True)
class _Corrections(solvers.Solver):
    """Only corrections, all at one time."""

    delta: float

    order, draws = None, 1

    def step(self, problem, x, t, u, memory, noise):
        return langevin(problem, x, T, self.delta, noise), ()


def invariant_variance(delta: float) -> Claim:
    process, _, _, grid = known = PROBLEM.known(128)
    law = laws.sampler_law(_Corrections(delta), *known, np.linspace(1, 0.1, 2000))
    exact = laws.target_law(*known, T).variance
    kept = grid.basis.retained
    g = PROBLEM.prior.eigenvalues(grid)[kept] / exact[kept]
    declared = exact[kept] / (1 + 0.5 * delta * (1 - process.std(T) ** 2 * g))
    ratio = law.variance[kept] / declared
    return close(
        f"invariant variance over its formula, delta = {delta:g}, worst mode", SOURCE,
        declared=1.0, observed=float(ratio[np.abs(ratio - 1).argmax()]), relative=1e-6,
    )  # fmt: skip


@final
@dataclass(frozen=True)
class _ExactFlow(solvers.Solver):
    """From t to u without error on the problem's data, mean zero."""

    order = None

    def step(self, problem, x, t, u, memory, noise):
        process, mean, spectrum, grid = PROBLEM.known(32)
        a, b = (laws.target_law(process, 0 * mean, spectrum, grid, r).variance for r in (t, u))
        return np.sqrt(b / np.where(a > 0, a, 1.0)) * x, ()


def kept_law(delta: float) -> Claim:
    """Two corrections after an exact step to u leave p_u as it is, up to O(delta^2)."""
    process, mean, spectrum, grid = PROBLEM.known(32)
    solver = solvers.PredictorCorrector(_ExactFlow(), corrections=2, step_size=delta)
    law = laws.sampler_law(solver, process, 0 * mean, spectrum, grid, [1.0, 0.3])
    exact = laws.target_law(process, 0 * mean, spectrum, grid, 0.3)
    kept = grid.basis.retained
    ratio = law.variance[kept] / exact.variance[kept]
    return at_most(
        f"law of the time reached after corrections, delta = {delta:g}", SOURCE,
        bound=delta**2, observed=float(np.abs(ratio - 1).max()),
    )  # fmt: skip
