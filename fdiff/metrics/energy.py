r"""Energy distance between two laws of fields, unbiased, with a jackknife interval.

.. math:: \mathcal{E} = 2 E\|X-Y\| - E\|X-X'\| - E\|Y-Y'\|

(Riesz kernel, r = 1; Székely & Rizzo 2013, https://doi.org/10.1016/j.jspi.2013.03.018). It is zero
iff the laws agree; the estimate is a U-statistic, hence unbiased and possibly negative.

In L2, ``||u||`` is the root mean square of ``u`` over the grid (and over channels) in units of the
truth's standard deviation. That hardly sees fine structure, so there is H1 as well:
``||u||^2 = sum omega_k (1 + mu_k) |c_k|^2``, in units in which the truth minus its pooled mean has
``E||Y||^2 = 1`` too.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fdiff.grid import Grid
from fdiff.metrics.estimate import Estimate, jackknife_variance, normal
from fdiff.metrics.fields import RealArray, Scale, as_pair, blocks

ROWS = 512  # fields a block of the distance matrix
# Below this share of |x|^2 + |y|^2 the expanded square has lost digits: subtract first instead.
CANCELLATION = 1e-3


def energy_distance(x: Any, y: Any, grid: Grid) -> Estimate:
    """Energy distance of samples ``x`` to the truth ``y`` in L2."""
    x, y = as_pair(x, y, grid, minimum=3)
    scale = Scale.of(y)
    return from_vectors(flatten(scale.standardise(x)), flatten(scale.standardise(y)))


def energy_distance_h1(x: Any, y: Any, grid: Grid) -> Estimate:
    """Energy distance of samples ``x`` to the truth ``y`` in H1; box lengths set its units."""
    x, y = as_pair(x, y, grid, minimum=3)
    scale = Scale.of(y)
    a, b = (flatten(h1_filter(scale.standardise(u), grid)) for u in (x, y))
    return from_vectors(a, b).scaled(1 / root_mean_square(b))


def flatten(fields: RealArray) -> RealArray:
    """Rows whose Euclidean norm is the root mean square over grid and channels."""
    rows = fields.reshape(len(fields), -1)
    return rows / rows.dtype.type(rows.shape[1] ** 0.5)


def h1_filter(fields: RealArray, grid: Grid) -> RealArray:
    """``(1 - Laplacian)^(1/2)`` of each field: its L2 norm is the field's H1 norm."""
    out = np.empty_like(fields)
    root = np.sqrt(1.0 + grid.basis.laplacian).astype(fields.dtype)
    for block, target in zip(blocks(fields), blocks(out)):
        target[...] = grid.basis.inverse(root * grid.basis.forward(block))
    return out


def root_mean_square(vectors: RealArray) -> float:
    return float(np.sqrt(np.mean(squared_norms(vectors))))


def from_vectors(x: RealArray, y: RealArray, within_y: RealArray | None = None) -> Estimate:
    """Energy distance of two sets of vectors; ``within_y = mean_distances_within(y)`` if known."""
    to_y, to_x = mean_distances_between(x, y)
    within_x = mean_distances_within(x)
    if within_y is None:
        within_y = mean_distances_within(y)
    value = 2 * to_y.mean() - within_x.mean() - within_y.mean()
    variance = _variance(to_y, within_x) + _variance(to_x, within_y)
    return normal(value, variance)


def _variance(across: RealArray, within: RealArray) -> float:
    """Jackknife over one set: its part of the statistic with each of its ``n`` members left out.

    ``across[i]`` is the mean distance of member i to the other set, ``within[i]`` to the rest of
    its own. For equal laws the statistic is degenerate and the jackknife about doubles the
    variance, which errs on the safe side.
    """
    n = len(across)
    across_without = (across.sum() - across) / (n - 1)
    # Leaving i out of the sum over ordered pairs removes its row and its column.
    within_without = ((n - 1) * within.sum() - 2 * (n - 1) * within) / ((n - 1) * (n - 2))
    return jackknife_variance(2 * across_without - within_without)


def squared_norms(x: RealArray) -> RealArray:
    return np.concatenate(
        [np.sum(np.square(b, dtype=np.float64), axis=1) for b in np.array_split(x, _pieces(x))]
    )


def mean_distances_between(x: RealArray, y: RealArray) -> tuple[RealArray, RealArray]:
    """``mean_j |x_i - y_j|`` for each i and ``mean_i |x_i - y_j|`` for each j."""
    rows, columns = np.zeros(len(x)), np.zeros(len(y))
    norms_x, norms_y = squared_norms(x), squared_norms(y)
    for i in range(0, len(x), ROWS):
        for j in range(0, len(y), ROWS):
            a, b = slice(i, i + ROWS), slice(j, j + ROWS)
            distance = distances(x[a], y[b], norms_x[a], norms_y[b])
            rows[a] += distance.sum(axis=1)
            columns[b] += distance.sum(axis=0)
    return rows / len(y), columns / len(x)


def mean_distances_within(x: RealArray) -> RealArray:
    """``mean_{j != i} |x_i - x_j|`` for each i."""
    sums, norms = np.zeros(len(x)), squared_norms(x)
    for i in range(0, len(x), ROWS):
        a = slice(i, i + ROWS)
        for j in range(i, len(x), ROWS):
            b = slice(j, j + ROWS)
            distance = distances(x[a], x[b], norms[a], norms[b])
            if i == j:
                np.fill_diagonal(distance, 0.0)
            else:
                sums[b] += distance.sum(axis=0)
            sums[a] += distance.sum(axis=1)
    return sums / (len(x) - 1)


def distances(x: RealArray, y: RealArray, norms_x: RealArray, norms_y: RealArray) -> RealArray:
    """``|x_i - y_j|``, float64, by one matrix product; near pairs by subtraction."""
    total = norms_x[:, None] + norms_y[None, :]
    squared = total - 2.0 * (x @ y.T)
    near = np.argwhere(squared < CANCELLATION * total)
    for some in np.array_split(near, max(1, len(near) * x.shape[1] // 2**22)):
        difference = x[some[:, 0]].astype(np.float64) - y[some[:, 1]]
        squared[some[:, 0], some[:, 1]] = np.sum(difference**2, axis=1)
    return np.sqrt(squared)


def _pieces(x: RealArray) -> int:
    return max(1, x.size // 2**23)
