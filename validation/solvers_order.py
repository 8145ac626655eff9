"""Every scheme has its declared order in W2, on any grid.

On Gaussian data with the exact score the law of each scheme is known mode by mode (`fdiff.laws`),
so W2 to the exact law is a number without sampling error. All schemes start from the exact law at T
and end at t = 0.2, where every order is asymptotic: from 1e-3 on, an error term of order 4 hides
the third order of DPM-Solver++(3M). For a trace-class prior the order holds uniformly in the grid.
"""

from __future__ import annotations

from collections.abc import Iterator

from fdiff import solvers
from fdiff.convergence import order, order_figure
from validation.claim import Claim, of_order
from validation.problem import ORDERED, GaussianProblem, measured

SOURCE = "orders of the schemes, as their docstrings declare"
END = 0.2


def run(quick: bool) -> Iterator[Claim]:
    yield from orders(GaussianProblem(), 32, quick)
    if not quick:
        yield from orders(GaussianProblem(), 2048, quick)
    plane = GaussianProblem(dim=2, prior_power=2.0, data_power=3.0)
    yield from orders(plane, 16 if quick else 256, quick)


def orders(problem: GaussianProblem, n: int, quick: bool) -> Iterator[Claim]:
    steps = [64, 128, 256] if quick else [32, 64, 128, 256, 512]
    estimates = {}
    for name in ORDERED:
        solver = measured(name)
        grids = [solvers.times(problem.process, count, end=END) for count in steps]
        errors = [problem.error(solver, n, times) for times in grids]
        estimates[name] = order([1 / count for count in steps], errors, declared=solver.order)
    where = f"{problem.dim}D, n = {n}"

    def figure():
        return order_figure(estimates, error_label="$W_2$", title=where)

    for name, estimate in estimates.items():
        first = figure if name == ORDERED[0] else None
        yield of_order(f"W2 order of {name}, {where}", SOURCE, estimate, first)
