"""The parts of the error of sampling bound the whole, for every scheme.

Initial law, time steps, early stop and truncation are computed exactly, mode by mode, for data in a
function space on a grid of 64 points; by the triangle inequality on the grid and Pythagoras beyond
it they bound W2 of the generated law to the data. The figure shows which part rules at which number
of steps.
"""

from __future__ import annotations

from collections.abc import Iterator

import fdiff
from fdiff import budget, solvers
from validation.claim import Claim, at_most, close
from validation.problem import GaussianProblem

SOURCE = "triangle inequality and Pythagoras"
PROBLEM = GaussianProblem()
STEPS = (2, 4, 8, 16, 32, 64, 128, 256)
SHOWN = {
    "gaussian-exact": "GaussianExact",
    "dpm-2m": "DPM-Solver++(2M)",
    "euler-maruyama": "Euler-Maruyama",
}


def run(quick: bool) -> Iterator[Claim]:
    for name, scheme in solvers.SCHEMES.items():
        if not scheme().affine:
            continue
        worst = max(part.total / part.bound for part in budgets(scheme(), (4, 16, 64)))
        yield at_most(f"total error over its bound, {name}", SOURCE, bound=1.0, observed=worst)
    tail = budgets(solvers.DDIM(), (4,))[0].truncation
    fine = fdiff.Grid((4096,))
    beyond = PROBLEM.data.trace(fine) + PROBLEM.data.tail_trace(fine) - PROBLEM.data.trace(grid())
    yield close(
        "truncation at n = 64 against the modes summed", SOURCE,
        declared=beyond**0.5, observed=tail, relative=1e-6,
    )  # fmt: skip
    yield at_most(
        "10 steps of GaussianExact on Gaussian data: error on the grid", SOURCE, bound=1e-13,
        observed=budgets(solvers.GaussianExact(), (10,))[0].step, figure=figure,
    )  # fmt: skip


def grid() -> fdiff.Grid:
    return PROBLEM.grid(64)


def budgets(solver: solvers.Solver, steps: tuple[int, ...]) -> list[budget.ErrorBudget]:
    return [
        budget.error_budget(PROBLEM.process, 0.0, PROBLEM.data, grid(), solver, count)
        for count in steps
    ]


def figure():
    panels = {title: budgets(solvers.SCHEMES[name](), STEPS) for name, title in SHOWN.items()}
    return budget.steps_figure(panels)
