"""Reaction-diffusion driven by a Q-Wiener process: spectral exponential Euler.

    dc = (L c + N(c)) dt + dW,    W a Q-Wiener process, independent in every field
    c' = e^{z} c + h phi_1(z) N(c) + Z,   Z_k ~ N(0, q_k (1 - e^{-2 |L_k| h}) / (2 |L_k|)),  z = h L

The linear part and the noise are exact in law, whatever the step; the reaction is frozen within
one. Strong order 1 for additive noise (Jentzen and Kloeden, 2009, Proc. R. Soc. A 465). The noise
is keyed by (seed, sample, step), so a trajectory is one function of its recipe.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from fdiff import noise
from fdiff.errors import DivergenceError
from fdiff.grid import Grid
from fdiff.pde.etdrk4 import Spectral, phi_functions
from fdiff.pde.systems import System

# (step) -> (fields, *basis.shape): independent standard coefficients
Draw = Callable[[int], np.ndarray]


def convolution_std(problem: Spectral, spectrum: np.ndarray, h: float) -> np.ndarray:
    """Standard deviation of Z by field and mode; sqrt(q h) where L = 0."""
    decay = -2 * h * problem.linear.real
    return np.sqrt(spectrum * h * phi_functions(-decay, 1)[0].real)


def keyed(grid: Grid, fields: int, seed: int, sample: int) -> Draw:
    """Standard coefficients of sample ``sample``, the same modes on every grid."""

    def draw(step: int) -> np.ndarray:
        return noise.white_coefficients(
            grid, seed, noise.FORCING, 1, sample, channels=fields, time=step
        )[0]

    return draw


def trajectory(
    system: System,
    initial: np.ndarray,
    grid: Grid,
    times: np.ndarray,
    step: float,
    spectrum: np.ndarray,
    draw: Draw,
    out: np.ndarray,
) -> int:
    """States at ``times`` into ``out`` (times, *grid.shape, fields); returns the number of steps.

    ``spectrum``: eigenvalues q of the covariance of W per unit of time, in the basis's layout.
    ``step`` is an upper bound; steps divide the intervals between stored times.
    """
    if system.rotation:
        raise ValueError(f"{system.name}: forcing needs a diffusion without rotation")
    problem = Spectral(system, grid)
    c, t, count = problem.forward(initial), 0.0, 0
    weights: dict[float, tuple[np.ndarray, ...]] = {}
    for i, target in enumerate(times):
        many = max(1, math.ceil((target - t) / step - 1e-9)) if target > t else 0
        if many:
            h = float(f"{(target - t) / many:.12g}")
            if h not in weights:
                z = h * problem.linear
                weights[h] = (
                    np.exp(z), h * phi_functions(z, 1)[0], convolution_std(problem, spectrum, h),
                )  # fmt: skip
            decay, drift, std = weights[h]
        for _ in range(many):
            c = decay * c + drift * problem.reaction(c) + std * draw(count)
            count += 1
        if not np.isfinite(c).all():
            raise DivergenceError(f"{system.name}: the state is not finite at t = {target:.6g}", t)
        t = float(target)
        out[i] = np.moveaxis(problem.inverse(c) if t > 0 else initial, 0, -1)
    return count
