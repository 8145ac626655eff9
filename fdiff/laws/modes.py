"""Laws of independent modes, for scores that treat every mode by itself.

The map of a step is one real number a mode for each of its arguments, read off by applying the step
to zero and to arrays of ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import final

import numpy as np

from fdiff import noise
from fdiff.covariance import ChannelCovariance, CovarianceOperator
from fdiff.grid import Grid
from fdiff.process import ForwardProcess
from fdiff.score.gaussian import GaussianScore
from fdiff.score.mean import Field
from fdiff.solvers.base import Evaluation, Problem, Solver
from fdiff.solvers.time_grids import checked_times


@final
@dataclass(frozen=True, eq=False)
class Law:
    """Independent Gaussian modes, ``([channels,] *basis.shape)`` of a grid's basis."""

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
            ``grid.basis``, with an axis of channels in front where the data have several, which
            are taken as independent; modes that are not retained are ignored.
        start: ``"exact"`` (``p_T``), ``"prior"`` (``N(0, Q)``), or a `Law`.
        close: go on to time 0 as `fdiff.sample` does.

    Raises:
        ValueError: an array of another shape, a negative variance, or a solver whose step is not
            affine in the state (adaptive or Metropolised).
    """
    problem, times, first = set_up(process, mean, spectrum, grid, times, start)
    law = propagate(solver, problem, first, times)
    if close and times[-1] > 0:
        law = _closed(solver, problem, float(times[-1]), law)
    return law


def propagate(solver: Solver, problem: Problem, law: Law, times) -> Law:
    """``law`` at the first of ``times`` taken to the last, for any score that is affine.

    Affine mode by mode, that is: the exact score of Gaussian data with independent modes, or one
    with an error. `dense_law` has the law for affine scores that couple modes.

    Raises:
        ValueError: a score that couples modes or is not affine, or a solver that is not.
    """
    state = State.of(law)
    for t, u in pairwise(np.asarray(times, dtype=float).tolist()):
        state = state.after(step_map(solver, problem, t, u, state.memory), problem)
    return state.law


def closed_law(
    solver: Solver, process: ForwardProcess, mean, spectrum, grid: Grid, t: float, law: Law
) -> Law:
    """``law`` at time ``t`` taken to time 0 as ``solver`` does after its last step."""
    problem, _, _ = set_up(process, mean, spectrum, grid, [t, 0.0], law)
    return _closed(solver, problem, t, law)


@final
@dataclass(frozen=True, eq=False)
class StepMap:
    """One step of a scheme, per mode: ``v -> gain v + offset + noise xi``.

    ``v`` is the state followed by the values that the scheme remembers, ``p`` of them before the
    step and ``r`` after it. The last axes of the arrays have the layout of the basis, after an axis
    of channels where the score has several.
    """

    gain: np.ndarray  # (r, p, [channels,] *basis.shape), real
    offset: np.ndarray  # (r, [channels,] *basis.shape)
    noise: np.ndarray  # (r, draws, ...), factors of independent draws of N(0, Q)
    memory: tuple[float, ...]  # half log-SNR of what is remembered after the step


def step_map(
    solver: Solver, problem: Problem, t: float, u: float, memory: tuple[float, ...] = ()
) -> StepMap:
    """The map of one step, read off from its action on zero and on arrays of ones.

    Raises:
        ValueError: the map does not predict the step's action on random signs, since the score
            couples modes or is not affine; or the solver is not affine in the state.
    """
    check_affine(solver)
    size = 1 + len(memory)
    probes = _probes(problem, size, solver.draws)
    remembered = tuple(Evaluation(at, probe) for at, probe in zip(memory, probes[1:]))
    draws = iter(probes[size:])
    x, after = solver.step(problem, probes[0], t, u, remembered, lambda *_: next(draws))
    rows = [x, *(evaluation.value for evaluation in after)]
    return _read_off(rows, probes, size, tuple(e.half_log_snr for e in after), problem)


def check_affine(solver: Solver) -> None:
    if not solver.affine:
        raise ValueError(
            f"{solver!r} is not affine in the state, so its law has no closed form: compare its "
            "samples with the exact flow map or the invariant law instead"
        )


def _closed(solver: Solver, problem: Problem, t: float, law: Law) -> Law:
    probes = _probes(problem, 1, 0)
    step = _read_off([solver.close(problem, probes[0], t)], probes, 1, (), problem)
    return State.of(law).after(step, problem).law


def probe_unit(problem: Problem) -> float:
    """The power of two nearest the largest standard deviation of a mode of N(0, Q).

    Probes of the size of the states keep their digits beside a mean of that size, and see what a
    score does to states of that size.
    """
    largest = problem.process.covariance.eigenvalues(problem.grid).max()
    return 2.0 ** round(0.5 * np.log2(largest)) if largest > 0 else 1.0


def random_signs(problem: Problem, count: int) -> np.ndarray:
    """``count`` fields, twice the size of a draw of N(0, Q) in every mode, with keyed signs.

    Shape ``(count, [channels,] *basis.shape)``. Modes without noise have the size of the others.
    """
    grid, channels = problem.grid, problem.score.channels_for(None)
    white = noise.white_coefficients(grid, 0, noise.FIELD, count, 0, channels)
    signs = np.sign(white.real) + (1j * np.sign(white.imag) if grid.basis.is_complex else 0.0)
    root = problem.process.covariance.multiplier(grid, 0.5)
    return 2.0 * np.where(root > 0, root, probe_unit(problem)) * signs


def probe_units(problem: Problem, size: int, draws: int) -> np.ndarray:
    """The size of the probe of each argument: the state, ``size - 1`` remembered values, draws.

    What a scheme remembers may have another unit than the state. It enters linearly, so a probe
    may be too large but not too small beside the other terms.
    """
    unit = probe_unit(problem)
    return np.array([unit, *[max(unit, 1.0)] * (size - 1), *[unit] * draws])


def _probes(problem: Problem, size: int, draws: int) -> list[np.ndarray]:
    """An array for each argument of a step, of ``3 + count`` rows for ``count`` arguments.

    All arguments are zero in the first row; the i-th is constant in row ``1 + i`` and zero in the
    others. In the last row but one the state and the draws are random signs, in the last row what
    is remembered.
    """
    count = size + draws
    signs, units = random_signs(problem, count), probe_units(problem, size, draws)
    probes = np.zeros((count, 3 + count, *signs.shape[1:]), signs.dtype)
    for i in range(count):
        probes[i, 1 + i] = units[i] * problem.grid.basis.retained
        remembered = 0 < i < size
        probes[i, -1 if remembered else -2] = (units[i] / probe_unit(problem)) * signs[i]
    return list(probes)


def _read_off(rows, probes, size: int, memory: tuple[float, ...], problem: Problem) -> StepMap:
    offset = np.stack([row[0] for row in rows])
    # Columns are real: a scheme multiplies both real coordinates of a mode by the same number.
    columns = np.stack([(row[1:-2] - row[0]).real for row in rows])
    units = probe_units(problem, size, len(probes) - size)
    columns = columns / units.reshape(-1, *[1] * (columns.ndim - 2))
    # The state tells: all that a scheme remembers enters it, and has units of its own.
    for check in (-2, -1):
        signs = np.stack([probe[check] for probe in probes])
        predicted = offset[0] + np.einsum("j...,j...->...", columns[0], signs)
        terms = np.einsum("j...,j...->...", np.abs(columns[0]), np.abs(signs))
        scale, error = np.abs(offset[0]) + terms, np.abs(rows[0][check] - predicted)
        if (error > tolerance(scale)).any():
            raise ValueError(
                "the map of a step, read off from arrays of ones, misses what the step does to "
                f"random signs by {error.max() / scale.max():.1e} of its size: "
                f"{type(problem.score).__name__} couples modes, or is not affine in the state. "
                "fdiff.laws.dense_law has the law of affine scores that couple modes"
            )
    return StepMap(columns[:, :size], offset, columns[:, size:], memory)


def tolerance(scale: np.ndarray) -> np.ndarray:
    """The most that rounding may move a value that is a sum of terms of size ``scale``.

    The second part is for scores that transform fields, whose rounding errors have the size of the
    largest mode.
    """
    return 1e-6 * scale + 1e-10 * scale.max()


@final
@dataclass(frozen=True, eq=False)
class State:
    """Mean and covariance, per mode, of the state and of what the scheme remembers."""

    mean: np.ndarray  # (p, *basis.shape)
    covariance: np.ndarray  # (p, p, *basis.shape)
    memory: tuple[float, ...]

    @classmethod
    def of(cls, law: Law) -> State:
        return cls(law.mean[None], law.variance[None, None], ())

    @property
    def law(self) -> Law:
        """The law of the state alone."""
        # Where a variance vanishes, rounding may leave it just below zero.
        return Law(self.mean[0], np.maximum(self.covariance[0, 0], 0.0))

    def after(self, step: StepMap, problem: Problem) -> State:
        q = problem.process.covariance.eigenvalues(problem.grid)
        mean = np.einsum("ij...,j...->i...", step.gain, self.mean) + step.offset
        spread = product(product(step.gain, self.covariance), transpose(step.gain))
        fresh = q * product(step.noise, transpose(step.noise))
        return State(mean, spread + fresh, step.memory)


def product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Matrix product on the first two axes, per mode."""
    return np.einsum("ij...,jk...->ik...", a, b)


def transpose(a: np.ndarray) -> np.ndarray:
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


def set_up(process, mean, spectrum, grid, times, start) -> tuple[Problem, np.ndarray, Law]:
    """The problem with the exact score, the checked times and the law at the first of them."""
    mean, spectrum = _data(mean, spectrum, grid)
    times = checked_times(times, process)
    data = Field(grid.basis.inverse(mean), grid)
    covariance: CovarianceOperator | ChannelCovariance
    if spectrum.ndim > grid.dim:
        covariance = ChannelCovariance(tuple(_Spectrum(values, grid) for values in spectrum))
    else:
        covariance = _Spectrum(spectrum, grid)
    problem = Problem(GaussianScore(process, data, covariance), grid)
    if start == "exact":
        start = target_law(process, mean, spectrum, grid, float(times[0]))
    elif start == "prior":
        q = np.broadcast_to(process.covariance.eigenvalues(grid), mean.shape)
        start = Law(np.zeros_like(mean), q)
    elif not isinstance(start, Law):
        raise ValueError(f'start must be "exact", "prior" or a Law, got {start!r}')
    return problem, times, start


def _data(mean, spectrum, grid: Grid) -> tuple[np.ndarray, np.ndarray]:
    """Mean and spectrum as arrays of one shape, zero on modes that are not retained."""
    basis = grid.basis
    kind = complex if basis.is_complex else float
    arrays = [np.asarray(mean, kind), np.asarray(spectrum, float)]
    for name, array in zip(("mean", "spectrum"), arrays):
        lead = array.ndim - grid.dim
        if array.ndim and (lead not in (0, 1) or array.shape[lead:] != basis.shape):
            raise ValueError(
                f"{name} has the layout of grid.basis, shape {basis.shape}, or (channels, "
                f"*{basis.shape}); got {array.shape}"
            )
    channels = {array.shape[0] for array in arrays if array.ndim > grid.dim}
    if len(channels) > 1:
        raise ValueError(f"mean and spectrum have different channels, {sorted(channels)}")
    shape = np.broadcast_shapes(basis.shape, *(array.shape for array in arrays))
    mean, spectrum = (np.where(basis.retained, np.broadcast_to(a, shape), 0.0) for a in arrays)
    if not (spectrum >= 0).all() or not np.isfinite(spectrum).all():
        raise ValueError("a spectrum holds finite variances >= 0")
    return mean, spectrum
