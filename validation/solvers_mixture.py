"""On a mixture every scheme gives back the law: weights of the components and second moments.

Data 0.3 N(mu, C) + 0.7 N(-mu, C), with the exact score, which is not linear. All schemes start from
the mixture's own law at T and take many steps to t = 1e-2; the fraction of samples on the side of
mu and their second moment are compared with the exact values, within the Monte Carlo interval.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import erf, sqrt

import numpy as np

import fdiff
from fdiff import solvers
from validation.claim import Claim, equal
from validation.problem import GaussianProblem

SOURCE = "exact law of a mixture of Gaussians"
PROBLEM = GaussianProblem()
GRID = PROBLEM.grid(16)
WEIGHTS = (0.3, 0.7)
END = 1e-2
# The adaptive flow goes sample by sample and Picard through every sweep: both are slow here, and
# other claims tie them to the schemes that are checked.
SLOW = ("probability-flow", "picard")
ALL = [name for name in solvers.SCHEMES if name not in SLOW]
FEW = ["gaussian-exact", "euler-maruyama", "ancestral", "sde-dpm-2m", "dpm-2m"]


def run(quick: bool) -> Iterator[Claim]:
    size, steps = (2000, 200) if quick else (20000, 400)
    bump = np.cos(2 * np.pi * GRID.points(0))
    means = [fdiff.Field(sign * bump, GRID) for sign in (1, -1)]
    score = fdiff.MixtureScore(PROBLEM.process, means, PROBLEM.data, WEIGHTS)
    fraction, moment = exact(bump)
    for name in FEW if quick else ALL:
        fields = fdiff.sample(
            score, GRID, size, solver=solvers.SCHEMES[name](), start="exact", seed=1,
            times=solvers.times(PROBLEM.process, steps, end=END), batch=1000, close=False,
        ).fields  # fmt: skip
        sides = (fields * bump).sum(-1) > 0
        squares = GRID.cell_volume * (fields**2).sum(-1)
        yield equal(
            f"samples on the side of mu, {name}", SOURCE, declared=fraction,
            observed=float(sides.mean()), error=float(1.96 * sides.std() / sqrt(size)),
            tolerance=0.05,
        )  # fmt: skip
        yield equal(
            f"second moment over its exact value, {name}", SOURCE, declared=1.0,
            observed=float(squares.mean() / moment),
            error=float(1.96 * squares.std() / moment / sqrt(size)), tolerance=0.1,
        )  # fmt: skip


def exact(bump: np.ndarray) -> tuple[float, float]:
    """Probability of the side of ``mu``, and ``E|X|^2``, at the last time."""
    m, s = PROBLEM.process.mean_factor(END), PROBLEM.process.std(END)
    c, q = PROBLEM.data.eigenvalues(GRID), PROBLEM.prior.eigenvalues(GRID)
    sigma = m * m * c + s * s * q
    direction = GRID.basis.forward(bump)
    norm = float(GRID.basis.inner(direction, direction))
    spread = sqrt(float((GRID.basis.weights * np.abs(direction) ** 2 * sigma).sum())) / norm
    right = 0.5 * (1 + erf(m / spread / sqrt(2)))
    trace = float((GRID.basis.weights * sigma).sum())
    return WEIGHTS[0] * right + WEIGHTS[1] * (1 - right), m * m * norm + trace
