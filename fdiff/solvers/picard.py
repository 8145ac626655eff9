"""Picard iteration: all steps of the probability-flow ODE at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np

from fdiff import backends
from fdiff.solvers.base import Solver
from fdiff.solvers.ddim import DDIM


@final
@dataclass(frozen=True)
class Picard(Solver):
    """`DDIM` in parallel over the times: sweeps of ``y_i = y_0 + sum (e^lambda)' D(t_j, s_j y_j)``.

    ``y = x / s``. A sweep evaluates the denoiser at all times in one batch; after ``j`` sweeps the
    first ``j`` steps are the sequential ones, and after as many sweeps as steps all of them. A
    sample stops when a sweep moves it by less than ``tolerance`` times its largest value. The law
    is `DDIM`'s. Shih et al. (2023), https://arxiv.org/abs/2305.16317

    Every time of every sample is in memory at once.
    """

    tolerance: float = 1e-12  # >= 0
    sweeps: int | None = None  # at most; by default as many as steps

    order = 1

    def __post_init__(self) -> None:
        if not self.tolerance >= 0 or (self.sweeps is not None and self.sweeps < 1):
            raise ValueError(
                "Picard takes a tolerance >= 0 and at least one sweep, got "
                f"{self.tolerance} and {self.sweeps}"
            )

    def step(self, problem, x, t, u, memory, noise):
        return DDIM().step(problem, x, t, u, memory, noise)

    def run(self, problem, x, times, noise):
        positive = times[times > 0]
        backend = backends.of(x)
        s = [problem.process.std(t) for t in positive.tolist()]
        states = backend.stack([x / s[0]] * len(positive))
        active = list(range(len(x)))
        for _ in range(min(self.sweeps or len(times), len(positive) - 1)):
            moved = self._sweep(problem, states[:, active], positive, s)
            change = _size(moved - states[:, active]) > self.tolerance * _size(moved)
            states[:, active] = moved
            active = [i for i, goes_on in zip(active, change) if goes_on]
            if not active:
                break
        for y, scale in zip(states[1:], s[1:]):
            yield scale * y
        if times[-1] == 0:
            yield problem.denoise(float(positive[-1]), s[-1] * states[-1])

    def _sweep(self, problem, states, times: np.ndarray, s: list[float]):
        """``y`` at all times from the denoiser along the last iterate, by a prefix sum."""
        backend, (steps, samples) = backends.of(states), (len(times) - 1, states.shape[1])
        x = backend.stack([scale * y for scale, y in zip(s[:-1], states)])
        flat = x.reshape(steps * samples, *tuple(x.shape)[2:])
        # As an array of the backend, in double precision, for the same scales as the steps'.
        t = backend.from_numpy(np.repeat(times[:-1], samples), device=getattr(x, "device", None))
        denoised = problem.denoise(t, flat).reshape(tuple(x.shape))
        problem.evaluations += steps - 1
        snr = np.exp([problem.process.half_log_snr(r) for r in times.tolist()])
        weights = backend.constant(np.diff(snr), backend.real(denoised))
        increments = backend.pad_axes(weights, x.ndim - 1) * denoised
        return backend.concatenate([states[:1], states[:1] + increments.cumsum(0)])


def _size(states) -> np.ndarray:
    """The largest absolute value of every sample."""
    absolute = np.abs(backends.of(states).to_numpy(states))
    return absolute.max(axis=(0, *range(2, absolute.ndim)))
