"""A number with its 95 % interval, and the two ways in which the metrics find one.

Most metrics are functions of *means over fields*: each field gives one row of a table (its moments,
its shell energies, its perimeters, ...) and the metric is ``f(mean of rows)``. Resampling rows then
resamples whole fields, never pixels, and costs one matrix product.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RealArray = NDArray[np.floating]

QUANTILE = 1.959963984540054  # of the normal law, for two-sided 95 %
RESAMPLES = 400


@dataclass(frozen=True)
class Estimate:
    """``value`` in its 95 % interval ``[low, high]``; all finite, ``low <= value <= high``."""

    value: float
    low: float
    high: float

    def __post_init__(self) -> None:
        if not all(map(math.isfinite, (self.value, self.low, self.high))):
            raise ValueError(
                f"an estimate must be finite, got {self.value} in [{self.low}, {self.high}]"
            )
        if not self.low <= self.value <= self.high:
            raise ValueError(f"{self.value} lies outside its interval [{self.low}, {self.high}]")

    def scaled(self, factor: float) -> Estimate:
        """The same in other units, ``factor > 0``."""
        return Estimate(factor * self.value, factor * self.low, factor * self.high)

    def __str__(self) -> str:
        return f"{self.value:.4g} [{self.low:.4g}, {self.high:.4g}]"


def normal(value: float, variance: float, floor: float = -math.inf) -> Estimate:
    """``value +- 1.96 sqrt(variance)``, cut at ``floor`` (0 for what cannot be negative)."""
    half = QUANTILE * math.sqrt(max(variance, 0.0))
    return Estimate(float(value), float(min(max(value - half, floor), value)), float(value + half))


def student(values) -> Estimate:
    """Mean of independent runs with Student's interval; of a single run, the value alone.

    The interval of three runs is 4.3 standard errors wide on each side, not 1.96.
    """
    from scipy.special import stdtrit

    values = np.asarray(values, float)
    mean = float(values.mean())
    if len(values) < 2:
        return Estimate(mean, mean, mean)
    quantile = float(stdtrit(len(values) - 1, 0.975))
    half = quantile * float(values.std(ddof=1)) / math.sqrt(len(values))
    return Estimate(mean, mean - half, mean + half)


def jackknife_variance(leave_one_out: RealArray) -> float:
    """``(n - 1)/n sum_i (theta_(-i) - mean)^2`` of the ``n`` values with one unit left out."""
    n = len(leave_one_out)
    return float((n - 1) / n * np.sum((leave_one_out - leave_one_out.mean()) ** 2))


def grouped_jackknife(
    statistic: Callable[[NDArray[np.bool_]], float], n: int, groups: int
) -> float:
    """Variance of ``statistic(kept)`` over the fields, one of ``groups`` sets left out at a time.

    Field ``i`` belongs to set ``i mod groups``; ``kept`` is a mask of length ``n``.
    """
    groups = min(groups, n)
    label = np.arange(n) % groups
    return jackknife_variance(np.array([statistic(label != g) for g in range(groups)]))


def resampled_means(table: RealArray, seed: int, stream: int, resamples: int) -> RealArray:
    """Means of ``resamples`` bootstrap samples of the rows of ``table``: ``(resamples, columns)``.

    ``stream`` keeps the draws for two tables under one seed apart.
    """
    rows = len(table)
    generator = np.random.default_rng([seed, stream])
    counts = generator.multinomial(rows, np.full(rows, 1.0 / rows), size=resamples)
    return (counts.astype(np.float64) / rows) @ table


def bootstrap(
    statistic: Callable[..., RealArray],
    tables: Sequence[RealArray],
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> tuple[RealArray, RealArray, RealArray]:
    """``(value, low, high)`` of ``statistic(mean of each table)``, elementwise; bootstrap of rows.

    ``statistic`` takes arrays ``(..., columns)`` and treats the leading axes independently. The
    interval is the basic one, ``[2 v - q_97.5, 2 v - q_2.5]``: a distance between empirical laws is
    biased upward and resampling adds the same bias once more, which reflection takes off again. It
    is widened where needed so that it holds the value.
    """
    value = statistic(*(table.mean(axis=0, dtype=np.float64) for table in tables))
    replicates = statistic(
        *(resampled_means(table, seed, i, resamples) for i, table in enumerate(tables))
    )
    lower, upper = np.quantile(replicates, [0.025, 0.975], axis=0)
    return value, np.minimum(2 * value - upper, value), np.maximum(2 * value - lower, value)


def bootstrap_estimate(
    statistic: Callable[..., RealArray],
    tables: Sequence[RealArray],
    seed: int = 0,
    floor: float = -math.inf,
) -> Estimate:
    """``bootstrap`` of one number, its lower end cut at ``floor``."""
    value, low, high = (float(part) for part in bootstrap(statistic, tables, seed))
    return Estimate(value, min(max(low, floor), value), high)
