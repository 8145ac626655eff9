"""Starting from N(0, Q) instead of p_T: what it costs, and which modes it loses.

W2^2(N(0, Q), p_T) = sum m_T^2 mu^2 + (sqrt q - sqrt Sigma_T)^2 falls like m_T. The probability flow
carries it to sum c / Sigma_T m_T^2 mu^2 + (sqrt c - sqrt(c q / Sigma_T))^2 at t = 0; the reverse
SDE contracts it. Modes with m_T^2 c >> q come out with a fraction of their variance: the prior must
not be much smoother than the data.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

import fdiff
from fdiff import budget, laws, solvers
from fdiff.convergence import order
from validation.claim import Claim, close, equal, of_order
from validation.problem import SCHEDULE, GaussianProblem

SOURCE = "exact laws on Gaussian data"
PROBLEM = GaussianProblem()
N = 32


def run(quick: bool) -> Iterator[Claim]:
    yield rate()
    yield from carried(500 if quick else 4000)
    yield from lost_modes()


def rate() -> Claim:
    """``W2(N(0, Q), p_T)`` against ``m_T``, the horizon growing."""
    horizons, errors = np.linspace(0.5, 1.0, 6), []
    _, mean, spectrum, grid = PROBLEM.known(N)
    prior = laws.Law(0 * mean, PROBLEM.prior.eigenvalues(grid))
    for t in horizons:
        at_t = laws.target_law(PROBLEM.process, mean, spectrum, grid, float(t))
        errors.append(laws.wasserstein2(prior, at_t, grid))
    factors = [PROBLEM.process.mean_factor(float(t)) for t in horizons]
    estimate = order(factors, errors, declared=1)
    return of_order("W2(N(0, Q), p_T): power of m_T", SOURCE, estimate)


def carried(steps: int) -> Iterator[Claim]:
    process, mean, c, grid = known = PROBLEM.known(N)
    q, m = PROBLEM.prior.eigenvalues(grid), process.mean_factor(1.0)
    s = process.std(1.0)
    sigma = np.where(grid.basis.retained, m * m * c + s * s * q, 1.0)

    def total(squares):
        return math.sqrt(float((grid.basis.weights * squares * grid.basis.retained).sum()))

    flow = total(c / sigma * m * m * np.abs(mean) ** 2 + (np.sqrt(c) - np.sqrt(c * q / sigma)) ** 2)
    ends = [
        laws.sampler_law(solvers.GaussianExact(), *known, [1.0, 0.0], start)
        for start in ("prior", "exact")
    ]
    yield close(
        "initial law carried to t = 0 by the flow", SOURCE,
        declared=flow, observed=laws.wasserstein2(*ends, grid), relative=1e-9,
    )  # fmt: skip
    # The law of the reverse SDE at 0: mean mu (1 - kappa m_T), kappa = m_T c / Sigma_T.
    shift = m * m * c / sigma * np.abs(mean)
    deviation = np.sqrt(c * q * (s * s * sigma + m * m * c)) / sigma
    reverse = total(shift**2 + (np.sqrt(c) - deviation) ** 2)
    times = solvers.times(process, steps, end=1e-5)
    ends = [laws.sampler_law(solvers.Ancestral(), *known, times, s) for s in ("prior", "exact")]
    yield close(
        f"initial law carried to t = 0 by the reverse SDE, {steps} steps", SOURCE,
        declared=reverse, observed=laws.wasserstein2(*ends, grid), relative=0.05,
    )  # fmt: skip


def lost_modes() -> Iterator[Claim]:
    grid = fdiff.Grid((256,))

    def unit(operator):
        return (1 / operator.trace(grid)) * operator

    data = unit(fdiff.BesselCovariance(1.0, 25.0, 1.0))
    for name, prior, lost in (
        ("(25 - Laplacian)^-3", fdiff.BesselCovariance(1.0, 25.0, 3.0), 232),
        ("squared exponential", fdiff.SquaredExponentialCovariance(1.0, 0.1), 238),
        ("the data's own", fdiff.BesselCovariance(1.0, 25.0, 1.0), 0),
    ):
        process = fdiff.ForwardProcess(unit(prior), SCHEDULE)
        out = budget.error_budget(process, 0.0, data, grid, start="prior")
        yield equal(
            f"modes of 255 that lose half of their variance, prior {name}", SOURCE,
            declared=lost, observed=out.lost_modes, tolerance=0,
        )  # fmt: skip
