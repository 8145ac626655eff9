"""Means and variances of stochastic schemes converge with the declared weak order.

On Gaussian data the second moment E|X|^2 at the end is known exactly for the scheme and for the law
that it approximates. On a mixture, where the score is not linear, the same functional is sampled
for N and 2N steps on one path, so that the difference has little noise.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np

import fdiff
from fdiff import laws, solvers
from fdiff.convergence import order, order_figure
from fdiff.paths import QWiener
from validation.claim import Claim, of_order
from validation.problem import GaussianProblem

SOURCE = "weak orders of the schemes"
PROBLEM = GaussianProblem()
END = 0.2
STOCHASTIC = [name for name, scheme in solvers.SCHEMES.items() if scheme().strong_order]


def run(quick: bool) -> Iterator[Claim]:
    yield from exact([64, 128, 256, 512, 1024])
    for name in ["euler-maruyama"] if quick else ["euler-maruyama", "exponential-euler"]:
        yield mixture(name, 1000 if quick else 4000)


def second_moment(law: laws.Law, grid: fdiff.Grid) -> float:
    return float((grid.basis.weights * (np.abs(law.mean) ** 2 + law.variance)).sum())


def exact(steps: list[int]) -> Iterator[Claim]:
    known = PROBLEM.known(128)
    target = second_moment(laws.target_law(*known, END), known[-1])
    estimates = {}
    for name in STOCHASTIC:
        solver, errors = solvers.SCHEMES[name](), []
        for count in steps:
            times = solvers.times(PROBLEM.process, count, end=END)
            law = laws.sampler_law(solver, *known, times)
            errors.append(abs(second_moment(law, known[-1]) - target))
        estimates[name] = order([1 / count for count in steps], errors, declared=solver.order)

    def figure():
        return order_figure(estimates, error_label="error of $E|X|^2$")

    for name, estimate in estimates.items():
        first = figure if name == STOCHASTIC[0] else None
        yield of_order(f"weak order of {name}, Gaussian data, exact", SOURCE, estimate, first)


def mixture(name: str, paths: int) -> Claim:
    """``E|X|^2`` with N against 2N steps, signed differences on the same paths."""
    grid = PROBLEM.grid(8)
    bump = 0.7 * np.cos(2 * np.pi * grid.points(0))
    means = [fdiff.Field(sign * bump, grid) for sign in (1, -1)]
    score = fdiff.MixtureScore(PROBLEM.process, means, PROBLEM.data)
    counts = [16, 32, 64, 128, 256]
    options = {
        "solver": solvers.SCHEMES[name](), "path": QWiener(PROBLEM.prior, seed=5), "seed": 2,
        "close": False, "start": "exact",
    }  # fmt: skip
    moments = []
    for count in counts:
        times = solvers.times(PROBLEM.process, count, end=END)
        fields = fdiff.sample(score, grid, paths, times=times, **options).fields
        moments.append(grid.cell_volume * (fields**2).sum(-1))
    differences = np.stack([b - a for a, b in pairwise(moments)], 1)
    estimate = order(
        [1 / count for count in counts[:-1]], samples=differences, declared=1, tolerance=0.2
    )
    return of_order(f"weak order of {name}, mixture, {paths} paths", SOURCE, estimate)
