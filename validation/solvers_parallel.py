"""Picard sweeps in parallel over time give the sequential scheme, on any grid.

After j sweeps the first j steps are the sequential ones, so N sweeps are N steps; long before, the
sweeps have converged: 64 steps of DDIM to round-off in 32 sweeps, at n = 32 as at n = 512. The
adaptive flow meets the exact flow map of Gaussian data within its tolerance.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

import fdiff
from fdiff import laws, solvers
from validation.claim import Claim, at_most
from validation.problem import GaussianProblem

SOURCE = "Shih et al. (2023)"
PROBLEM = GaussianProblem()


def run(quick: bool) -> Iterator[Claim]:
    for n in (32, 512):
        grid = PROBLEM.grid(n)
        fields = [
            fdiff.sample(PROBLEM.score(grid), grid, 2, 64, solver, seed=1).fields
            for solver in (solvers.DDIM(), solvers.Picard(0.0, sweeps=32))
        ]
        yield at_most(
            f"32 Picard sweeps against 64 steps of DDIM, n = {n}", SOURCE,
            bound=1e-13, observed=float(np.abs(fields[0] - fields[1]).max()),
        )  # fmt: skip
    for rtol in (1e-4, 1e-8):
        yield adaptive(rtol)


def adaptive(rtol: float) -> Claim:
    """``x -> m_u mu + sqrt(Sigma_u / Sigma_t) (x - m_t mu)``, in units of the tolerance."""
    _, _, _, grid = known = PROBLEM.known(32)
    basis, u = grid.basis, 0.01
    x = basis.project(basis.forward(PROBLEM.prior.sample(grid, 4, 1)))
    first, last = (laws.target_law(*known, t) for t in (1.0, u))
    ratio = np.sqrt(last.variance / np.where(basis.retained, first.variance, 1.0))
    expected = last.mean + ratio * (x - first.mean)
    solver = solvers.ProbabilityFlow(rtol=rtol, atol=1e-3 * rtol)
    out = fdiff.sample(
        PROBLEM.score(grid), grid, 4, times=[1.0, u], solver=solver, start=basis.inverse(x),
        close=False,
    )  # fmt: skip
    error = np.abs(basis.forward(out.fields) - expected).max() / np.abs(expected).max()
    return at_most(
        f"adaptive flow against the exact map, in tolerances of {rtol:g}",
        "Gaussian flow map", bound=10.0, observed=float(error / rtol),
    )  # fmt: skip
