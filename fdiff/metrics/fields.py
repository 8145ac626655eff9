"""Samples of fields as the metrics take them: checked, as numpy arrays, on one grid."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fdiff.grid import Grid
from fdiff.values import real_values, require_finite
from fdiff.words import box

RealArray = NDArray[np.floating]

LARGEST = 1e75  # values up to here have fourth powers in float64
BLOCK_VALUES = 1 << 23  # grid values worked on at a time: bounds the memory to some 100 MB


def as_fields(u: Any, grid: Grid, minimum: int = 2) -> RealArray:
    """``u`` as ``(samples, channels, *grid.shape)``, float32 or float64; torch tensors are copied.

    ``u`` is ``(samples, *grid.shape)`` or ``(samples, channels, *grid.shape)``.
    """
    if hasattr(u, "detach"):  # a torch tensor, told apart without importing torch
        u = u.detach().cpu().numpy()
    fields = real_values(u, "the fields to compare")
    if fields.dtype not in (np.float32, np.float64):
        fields = fields.astype(np.float64)
    if fields.shape[-grid.dim :] != grid.shape or fields.ndim not in (grid.dim + 1, grid.dim + 2):
        raise ValueError(
            f"need fields of shape (samples, {{channels,}} {', '.join(map(str, grid.shape))}), "
            f"got {fields.shape}"
        )
    if fields.ndim == grid.dim + 1:
        fields = fields[:, None]
    if len(fields) < minimum:
        raise ValueError(f"need at least {minimum} samples, got {len(fields)}")
    require_finite(fields, "fields to compare")
    largest = max(float(fields.max()), -float(fields.min()))
    if largest > LARGEST:
        raise ValueError(
            f"the fields to compare have values up to {largest:.1e}, whose fourth powers are "
            "beyond float64: divide them by a constant"
        )
    return fields


def as_pair(x: Any, y: Any, grid: Grid, minimum: int = 2) -> tuple[RealArray, RealArray]:
    """Both sets as fields; they must have the same number of channels."""
    x, y = as_fields(x, grid, minimum), as_fields(y, grid, minimum)
    if x.shape[1] != y.shape[1]:
        raise ValueError(f"samples have {x.shape[1]} channels, the truth has {y.shape[1]}")
    return x, y


def blocks(fields: RealArray) -> Iterator[RealArray]:
    """Consecutive blocks of samples of about ``BLOCK_VALUES`` grid values."""
    size = max(1, BLOCK_VALUES // max(1, int(np.prod(fields.shape[1:]))))
    for start in range(0, len(fields), size):
        yield fields[start : start + size]


@dataclass(frozen=True)
class Scale:
    """Mean and standard deviation of each channel, pooled over samples and grid: the units.

    A unit is taken as given: intervals do not include its own uncertainty.
    """

    mean: RealArray  # (channels,)
    std: RealArray  # (channels,), > 0

    @classmethod
    def of(cls, fields: RealArray) -> Scale:
        axes = (0, *range(2, fields.ndim))
        mean = fields.mean(axis=axes, dtype=np.float64)
        count = fields.size // fields.shape[1]
        spread = np.zeros_like(mean)
        for block in blocks(fields):
            spread += np.sum((block - _columns(mean, block)) ** 2, axis=axes)
        if not (spread > 0).all():
            raise ValueError("the truth is constant, so there is no unit to compare in")
        return cls(mean, np.sqrt(spread / count))

    @property
    def unit(self) -> float:
        """Root mean square of ``std`` over the channels."""
        return float(np.sqrt(np.mean(self.std**2)))

    def standardise(self, fields: RealArray) -> RealArray:
        """``(fields - mean) / std`` by channel, in the precision of ``fields``."""
        out = np.empty(fields.shape, fields.dtype)
        for block, target in zip(blocks(fields), blocks(out)):
            target[...] = (block - _columns(self.mean, block)) / _columns(self.std, block)
        return out


def _columns(values: RealArray, fields: RealArray) -> RealArray:
    return values.reshape(-1, *[1] * (fields.ndim - 2))


def common_grid(a: Grid, b: Grid) -> Grid:
    """The coarser of two grids on one box, axis by axis: where both sets can be compared."""
    if not a.same_box(b):
        raise ValueError(f"grids of different boxes cannot be compared: {box(a)} and {box(b)}")
    return a.with_shape(tuple(min(n, m) for n, m in zip(a.shape, b.shape)))


def on_grid(fields: RealArray, source: Grid, target: Grid) -> RealArray:
    """Restriction of ``fields`` to a coarser grid: the same functions, fewer modes."""
    if source.shape == target.shape:
        return fields
    from fdiff.levels import restrict_field

    out = np.empty((*fields.shape[:2], *target.shape), fields.dtype)
    start = 0
    for block in blocks(fields):
        out[start : start + len(block)] = restrict_field(block, source, target)
        start += len(block)
    return out
