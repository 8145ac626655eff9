r"""Statistics of one number a grid point: moments, pooled values, the gradient's magnitude.

``pooled`` means over samples, channels and grid points alike. Every field contributes a row of
means, so intervals come from resampling fields. Channels are first put into the truth's units, and
for one channel this leaves the definitions as they are.

Wasserstein-1 of two laws on the line is :math:`\int |F - G| dx`. Each bin of the truth's range
holds the exact integral of a field's distribution function, and the two tails outside hold theirs,
so the result is exact but for the few bins within which ``F - G`` changes sign.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fdiff.grid import Grid
from fdiff.metrics.estimate import Estimate, bootstrap_estimate
from fdiff.metrics.fields import RealArray, Scale, as_fields, as_pair, blocks, on_grid

BINS = 2048
GRADIENT_POINTS = 32  # per axis: the gradient of finer grids is that of their restriction


def std(u: Any, grid: Grid, seed: int = 0) -> Estimate:
    """Pooled standard deviation, in the units of ``u`` (root mean square over channels)."""
    fields = as_fields(u, grid)
    scale = Scale.of(fields)
    return std_from_moments(moments(scale.standardise(fields)), scale.unit, seed)


def kurtosis(u: Any, grid: Grid, seed: int = 0) -> Estimate:
    r"""Pooled :math:`E(u-\bar u)^4 / Var(u)^2`; 3 for a Gaussian."""
    fields = as_fields(u, grid)
    return kurtosis_from_moments(moments(Scale.of(fields).standardise(fields)), seed)


def pointwise_w1(x: Any, y: Any, grid: Grid, seed: int = 0) -> Estimate:
    """Wasserstein-1 distance of the pooled values of ``x`` to the truth's, in the truth's std."""
    return w1_in_units_of(*as_pair(x, y, grid), seed)


def gradient_w1(x: Any, y: Any, grid: Grid, seed: int = 0) -> Estimate:
    """The same for ``|grad u|`` on at most 32 points an axis, in the std of the truth's."""
    x, y = as_pair(x, y, grid)
    scale = Scale.of(y)
    x, y = (gradient_magnitude(scale.standardise(u), grid) for u in (x, y))
    return w1_in_units_of(x, y, seed)


def w1_in_units_of(x: RealArray, y: RealArray, seed: int = 0) -> Estimate:
    """Wasserstein-1 distance of the pooled values, each channel in units of the std of ``y``."""
    scale = Scale.of(y)
    x, y = scale.standardise(x), scale.standardise(y)
    bins = Bins.of(y)
    return w1_from_tables(bins.table(x), bins.table(y), seed)


def w1_from_tables(x: RealArray, y: RealArray, seed: int = 0) -> Estimate:
    """Wasserstein-1 distance from the tables of one ``Bins``."""

    def statistic(f: RealArray, g: RealArray) -> RealArray:
        return np.abs(f - g).sum(axis=-1)

    return bootstrap_estimate(statistic, [x, y], seed, floor=0.0)


@dataclass(frozen=True)
class Bins:
    """Equal bins over ``[low, high]``."""

    low: float
    high: float
    count: int = BINS

    @classmethod
    def of(cls, fields: RealArray) -> Bins:
        low, high = float(fields.min()), float(fields.max())
        return cls(low, high) if high > low else cls(low - 0.5, high + 0.5)

    def table(self, fields: RealArray) -> RealArray:
        """Per field: the integral of F below, in each bin, and of ``F - 1`` above: (n, count + 2).

        With ``t = (v - low)/width`` a value contributes ``ceil - t`` of one width to its own bin
        and a whole width to each bin above.
        """
        width = (self.high - self.low) / self.count
        rows = []
        for block in blocks(fields):
            t = (block.reshape(len(block), -1).astype(np.float64) - self.low) / width
            below = np.maximum(-t, 0.0).mean(axis=1)
            above = np.maximum(t - self.count, 0.0).mean(axis=1)
            np.clip(t, 0.0, self.count, out=t)
            bin_of = np.minimum(t.astype(np.int64), self.count - 1)
            part = bin_of + 1 - t
            bin_of += np.arange(len(block))[:, None] * self.count
            size = len(block) * self.count
            number = np.bincount(bin_of.ravel(), minlength=size).reshape(-1, self.count)
            own = np.bincount(bin_of.ravel(), part.ravel(), minlength=size).reshape(number.shape)
            inner = (np.cumsum(number, axis=1) - number + own) / t.shape[1]
            rows.append(np.column_stack([below, inner, -above]) * width)
        return np.concatenate(rows)


def moments(fields: RealArray) -> RealArray:
    """Per field the means of ``u^p``, p = 1 to 4: ``(samples, 4)``."""
    rows = []
    for block in blocks(fields):
        values = block.reshape(len(block), -1).astype(np.float64)
        square = values * values
        powers = (values, square, square * values, square * square)
        rows.append(np.column_stack([power.mean(axis=1) for power in powers]))
    return np.concatenate(rows)


def std_from_moments(table: RealArray, unit: float, seed: int = 0) -> Estimate:
    def statistic(m: RealArray) -> RealArray:
        # Of fields that do not vary, rounding may leave less than nothing.
        return unit * np.sqrt(np.maximum(m[..., 1] - m[..., 0] ** 2, 0.0))

    return bootstrap_estimate(statistic, [table], seed, floor=0.0)


def kurtosis_from_moments(table: RealArray, seed: int = 0) -> Estimate:
    def statistic(m: RealArray) -> RealArray:
        m1, m2, m3, m4 = np.moveaxis(m, -1, 0)
        fourth = m4 - 4 * m1 * m3 + 6 * m1**2 * m2 - 3 * m1**4
        return fourth / (m2 - m1**2) ** 2

    return bootstrap_estimate(statistic, [table], seed, floor=0.0)


def gradient_grid(grid: Grid) -> Grid:
    return grid.with_shape(tuple(min(n, GRADIENT_POINTS) for n in grid.shape))


def gradient_magnitude(fields: RealArray, grid: Grid) -> RealArray:
    """``|grad u|`` by forward differences of all axes on ``gradient_grid(grid)``.

    Periodic axes wrap; at a wall the last point has no forward neighbour and is left out.
    """
    coarse = gradient_grid(grid)
    u = on_grid(fields, grid, coarse)
    inner = tuple(slice(None) if b == "periodic" else slice(-1) for b in coarse.boundary)
    total = np.zeros(())
    for axis, h in enumerate(coarse.spacing):
        ahead = np.roll(u, -1, axis=axis + 2)
        total = total + ((ahead - u)[(..., *inner)] / h) ** 2
    return np.sqrt(total)
