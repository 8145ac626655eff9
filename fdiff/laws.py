"""Exact laws of samplers on Gaussian data, so that an error is a number and not an estimate.

With the exact score of Gaussian data every step of a linear scheme is affine in the state, in what
the scheme remembers and in its noise, mode by mode. The maps are read off from the scheme itself,
by applying its step to zero and to unit arrays, so a new scheme needs no law of its own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import final

import numpy as np

from fdiff.covariance import CovarianceOperator
from fdiff.grid import Grid
from fdiff.process import ForwardProcess
from fdiff.score.gaussian import GaussianScore
from fdiff.score.mean import Field
from fdiff.solvers.base import Evaluation, Problem, Solver
from fdiff.solvers.time_grids import checked_times


@final
@dataclass(frozen=True, eq=False)
class Law:
    """Independent Gaussian modes, in the layout of a grid's basis."""

    mean: np.ndarray  # coefficients
    variance: np.ndarray  # E |c_k - mean_k|^2


def target_law(process: ForwardProcess, mean, spectrum, grid: Grid, t: float) -> Law:
    """``p_t = N(m mu, m^2 c + s^2 q)`` of data ``N(mu, c)`` on the retained modes."""
    mean, spectrum = _data(mean, spectrum, grid)
    m, s = process.mean_factor(t), process.std(t)
    return Law(m * mean, m * m * spectrum + s * s * process.covariance.eigenvalues(grid))


def sampler_law(
    solver: Solver,
    process: ForwardProcess,
    mean: np.ndarray,
    spectrum: np.ndarray,
    grid: Grid,
    times,
    start: str | Law = "exact",
    *,
    close: bool = False,
) -> Law:
    """Law of the state that ``solver`` leaves at the last of ``times``, on data ``N(mean, c)``.

    Args:
        mean, spectrum: coefficients of the data's mean and the variances ``c_k``, in the layout of
            ``grid.basis``; modes that are not retained are ignored.
        start: ``"exact"`` (``p_T``), ``"prior"`` (``N(0, Q)``), or a `Law`.
        close: go on to time 0 as `fdiff.sample` does.

    Raises:
        ValueError: an array of another shape, a negative variance, or a solver whose step is not
            affine in the state (adaptive or Metropolised).
    """
    problem, times, first = _set_up(process, mean, spectrum, grid, times, start)
    law = propagate(solver, problem, first, times)
    if close and times[-1] > 0:
        law = _closed(solver, problem, float(times[-1]), law)
    return law


def propagate(solver: Solver, problem: Problem, law: Law, times) -> Law:
    """``law`` at the first of ``times`` taken to the last, for any score that is affine.

    Affine mode by mode, that is: the exact score of Gaussian data, or one with an error.
    """
    state = _State.of(law)
    for t, u in pairwise(np.asarray(times, dtype=float).tolist()):
        state = state.after(step_map(solver, problem, t, u, state.memory), problem)
    return state.law


def closed_law(
    solver: Solver, process: ForwardProcess, mean, spectrum, grid: Grid, t: float, law: Law
) -> Law:
    """``law`` at time ``t`` taken to time 0 as ``solver`` does after its last step."""
    problem, _, _ = _set_up(process, mean, spectrum, grid, [t, 0.0], law)
    return _closed(solver, problem, t, law)


def wasserstein2(a: Law, b: Law, grid: Grid) -> float:
    """``W_2``: ``sqrt(sum omega (|difference of means|^2 + (difference of std)^2))``."""
    squares = np.abs(a.mean - b.mean) ** 2 + (np.sqrt(a.variance) - np.sqrt(b.variance)) ** 2
    return math.sqrt(float((grid.basis.weights * grid.basis.retained * squares).sum()))


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
    problem, times, first = _set_up(process, mean, spectrum, grid, times, start)
    if len(times) % 2 == 0:
        raise ValueError(f"halving the steps needs an even number of them, got {len(times) - 1}")
    q = process.covariance.eigenvalues(grid)
    coarse = fine = _State.of(first)
    shared = fine.covariance  # of the coarse state (rows) with the fine one (columns)
    for t, middle, u in zip(times[:-2:2].tolist(), times[1:-1:2].tolist(), times[2::2].tolist()):
        across = step_map(solver, problem, t, u, coarse.memory)
        first_half = step_map(solver, problem, t, middle, fine.memory)
        halfway = fine.after(first_half, problem)
        second_half = step_map(solver, problem, middle, u, halfway.memory)
        fine_gain = _product(second_half.gain, first_half.gain)
        fine_noises = (_product(second_half.gain, first_half.noise), second_half.noise)
        shared = _product(_product(across.gain, shared), _transpose(fine_gain))
        for weight, noise in zip(_clock_weights(solver, process, t, middle, u), fine_noises):
            shared = shared + weight * q * _product(across.noise, _transpose(noise))
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


@final
@dataclass(frozen=True, eq=False)
class StepMap:
    """One step of a scheme, per mode: ``v -> gain v + offset + noise xi``.

    ``v`` is the state followed by the values that the scheme remembers, ``p`` of them before the
    step and ``r`` after it. The last axes of the arrays have the layout of the basis.
    """

    gain: np.ndarray  # (r, p, *basis.shape), real
    offset: np.ndarray  # (r, *basis.shape)
    noise: np.ndarray  # (r, draws, *basis.shape), factors of independent draws of N(0, Q)
    memory: tuple[float, ...]  # half log-SNR of what is remembered after the step


def step_map(
    solver: Solver, problem: Problem, t: float, u: float, memory: tuple[float, ...] = ()
) -> StepMap:
    """The map of one step, read off from its action on zero and on unit arrays."""
    if not solver.affine:
        raise ValueError(
            f"{solver!r} is not affine in the state, so its law has no closed form: compare its "
            "samples with the exact flow map or the invariant law instead"
        )
    size = 1 + len(memory)
    probes = _probes(problem.grid, size + solver.draws)
    remembered = tuple(Evaluation(at, probe) for at, probe in zip(memory, probes[1:]))
    draws = iter(probes[size:])
    x, after = solver.step(problem, probes[0], t, u, remembered, lambda *_: next(draws))
    rows = [x, *(evaluation.value for evaluation in after)]
    return _read_off(rows, size, tuple(e.half_log_snr for e in after))


def _closed(solver: Solver, problem: Problem, t: float, law: Law) -> Law:
    probes = _probes(problem.grid, 1)
    step = _read_off([solver.close(problem, probes[0], t)], 1, ())
    return _State.of(law).after(step, problem).law


def _probes(grid: Grid, count: int) -> list[np.ndarray]:
    """Arrays of ``1 + count`` rows; the i-th is one in row ``1 + i`` and zero elsewhere."""
    kind = complex if grid.basis.is_complex else float
    probes = np.zeros((count, 1 + count, *grid.basis.shape), kind)
    for i in range(count):
        probes[i, 1 + i] = grid.basis.retained
    return list(probes)


def _read_off(rows, size: int, memory: tuple[float, ...]) -> StepMap:
    offset = np.stack([row[0] for row in rows])
    # Columns are real: a scheme multiplies both real coordinates of a mode by the same number.
    columns = np.stack([(row[1:] - row[0]).real for row in rows])
    return StepMap(columns[:, :size], offset, columns[:, size:], memory)


@final
@dataclass(frozen=True, eq=False)
class _State:
    """Mean and covariance, per mode, of the state and of what the scheme remembers."""

    mean: np.ndarray  # (p, *basis.shape)
    covariance: np.ndarray  # (p, p, *basis.shape)
    memory: tuple[float, ...]

    @classmethod
    def of(cls, law: Law) -> _State:
        return cls(law.mean[None], law.variance[None, None], ())

    @property
    def law(self) -> Law:
        """Of the state alone."""
        # Where a variance vanishes, rounding may leave it just below zero.
        return Law(self.mean[0], np.maximum(self.covariance[0, 0], 0.0))

    def after(self, step: StepMap, problem: Problem) -> _State:
        q = problem.process.covariance.eigenvalues(problem.grid)
        mean = np.einsum("ij...,j...->i...", step.gain, self.mean) + step.offset
        spread = _product(_product(step.gain, self.covariance), _transpose(step.gain))
        fresh = q * _product(step.noise, _transpose(step.noise))
        return _State(mean, spread + fresh, step.memory)


def _product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Matrix product on the first two axes, per mode."""
    return np.einsum("ij...,jk...->ik...", a, b)


def _transpose(a: np.ndarray) -> np.ndarray:
    return np.swapaxes(a, 0, 1)


@final
@dataclass(frozen=True, eq=False)
class _Spectrum(CovarianceOperator):
    """Variances given as an array on one grid."""

    values: np.ndarray
    grid: Grid

    def spectrum(self, grid: Grid) -> np.ndarray:
        if not grid.same_nodes(self.grid):
            raise ValueError(f"a spectrum given on {self.grid} is not known on {grid}")
        return self.values

    def tail_trace(self, grid: Grid) -> float:
        return 0.0

    def is_trace_class(self, dim: int) -> bool:
        return True


def _set_up(process, mean, spectrum, grid, times, start) -> tuple[Problem, np.ndarray, Law]:
    """The problem with the exact score, the checked times and the law at the first of them."""
    mean, spectrum = _data(mean, spectrum, grid)
    times = checked_times(times, process)
    data = Field(grid.basis.inverse(mean), grid)
    problem = Problem(GaussianScore(process, data, _Spectrum(spectrum, grid)), grid)
    if start == "exact":
        start = target_law(process, mean, spectrum, grid, float(times[0]))
    elif start == "prior":
        start = Law(np.zeros_like(mean), process.covariance.eigenvalues(grid))
    elif not isinstance(start, Law):
        raise ValueError(f'start must be "exact", "prior" or a Law, got {start!r}')
    return problem, times, start


def _data(mean, spectrum, grid: Grid) -> tuple[np.ndarray, np.ndarray]:
    """Mean and spectrum as arrays of the basis, zero on modes that are not retained."""
    basis = grid.basis
    kind = complex if basis.is_complex else float
    out = []
    for name, value, dtype in (("mean", mean, kind), ("spectrum", spectrum, float)):
        array = (
            np.broadcast_to(np.asarray(value, dtype), basis.shape)
            if np.isscalar(value)
            else (np.asarray(value, dtype))
        )
        if array.shape != basis.shape:
            raise ValueError(
                f"{name} has the layout of grid.basis, shape {basis.shape}; got {array.shape}"
            )
        out.append(np.where(basis.retained, array, 0.0))
    if not (out[1] >= 0).all() or not np.isfinite(out[1]).all():
        raise ValueError("a spectrum holds finite variances >= 0")
    return out[0], out[1]
