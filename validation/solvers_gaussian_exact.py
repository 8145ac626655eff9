"""`GaussianExact` has no error on Gaussian data, and its declared order on what is not Gaussian.

On Gaussian data one step maps the exact law at T to the data. On a mixture, whose denoiser is not
linear, one path of the flow is followed with the mixture's mean and variances as reference; its
limit is that of the adaptive Runge-Kutta flow, and 10 steps err less than 10 of DPM-Solver++(2M).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

import fdiff
from fdiff import laws, solvers
from fdiff.convergence import order, order_figure
from validation.claim import Claim, at_most, of_order
from validation.problem import SCHEDULE, GaussianProblem

SOURCE = "exponential Adams-Bashforth in the whitened coordinates"
MODES = 31


def run(quick: bool) -> Iterator[Claim]:
    for white in (False, True):
        problem, kind = GaussianProblem(white=white), "white" if white else "trace class"
        known = problem.known(512)
        law = laws.sampler_law(solvers.GaussianExact(), *known, [1.0, 0.0])
        yield at_most(
            f"W2 to Gaussian data after one step, {kind}", SOURCE, bound=1e-13,
            observed=laws.wasserstein2(law, laws.target_law(*known, 0.0), known[-1]),
        )  # fmt: skip
    yield from mixture(2000 if quick else 8000)


def mixture(reference_steps: int) -> Iterator[Claim]:
    """``1/2 N(+-mu, c)`` on 31 real modes, those of the cosine basis, from ``y_j = cos(1 + j)``."""
    j = np.arange(MODES)
    shifted = 25.0 + (2 * np.pi * ((j + 1) // 2)) ** 2
    q, c = 1 / (0.10135673098126084 * shifted), 1 / (0.002163728077229058 * shifted**2)
    mu = 1.5 * np.sqrt(c) * np.cos(j)
    grid = fdiff.Grid((MODES,), boundary="neumann")
    process = fdiff.ForwardProcess(fdiff.FiniteRankCovariance(q), SCHEDULE)
    means = [fdiff.Field(sign * grid.basis.inverse(mu), grid) for sign in (1, -1)]
    score = fdiff.MixtureScore(process, means, fdiff.FiniteRankCovariance(c))
    m, s = process.mean_factor(1.0), process.std(1.0)
    x = np.sqrt(m * m * (c + mu**2) + s * s * q) * np.cos(1 + j)
    reference = (0.0, fdiff.FiniteRankCovariance(c + mu**2))

    def end(solver, steps, **options):
        start = grid.basis.inverse(x)[None]
        times = solvers.times(process, steps)
        out = fdiff.sample(score, grid, 1, solver=solver, start=start, times=times, **options)
        return grid.basis.forward(out.fields)[0]

    limit = end(solvers.GaussianExact(3, reference), reference_steps)
    ends = [
        end(scheme, steps, close=False)
        for scheme, steps in (
            (solvers.GaussianExact(3, reference), reference_steps),
            (solvers.ProbabilityFlow(rtol=1e-10, atol=1e-12), 1),
        )
    ]
    yield at_most(
        "limit on a mixture against the adaptive flow at t = 1e-3", SOURCE, bound=1e-7,
        observed=float(np.linalg.norm(ends[0] - ends[1])),
    )  # fmt: skip
    counts = [20, 40, 80, 160]
    estimates = {}
    for p in (1, 2, 3):
        scheme = solvers.GaussianExact(p, reference)
        errors = [float(np.linalg.norm(end(scheme, n) - limit)) for n in counts]
        # Order 3 comes down from above; later the first step, of order 1, would show.
        estimates[f"order {p}"] = order(
            [1 / n for n in counts], errors, declared=p, tolerance=0.15 if p < 3 else 0.25
        )

    def figure():
        return order_figure(estimates, error_label="distance to the limit at t = 0")

    for p, (name, estimate) in enumerate(estimates.items(), start=1):
        yield of_order(
            f"GaussianExact of {name} on a mixture", SOURCE, estimate, figure if p == 1 else None
        )
    ours, theirs = (
        float(np.linalg.norm(end(scheme, 10) - limit))
        for scheme in (solvers.GaussianExact(2, reference), solvers.DPMSolverPP2M())
    )
    yield at_most(
        "error of 10 steps over that of DPM-Solver++(2M), mixture", SOURCE,
        bound=0.25, observed=ours / theirs,
    )  # fmt: skip
