"""Stabilised explicit Runge-Kutta schemes of order 4, with an error estimate of order 3.

A scheme of s stages is a chain of s - 4 Euler steps followed by four closing stages,

    g_0 = y,  g_j = g_{j-1} + h a_j F(g_{j-1}),          j = 1 .. s - 4
    Y_i = g + h sum_{j<i} a_ij F(Y_j),  y' = g + h sum_i b_i F(Y_i),   i = 1 .. 4, Y_1 = g

so that its stability polynomial is R(z) = w(z) prod_j (1 + a_j z), w of degree 4. The a_j come from
the real zeros -1 / a_j of the polynomial of order 4 that keeps |R| <= 0.95 on the longest interval
[-interval, -0.06], about 0.34 s^2; to the right of it R is exp within 1e-8. The ten numbers of the
closing stages satisfy the eight conditions of order 4 of the whole. The construction by chain and
closing stages is that of Abdulle (2002), Fourth order Chebyshev methods with recurrence relation,
SIAM J. Sci. Comput. 23, and of Lebedev's DUMKA; the coefficients are our own
(`fdiff.pde.stability`).
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import final

import numpy as np

from fdiff.pde.coefficients import TABLE

# Size of the error estimate: h^4 / 1000 times the tall tree F'F'F'F. It is of the lower order; with
# this factor the measured error of a trajectory comes out at about the tolerance.
_ESTIMATE = 1e-3


@final
@dataclass(frozen=True)
class Scheme:
    """One scheme: Butcher tableau a (s, s), b (s,), embedded weights of (stages, F(y'))."""

    stages: int
    interval: float  # stable for -interval <= h lambda <= 0
    a: np.ndarray
    b: np.ndarray
    embedded: np.ndarray  # (s + 1,): the last multiplies F(y'), which the next step needs anyway

    @property
    def chain(self) -> np.ndarray:
        return self.b[: self.stages - 4]

    def closing(self) -> np.ndarray:
        """(5, 6): Y2, Y3, Y4, y' and the error as combinations of (g, Y2, Y3, Y4, y') and h F.

        In these terms a stage needs F of the stage before it only, never a stored F:
        h F(Y_i) is what the next stage was made of. The last column multiplies h F of the
        newest state.
        """
        inner = self.a[-4:, -4:]
        weights = np.vstack([inner[1:], self.b[-4:]])  # of h F(Y_1..4) in Y2, Y3, Y4, y'
        slopes = np.zeros((4, 5))  # h F(Y_i) as combinations of the five states
        rows = np.zeros((5, 6))
        for j in range(4):
            rows[j, 0] = 1.0
            rows[j, :5] += weights[j, :j] @ slopes[:j]
            rows[j, 5] = weights[j, j]
            state = np.eye(5)[j + 1]
            slopes[j] = (state - rows[j, :5]) / weights[j, j]
        difference = self.b[-4:] - self.embedded[-5:-1]
        rows[4, :5] = difference @ slopes
        rows[4, 5] = -self.embedded[-1]
        return rows

    def stability(self, z: np.ndarray) -> np.ndarray:
        """R(z), with y' = R(h lambda) y for y_t = lambda y."""
        z = np.asarray(z)
        values: list[np.ndarray] = []
        for row in self.a:
            values.append(1.0 + z * sum((x * v for x, v in zip(row, values)), np.zeros_like(z)))
        return 1.0 + z * sum(x * v for x, v in zip(self.b, values))


@functools.cache
def scheme(stages: int) -> Scheme:
    """The scheme of that many stages, 5 to 16."""
    interval, chain, closing = TABLE[stages]
    a, b = tableau(np.array(chain), np.array(closing))
    return Scheme(stages, interval, a, b, _embedded(a, b))


def tableau(chain: np.ndarray, closing: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Butcher tableau a (s, s), b (s,) of the s - 4 links and the ten closing numbers."""
    links, w = len(chain), closing
    a = np.zeros((links + 4, links + 4), dtype=w.dtype)
    for i in range(links + 4):
        a[i, : min(i, links)] = chain[: min(i, links)]
    a[-4:, -4:] = [[0, 0, 0, 0], [w[0], 0, 0, 0], [*w[1:3], 0, 0], [*w[3:6], 0]]
    return a, np.concatenate([chain, w[6:]])


def _embedded(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Weights of order 3 on the stages and F(y'): four conditions, five numbers, so one scale."""
    size = len(b)
    full = np.zeros((size + 1, size + 1))
    full[:size, :size], full[size, :size] = a, b
    c = full.sum(axis=1)
    conditions = np.array([np.ones_like(c), c, c**2, full @ c])
    null = np.linalg.svd(conditions[:, -5:])[2][-1]
    # Against the exact 1/24 of the tall tree, h^4 F'F'F'F.
    null *= _ESTIMATE / (null @ (full @ full @ c)[-5:])
    return np.append(b, 0.0) + np.concatenate([np.zeros(size - 4), null])


@functools.cache
def tables() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(interval, links, chain, closing) of all schemes, shortest first, for the kernel."""
    schemes = [scheme(stages) for stages in sorted(TABLE)]
    chain = np.zeros((len(schemes), max(TABLE) - 4))
    for row, s in zip(chain, schemes):
        row[: s.stages - 4] = s.chain
    return (
        np.array([s.interval for s in schemes]),
        np.array([s.stages - 4 for s in schemes], dtype=np.int64),
        chain,
        np.array([s.closing() for s in schemes]),
    )
