"""The forward process on a grid stays close to the one in function space, uniformly in time.

D_t = X_t - X_t^n, driven by one path of noise: E|D_t|^2 = m^2 E|D_0|^2 + s^2 tau exactly, with
tau = tr(Q - Q_n), and E sup_t |D_t|^2 <= E|D_0|^2 + B tau + 4 sqrt(q* [(1 - e^-B) E|D_0|^2 +
(B - 1 + e^-B) tau]) <= 2 E|D_0|^2 + (4 + 2 B) tau, where q* is the largest eigenvalue that is cut
off and B the integral of the schedule: linear in B, not exponential.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial

import numpy as np

import fdiff
from fdiff.convergence import order, order_figure
from fdiff.levels import prolong
from fdiff.noise import FIELD, PATHS, white_coefficients
from validation.claim import Claim, at_most, equal, of_order

SOURCE = "Itô's formula for |D|^2 and Doob's inequality"
Q = fdiff.BesselCovariance(1.0, 25.0, 1.0)
PROCESS = fdiff.ForwardProcess(Q, fdiff.LinearSchedule(0.1, 20.0))
DATA = fdiff.BesselCovariance(0.5, 9.0, 1.0)
FINE = fdiff.Grid((512,))


def run(quick: bool) -> Iterator[Claim]:
    yield from second_moment(1000 if quick else 10000)
    yield rate(500 if quick else 4000)
    for rough_start in (False, True):
        yield from supremum(200 if quick else 2000, rough_start)


def second_moment(paths: int) -> Iterator[Claim]:
    coarse = FINE.with_shape((32,))
    lost = difference(coarse, DATA, paths)
    start, tau = (tail_between(operator, coarse) for operator in (DATA, Q))
    for t in (0.05, 0.3, 1.0):
        z = PROCESS.noise(lost, FINE, 2, FIELD) * beyond(coarse)
        m, s = PROCESS.mean_factor(t), PROCESS.std(t)
        squares = FINE.basis.inner(m * lost + s * z, m * lost + s * z)
        declared = m * m * start + s * s * tau
        yield equal(
            f"E|X_t - X_t^n|^2 over its formula, t = {t:g}", SOURCE, declared=1.0,
            observed=squares.mean() / declared,
            error=1.96 * squares.std() / declared / math.sqrt(paths), tolerance=0.05,
        )  # fmt: skip


def rate(paths: int) -> Claim:
    """Order of the discretisation in space: E|D_t|^2 ~ n^-(2s-d), so 1/2 for s = d = 1."""
    t, sides = 0.3, 2 ** np.arange(3, 8)
    m, s = PROCESS.mean_factor(t), PROCESS.std(t)
    samples = []
    for n in sides:
        coarse = FINE.with_shape((int(n),))
        d = m * difference(coarse, DATA, paths)
        d = d + s * PROCESS.noise(d, FINE, 2, FIELD) * beyond(coarse)
        samples.append(FINE.basis.inner(d, d) + missing(m, s))
    # n - 1 modes are retained by an even grid: the half of n - 1/2 is where the cut lies.
    estimate = order(1 / (sides - 1), samples=np.array(samples).T, power=2, declared=0.5)
    figure = partial(
        order_figure, {"strong, t = 0.3": estimate}, step_label="$1/n$",
        error_label="root mean square of $X_t - X_t^n$", title="Forward process, one path",
    )  # fmt: skip
    return of_order("strong order of the truncated forward process", SOURCE, estimate, figure)


def missing(m: float, s: float) -> float:
    """What lies beyond even the fine grid, known exactly."""
    return m * m * DATA.tail_trace(FINE) + s * s * Q.tail_trace(FINE)


def supremum(paths: int, rough_start: bool) -> Iterator[Claim]:
    """Both bounds, by exact transitions on 400 times, uniform in B as the process moves."""
    coarse, total = FINE.with_shape((16,)), PROCESS.schedule.B(PROCESS.T)
    start = difference(coarse, DATA, paths) if rough_start else 0.0
    tau = tail_between(Q, coarse)
    e0 = tail_between(DATA, coarse) if rough_start else 0.0
    root = np.sqrt(Q.eigenvalues(FINE)) * beyond(coarse)
    gap = total / 400
    d = start + np.zeros((paths, *FINE.basis.shape), complex)
    highest = FINE.basis.inner(d, d)
    for i in range(400):
        z = white_coefficients(FINE, 5, PATHS, paths, time=i, root=root)
        d = math.exp(-gap / 2) * d + math.sqrt(-math.expm1(-gap)) * z
        highest = np.maximum(highest, FINE.basis.inner(d, d))
    cut_off = float((Q.eigenvalues(FINE) * beyond(coarse)).max())
    inner = -math.expm1(-total) * e0 + (total + math.expm1(-total)) * tau
    sharp = e0 + total * tau + 4 * math.sqrt(cut_off * inner)
    simple = 2 * e0 + (4 + 2 * total) * tau
    error = 1.96 * highest.std() / math.sqrt(paths)
    kind = "rough data" if rough_start else "no data beyond the grid"
    for name, bound in (("bound", sharp), ("simple bound", simple)):
        yield at_most(
            f"E sup|X_t - X_t^n|^2 over its {name}, {kind}", SOURCE, bound=1.0,
            observed=highest.mean() / bound, error=error / bound,
        )  # fmt: skip
    yield at_most(
        f"E|X_T - X_T^n|^2 over E sup|X_t - X_t^n|^2, {kind}", SOURCE, bound=1.0,
        observed=tau / highest.mean(), error=tau * error / highest.mean() ** 2,
    )  # fmt: skip


def beyond(coarse: fdiff.Grid) -> np.ndarray:
    """1 on the modes of the fine grid that the coarse one does not retain, else 0."""
    kept = prolong(coarse.basis.retained.astype(float), coarse, FINE)
    return 1.0 - kept


def difference(coarse: fdiff.Grid, operator: fdiff.CovarianceOperator, paths: int) -> np.ndarray:
    return operator.sample_coefficients(FINE, size=paths, seed=1) * beyond(coarse)


def tail_between(operator: fdiff.CovarianceOperator, coarse: fdiff.Grid) -> float:
    return operator.tail_trace(coarse) - operator.tail_trace(FINE)
