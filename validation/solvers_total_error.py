"""The total error of sampling stays below its bound, part by part.

With kappa(t) a one-sided Lipschitz constant of x -> x/2 + S_theta(t, x) and e(t) the root mean
square error of the score under p_t,

    W2(generated, p_end) <= e^(int a kappa) W2(start, p_T) + int a e^(int_0^t a kappa) e dt + step,

and with x/2 + S_theta/2 and e/2 for the probability flow. The score is wrong by a factor: S_theta =
(1 + eta) S. The time-step part is measured with the exact score and the same steps.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import final

import numpy as np

import fdiff
from fdiff import laws, solvers
from validation.claim import Claim, at_most
from validation.problem import GaussianProblem

SOURCE = "synchronous coupling and Gronwall's inequality"
PROBLEM = GaussianProblem()
END = 1e-3


@final
@dataclass(frozen=True, eq=False)
class WrongScore(fdiff.Score):
    """``(1 + eta) S``"""

    exact: fdiff.GaussianScore
    eta: float

    @property
    def process(self):
        return self.exact.process

    def denoise_coefficients(self, t, c, grid):
        m, s = self.process.mean_factor(t), self.process.std(t)
        return (c + s * s * self.score_coefficients(t, c, grid)) / m

    def score_coefficients(self, t, c, grid):
        return (1 + self.eta) * self.exact.score_coefficients(t, c, grid)


def run(quick: bool) -> Iterator[Claim]:
    steps = 400 if quick else 2000
    for flow, scheme in ((True, solvers.Heun()), (False, solvers.EulerMaruyama())):
        kind = "probability flow" if flow else "reverse SDE"
        for start in ("exact", "prior"):
            for eta in (-0.2, 0.2) if quick else (-0.2, -0.05, 0.05, 0.2):
                bound, actual = bound_and_error(scheme, flow, start, eta, steps)
                yield at_most(
                    f"error over its bound, {kind}, from {start}, eta = {eta:g}", SOURCE,
                    bound=1.0, observed=actual / bound,
                )  # fmt: skip


def bound_and_error(scheme, flow: bool, start: str, eta: float, steps: int):
    process, mean, c, grid = known = PROBLEM.known(32)
    times = solvers.times(process, steps, "quadratic", end=END)
    exact = laws.target_law(*known, 1.0)
    prior = laws.Law(0 * mean, PROBLEM.prior.eigenvalues(grid))
    begin = exact if start == "exact" else prior
    problem = solvers.Problem(WrongScore(PROBLEM.score(grid), eta), grid)
    target = laws.target_law(*known, END)
    actual = laws.wasserstein2(laws.propagate(scheme, problem, begin, times), target, grid)
    step = laws.wasserstein2(laws.sampler_law(scheme, *known, times), target, grid)
    growth, score_part = gronwall(process, c, grid, flow, eta)
    initial = growth * laws.wasserstein2(begin, exact, grid)
    return initial + score_part + step, actual


def gronwall(process, c, grid, flow: bool, eta: float) -> tuple[float, float]:
    """``e^(int a kappa)`` over ``[END, T]``, and the integral of the score's error."""
    t = np.linspace(np.sqrt(END), 1.0, 20001) ** 2
    q, kept = process.covariance.eigenvalues(grid), grid.basis.retained
    a, half = process.schedule.a(t), 0.5 if flow else 1.0
    m, s = process.mean_factor(t)[:, None], process.std(t)[:, None]
    g = q[kept] / (m * m * c[kept] + s * s * q[kept])
    kappa = (0.5 - half * (1 + eta) * g).max(1)
    error = half * abs(eta) * np.sqrt((grid.basis.weights[kept] * q[kept] * g).sum(1))
    gaps = np.diff(t)

    def cumulated(values):
        return np.concatenate([[0.0], np.cumsum(gaps * (values[1:] + values[:-1]) / 2)])

    growth = np.exp(cumulated(a * kappa))
    return float(growth[-1]), float(cumulated(a * growth * error)[-1])
