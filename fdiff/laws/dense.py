"""Laws with a full covariance matrix, for scores that are affine in the state and couple modes.

A step maps the state, what the scheme remembers and its draws of noise to the next state and memory
by a matrix in the real coordinates of the grid. The matrices are read off column by column, by
applying the step to unit vectors.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import final

import numpy as np

from fdiff.grid import Grid
from fdiff.laws.coordinates import RealCoordinates
from fdiff.laws.modes import Law, check_affine, probe_unit, probe_units, random_signs, tolerance
from fdiff.score.base import Score
from fdiff.solvers.base import Evaluation, Problem, Solver
from fdiff.solvers.time_grids import checked_times

LARGEST = 2048  # coordinates: matrices of three times as many rows are multiplied in every step


@final
@dataclass(frozen=True, eq=False)
class DenseLaw:
    """``N(mean, covariance)`` in the real coordinates of a grid."""

    mean: np.ndarray  # (size,)
    covariance: np.ndarray  # (size, size), symmetric and positive semi-definite up to rounding
    coordinates: RealCoordinates

    def by_mode(self) -> Law:
        """Mean and variance of every mode; how modes depend on each other is left out."""
        at = self.coordinates
        variance = np.maximum(np.diag(self.covariance), 0.0)
        return Law(at.coefficients(self.mean), at.variances(variance))

    def mean_field(self) -> np.ndarray:
        """The mean at the nodes, ``([channels,] *grid.shape)``, in units of u."""
        at = self.coordinates
        return at.grid.basis.inverse(at.coefficients(self.mean))

    def pointwise_variance(self) -> np.ndarray:
        """The variance at the nodes, ``([channels,] *grid.shape)``, in units of u^2."""
        at = self.coordinates
        columns = at.grid.basis.inverse(at.coefficients(symmetric_root(self.covariance)))
        return (columns**2).sum(0)


def dense_law(
    solver: Solver,
    score: Score,
    grid: Grid,
    times,
    start: str | Law | DenseLaw = "exact",
    *,
    close: bool = False,
) -> DenseLaw:
    """Law of the state that ``solver`` leaves at the last of ``times``, for any affine score.

    With ``d`` the number of real coordinates of the grid (over all channels), a step costs ``d``
    evaluations of the score for every argument of the scheme and products of ``d x d`` matrices:
    it is meant for ``d`` of some 1024.

    Args:
        start: ``"exact"``, the law from which `fdiff.sample` draws a start at the first time, as
            `Score.marginal` gives it; ``"prior"`` (``N(0, Q)``); or a law.
        close: go on to time 0 as `fdiff.sample` does.

    Raises:
        ValueError: a score that is not affine in the state, a solver that is not (adaptive or
            Metropolised), or more than 2048 coordinates.
    """
    check_affine(solver)
    at, problem = _coordinates(score, grid), Problem(score, grid)
    times = checked_times(times, score.process)
    state = _State.of(_start(problem, at, float(times[0]), start))
    for t, u in pairwise(times.tolist()):
        state = state.after(_step(solver, problem, at, t, u, state.memory))
    law = state.law(at)
    if close and times[-1] > 0:
        law = _State.of(law).after(_closing(solver, problem, at, float(times[-1]))).law(at)
    return law


def dense_target_law(score: Score, grid: Grid, t: float) -> DenseLaw:
    """The law of ``X_t`` as `Score.marginal` draws it; at ``t = 0`` that of the data.

    Raises:
        ValueError: a score that does not know its law, one whose law is not Gaussian, or more than
            2048 coordinates.
    """
    return _marginal(Problem(score, grid), _coordinates(score, grid), t)


def as_dense(law: Law | DenseLaw, grid: Grid) -> DenseLaw:
    """A law of independent modes as a dense one; a dense one as it is."""
    if isinstance(law, DenseLaw):
        if not law.coordinates.grid.same_nodes(grid):
            raise ValueError(f"the law belongs to {law.coordinates.grid}, not to {grid}")
        return law
    channels = law.mean.shape[0] if law.mean.ndim > grid.dim else None
    at = RealCoordinates(grid, channels)
    return DenseLaw(at.of(law.mean), np.diag(at.of_variances(law.variance)), at)


def symmetric_root(covariance: np.ndarray) -> np.ndarray:
    """The symmetric square root; eigenvalues below zero are rounding and count as zero."""
    values, vectors = np.linalg.eigh((covariance + covariance.T) / 2)
    return vectors * np.sqrt(np.maximum(values, 0.0)) @ vectors.T


@final
@dataclass(frozen=True, eq=False)
class _Step:
    """``v -> gain v + offset + noise z``, ``z`` standard normal; rows and columns by blocks.

    ``v`` is the state followed by the values that the scheme remembers.
    """

    gain: np.ndarray
    offset: np.ndarray
    noise: np.ndarray
    memory: tuple[float, ...]  # half log-SNR of what is remembered after the step


@final
@dataclass(frozen=True, eq=False)
class _State:
    """Mean and covariance of the state and of what the scheme remembers."""

    mean: np.ndarray
    covariance: np.ndarray
    memory: tuple[float, ...]

    @classmethod
    def of(cls, law: DenseLaw) -> _State:
        return cls(law.mean, law.covariance, ())

    def law(self, at: RealCoordinates) -> DenseLaw:
        """The law of the state alone."""
        return DenseLaw(self.mean[: at.size], self.covariance[: at.size, : at.size], at)

    def after(self, step: _Step) -> _State:
        mean = step.gain @ self.mean + step.offset
        covariance = step.gain @ self.covariance @ step.gain.T + step.noise @ step.noise.T
        return _State(mean, (covariance + covariance.T) / 2, step.memory)


def _coordinates(score: Score, grid: Grid) -> RealCoordinates:
    at = RealCoordinates(grid, score.channels_for(None))
    if at.size > LARGEST:
        raise ValueError(
            f"a dense law holds up to {LARGEST} real coordinates, this grid has {at.size}: take a "
            "coarser grid, or sampler_law for a score that treats every mode by itself"
        )
    return at


def _start(problem: Problem, at: RealCoordinates, t: float, start) -> DenseLaw:
    if isinstance(start, Law | DenseLaw):
        law = as_dense(start, problem.grid)
        if law.coordinates.channels != at.channels:
            raise ValueError(
                f"the start has {law.coordinates.channels} channels, the score {at.channels}"
            )
        return law
    if start == "exact":
        return _marginal(problem, at, t)
    if start == "prior":
        q = problem.process.covariance.eigenvalues(problem.grid)
        return DenseLaw(np.zeros(at.size), np.diag(at.of_variances(q)), at)
    raise ValueError(f'start must be "exact", "prior" or a law, got {start!r}')


def _marginal(problem: Problem, at: RealCoordinates, t: float) -> DenseLaw:
    """The law of ``score.marginal(t, white)``, which is affine in the white noise if Gaussian."""
    score = problem.score

    def draw(white):
        return [score.marginal(t, white, problem.grid, 0, 0)]

    # The probes are of the size of N(0, Q), white noise is of size one: any size will do.
    columns, offset = _affine_map(draw, problem, at, 1, 0, f"the law at t = {t:g}")
    return DenseLaw(offset, columns @ columns.T, at)


def _step(
    solver: Solver, problem: Problem, at: RealCoordinates, t: float, u: float, memory
) -> _Step:
    known = 1 + len(memory)
    after: tuple[Evaluation, ...] = ()

    def step(x, *others):
        nonlocal after
        remembered = tuple(Evaluation(r, value) for r, value in zip(memory, others))
        draws = iter(others[len(memory) :])
        x, after = solver.step(problem, x, t, u, remembered, lambda *_: next(draws))
        return [x, *(evaluation.value for evaluation in after)]

    what = f"a step of {type(solver).__name__} from t = {t:g}"
    columns, offset = _affine_map(step, problem, at, known, solver.draws, what)
    split = known * at.size
    root = at.of_variances(problem.process.covariance.multiplier(problem.grid, 0.5))
    noise = columns[:, split:] * np.tile(root, solver.draws)
    return _Step(columns[:, :split], offset, noise, tuple(e.half_log_snr for e in after))


def _closing(solver: Solver, problem: Problem, at: RealCoordinates, t: float) -> _Step:
    what = f"the last map of {type(solver).__name__}, from t = {t:g}"
    gain, offset = _affine_map(lambda x: [solver.close(problem, x, t)], problem, at, 1, 0, what)
    return _Step(gain, offset, np.zeros((at.size, 0)), ())


def _affine_map(
    function: Callable[..., Sequence[np.ndarray]],
    problem: Problem,
    at: RealCoordinates,
    known: int,
    draws: int,
    what: str,
) -> tuple[np.ndarray, np.ndarray]:
    """Matrix and offset of a function of arrays of coefficients, in real coordinates.

    The arrays are the state, ``known - 1`` remembered values and ``draws`` of noise.

    Raises:
        ValueError: they do not predict what the function does to random signs.
    """
    size, count = at.size, known + draws
    units = probe_units(problem, known, draws)

    def ask(arguments: list[np.ndarray]) -> np.ndarray:
        out = function(*(at.coefficients(a) for a in arguments))
        return np.concatenate([at.of(row) for row in out], -1)

    def rest(rows: int) -> list[np.ndarray]:
        return [np.zeros((rows, size)) for _ in range(count)]

    offset = ask(rest(1))[0]
    blocks = []
    for i in range(count):
        arguments = rest(size)
        arguments[i] = units[i] * np.eye(size)
        blocks.append((ask(arguments) - offset).T / units[i])
    matrix = np.concatenate(blocks, 1)
    signs = at.of(random_signs(problem, count)) * (units / probe_unit(problem))[:, None]
    remembered = (np.arange(count) > 0) & (np.arange(count) < known)
    # The state tells: all that a scheme remembers enters it, and has units of its own.
    for kept in (~remembered, remembered):
        probe = signs * kept[:, None]
        found = ask([row[None] for row in probe])[0, :size]
        terms = np.abs(matrix[:size]) @ np.abs(probe.ravel())
        scale = np.abs(offset[:size]) + terms
        error = np.abs(found - offset[:size] - matrix[:size] @ probe.ravel())
        if (error > tolerance(scale)).any():
            raise ValueError(
                f"{what} is not affine: the map that unit vectors give misses random signs by "
                f"{error.max() / scale.max():.1e} of its size. {type(problem.score).__name__} has "
                "no Gaussian law; compare its samples instead"
            )
    return matrix, offset
