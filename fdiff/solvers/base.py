"""What a solver is: one step of the reverse process from ``t`` down to ``u < t``.

The state is an array of coefficients in the grid's basis, numpy or torch; a scheme is written in
``+``, ``*`` and numbers, so that both work. To add a scheme: one file with a subclass of `Solver`,
and one line in `fdiff/solvers/__init__.py`; its order is checked by the tests that run over all.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fdiff import backends
from fdiff.grid import Grid
from fdiff.process import ForwardProcess
from fdiff.score.base import Score


class Problem:
    """What a step may ask for: the process, and the score, whose evaluations are counted."""

    def __init__(self, score: Score, grid: Grid):
        self.score, self.grid = score, grid
        self.process: ForwardProcess = score.process
        self.evaluations = 0

    def denoise(self, t: float, x):
        """``D(t, x) = E[X_0 | X_t = x]``; one evaluation."""
        self.evaluations += 1
        return self.score.denoise_coefficients(t, x, self.grid)

    def preconditioned_score(self, t: float, x):
        """``S(t, x)``; one evaluation."""
        self.evaluations += 1
        return self.score.score_coefficients(t, x, self.grid)

    def scales(self, t: float) -> tuple[float, float, float]:
        """``(m, s, lambda)`` at ``t``."""
        p = self.process
        return p.mean_factor(t), p.std(t), p.half_log_snr(t)

    def constant(self, array, like):
        """A numpy array per mode as an array of the kind and precision of ``like``."""
        return backends.of(like).constant(array, like)


@dataclass(frozen=True)
class Evaluation:
    """What a multistep scheme remembers: a value and the half log-SNR at which it was taken."""

    half_log_snr: float
    value: object


Memory = tuple[Evaluation, ...]


class Solver(ABC):
    """One-step or linear multistep scheme for the reverse SDE or the probability-flow ODE."""

    order: ClassVar[int | None]  # of W2, Gaussian data with the exact score; None: no step error
    strong_order: ClassVar[int | None] = None  # of paths driven by the same noise
    draws: ClassVar[int] = 0  # of noise, a step
    affine: ClassVar[bool] = True  # whether a step is affine in state and noise, given such a score
    start: ClassVar[str] = "prior"  # what `fdiff.sample` starts from unless told

    @abstractmethod
    def step(
        self, problem: Problem, x, t: float, u: float, memory: Memory, noise: Callable[..., object]
    ) -> tuple[object, Memory]:
        """``(X_u, memory)`` from ``X_t = x``; ``noise()`` gives independent draws of ``N(0, Q)``.

        ``memory`` is empty at the first step, and what the step before returned at the others.
        """

    def run(self, problem: Problem, x, times: np.ndarray, noise: Callable) -> Iterator:
        """The states at ``times[1:]``, one after another; ``noise(i)`` is the noise of step i."""
        memory: Memory = ()
        for i, (t, u) in enumerate(zip(times[:-1].tolist(), times[1:].tolist())):
            x, memory = self.step(problem, x, t, u, memory, noise(i))
            yield x

    def close(self, problem: Problem, x, t: float):
        """The state at time 0: the denoiser's value, one evaluation."""
        return problem.denoise(t, x)

    def clock(self, process: ForwardProcess, t: float) -> float:
        """Increasing as ``t`` falls: the noise of a step is an increment of ``W^Q`` in this time.

        So two time grids can share one path: the noise of a long step is the sum of the noises of
        its parts, each weighted by the root of its share of the clock.
        """
        return -t
