"""One seed is one function: samples on ever finer grids converge, mode by mode coupled.

The keyed noise of shared modes is equal, so a sample on n points is the restriction of the one on
2n points up to what the score does. For Gaussian data the difference is the tail of the data alone;
for a mixture, whose modes interact, it falls as fast. Under two seeds nothing is shared.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np

import fdiff
from fdiff import levels, solvers
from fdiff.convergence import order
from validation.claim import Claim, at_most, equal, of_order
from validation.problem import GaussianProblem

SOURCE = "keyed noise and the tail trace of the data"
PROBLEM = GaussianProblem(data_power=1.5)
SIDES = [16, 32, 64, 128, 256]


def run(quick: bool) -> Iterator[Claim]:
    paths = 50 if quick else 400
    fine = PROBLEM.grid(1024)
    bumps = [fdiff.Field(sign * 0.7 * np.cos(2 * np.pi * fine.points(0)), fine) for sign in (1, -1)]
    scores = {
        "Gaussian": fdiff.GaussianScore(PROBLEM.process, 0.0, PROBLEM.data),
        "mixture": fdiff.MixtureScore(PROBLEM.process, bumps, PROBLEM.data),
    }
    for kind, score in scores.items():
        for name in ("gaussian-exact", "euler-maruyama", "dpm-2m"):
            yield coupled(kind, score, solvers.SCHEMES[name](), paths)
    yield on_shared_modes(scores["Gaussian"])
    yield uncoupled(scores["Gaussian"], paths)


def sample(score, n: int, size: int, solver=None, seed: int = 3):
    grid = PROBLEM.grid(n)
    return grid, fdiff.sample(score, grid, size, 20, solver, seed=seed).fields


def coupled(kind: str, score, solver, paths: int) -> Claim:
    """``E |X^2n - X^n|^2 ~ tail trace ~ n^-(2s-1)``, so order 1 for ``s = 1.5``."""
    samples = []
    for (coarse, x), (fine, y) in pairwise(sample(score, n, paths, solver) for n in SIDES):
        difference = y - levels.prolong_field(x, coarse, fine)
        samples.append(fine.cell_volume * (difference**2).sum(-1))
    estimate = order(
        [1 / n for n in SIDES[:-1]], samples=np.stack(samples, 1), power=2.0, declared=1
    )
    name = type(solver).__name__
    return of_order(f"order of X^n in n, one seed, {kind} data, {name}", SOURCE, estimate)


def on_shared_modes(score) -> Claim:
    (coarse, x), (fine, y) = (sample(score, n, 8) for n in (32, 512))
    gap = np.abs(levels.restrict_field(y, fine, coarse) - x).max()
    return at_most(
        "shared modes at n = 32 and n = 512, Gaussian data",
        SOURCE,
        bound=1e-12,
        observed=float(gap),
    )


def uncoupled(score, paths: int) -> Claim:
    """Another seed on the fine grid: the correlation is gone."""
    (coarse, x), (fine, y) = sample(score, 32, 100 * paths), sample(score, 64, 100 * paths, seed=11)
    other = levels.restrict_field(y, fine, coarse)
    products = (x * other).mean(-1) / np.sqrt((x**2).mean() * (other**2).mean())
    error = 1.96 * products.std() / np.sqrt(len(products))
    return equal(
        "correlation of n = 32 and n = 64 under two seeds", SOURCE, declared=0.0,
        observed=float(products.mean()), error=float(error), tolerance=0.15,
    )  # fmt: skip
