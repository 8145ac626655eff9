"""Time grids fitted to the size of what `GaussianExact` integrates: the correction to linear."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np

from fdiff import noise
from fdiff.grid import Grid
from fdiff.process import ForwardProcess
from fdiff.score.base import Score
from fdiff.solvers.base import Problem
from fdiff.solvers.gaussian_exact import GaussianExact
from fdiff.solvers.time_grids import times

RANK = 12  # directions that hold the correction's paths to 1e-5 of their energy
ROUNDS = 60  # of the minimiser
ROUGHNESS = 1e-3  # weight of the squared log ratios of neighbouring steps: settles ties


def fitted_times(
    score: Score,
    grid: Grid,
    steps: int,
    order: int | None = None,
    *,
    size: int = 16,
    fine: int = 40,
    seed: int = 0,
    channels: int | None = None,
    solver: GaussianExact | None = None,
) -> np.ndarray:
    """``steps + 1`` decreasing times for ``solver`` (`GaussianExact()`), from ``T`` to 1e-3.

    ``order`` is the solver's unless given. A run of ``size`` samples with ``fine`` steps records
    the correction ``z``; see `CorrectionPaths.times`. The times belong to the score: fit them once,
    on a coarse grid, and use them at every resolution.

    Raises:
        ValueError: a score without a Gaussian reference, fewer than two steps, an order other than
            1, 2, 3.
    """
    solver = GaussianExact() if solver is None else solver
    paths = CorrectionPaths.record(score, grid, size, fine, seed, channels, solver)
    return paths.times(steps, solver.order if order is None else order)


@final
@dataclass(frozen=True)
class CorrectionPaths:
    """The correction ``z = m r / sqrt(Sigma)`` of `GaussianExact` along fine paths.

    ``dy / d lambda = z`` and ``x_0 = mu + sqrt(c) y``, so an error of ``integral sqrt(c) z`` is an
    error of the sample, in the units of the fields.
    """

    process: ForwardProcess
    half_log_snr: np.ndarray  # (nodes,), increasing, the last one the end of the grid
    values: np.ndarray  # (nodes, directions): sqrt(c) z of all samples, in its principal directions

    @staticmethod
    def record(
        score: Score,
        grid: Grid,
        size: int = 16,
        fine: int = 40,
        seed: int = 0,
        channels: int | None = None,
        solver: GaussianExact | None = None,
    ) -> CorrectionPaths:
        """``fine`` steps with ``size`` samples, uniform in ``lambda``."""
        if fine < 8:
            raise ValueError(f"the correction's path needs at least 8 steps, got {fine}")
        solver = GaussianExact() if solver is None else solver
        problem, mesh = Problem(score, grid), times(score.process, fine)
        _, covariance = solver.reference_of(problem)  # a score without one says so here
        channels = score.channels_for(channels)
        white = noise.white_coefficients(grid, seed, noise.START, size, 0, channels)
        x, memory = score.marginal(float(mesh[0]), white, grid, seed, 0), ()
        kept = []
        for t, u in zip(mesh[:-1].tolist(), mesh[1:].tolist()):
            x, memory = solver.step(problem, x, t, u, memory, lambda: None)
            kept.append(memory[0].value)
        weight = np.sqrt(grid.basis.weights * covariance.eigenvalues(grid) / (size * grid.volume))
        rows = (np.array(kept) * weight).reshape(fine, -1)
        # The correction has nearly vanished at the end, where no step evaluates it.
        rows = np.concatenate([rows, 2 * rows[-1:] - rows[-2:-1]])
        left, sizes, _ = np.linalg.svd(rows, full_matrices=False)
        half_log_snr = np.asarray(score.process.half_log_snr(mesh))
        return CorrectionPaths(score.process, half_log_snr, (left * sizes)[:, :RANK].copy())

    def times(self, steps: int, order: int = 2) -> np.ndarray:
        """Times whose nodes minimise the scheme's quadrature error for the recorded correction.

        That is the sample's error as far as the paths stay the recorded ones. Few steps are far
        from the limit in which the best grid shares out the local errors, so the minimiser, which
        starts from such a grid and from the uniform one, has a lot to gain there.
        """
        # Slow to import, and nothing else in sampling needs them.
        from scipy.interpolate import CubicSpline
        from scipy.optimize import minimize

        if steps < 2:
            raise ValueError(f"a fitted grid needs at least two steps, got {steps}")
        if order not in (1, 2, 3):
            raise ValueError(f"GaussianExact has orders 1, 2 and 3, got {order!r}")
        path = CubicSpline(self.half_log_snr, self.values, bc_type="natural")
        integral = path.antiderivative()

        def cost(log_steps: np.ndarray) -> float:
            error = quadrature_error(path, integral, self._nodes(log_steps), order)
            return float(np.log(error + 1e-300) + ROUGHNESS * np.sum(np.diff(log_steps) ** 2))

        starts = [np.zeros(steps), np.log(np.diff(self.equidistributed_nodes(steps, order)))]
        # Powell's method needs no derivative and takes less than a second for ten steps.
        options = {"maxiter": ROUNDS, "xtol": 1e-3, "ftol": 1e-4}
        ends = [minimize(cost, start, method="Powell", options=options).x for start in starts]
        return self._as_times(self._nodes(min(starts + ends, key=cost)))

    def equidistributed_nodes(self, steps: int, order: int) -> np.ndarray:
        """Half log-SNRs that share out ``|d^p z / d lambda^p|^(1 / (p + 1))``, ``p`` the order.

        The best grid for many steps: the local error of a step ``h`` is ``h^(p + 1)`` times that
        derivative.
        """
        derivative = self.values
        for _ in range(order):
            derivative = np.gradient(derivative, self.half_log_snr, axis=0)
        density = np.linalg.norm(derivative, axis=1) ** (1 / (order + 1))
        # A floor keeps the steps comparable where the correction is nothing.
        return equidistributed(self.half_log_snr, density + 0.1 * density.mean(), steps)

    def _nodes(self, log_steps: np.ndarray) -> np.ndarray:
        share = np.exp(log_steps - log_steps.max())
        first, last = self.half_log_snr[[0, -1]]
        inner = first + (last - first) * np.cumsum(share)[:-1] / share.sum()
        return np.concatenate([[first], inner, [last]])

    def _as_times(self, half_log_snr: np.ndarray) -> np.ndarray:
        out = np.asarray(self.process.schedule.time(half_log_snr))
        ends = self.process.schedule.time(self.half_log_snr[[0, -1]])
        out[0], out[-1] = self.process.T, ends[-1]
        return out


def equidistributed(positions: np.ndarray, density: np.ndarray, steps: int) -> np.ndarray:
    """``steps + 1`` nodes between which the integral of ``density`` is the same.

    ``density > 0`` is linear between the increasing ``positions``; the nodes are exact for that.
    """
    positions, density = np.asarray(positions, float), np.asarray(density, float)
    if steps < 1 or not (np.diff(positions) > 0).all() or not (density > 0).all():
        raise ValueError(
            "equidistribution needs a step, increasing positions and a positive density, got "
            f"{steps} steps, positions {positions}, density {density}"
        )
    widths, slopes = np.diff(positions), np.diff(density) / np.diff(positions)
    mass = np.concatenate([[0.0], np.cumsum(widths * (density[:-1] + density[1:]) / 2)])
    wanted = mass[-1] * np.arange(steps + 1) / steps
    piece = np.clip(np.searchsorted(mass, wanted, side="right") - 1, 0, len(widths) - 1)
    rest, a, b = wanted - mass[piece], density[piece], slopes[piece]
    # The positive root of a x + b x^2 / 2 = rest, in the form without cancellation.
    root = np.sqrt(np.maximum(a * a + 2 * b * rest, 0.0))
    nodes = positions[piece] + 2 * rest / (a + root)
    nodes[0], nodes[-1] = positions[0], positions[-1]
    return nodes


def quadrature_error(path, integral, nodes: np.ndarray, order: int) -> float:
    """Norm of Adams-Bashforth's error for ``int path`` over all nodes.

    ``path`` and its ``integral`` map half log-SNRs to arrays ``(nodes, directions)``. The first
    steps have the orders that they have values for, as in `GaussianExact`.
    """
    z, h = path(nodes[:-1]), np.diff(nodes)[:, None]
    increments = h * z
    if order > 1:
        f01 = (z[1:] - z[:-1]) / h[:-1]
        increments[1:] += h[1:] ** 2 / 2 * f01
        if order > 2:
            f012 = (f01[1:] - f01[:-1]) / (h[:-2] + h[1:-1])
            increments[2:] += (h[2:] ** 3 / 3 + h[1:-1] * h[2:] ** 2 / 2) * f012
    exact = integral(nodes[-1]) - integral(nodes[0])
    return float(np.linalg.norm(increments.sum(axis=0) - exact))
