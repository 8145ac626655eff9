"""The strong error of a scheme: the distance of two of its paths on one Wiener path."""

from __future__ import annotations

import math

import numpy as np

from fdiff.grid import Grid
from fdiff.laws.modes import Law, State, product, set_up, step_map, transpose
from fdiff.process import ForwardProcess
from fdiff.solvers.base import Solver


def strong_difference(
    solver: Solver,
    process: ForwardProcess,
    mean: np.ndarray,
    spectrum: np.ndarray,
    grid: Grid,
    times,
    start: str | Law = "exact",
) -> float:
    """``(E ||X - Y||^2)^(1/2)``: ``Y`` takes the steps of ``times``, ``X`` every second time.

    Both start at one point drawn from ``start`` and are driven by one Q-Wiener path in the
    solver's own clock, so that the value falls like (step)^(strong order).

    Raises:
        ValueError: an odd number of steps, or a solver without exactly one draw a step.
    """
    if solver.draws != 1:
        raise ValueError(f"strong coupling needs one draw of noise a step, got {solver!r}")
    problem, times, first = set_up(process, mean, spectrum, grid, times, start)
    if len(times) % 2 == 0:
        raise ValueError(f"halving the steps needs an even number of them, got {len(times) - 1}")
    q = process.covariance.eigenvalues(grid)
    coarse = fine = State.of(first)
    shared = fine.covariance  # of the coarse state (rows) with the fine one (columns)
    for t, middle, u in zip(times[:-2:2].tolist(), times[1:-1:2].tolist(), times[2::2].tolist()):
        across = step_map(solver, problem, t, u, coarse.memory)
        first_half = step_map(solver, problem, t, middle, fine.memory)
        halfway = fine.after(first_half, problem)
        second_half = step_map(solver, problem, middle, u, halfway.memory)
        fine_gain = product(second_half.gain, first_half.gain)
        fine_noises = (product(second_half.gain, first_half.noise), second_half.noise)
        shared = product(product(across.gain, shared), transpose(fine_gain))
        for weight, noise in zip(_clock_weights(solver, process, t, middle, u), fine_noises):
            shared = shared + weight * q * product(across.noise, transpose(noise))
        coarse, fine = coarse.after(across, problem), halfway.after(second_half, problem)
    spread = coarse.covariance[0, 0] + fine.covariance[0, 0] - 2 * shared[0, 0]
    squares = np.maximum(spread, 0.0) + np.abs(coarse.mean[0] - fine.mean[0]) ** 2
    return math.sqrt(float((grid.basis.weights * squares).sum()))


def _clock_weights(solver: Solver, process: ForwardProcess, t, middle, u) -> tuple[float, float]:
    """``w_1, w_2`` with ``xi = w_1 xi_1 + w_2 xi_2`` for the increment over both steps."""
    a, b, c = (solver.clock(process, r) for r in (t, middle, u))
    if math.isinf(c):  # the last step of a bridge, to t = 0, draws no noise
        return 0.0, 0.0
    return math.sqrt((b - a) / (c - a)), math.sqrt((c - b) / (c - a))
