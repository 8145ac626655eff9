"""Paths of every stochastic scheme converge with strong order one under shared noise.

Euler-Maruyama, exponential Euler and the bridge schemes have additive noise. The noise of a step is
an increment of a Q-Wiener process in the scheme's own clock, so N and 2N steps share one path. On
Gaussian data their root mean square difference is computed exactly, mode by mode; on a mixture,
where the score is not linear, it is sampled with keyed paths.
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

SOURCE = "Kloeden and Platen (1992), sec. 10.2: additive noise"
PROBLEM = GaussianProblem()
STRONG = [name for name, scheme in solvers.SCHEMES.items() if scheme().strong_order]


def run(quick: bool) -> Iterator[Claim]:
    yield from exact([64, 128, 256, 512] if quick else [64, 128, 256, 512, 1024])
    for name in STRONG[:1] if quick else STRONG:
        yield mixture(name, 100 if quick else 400)


def exact(steps: list[int]) -> Iterator[Claim]:
    estimates = {}
    for name in STRONG:
        solver = solvers.SCHEMES[name]()
        errors = [
            laws.strong_difference(
                solver, *PROBLEM.known(128), solvers.times(PROBLEM.process, 2 * count)
            )
            for count in steps
        ]
        estimates[name] = order(
            [1 / count for count in steps], errors, declared=solver.strong_order
        )

    def figure():
        return order_figure(estimates, error_label="RMS of N against 2N steps")

    for name, estimate in estimates.items():
        first = figure if name == STRONG[0] else None
        yield of_order(f"strong order of {name}, Gaussian data, exact", SOURCE, estimate, first)


def mixture(name: str, paths: int) -> Claim:
    """Squared differences of N and 2N steps on the same paths, for two modes of the data."""
    grid = PROBLEM.grid(16)
    bump = 0.7 * np.cos(2 * np.pi * grid.points(0))
    means = [fdiff.Field(sign * bump, grid) for sign in (1, -1)]
    score = fdiff.MixtureScore(PROBLEM.process, means, PROBLEM.data)
    path = QWiener(PROBLEM.prior, horizon=1.0, seed=5)
    solver, counts = solvers.SCHEMES[name](), [64, 128, 256, 512, 1024]
    options = {"solver": solver, "path": path, "seed": 2, "close": False}
    ends = [
        fdiff.sample(
            score, grid, paths, times=solvers.times(PROBLEM.process, count, end=1e-2), **options
        ).fields
        for count in counts
    ]
    squares = [grid.cell_volume * ((b - a) ** 2).sum(-1) for a, b in pairwise(ends)]
    estimate = order(
        [1 / count for count in counts[:-1]], samples=np.stack(squares, 1), power=2.0,
        declared=solver.strong_order, tolerance=0.2,
    )  # fmt: skip
    return of_order(f"strong order of {name}, mixture, {paths} paths", SOURCE, estimate)
