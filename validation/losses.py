"""Which training losses have a limit under refinement, and which diverge.

Data and noise are diagonal with variances c and q in one dimension. The irreducible part of the
loss on the noise is sum q m^2 c/(m^2 c + s^2 q) in the norm of L2: it is at most tr Q and has a
limit whenever Q has a trace. With the Cameron-Martin norm of Q it is sum m^2 c/(m^2 c + s^2 q),
which has a limit if and only if sum c/q has, that is for data in the Cameron-Martin space. The mean
square of the score without preconditioning, sum 1/(m^2 c + s^2 q), always diverges; that of the
preconditioned score is at most tr Q/s^2.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np

import fdiff
from fdiff.convergence import order, order_figure
from validation.claim import Claim, at_most, of_order

SOURCE = "denoising score matching for Gaussian data, mode by mode"
PROCESS = fdiff.ForwardProcess(
    fdiff.BesselCovariance(1.0, 25.0, 1.0), fdiff.LinearSchedule(0.1, 20.0)
)
TIME = 0.3

# Data c = scale (25 + mu)^-power, with the orders of the terms: c/q ~ k^(2 - 2 power) for q ~ k^-2.
# "H" is the order in 1/n at which the L2 loss meets its limit; "CM" that of the Cameron-Martin
# loss, negative where it grows; "score" the growth of the plain score's mean square.
DATA = {
    "data smoother than the noise": (fdiff.BesselCovariance(625.0, 25.0, 3.0), 5, 3, -3),
    "data as rough as the noise": (fdiff.BesselCovariance(1.0, 25.0, 1.0), 1, -1, -3),
    "data rougher than the noise": (fdiff.BesselCovariance(25**-0.25, 25.0, 0.75), 1, -1, -2.5),
}


def run(quick: bool) -> Iterator[Claim]:
    sides = 2 ** np.arange(5, 12 if quick else 15) + 1
    finest = 2 ** (20 if quick else 23) + 1
    for name, (data, h_order, cm_order, score_order) in DATA.items():
        h, cm, score, preconditioned = np.array([losses(data, int(n)) for n in sides]).T
        limits = losses(data, finest)
        estimates = {
            "L2 loss": convergence(sides, h, limits[0], h_order),
            "Cameron-Martin loss": convergence(sides, cm, limits[1], cm_order),
            "plain score": convergence(sides, score, limits[2], score_order),
        }
        figure = partial(
            order_figure, estimates, step_label="$1/n$", title=name,
            error_label="distance to the limit, or size",
        )  # fmt: skip
        for label, estimate in estimates.items():
            kind = "rate" if estimate.declared > 0 else "growth"
            last = figure if label == "plain score" else None
            yield of_order(f"{label}, {name}: {kind}", SOURCE, estimate, last)
        trace = PROCESS.covariance.trace(line(3)) + PROCESS.covariance.tail_trace(line(3))
        yield at_most(
            f"preconditioned score, {name}: size / bound", SOURCE, bound=1.0,
            observed=float(preconditioned.max() * PROCESS.std(TIME) ** 2 / trace),
        )  # fmt: skip


def line(n: int) -> fdiff.Grid:
    return fdiff.Grid((n,))


def losses(data: fdiff.CovarianceOperator, n: int) -> tuple[float, float, float, float]:
    """Irreducible L2 and Cameron-Martin losses; mean squares of plain and preconditioned score."""
    grid = line(n)  # n is odd, so all modes are retained
    weights = grid.basis.weights
    q, c = PROCESS.covariance.eigenvalues(grid), data.eigenvalues(grid)
    m, s = PROCESS.mean_factor(TIME), PROCESS.std(TIME)
    total = m * m * c + s * s * q
    sums = (q * m * m * c / total, m * m * c / total, 1 / total, q * q / total)
    return tuple(float((weights * part).sum()) for part in sums)


def convergence(sides: np.ndarray, values: np.ndarray, limit: float, declared: float):
    """Order of the distance to ``limit``, or of the growth where there is none."""
    if declared < 0:
        return order(1 / sides, values, declared=declared)
    return order(1 / sides, np.abs(values - limit), declared=declared, scale=limit)
