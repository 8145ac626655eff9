"""A trace-class prior makes the error of sampling free of the dimension; white noise does not.

W2 of the sampler to the exact law, mode by mode and without sampling error, on ever finer grids.
With a trace-class prior every scheme's error tends to a limit. With white noise the schemes that
treat the noise-dominated modes inexactly (Euler-Maruyama, exponential Euler, Heun in t) grow
without bound, and so does the noise left when any scheme stops early: both like n^(d/2). Schemes
uniform in lambda integrate those modes exactly: their time-step error stays flat even then.
"""

from __future__ import annotations

from collections.abc import Iterator

from fdiff import laws, solvers
from fdiff.convergence import order, order_figure
from validation.claim import Claim, at_most, close, of_order
from validation.problem import ORDERED, GaussianProblem, measured

SOURCE = "exact laws on Gaussian data"
TRACE_CLASS, WHITE = GaussianProblem(), GaussianProblem(white=True)
PLANE, WHITE_PLANE = (
    GaussianProblem(dim=2, prior_power=2.0, data_power=3.0, white=white) for white in (False, True)
)
INEXACT = ("euler-maruyama", "exponential-euler", "heun")


def run(quick: bool) -> Iterator[Claim]:
    times = solvers.times(TRACE_CLASS.process, 64)
    for name in ORDERED:
        errors = [TRACE_CLASS.error(measured(name), n, times) for n in (512, 2048)]
        yield close(
            f"{name}, trace class: error at n = 2048 over n = 512", SOURCE,
            declared=1.0, observed=errors[1] / errors[0], relative=0.01,
        )  # fmt: skip
    for name in ORDERED:
        if name != "gaussian-exact":
            yield white_noise(name, times)
    yield residual()
    sides = [32, 64, 128] if quick else [16, 32, 64, 128, 256]
    yield from usual_procedure(TRACE_CLASS, WHITE, [32, 128, 512, 2048], 1000)
    yield from usual_procedure(PLANE, WHITE_PLANE, sides, 200 if quick else 500)


def white_noise(name: str, times) -> Claim:
    """Growth between the two finest grids, or none."""
    coarse, fine = (WHITE.error(measured(name), n, times) for n in (512, 2048))
    if name in INEXACT:
        return at_most(
            f"{name}, white noise: error at n = 512 over n = 2048", SOURCE,
            bound=0.75, observed=coarse / fine,
        )  # fmt: skip
    return close(
        f"{name}, white noise: error at n = 2048 over n = 512", SOURCE,
        declared=1.0, observed=fine / coarse, relative=0.01,
    )  # fmt: skip


def residual() -> Claim:
    """The noise left at t = 1e-3, ``W2(p_1e-3, p_0)``, whatever the scheme."""
    sides, errors = [256, 512, 1024, 2048, 4096], []
    for n in sides:
        known = WHITE.known(n)
        early, data = (laws.target_law(*known, t) for t in (1e-3, 0.0))
        errors.append(laws.wasserstein2(early, data, known[-1]))
    estimate = order([1 / n for n in sides], errors, declared=-0.5)
    return of_order("noise left at t = 1e-3, white noise, 1D: power of 1/n", SOURCE, estimate)


def usual_procedure(smooth, white, sides: list[int], steps: int) -> Iterator[Claim]:
    """Euler-Maruyama from N(0, Q), uniform in t down to 0."""
    estimates = {}
    for name, problem in (("trace class", smooth), ("white noise", white)):
        times = solvers.times(problem.process, steps, "time", end=0.0)
        errors = [problem.error(solvers.EulerMaruyama(), n, times, "prior") for n in sides]
        declared = -problem.dim / 2 if problem.white else 0.0
        # In one dimension modes of the data still stand above the noise at these n.
        tolerance = 0.15 if problem.dim == 2 or not problem.white else 0.3
        estimates[name] = order(
            [1 / n for n in sides], errors, declared=declared, tolerance=tolerance
        )
    for name, estimate in estimates.items():
        claim = f"usual procedure, {smooth.dim}D, {name}: power of 1/n"
        figure = None
        if name == "white noise":

            def figure():
                return order_figure(estimates, step_label="$1/n$", error_label="$W_2$")

        yield of_order(claim, SOURCE, estimate, figure)
