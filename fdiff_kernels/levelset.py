"""Area, perimeter and Euler characteristic of the super-level sets of a field of two variables.

The field is continuous and linear on triangles: each cell of four nodes is cut into four triangles
that meet in its centre, whose value is the nodes' mean. No case is ambiguous then. Of such a field
area and level line are exact, and its super-level set contracts to the triangles, edges and
vertices that lie in it entirely, so the Euler characteristic is vertices - edges + triangles.
"""

from __future__ import annotations

import math

import numpy as np

from fdiff_kernels.policy import kernel


@kernel
def _rank(value, levels):
    """Number of levels at or below ``value``; ``levels`` ascend."""
    rank = 0
    while rank < levels.size and levels[rank] <= value:
        rank += 1
    return rank


@kernel
def _cut(level, p, q, r, px, py, qx, qy, rx, ry):
    """Share of the triangle's area above ``level``, and the length of its level line.

    One of the corners is alone on its side; the line crosses the two edges that leave it.
    """
    above_p, above_q, above_r = p >= level, q >= level, r >= level
    if above_p == above_q and above_q == above_r:
        return (1.0 if above_p else 0.0), 0.0
    if above_p == above_r:  # q is alone
        p, q, px, py, qx, qy = q, p, qx, qy, px, py
    elif above_p == above_q:  # r is alone
        p, r, px, py, rx, ry = r, p, rx, ry, px, py
    s, t = (level - p) / (q - p), (level - p) / (r - p)
    dx = s * (qx - px) - t * (rx - px)
    dy = s * (qy - py) - t * (ry - py)
    share = s * t if p >= level else 1.0 - s * t
    return share, math.sqrt(dx * dx + dy * dy)


@kernel
def minkowski_2d(u, levels, dx, dy, out):
    """Minkowski functionals of ``{u >= level}`` for each of the ascending ``levels``.

    ``u``: nodes (n, m). ``dx``, ``dy``: side lengths of the cells between neighbours; as many
    cells as nodes along an axis means that it wraps around. ``out``: (levels, 3), overwritten with
    area, length of the level line inside the box, Euler characteristic.
    """
    n, m = u.shape
    rank = np.empty((n, m), dtype=np.int64)
    # Entry r collects what counts for the r lowest levels; the sums are taken at the end.
    area, euler = np.zeros(levels.size + 1), np.zeros(levels.size + 1)
    out[:] = 0.0
    for i in range(n):
        for j in range(m):
            rank[i, j] = _rank(u[i, j], levels)
            euler[rank[i, j]] += 1.0
    for i in range(dx.size):
        for j in range(m):
            euler[min(rank[i, j], rank[(i + 1) % n, j])] -= 1.0
    for i in range(n):
        for j in range(dy.size):
            euler[min(rank[i, j], rank[i, (j + 1) % m])] -= 1.0
    for i in range(dx.size):
        k = (i + 1) % n
        for j in range(dy.size):
            l = (j + 1) % m
            a, b, c, d = rank[i, j], rank[k, j], rank[k, l], rank[i, l]
            centre = 0.25 * (u[i, j] + u[k, j] + u[k, l] + u[i, l])
            e = _rank(centre, levels)
            euler[e] += 1.0
            for corner in (a, b, c, d):
                euler[min(corner, e)] -= 1.0
            euler[min(a, b, e)] += 1.0
            euler[min(b, c, e)] += 1.0
            euler[min(c, d, e)] += 1.0
            euler[min(d, a, e)] += 1.0
            low, high = min(a, b, c, d), max(a, b, c, d)
            quarter = 0.25 * dx[i] * dy[j]
            area[low] += 4.0 * quarter
            x, y = 0.5 * dx[i], 0.5 * dy[j]  # corners at (+-x, +-y), centre at the origin
            for level in range(low, high):
                value = levels[level]
                s1, l1 = _cut(value, u[i, j], u[k, j], centre, -x, -y, x, -y, 0.0, 0.0)
                s2, l2 = _cut(value, u[k, j], u[k, l], centre, x, -y, x, y, 0.0, 0.0)
                s3, l3 = _cut(value, u[k, l], u[i, l], centre, x, y, -x, y, 0.0, 0.0)
                s4, l4 = _cut(value, u[i, l], u[i, j], centre, -x, y, -x, -y, 0.0, 0.0)
                out[level, 0] += quarter * (s1 + s2 + s3 + s4)
                out[level, 1] += l1 + l2 + l3 + l4
    for level in range(levels.size):
        out[level, 0] += area[level + 1 :].sum()
        out[level, 2] = euler[level + 1 :].sum()


@kernel
def minkowski_2d_batch(u, levels, dx, dy, out):
    """``minkowski_2d`` of each field of ``u``: (fields, n, m); ``out``: (fields, levels, 3)."""
    for sample in range(u.shape[0]):
        minkowski_2d(u[sample], levels, dx, dy, out[sample])
