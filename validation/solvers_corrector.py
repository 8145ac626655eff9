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
from validation.claim import Claim, close, equal
from validation.problem import GaussianProblem

SOURCE = "Cotter, Roberts, Stuart and White (2013)"
PROBLEM = GaussianProblem()
T = 0.2


def run(quick: bool) -> Iterator[Claim]:
    for n in (32, 512) if quick else (32, 128, 512, 2048):
        yield acceptance(n, 2000 if quick else 8000)
    for delta in (0.05, 0.5):
        yield invariant_variance(delta)


def acceptance(n: int, size: int) -> Claim:
    """Proposals from states of the exact law."""
    grid, flags = PROBLEM.grid(n), []
    problem = solvers.Problem(PROBLEM.score(grid), grid)
    for first in range(0, size, 500):
        white = noise.white_coefficients(grid, 2, noise.START, 500, first)
        x = problem.score.marginal(T, white, grid, 2, first)
        draws = StepNoise(problem, x, 5, first, None, 0)
        flags.append(metropolised_langevin(problem, x, T, 0.2, draws)[1])
    rate = float(np.concatenate(flags).mean())
    return equal(
        f"acceptance of pCN-Langevin, n = {n}", SOURCE, declared=0.982, observed=rate,
        error=1.96 * np.sqrt(rate * (1 - rate) / size), tolerance=0.01,
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
