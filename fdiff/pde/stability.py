"""Derives the coefficients of the stabilised Runge-Kutta schemes in `fdiff.pde.coefficients`.

    python -m fdiff.pde.stability [--stages s]

derives one scheme or all, prints their entries and how far they lie from those in TABLE.

1. Stability polynomial. R of degree s with R(z) = exp(z) + O(z^5), so R^(k)(0) = 1 for k = 0 .. 4,
   and the longest interval [-l, -0.06] on which |R| <= 0.95. For a given l,

       min m   such that   |R(z_i)| <= m  at 100 s Chebyshev nodes z_i of [-l, -0.06]

   is a linear program in the Chebyshev coefficients of R(l (x - 1) / 2) and m; its minimum grows
   with l, so bisection finds l. Between the nodes |R| exceeds 0.95 by at most 1e-4. Of the zeros
   of R four are complex; the s - 4 real ones, z_j < 0, give the Euler steps a_j = -1 / z_j.
2. Order of the chain. The a_j ascend; so no product of the first links exceeds 1 on [-l, 0]. (In
   descending order it reaches 64 with 16 stages.)
3. Closing stages. Ten numbers w, eight conditions C(w) = 0 of order 4 of the whole scheme. Of what
   they leave free we take a minimum of

       |300 E(w)|^2 + |w|^2   such that   C(w) = 0,

   E the nine residuals of order 5: a small error, without large coefficients that cancel.

The interval is written down rounded down to four decimals.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence

import numpy as np
from numpy.polynomial import chebyshev
from scipy.optimize import least_squares, linprog

from fdiff.pde.coefficients import TABLE
from fdiff.pde.stabilised import tableau

BOUND = 0.95
START = -0.06  # |R| near exp(z) to the right of it: no bound below 1 can hold up to z = 0
_NODES = 100  # a stage
_FIFTH = 300.0  # weight of the residuals of order 5 against the size of the numbers
_CLASSICAL = np.array([1 / 2, 0, 1 / 2, 0, 0, 1, 1 / 6, 1 / 3, 1 / 3, 1 / 6])

Entry = tuple[float, tuple[float, ...], tuple[float, ...]]


def derive(stages: int) -> Entry:
    """(interval, chain, closing) of one scheme as in TABLE, 5 to 16 stages."""
    if stages not in TABLE:
        raise ValueError(f"schemes have {min(TABLE)} to {max(TABLE)} stages, got {stages}")
    interval, zeros = longest_interval(stages)
    chain = np.sort(-1.0 / zeros)
    closing = _closing(chain)
    return math.floor(interval * 1e4) / 1e4, tuple(chain.tolist()), tuple(closing.tolist())


def longest_interval(stages: int) -> tuple[float, np.ndarray]:
    """(l, the s - 4 real zeros of R): |R| <= 0.95 on [-l, -0.06], by bisection in l."""
    low, high = 0.23 * stages**2, 0.36 * stages**2
    while high - low > 1e-9 * high:
        middle = (low + high) / 2
        if minimax(stages, middle)[0] <= BOUND:
            low = middle
        else:
            high = middle
    zeros = (chebyshev.chebroots(minimax(stages, low)[1]) - 1) * low / 2
    real = zeros[np.abs(zeros.imag) < 1e-7 * np.abs(zeros)].real
    if len(real) != stages - 4:
        raise ArithmeticError(f"{len(real)} real zeros of R with {stages} stages, not s - 4")
    return low, real


def minimax(stages: int, interval: float) -> tuple[float, np.ndarray]:
    """(max |R| at the nodes, Chebyshev coefficients in x = 1 + 2 z / l) of the best R of order 4.

    The maximum is infinite where the solver finds none.
    """
    nodes = _NODES * stages
    half = (START + interval) / 2
    z = START - half + half * np.cos(np.linspace(0, np.pi, nodes))
    values = chebyshev.chebvander(1 + 2 * z / interval, stages)
    derivatives = _derivatives_at_zero(stages, interval)
    scale = np.abs(derivatives).max(axis=1)  # they grow like s^(2k)
    ones = np.ones((nodes, 1))
    found = linprog(
        np.append(np.zeros(stages + 1), 1.0),
        A_ub=np.block([[values, -ones], [-values, -ones]]),
        b_ub=np.zeros(2 * nodes),
        A_eq=np.hstack([derivatives / scale[:, None], np.zeros((5, 1))]),
        b_eq=1 / scale,
        bounds=[(None, None)] * (stages + 1) + [(0, None)],
        method="highs-ds",
        options={"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10},
    )
    if found.x is None:
        return math.inf, np.zeros(stages + 1)
    return float(found.x[-1]), found.x[:-1]


def _derivatives_at_zero(stages: int, interval: float) -> np.ndarray:
    """(5, s + 1): d^k/dz^k at z = 0 of the Chebyshev polynomials in x = 1 + 2 z / l."""
    basis = np.eye(stages + 1)
    return np.array(
        [
            chebyshev.chebval(1.0, chebyshev.chebder(basis, k)) * (2 / interval) ** k
            for k in range(5)
        ]
    )


def fourth_order(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(8,): residuals C of the conditions of order 1 to 4."""
    c = a.sum(axis=1)
    ac = a @ c
    weights = np.array([np.ones_like(c), c, c**2, ac, c**3, c * ac, a @ c**2, a @ ac])
    return weights @ b - 1 / np.array([1, 2, 3, 6, 4, 8, 12, 24])


def fifth_order(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(9,): residuals E of order 5, divided by the trees' symmetries.

    The tree of (Ac)^2, of symmetry 2, is not divided: it counts double.
    """
    c = a.sum(axis=1)
    ac, ac2 = a @ c, a @ c**2
    aac = a @ ac
    trees = [c**4, c**2 * ac, c * ac2, c * aac, ac**2, a @ c**3, a @ (c * ac), a @ ac2, a @ aac]
    exact = 1 / np.array([5, 10, 15, 30, 20, 20, 40, 60, 120])
    return (np.array(trees) @ b - exact) / np.array([24, 2, 2, 1, 1, 6, 1, 2, 1])


def _closing(chain: np.ndarray) -> np.ndarray:
    """The ten numbers w: penalties on C(w) that grow, then steps onto C(w) = 0.

    From the classical scheme over the rest of the step, which is what w is without stability.
    """
    w = (1 - chain.sum()) * _CLASSICAL
    for penalty in (1e2, 1e4, 1e6):

        def residuals(w: np.ndarray, penalty: float = penalty) -> np.ndarray:
            a, b = tableau(chain, w)
            return np.concatenate([penalty * fourth_order(a, b), _FIFTH * fifth_order(a, b), w])

        w = least_squares(
            residuals,
            w,
            jac=lambda w, f=residuals: _jacobian(f, w),
            method="lm",
            xtol=1e-14,
            ftol=1e-14,
            gtol=1e-14,
            max_nfev=20000,
        ).x

    def conditions(w: np.ndarray) -> np.ndarray:
        return fourth_order(*tableau(chain, w))

    for _ in range(20):
        w = w - np.linalg.lstsq(_jacobian(conditions, w), conditions(w), rcond=None)[0]
    return w


def _jacobian(f, w: np.ndarray) -> np.ndarray:
    """The Jacobian of ``f`` at ``w`` by complex steps: exact to rounding, as f is a polynomial."""
    step = 1e-30
    return np.array([f(w + 1j * step * e).imag / step for e in np.eye(len(w))]).T


def distance(entry: Entry, other: Entry) -> float:
    """The largest difference of two schemes of as many stages, relative to the entries or 1."""
    p, q = (np.concatenate([[e[0]], e[1], e[2]]) for e in (entry, other))
    return float(np.max(np.abs(p - q) / np.maximum(1.0, np.abs(q))))


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m fdiff.pde.stability")
    parser.add_argument("--stages", type=int, choices=sorted(TABLE), help="one scheme only")
    only = parser.parse_args(arguments).stages
    for stages in [only] if only else sorted(TABLE):
        entry = derive(stages)
        print(f"{stages}: {entry},")
        print(f"# from TABLE: {distance(entry, TABLE[stages]):.1e}", flush=True)


if __name__ == "__main__":
    main()
