r"""Observed orders of convergence, with an interval and a verdict.

The model is :math:`e(h) = C h^p (1 + O(h))`. An estimate uses only the steps at which that can be
seen: errors within their own Monte Carlo noise or within round-off are left out at the fine end,
steps at which the local orders still drift at the coarse end. The interval joins two uncertainties,
the sampling of the runs (bootstrap) and the drift that is left (the local order at the fine end and
its extrapolation), and the verdict compares it with the declared band:

* PASS: the interval lies in ``declared +- tolerance``;
* FAIL: it lies outside, or an error is not finite;
* INCONCLUSIVE: it does neither, too few steps are left, or the local orders are still on their way
  to the declared one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fdiff.convergence.record import Verdict, verdict_of

RealArray = NDArray[np.float64]
Mask = NDArray[np.bool_]

MINIMUM = 3  # steps an order needs: two local orders, so that a drift can be seen
NOISE = 3.0  # an error below so many of its standard errors is noise
# Of the size of the result, at the coarsest step. Some rounding errors of size eps disturb an order
# as long as the error is not a good factor above them.
ROUND_OFF = 1000 * np.finfo(np.float64).eps
RESAMPLES = 400
LEAST_DEVIATION = 0.01  # of log error: keeps steps with tiny sampling noise from ruling the fit


@dataclass(frozen=True)
class Errors:
    """Errors at steps from coarse to fine, and their standard errors (0 if deterministic)."""

    steps: RealArray
    values: RealArray
    deviations: RealArray

    @property
    def local_orders(self) -> RealArray:
        """``log(e_i / e_(i+1)) / log(h_i / h_(i+1))`` between neighbouring steps."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.diff(np.log(self.values)) / np.diff(np.log(self.steps))

    @property
    def noise(self) -> RealArray:
        """Standard deviation of ``log values``."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(self.deviations > 0, self.deviations / self.values, 0.0)

    @property
    def local_noise(self) -> RealArray:
        """Standard deviation of the local orders, neighbours taken as independent."""
        return np.hypot(self.noise[1:], self.noise[:-1]) / -np.diff(np.log(self.steps))

    def at(self, kept: Mask) -> Errors:
        return Errors(self.steps[kept], self.values[kept], self.deviations[kept])


@dataclass(frozen=True)
class OrderEstimate:
    """An observed order in its 95 % interval, and what it was read from."""

    declared: float
    observed: float  # NaN, as the interval, where no order could be read
    low: float
    high: float
    verdict: Verdict
    reason: str  # where the interval lies, then from which steps it was read, in words
    errors: Errors
    used: Mask  # the steps that entered the regression


def order(
    steps: ArrayLike,
    errors: ArrayLike | None = None,
    *,
    declared: float,
    tolerance: float = 0.15,
    samples: ArrayLike | None = None,
    power: float = 1.0,
    scale: float = 1.0,
    seed: int = 0,
) -> OrderEstimate:
    """Order of convergence of ``errors`` at ``steps``, judged against ``declared +- tolerance``.

    Args:
        steps: step sizes h, or any quantity that the error is a power of (1/n, a tail trace).
        errors: deterministic errors, one a step; or instead
        samples: ``(runs, steps)``, paired: row r is one run (one path, one seed) at every step. The
            error is ``|mean over runs|^(1/power)``: squared distances with ``power=2`` for a root
            mean square, signed differences with ``power=1`` for a weak error.
        scale: size of the result that the errors belong to; sets the level of round-off.
        seed: of the bootstrap over runs.

    Raises:
        ValueError: shapes that do not match, steps that are not positive or repeat, negative
            errors, or not exactly one of ``errors`` and ``samples``.
    """
    steps, runs = _as_runs(steps, errors, samples)
    data = _measure(steps, runs, power)
    finite = np.isfinite(data.values)
    if not finite.all():
        reason = f"error not finite at step {steps[~finite][0]:g}"
        return _nothing_to_read(data, declared, Verdict.FAIL, reason)
    usable, lost = _above_the_floors(data, scale)
    if usable.sum() < MINIMUM:
        reason = f"{usable.sum()} steps to read an order from, at least {MINIMUM} needed{lost}"
        return _nothing_to_read(data, declared, Verdict.INCONCLUSIVE, reason)

    used, settled = _asymptotic(data, usable, tolerance)
    range_ = data.at(used)
    observed = float(_slope(range_, np.log(range_.values)))
    low, high = _drift(range_, observed, settled)
    below, above = _sampling(range_, runs[:, used], power, observed, seed)
    low, high = low - below, high + above
    verdict = verdict_of(low, high, declared - tolerance, declared + tolerance)
    place = _place(low, high, declared, tolerance)
    reason = f"{place}; read from {used.sum()} of {len(used)} steps{lost}"
    if verdict is Verdict.FAIL and _still_approaching(range_, declared):
        verdict = Verdict.INCONCLUSIVE
        reason = f"pre-asymptotic: local orders still move towards the declared one; {reason}"
    elif not settled:
        reason = f"local orders scatter; {reason}"
    return OrderEstimate(declared, observed, low, high, verdict, reason, data, used)


def _place(low: float, high: float, declared: float, tolerance: float) -> str:
    """Where the interval lies in relation to the declared order and its band, as a sentence."""
    least, most = declared - tolerance, declared + tolerance
    interval = f"the 95 % interval [{low:.4g}, {high:.4g}]"
    band = f"{declared:g} +- {tolerance:g}"
    match verdict_of(low, high, least, most):
        case Verdict.PASS:
            contains = low <= declared <= high
            also = f"contains the declared order {declared:g} and " if contains else ""
            return f"{interval} {also}lies within the band {band}"
        case Verdict.FAIL:
            side = "below" if high < least else "above"
            return f"{interval} lies {side} the band {band} of the declared order"
    ends = [f"{end:g}" for end in (least, most) if low <= end <= high]
    crossed = "both ends" if len(ends) == 2 else f"the end {ends[0]}"
    return f"{interval} crosses {crossed} of the band {band}, so it neither passes nor fails"


def _as_runs(
    steps: ArrayLike, errors: ArrayLike | None, samples: ArrayLike | None
) -> tuple[RealArray, RealArray]:
    """Steps from coarse to fine and ``(runs, steps)``; deterministic errors are a single run."""
    if (errors is None) == (samples is None):
        raise ValueError("give either errors or samples")
    h = np.asarray(steps, np.float64)
    runs = np.asarray(samples if errors is None else [errors], np.float64)
    if h.ndim != 1 or runs.ndim != 2 or runs.shape[1] != len(h):
        raise ValueError(f"need one error a step: {h.shape} steps, errors of shape {runs.shape}")
    if not (np.isfinite(h) & (h > 0)).all() or len(np.unique(h)) != len(h):
        raise ValueError(f"steps must be positive and differ, got {h}")
    if errors is not None and (runs < 0).any():
        raise ValueError(f"errors must not be negative, got {errors}")
    if samples is not None and len(runs) < 2:
        raise ValueError("samples need at least 2 runs; pass a single one as errors")
    coarse_first = np.argsort(-h)
    return h[coarse_first], runs[:, coarse_first]


def _measure(steps: RealArray, runs: RealArray, power: float) -> Errors:
    mean = np.abs(runs.mean(axis=0))
    values = mean ** (1 / power)
    if len(runs) == 1:
        return Errors(steps, values, np.zeros(len(steps)))
    deviation = runs.std(axis=0, ddof=1) / np.sqrt(len(runs))
    with np.errstate(divide="ignore", invalid="ignore"):
        return Errors(steps, values, np.where(mean > 0, values * deviation / mean / power, 0.0))


def _above_the_floors(data: Errors, scale: float) -> tuple[Mask, str]:
    """Steps whose error is neither noise nor round-off, and a sentence on those that are lost.

    Beyond the first step that sinks into a floor nothing finer is trusted.
    """
    # Round-off adds up over the steps, in the worst case linearly.
    round_off = data.values <= ROUND_OFF * scale * data.steps.max(initial=0.0) / data.steps
    noise = data.values < NOISE * data.deviations
    usable = np.cumsum(round_off | noise) == 0
    sentences = [
        f"; {name} from step {data.steps[mask][0]:g} on"
        for name, mask in (("round-off", round_off), ("Monte Carlo noise", noise & ~round_off))
        if mask.any()
    ]
    return usable, "".join(sentences)


def _asymptotic(data: Errors, usable: Mask, tolerance: float) -> tuple[Mask, bool]:
    """The longest fine end on which all local orders agree with the fit, and whether there is one.

    They agree within half the tolerance or twice their noise. Where no three steps do, the finest
    four are returned.
    """
    indices = np.flatnonzero(usable)
    for start in range(len(indices) - MINIMUM + 1):
        used = np.isin(np.arange(len(usable)), indices[start:])
        part = data.at(used)
        misfit = np.abs(part.local_orders - _slope(part, np.log(part.values)))
        if np.all(misfit <= tolerance / 2 + 2 * part.local_noise):
            return used, True
    return np.isin(np.arange(len(usable)), indices[-MINIMUM - 1 :]), False


def _weights(data: Errors) -> RealArray:
    return 1 / (data.noise**2 + LEAST_DEVIATION**2)


def _slope(data: Errors, log_errors: RealArray) -> RealArray:
    """Weighted least-squares slope of ``log_errors`` (steps last) against ``log steps``."""
    weights = _weights(data)
    x = np.log(data.steps)
    x = weights * (x - np.average(x, weights=weights))
    return log_errors @ x / (x @ np.log(data.steps))


def _drift(data: Errors, observed: float, settled: bool) -> tuple[float, float]:
    """The observed order, the finest local one, and where twice its last change would lead.

    Halving steps halve the distance of local orders to their limit, so another change like the
    last one reaches it; a second one is for slower drifts. Only what exceeds the noise of local
    orders counts. Orders that scatter span the interval themselves.
    """
    local = data.local_orders
    if not settled:
        return min(observed, local.min()), max(observed, local.max())
    ahead = np.array([local[-1], 3 * local[-1] - 2 * local[-2]])
    noise = data.local_noise[-1], 3 * data.local_noise[-1] + 2 * data.local_noise[-2]
    excess = np.maximum(np.abs(ahead - observed) - 2 * np.array(noise), 0.0)
    ahead = observed + np.sign(ahead - observed) * excess
    return min(observed, ahead.min()), max(observed, ahead.max())


def _sampling(
    data: Errors, runs: RealArray, power: float, observed: float, seed: int
) -> tuple[float, float]:
    """How far the 95 % bootstrap interval over runs reaches below and above ``observed``."""
    if len(runs) == 1:
        return 0.0, 0.0
    generator = np.random.default_rng([seed, len(runs)])
    counts = generator.multinomial(len(runs), np.full(len(runs), 1 / len(runs)), size=RESAMPLES)
    means = np.abs(counts @ runs) / len(runs)
    slopes = _slope(data, np.log(np.maximum(means, np.finfo(float).tiny)) / power)
    lower, upper = np.quantile(slopes, [0.025, 0.975])
    return max(observed - lower, 0.0), max(upper - observed, 0.0)


def _still_approaching(data: Errors, declared: float) -> bool:
    """Local orders that move towards the declared one and do not slow down."""
    distance = np.abs(data.local_orders - declared)
    steps_closer = -np.diff(distance)[-2:]
    significant = steps_closer > 2 * data.local_noise[-1]
    return len(steps_closer) == 2 and bool(significant.all() and steps_closer[1] >= steps_closer[0])


def _nothing_to_read(data: Errors, declared: float, verdict: Verdict, reason: str) -> OrderEstimate:
    nan, none = float("nan"), np.zeros(len(data.steps), bool)
    return OrderEstimate(declared, nan, nan, nan, verdict, reason, data, none)
