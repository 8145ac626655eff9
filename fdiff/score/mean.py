"""Mean functions: a number, a callable of the coordinates, or values on some grid."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import final

import numpy as np

from fdiff import levels
from fdiff.covariance import ChannelCovariance, Covariance
from fdiff.grid import Grid
from fdiff.values import real_values


@final
@dataclass(frozen=True, eq=False)
class Field:
    """A function known by its values on a grid; seen on another one, restricted or prolonged."""

    values: np.ndarray  # (*grid.shape), or (channels, *grid.shape)
    grid: Grid

    def __post_init__(self) -> None:
        values = np.array(real_values(self.values, "a field"), dtype=float)
        if values.shape[values.ndim - self.grid.dim :] != self.grid.shape:
            raise ValueError(f"values on a grid of shape {self.grid.shape}, got {values.shape}")
        if not np.isfinite(values).all():
            raise ValueError("a field needs finite values; got infinities or NaN")
        values.setflags(write=False)
        object.__setattr__(self, "values", values)


@final
@dataclass(frozen=True, eq=False)
class Average:
    """``sum_i weights_i mean_i``"""

    means: tuple[Mean, ...]
    weights: tuple[float, ...]


Mean = float | Callable[..., np.ndarray] | Field | Average


def channels_of(mean: Mean, covariance: Covariance | None = None) -> int | None:
    """How many channels the fields of a law ``N(mean, covariance)`` have.

    None where neither argument has an axis of channels: such a law is that of one field without
    the axis, and of any number of independent channels as well.

    Raises:
        ValueError: a mean and a covariance with different numbers of channels.
    """
    found = _channels_of_mean(mean)
    if isinstance(covariance, ChannelCovariance):
        count = len(covariance.channels)
        if found not in (None, count):
            raise ValueError(
                f"the mean has {found} channels and the covariance {count}: give both the same"
            )
        return count
    return found


def _channels_of_mean(mean: Mean) -> int | None:
    if isinstance(mean, Field):
        axes = mean.values.ndim - mean.grid.dim
        return mean.values.shape[axes - 1] if axes else None
    if isinstance(mean, Average):
        counts = {_channels_of_mean(one) for one in mean.means} - {None}
        return max(counts, default=None, key=lambda count: count or 0)
    return None


def mean_coefficients(mean: Mean, grid: Grid) -> np.ndarray:
    """Coefficients on ``grid`` of a mean given as a number, callable, or `Field`; read-only."""
    if isinstance(mean, np.ndarray):
        raise TypeError("values of a mean need their grid: pass fdiff.Field(values, grid)")
    return _mean_coefficients(mean, grid)


@lru_cache(maxsize=64)
def _mean_coefficients(mean: Mean, grid: Grid) -> np.ndarray:
    basis = grid.basis
    if isinstance(mean, Field):
        c = levels.resample(mean.grid.basis.forward(mean.values), mean.grid, grid)
    elif isinstance(mean, Average):
        c = sum(w * mean_coefficients(m, grid) for m, w in zip(mean.means, mean.weights))
    else:
        values = mean(*grid.coordinates()) if callable(mean) else float(mean)
        c = basis.forward(np.array(np.broadcast_to(np.asarray(values, float), grid.shape)))
    c = basis.project(c)
    c.setflags(write=False)
    return c
