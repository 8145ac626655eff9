"""Sums over the cells of stored trajectories."""

from __future__ import annotations

import functools

import numpy as np

from fdiff_kernels.policy import kernel


# Reassociation lets the sums run in vector lanes: what is summed is float32, the sum is float64.
@functools.partial(kernel, fastmath={"reassoc", "contract"})
def moments(values, fields):
    """(2, fields) float64: sum and sum of squares by field of a flat [cell, field] array."""
    out = np.zeros((2, fields))
    step = np.uint64(fields)
    count = np.uint64(len(values)) // step
    for c in range(fields):
        first, second = 0.0, 0.0
        for i in range(count):
            x = np.float64(values[i * step + np.uint64(c)])
            first += x
            second += x * x
        out[0, c], out[1, c] = first, second
    return out
