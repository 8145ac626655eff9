r"""Sliced Wasserstein distance of order 2 in function space.

.. math:: SW^2 = E_\xi W_2^2(\langle\xi, X\rangle, \langle\xi, Y\rangle) / |D|,

with :math:`\xi` white noise: the limit of uniform directions on the sphere of radius
:math:`\sqrt N` in the N grid values, and for finite N the same expectation. A direction is a keyed
white noise field, so direction l is the *same* direction on every grid. Units: the truth's
standard deviation, averaged over channels.

The closed form replaces the projections by their Gaussian limit (Nadjahi et al. 2021,
https://arxiv.org/abs/2106.15427), with :math:`m^2 = E\|X - EX\|^2/|D|`:

.. math:: SW^2 \approx \|EX - EY\|^2/|D| + (m_X - m_Y)^2.

It sees the mean and the total variance, and nothing else. Neither estimate is unbiased: two sets
from one law have a positive distance, so read both beside truth against truth.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fdiff.grid import Grid
from fdiff.metrics.estimate import Estimate, grouped_jackknife, jackknife_variance, normal
from fdiff.metrics.fields import RealArray, Scale, as_pair, blocks

DIRECTIONS = 128
GROUPS = 20  # sets of fields left out in turn
PURPOSE = 9  # of the keyed numbers: apart from all uses by fields, samplers and training


def sliced_wasserstein(
    x: Any, y: Any, grid: Grid, seed: int = 0, directions: int = DIRECTIONS
) -> Estimate:
    """Monte Carlo over ``directions``; the interval covers directions and fields."""
    x, y = as_pair(x, y, grid)
    scale = Scale.of(y)
    xi = white_directions(grid, x.shape[1], directions, seed)
    return sliced_from_projections(
        project(scale.standardise(x), xi), project(scale.standardise(y), xi)
    )


def approximate_sliced_wasserstein(x: Any, y: Any, grid: Grid) -> Estimate:
    """The closed form for projections that are nearly Gaussian."""
    x, y = as_pair(x, y, grid)
    scale = Scale.of(y)
    return gaussian_from_groups(GroupSums(scale.standardise(x)), GroupSums(scale.standardise(y)))


def white_directions(grid: Grid, channels: int, count: int, seed: int) -> RealArray:
    """Rows ``xi w / sqrt(|D| channels)`` whose dot product with grid values is the projection."""
    from fdiff.noise import white_coefficients

    coefficients = white_coefficients(grid, seed, PURPOSE, count, channels=channels)
    values = grid.basis.inverse(coefficients).reshape(count, -1)
    return values * (grid.cell_volume / np.sqrt(grid.volume * channels))


def project(fields: RealArray, directions: RealArray) -> RealArray:
    """Projections ``(samples, directions)``, float64."""
    return np.concatenate([b.reshape(len(b), -1) @ directions.T for b in blocks(fields)])


def sliced_from_projections(x: RealArray, y: RealArray) -> Estimate:
    squared = w2_squared(x, y)
    value = np.sqrt(squared.mean())

    def root(a: RealArray, b: RealArray) -> float:
        return float(np.sqrt(w2_squared(a, b).mean()))

    variance = grouped_jackknife(lambda kept: root(x[kept], y), len(x), GROUPS)
    variance += grouped_jackknife(lambda kept: root(x, y[kept]), len(y), GROUPS)
    if (
        value > 0 and len(squared) > 1
    ):  # from the mean of squares to its root: d sqrt(v) = dv / 2 sqrt(v)
        variance += squared.var(ddof=1) / len(squared) / (2 * value) ** 2
    return normal(value, variance, floor=0.0)


def w2_squared(x: RealArray, y: RealArray) -> RealArray:
    r""":math:`\int_0^1 |F^{-1} - G^{-1}|^2 dq` column by column, exact for any two sizes."""
    n, m = len(x), len(y)
    x, y = np.sort(x, axis=0), np.sort(y, axis=0)
    # Both quantile functions are constant between neighbouring multiples of 1/n and 1/m; in units
    # of 1/(n m) these are integers, so no break is lost or doubled by rounding.
    breaks = np.union1d(np.arange(n + 1) * m, np.arange(m + 1) * n)
    start, weight = breaks[:-1], np.diff(breaks) / (n * m)
    return weight @ (x[start // m] - y[start // n]) ** 2


class GroupSums:
    """Sums of fields and of their squares over the sets that the jackknife leaves out."""

    def __init__(self, fields: RealArray) -> None:
        flat = fields.reshape(len(fields), -1)
        groups = min(GROUPS, len(flat))
        label = np.arange(len(flat)) % groups
        self.number = np.bincount(label)
        self.square = np.zeros(groups)
        self.field = np.zeros((groups, flat.shape[1]))
        for group in range(groups):
            members = flat[label == group]
            self.field[group] = members.sum(axis=0, dtype=np.float64)
            self.square[group] = np.sum(np.square(members, dtype=np.float64)) / flat.shape[1]

    def moments(self, without: int | None = None) -> tuple[RealArray, float]:
        """Mean field and ``m``, over all fields or ``without`` one set."""
        kept = np.arange(len(self.number)) != without
        number = self.number[kept].sum()
        mean = self.field[kept].sum(axis=0) / number
        return mean, float(np.sqrt(max(self.square[kept].sum() / number - np.mean(mean**2), 0.0)))


def gaussian_from_groups(x: GroupSums, y: GroupSums) -> Estimate:
    whole_x, whole_y = x.moments(), y.moments()

    def without(groups: GroupSums, other: tuple[RealArray, float]) -> RealArray:
        left_out = range(len(groups.number))
        return np.array([gaussian_distance(groups.moments(g), other) for g in left_out])

    variance = jackknife_variance(without(x, whole_y)) + jackknife_variance(without(y, whole_x))
    return normal(gaussian_distance(whole_x, whole_y), variance, floor=0.0)


def gaussian_distance(a: tuple[RealArray, float], b: tuple[RealArray, float]) -> float:
    (mean_a, spread_a), (mean_b, spread_b) = a, b
    return float(np.sqrt(np.mean((mean_a - mean_b) ** 2) + (spread_a - spread_b) ** 2))
