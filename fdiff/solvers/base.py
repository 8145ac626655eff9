"""What a solver is: one step of the reverse process from ``t`` down to ``u < t``.

The state is an array of coefficients in the grid's basis, numpy or torch; a scheme is written in
``+``, ``*`` and numbers, so that both work. To add a scheme: one file with a subclass of `Solver`,
and one line in `fdiff/solvers/__init__.py`; its order is checked by the tests that run over all.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from fdiff import backends
from fdiff.grid import Grid
from fdiff.process import ForwardProcess
from fdiff.score.base import Score
from fdiff.score.mean import mean_coefficients


class Problem:
    """What a step may ask for: the process, the score (counted), and the reference's modes."""

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

    def gaussian_modes(self, mean, covariance) -> tuple:
        """``(mu, c, q)`` per mode as float64 numpy arrays."""
        q = self.process.covariance.eigenvalues(self.grid)
        return mean_coefficients(mean, self.grid), covariance.eigenvalues(self.grid), q


@dataclass(frozen=True)
class Evaluation:
    """What a multistep scheme remembers: a value and the half log-SNR at which it was taken."""

    half_log_snr: float
    value: object


Memory = tuple[Evaluation, ...]


class Solver(ABC):
    """One-step or linear multistep scheme for the reverse SDE or the probability-flow ODE."""

    order: ClassVar[int]  # of W2 to the exact law, on Gaussian data with the exact score
    stochastic: ClassVar[bool] = False
    start: ClassVar[str] = "prior"  # what `fdiff.sample` starts from unless told

    @abstractmethod
    def step(
        self, problem: Problem, x, t: float, u: float, memory: Memory, noise: Callable[[], object]
    ) -> tuple[object, Memory]:
        """``(X_u, memory)`` from ``X_t = x``; ``noise()`` gives independent draws of ``N(0, Q)``.

        ``memory`` is empty at the first step, and what the step before returned at the others.
        """

    def close(self, problem: Problem, x, t: float):
        """The state at time 0: the denoiser's value, one evaluation."""
        return problem.denoise(t, x)


def phi(h: float) -> tuple[float, float, float]:
    """``psi_0 = 1 - e^-h``, ``psi_1 = h - psi_0``, ``psi_2 = h^2 - 2 psi_1``; ``h > 0``.

    For small ``h`` from their Taylor series: the differences lose all digits.
    """
    if h < 0.1:
        # psi_j = j! (-1)^j (e^-h - its Taylor polynomial of degree j): alternating, fast.
        first = _remainder(h, 2)
        return -math.expm1(-h), first, 2.0 * _remainder(h, 3)
    psi0 = -math.expm1(-h)
    psi1 = h - psi0
    return psi0, psi1, h * h - 2.0 * psi1


def _remainder(h: float, degree: int) -> float:
    """``h^degree / degree! - h^(degree+1) / (degree+1)! + ...``"""
    term = h**degree / math.factorial(degree)
    total = 0.0
    for n in range(degree + 1, degree + 14):
        total += term
        term *= -h / n
    return total
