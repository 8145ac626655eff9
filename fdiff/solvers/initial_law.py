"""What it costs to start a sampler from N(0, Q) where the law at the first time is another one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np

from fdiff.errors import InitialLawWarning
from fdiff.grid import Grid
from fdiff.score.base import Score
from fdiff.score.gaussian import ratio
from fdiff.score.mean import mean_coefficients
from fdiff.solvers.base import Solver
from fdiff.words import warn

# Of the data's standard deviation. A thousand samples show the standard deviation of a mode to
# 2.2 %, so less than this is hidden by their scatter. The usual horizons stay below it for means
# of up to three standard deviations (LinearSchedule(0.1, 20) has m(1) = .0066, which shifts the
# mean of a probability flow by .0066 of itself; CosineSchedule ends at m = .001), and
# ConstantSchedule(1), which leaves m(1) = .61, is far above it.
TOLERATED = 0.02


@final
@dataclass(frozen=True)
class InitialLawError:
    """Errors of samples started from N(0, Q), relative to the data's standard deviation."""

    mean: float  # norm of the error of the mean
    std: float  # root mean square error of the modes' standard deviations
    total_std: float  # of all modes together, with its sign: > 0 where samples vary too much

    @property
    def distance(self) -> float:
        """``W_2`` to the law that a start from the law at the first time leads to."""
        return float(np.hypot(self.mean, self.std))


def initial_law_error(
    score: Score, grid: Grid, t: float, stochastic: bool
) -> InitialLawError | None:
    """What a start from ``N(0, Q)`` at ``t`` makes of data with the score's Gaussian reference.

    In the limit of small steps, per mode with ``Sigma = m^2 c + s^2 q``: the probability flow ends
    with the mean ``mu (1 - m sqrt(c / Sigma))`` and the variance ``c q / Sigma``; the reverse SDE
    (``stochastic``), which forgets part of its start, with ``mu (1 - m^2 c / Sigma)`` and ``c q
    (s^2 Sigma + m^2 c) / Sigma^2``. Of several channels the worst one counts. None for a score
    without a reference.
    """
    if score.reference is None:
        return None
    mean, covariance = score.reference
    m, s = score.process.mean_factor(t), score.process.std(t)
    q, c = score.process.covariance.eigenvalues(grid), covariance.eigenvalues(grid)
    mu = np.abs(mean_coefficients(mean, grid))
    sigma = m * m * c + s * s * q
    if stochastic:
        shift = m * m * ratio(c, sigma) * mu
        variance = ratio(q, sigma) * ratio(c, sigma) * (s * s * sigma + m * m * c)
    else:
        shift, variance = m * np.sqrt(ratio(c, sigma)) * mu, c * ratio(q, sigma)
    spread = np.sqrt(variance) - np.sqrt(c)
    weights, axes = grid.basis.weights, tuple(range(-grid.dim, 0))

    def total(values):
        return np.atleast_1d((weights * values).sum(axes))

    errors = np.broadcast_arrays(*map(total, (shift**2, spread**2, variance, c)))
    known = errors[3] > 0
    if not known.any():  # data that do not vary are reached from anywhere
        return InitialLawError(0.0, 0.0, 0.0)
    shift, spread, variance = (error[known] / errors[3][known] for error in errors[:3])
    worst = int(np.argmax(shift + spread))
    return InitialLawError(
        float(np.sqrt(shift[worst])),
        float(np.sqrt(spread[worst])),
        float(np.sqrt(variance[worst]) - 1),
    )


def warn_of_prior_start(score: Score, grid: Grid, t: float, solver: Solver) -> None:
    """Warn where a start from ``N(0, Q)`` at ``t`` costs more than `TOLERATED`.

    Of a score without a reference only ``m(t)`` is known: the share of the data that is left in
    the law at ``t``, and so the error of a mean of the size of the data's standard deviation.

    Warns:
        InitialLawWarning
    """
    m = float(score.process.mean_factor(t))
    error = initial_law_error(score, grid, t, solver.strong_order is not None)
    if (m if error is None else error.distance) <= TOLERATED:
        return
    if error is None:
        consequence = "how much that costs this score does not tell"
    else:
        consequence = "samples come out with " + " and ".join(_consequences(error))
    exact = error is not None or type(score).marginal is not Score.marginal
    longer = "a schedule that goes on until m is below 0.01"
    # With a short memory it is single modes of the data that stand out of the noise.
    remedies = [longer] if m > TOLERATED else ["a longer schedule", "a noise as rough as the data"]
    if exact:
        remedies.insert(0, 'start="exact", which draws from the law at that time')
    warn(
        f"the start is drawn from N(0, Q), but the law at t = {t:g} is another one: m = {m:.2g} of "
        f"the data is left in it; {consequence}. Take {', or '.join(remedies)}",
        InitialLawWarning,
    )


def _consequences(error: InitialLawError) -> list[str]:
    """The parts of the error that are not negligible beside `TOLERATED`, in words."""
    parts = []
    if error.std > TOLERATED / 10:
        size = "large" if error.total_std > 0 else "small"
        parts.append(
            f"a standard deviation that is {_percent(abs(error.total_std))} too {size} (mode by "
            f"mode, {_percent(error.std)} wrong in the root mean square)"
        )
    if error.mean > TOLERATED / 10:
        parts.append(f"a mean that is off by {_percent(error.mean)} of the standard deviation")
    return parts


def _percent(share: float) -> str:
    """Two digits, to be followed by what it is a share of; above ten as a multiple."""
    return f"{share:.0f} times the size" if share > 10 else f"{float(f'{100 * share:.2g}'):g} %"
