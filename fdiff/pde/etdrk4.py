"""ETDRK4: the diffusion exact per mode, the reaction by a Runge-Kutta method of order 4.

    c_t = L c + N(c),   L_k = -mu_k M,   N(c) = T f(T^-1 c) on a finer grid, cut to retained modes

Spectral in space (the exact symbol mu_k of the grid's basis), for any boundary. The reaction is
evaluated on a grid of twice the nodes per axis, where a cubic has no alias among the kept modes.

Cox and Matthews (2002), J. Comput. Phys. 176; the phi functions as in Kassam and Trefethen (2005),
but by their Taylor series where |z| < 1. The error estimate is the last weight times N(c') - N(w):
both approximate the reaction at the end of the step, w to third order; N(c') is the next step's
first evaluation, so it costs nothing.
"""

from __future__ import annotations

import math

import numpy as np

from fdiff import levels
from fdiff.errors import DivergenceError
from fdiff.grid import Grid
from fdiff.pde.systems import System

DEALIAS = 2  # nodes per axis of the reaction's grid, in nodes of the state's
_FINEST = 40  # a step is the interval between stored times over 2^j, j at most this
# The estimate is of order 3; this factor brings the measured error to about the tolerance.
_SCALE = 0.05


def phi_functions(z: np.ndarray, count: int = 3) -> list[np.ndarray]:
    """phi_1 .. phi_count at z, Re z <= 0: phi_{j+1} = (phi_j - 1/j!) / z, phi_0 = exp.

    Relative error of the order of rounding: 20 terms of the series where |z| < 1.
    """
    small = np.abs(z) < 1
    inner, outer = np.where(small, z, 0.0), np.where(small, 1.0, z)
    series = []
    for j in range(1, count + 1):
        total = np.zeros_like(inner)
        for n in reversed(range(20)):
            total = total * inner + 1.0 / math.factorial(n + j)
        series.append(total)
    value = np.expm1(outer) / outer
    out = [np.where(small, series[0], value)]
    for j in range(1, count):
        value = (value - 1.0 / math.factorial(j)) / outer
        out.append(np.where(small, series[j], value))
    return out


class Spectral:
    """The equation in coefficients: M diagonalised over the fields, N dealiased."""

    def __init__(self, system: System, grid: Grid, dealias: float = DEALIAS):
        self.system, self.grid = system, grid
        self.fine = grid.with_shape(tuple(math.ceil(dealias * n) for n in grid.shape))
        matrix = system.diffusion_matrix
        if np.array_equal(matrix, np.diag(np.diag(matrix))):
            self.rates, self.to_modes = np.diag(matrix), None
        else:
            self.rates, self.from_modes = np.linalg.eig(matrix)
            self.to_modes = np.linalg.inv(self.from_modes)
        if self.rates.real.min() < 0:
            raise ValueError(f"{system.name}: the diffusion matrix {matrix} is not stable")
        # (fields, *basis.shape), <= 0 in its real part
        self.linear = -np.multiply.outer(self.rates, grid.basis.laplacian)

    def forward(self, state: np.ndarray) -> np.ndarray:
        """Coefficients of a state (fields, *grid.shape), the fields combined as M asks."""
        return self._combined(self.grid.basis.project(self.grid.basis.forward(state)))

    def inverse(self, c: np.ndarray) -> np.ndarray:
        return self.grid.basis.inverse(self._separated(c))

    def reaction(self, c: np.ndarray) -> np.ndarray:
        """N(c)."""
        fine = levels.prolong(self._separated(c), self.grid, self.fine)
        values = self.system.reaction(self.fine.basis.inverse(fine))
        back = levels.restrict(self.fine.basis.forward(values), self.fine, self.grid)
        return self._combined(self.grid.basis.project(back))

    def _combined(self, c: np.ndarray) -> np.ndarray:
        return c if self.to_modes is None else np.tensordot(self.to_modes, c, 1)

    def _separated(self, c: np.ndarray) -> np.ndarray:
        if self.to_modes is None:
            return c
        parts = np.tensordot(self.from_modes, c, 1)
        return parts if self.grid.basis.is_complex else parts.real

    def size(self, c: np.ndarray) -> np.ndarray:
        """L2 norm by field (or combination of fields)."""
        squares = np.abs(c) ** 2 * self.grid.basis.weights
        return np.sqrt(squares.reshape(len(c), -1).sum(axis=1))


class Step:
    """The weights of one step length; Cox and Matthews, equations (26) to (29)."""

    def __init__(self, problem: Spectral, h: float):
        self.problem = problem
        z = h * problem.linear
        one, two, three = phi_functions(z)
        self.half, self.full = np.exp(z / 2), np.exp(z)
        self.p = h / 2 * phi_functions(z / 2, 1)[0]
        self.first = h * (one - 3 * two + 4 * three)
        self.middle = h * (2 * two - 4 * three)
        self.last = h * (4 * three - two)

    def advance(self, a: np.ndarray, n_a: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(c', N(w)) from c = a and N(a)."""
        reaction = self.problem.reaction
        x = self.half * a + self.p * n_a
        n_x = reaction(x)
        y = self.half * a + self.p * n_x
        n_y = reaction(y)
        w = self.half * x + self.p * (2 * n_y - n_a)
        n_w = reaction(w)
        end = self.full * a + self.first * n_a + self.middle * (n_x + n_y) + self.last * n_w
        return end, n_w


def trajectory(
    system: System, initial: np.ndarray, grid: Grid, times: np.ndarray, tolerance: float, out
) -> tuple[int, int, int, float]:
    """As `fdiff.pde.integration.trajectory`, with steps that end at every stored time."""
    problem = Spectral(system, grid)
    c = problem.forward(initial)
    n = problem.reaction(c)
    steps, rejected, total, t, level = 0, 0, 0.0, 0.0, 7
    tables: dict[float, Step] = {}
    for i, target in enumerate(times):
        if target == 0.0:
            out[i] = np.moveaxis(initial, 0, -1)
            continue
        start, span, done = t, target - t, 0  # done: in units of the finest step in use
        while done < 2**level:
            h = span / 2**level
            step = _table(tables, problem, h)
            end, n_w = step.advance(c, n)
            n_end = problem.reaction(end)
            size = problem.size(end)
            floor = np.maximum(size, 0.01 * size.max() + 1e-300)
            error = _SCALE * float(np.max(problem.size(step.last * (n_end - n_w)) / floor))
            if not error <= tolerance:
                rejected += 1
                level, done = level + 1, 2 * done
                if level > _FINEST:
                    raise DivergenceError(
                        f"{system.name}: the step became too small after t = {t:.6g}", t
                    )
                continue
            c, n, done = end, n_end, done + 1
            t, steps, total = start + done * h, steps + 1, total + error
            # Twice the step, if the estimate, of order 3, allows it and the places fit.
            if error < tolerance / 32 and level > 0 and done % 2 == 0:
                level, done = level - 1, done // 2
        t = target
        out[i] = np.moveaxis(problem.inverse(c), 0, -1)
    return steps, rejected, 4 * steps + 4 * rejected + 1, total


def _table(tables: dict[float, Step], problem: Spectral, h: float) -> Step:
    """The weights of step h, a few of which are kept."""
    key = float(f"{h:.12g}")  # stored times are equidistant up to rounding
    if key not in tables:
        if len(tables) > 12:
            tables.clear()
        tables[key] = Step(problem, key)
    return tables[key]
