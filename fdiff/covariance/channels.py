"""Covariance of fields with several channels that are independent of each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np

from fdiff import backends, noise
from fdiff.covariance.certificate import CovarianceSummary
from fdiff.covariance.operator import CovarianceOperator
from fdiff.grid import Grid


@final
@dataclass(frozen=True)
class ChannelCovariance:
    """One covariance operator on ``L2(D)`` for each channel; different channels are independent.

    ``N(0, C)`` is then a law of functions with values in ``R^channels``. Arrays of eigenvalues have
    an axis of channels in front of the axes of the basis, and so have traces. Samples of it have
    the spectrum of each channel, but none of the correlation that channels of data may have.
    """

    channels: tuple[CovarianceOperator, ...]

    def eigenvalues(self, grid: Grid) -> np.ndarray:
        """``(channels, *grid.basis.shape)``"""
        return np.stack([operator.eigenvalues(grid) for operator in self.channels])

    def multiplier(self, grid: Grid, power: float) -> np.ndarray:
        """Eigenvalues to a power on retained modes, ``(channels, *grid.basis.shape)``."""
        return np.stack([operator.multiplier(grid, power) for operator in self.channels])

    def trace(self, grid: Grid) -> np.ndarray:
        """The trace of each channel, shape ``(channels,)``."""
        return np.array([operator.trace(grid) for operator in self.channels])

    def tail_trace(self, grid: Grid) -> np.ndarray:
        """The trace of each channel beyond the grid, shape ``(channels,)``."""
        return np.array([operator.tail_trace(grid) for operator in self.channels])

    def is_trace_class(self, dim: int) -> bool:
        return all(operator.is_trace_class(dim) for operator in self.channels)

    def pointwise_variance(self, grid: Grid) -> np.ndarray:
        """The variance of each channel at the nodes, ``(channels, *grid.shape)``."""
        return np.stack([operator.pointwise_variance(grid) for operator in self.channels])

    def apply(self, u, grid: Grid, power: float = 1.0, *, threads: int = 1):
        """Apply each channel's operator to that channel of ``u``: ``(..., channels, *shape)``."""
        c = grid.basis.forward(u, threads)
        multiplier = backends.of(c).constant(self.multiplier(grid, power), c)
        return grid.basis.inverse(c * multiplier, threads)

    def summary(self, grid: Grid) -> ChannelSummaries:
        """The certificate of every channel: ``print(C.summary(grid))``."""
        return ChannelSummaries(tuple(operator.summary(grid) for operator in self.channels))

    def sample_coefficients(
        self,
        grid: Grid,
        size: int = 16,
        seed: int = 0,
        first: int = 0,
        channels: int | None = None,
        *,
        purpose: int = noise.FIELD,
        threads: int = 1,
    ) -> np.ndarray:
        """Coefficients of samples ``first .. first+size-1``: ``(size, channels, *basis.shape)``.

        Raises:
            ValueError: ``channels`` is given and is another number than this covariance has.

        Warns:
            TraceClassWarning: where the operator of a channel is not trace class.
        """
        count = len(self.channels)
        if channels not in (None, count):
            raise ValueError(f"this covariance has {count} channels, got channels={channels}")
        for operator in self.channels:
            operator._warn_unless_trace_class(grid)
        key = (grid, seed, purpose, size, first, count)
        return noise.white_coefficients(*key, threads=threads) * self.multiplier(grid, 0.5)

    def sample(
        self,
        grid: Grid,
        size: int = 16,
        seed: int = 0,
        first: int = 0,
        channels: int | None = None,
        *,
        threads: int = 1,
    ) -> np.ndarray:
        """Samples ``first .. first+size-1`` at the nodes, ``(size, channels, *grid.shape)``."""
        c = self.sample_coefficients(grid, size, seed, first, channels, threads=threads)
        return grid.basis.inverse(c, threads, overwrite=True)

    def __add__(self, other) -> ChannelCovariance:
        """Add one operator to every channel, or channel by channel."""
        if isinstance(other, CovarianceOperator):
            return ChannelCovariance(tuple(operator + other for operator in self.channels))
        if isinstance(other, ChannelCovariance) and len(other.channels) == len(self.channels):
            return ChannelCovariance(tuple(a + b for a, b in zip(self.channels, other.channels)))
        return NotImplemented

    __radd__ = __add__

    def __mul__(self, factor: float) -> ChannelCovariance:
        return ChannelCovariance(tuple(factor * operator for operator in self.channels))

    __rmul__ = __mul__

    def __getattr__(self, name: str):
        if hasattr(CovarianceOperator, name) and not name.startswith("_"):
            raise AttributeError(
                f"a covariance of several channels has no {name} of its own: take that of one "
                f"channel, .channels[i].{name}"
            )
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")


@final
@dataclass(frozen=True)
class ChannelSummaries:
    """The summaries of all channels; ``print`` shows one table after another."""

    channels: tuple[CovarianceSummary, ...]

    def as_dict(self) -> dict:
        """Plain numbers for JSON, a list with one entry a channel."""
        return {"channels": [summary.as_dict() for summary in self.channels]}

    def __str__(self) -> str:
        return "\n".join(f"channel {i}: {table}" for i, table in enumerate(self.channels))
