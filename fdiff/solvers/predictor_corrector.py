"""Predictor-corrector sampling with preconditioned Crank-Nicolson Langevin steps."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import final

from fdiff import backends
from fdiff.noise import CORRECTOR
from fdiff.score.gaussian import ratio
from fdiff.solvers.ancestral import Ancestral
from fdiff.solvers.base import Solver


@final
@dataclass(frozen=True)
class PredictorCorrector(Solver):
    """A step of ``predictor`` to ``u``, then ``corrections`` steps that keep ``p_u`` nearly fixed.

    A correction is `langevin`, or `metropolised_langevin`, which keeps ``p_u`` exactly and needs a
    score that knows its density. Song et al. (2021), https://arxiv.org/abs/2011.13456, sec. 4.2.
    """

    predictor: Solver = field(default_factory=Ancestral)
    corrections: int = 1
    step_size: float = 0.1  # delta > 0, without unit: the time of Langevin's equation over s^2
    metropolis: bool = False

    order = None  # the bias of a correction does not fall with the number of steps

    def __post_init__(self) -> None:
        if self.corrections < 1 or not 0 < self.step_size < math.inf:
            raise ValueError(
                "a corrector takes at least one correction of positive step size, got "
                f"{self.corrections} of {self.step_size}"
            )

    @property
    def draws(self) -> int:  # type: ignore[override]
        return self.predictor.draws + self.corrections

    @property
    def affine(self) -> bool:  # type: ignore[override]
        return self.predictor.affine and not self.metropolis

    @property
    def start(self) -> str:  # type: ignore[override]
        return self.predictor.start

    def step(self, problem, x, t, u, memory, noise):
        x, memory = self.predictor.step(problem, x, t, u, memory, noise)
        if u == 0:
            return x, memory
        for _ in range(self.corrections):
            if self.metropolis:
                x, _ = metropolised_langevin(problem, x, u, self.step_size, noise)
            else:
                x = langevin(problem, x, u, self.step_size, noise)
        return x, memory

    def close(self, problem, x, t):
        return self.predictor.close(problem, x, t)


def langevin(problem, x, t: float, delta: float, noise):
    """``[(1 - delta/2) x + delta (x + s^2 S) + sqrt(2 delta) s xi] / (1 + delta/2)``.

    The prior part by Crank-Nicolson with reference ``N(0, s^2 Q)``, so the step needs no smaller
    ``delta`` on a finer grid. On Gaussian data its invariant variance is ``Sigma / (1 + delta/2
    (1 - s^2 q / Sigma))``. Cotter, Roberts, Stuart and White (2013), sec. 4,
    https://arxiv.org/abs/1202.0709
    """
    s = problem.scales(t)[1]
    return x + _drift(problem, x, t, delta) + _spread(s, delta) * noise(CORRECTOR)


def metropolised_langevin(problem, x, t: float, delta: float, noise):
    """`langevin` as a proposal, accepted or rejected sample by sample: ``p_t`` stays exactly.

    Returns:
        The states, and which proposals were accepted (numpy, one flag a sample).
    """
    backend, grid = backends.of(x), problem.grid
    s = problem.scales(t)[1]
    there = _drift(problem, x, t, delta)
    step = there + _spread(s, delta) * noise(CORRECTOR)
    proposal = x + step
    back = _drift(problem, proposal, t, delta)
    # ln q(y -> x) - ln q(x -> y) = -1/2 <b + f, 2 (y - x) + b - f> in the proposal's variance.
    q = problem.process.covariance.eigenvalues(grid)
    precision = ratio(grid.basis.weights, _spread(s, delta) ** 2 * q)
    products = backend.real_product(there + back, 2 * step + back - there)
    products = backend.float64(products) * problem.constant(precision, backend.float64(products))
    proposals = -0.5 * products.reshape(len(x), -1).sum(-1)
    density = problem.score.log_density_ratio_coefficients(t, x, proposal, grid)
    log_ratio = backend.to_numpy(density + proposals)
    accepted = noise.log_uniforms() < log_ratio
    chosen = backend.from_numpy(accepted, device=getattr(x, "device", None))
    return backend.where(backend.pad_axes(chosen, x.ndim - 1), proposal, x), accepted


def _drift(problem, x, t: float, delta: float):
    """The mean of a proposal, less ``x``: ``delta s^2 S / (1 + delta/2)``."""
    s = problem.scales(t)[1]
    return delta * s * s / (1 + delta / 2) * problem.preconditioned_score(t, x)


def _spread(s: float, delta: float) -> float:
    """The factor of N(0, Q) in a proposal."""
    return math.sqrt(2 * delta) * s / (1 + delta / 2)
