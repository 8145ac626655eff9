"""Real coordinates of the functions that a grid resolves."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import final

import numpy as np

from fdiff.grid import Grid


@final
@dataclass(frozen=True)
class RealCoordinates:
    """An orthonormal basis of real functions for the retained modes: ``<u, v> = sum a_j b_j``.

    A mode with real coefficients is one coordinate. A pair of complex modes ``k, -k`` is two,
    ``sqrt(2) Re c_k`` (the cosine's) and ``-sqrt(2) Im c_k`` (the sine's), so that in noise with
    ``E |c_k|^2 = 1`` all coordinates are independent and standard normal. Channels follow one
    another.
    """

    grid: Grid
    channels: int | None = None  # None: fields without an axis of channels

    @property
    def lead(self) -> tuple[int, ...]:
        """The axes of a function before those of the basis: ``()`` or ``(channels,)``."""
        return () if self.channels is None else (self.channels,)

    @property
    def size(self) -> int:
        """Number of coordinates."""
        return (self.channels or 1) * (self._own.size + int(self._paired.sum()))

    def of(self, c: np.ndarray) -> np.ndarray:
        """Coordinates ``(..., size)`` of coefficients ``(..., [channels,] *basis.shape)``."""
        own = self._flat(c)[..., self._own]
        parts = [self._scale * own.real]
        if self.grid.basis.is_complex:
            parts.append(-math.sqrt(2.0) * own.imag[..., self._paired])
        return self._joined(np.concatenate(parts, -1))

    def of_variances(self, variance: np.ndarray) -> np.ndarray:
        """``E |c_k|^2`` of independent modes as the variance of each coordinate, ``(size,)``."""
        own = self._flat(np.broadcast_to(variance, (*self.lead, *self.grid.basis.shape)))
        own = own[..., self._own]
        return self._joined(np.concatenate([own, own[..., self._paired]], -1))

    def coefficients(self, a: np.ndarray) -> np.ndarray:
        """The inverse of `of`; modes that are not retained are 0."""
        basis = self.grid.basis
        a = a.reshape(*a.shape[:-1], *self.lead, -1)
        count = self._own.size
        own = a[..., :count] / self._scale
        if basis.is_complex:
            own = own.astype(complex)
            own[..., self._paired] -= 1j * a[..., count:] / math.sqrt(2.0)
        out = np.zeros((*a.shape[:-1], math.prod(basis.shape)), own.dtype)
        # Partners first: a mode that is its own partner is real.
        out[..., self._partner] = own.conj()
        out[..., self._own] = own
        return out.reshape(*a.shape[:-1], *basis.shape)

    def variances(self, variance: np.ndarray) -> np.ndarray:
        """``E |c_k|^2`` of every mode from the variances ``(size,)`` of the coordinates."""
        basis, count = self.grid.basis, self._own.size
        v = variance.reshape(*self.lead, -1)
        own = v[..., :count].copy()
        own[..., self._paired] = (own[..., self._paired] + v[..., count:]) / 2
        out = np.zeros((*self.lead, math.prod(basis.shape)))
        out[..., self._partner] = own
        out[..., self._own] = own
        return out.reshape(*self.lead, *basis.shape)

    def _flat(self, c: np.ndarray) -> np.ndarray:
        return c.reshape(*c.shape[: c.ndim - self.grid.dim], -1)

    def _joined(self, a: np.ndarray) -> np.ndarray:
        """Channels one after another on the last axis."""
        return a.reshape(*a.shape[: a.ndim - len(self.lead) - 1], -1)

    @cached_property
    def _stored(self) -> tuple[np.ndarray, np.ndarray]:
        """Flat indices of the coefficients that own coordinates, and of their complex conjugates.

        Coefficients off the plane ``k = 0`` of the halved axis have no stored conjugate and count
        as their own; of a conjugate pair within the plane the first one owns the coordinates.
        """
        basis = self.grid.basis
        places = np.flatnonzero(basis.retained)
        if not basis.is_complex:
            return places, places
        axes = list(np.unravel_index(places, basis.shape))
        for axis, kind in enumerate(self.grid.boundary):
            if kind == "periodic" and axis != basis.halved_axis:
                axes[axis] = -axes[axis] % basis.shape[axis]
        conjugates = np.ravel_multi_index(axes, basis.shape)
        conjugates = np.where(basis.weights.ravel()[places] == 2, places, conjugates)
        first = places <= conjugates
        return places[first], conjugates[first]

    @property
    def _own(self) -> np.ndarray:
        return self._stored[0]

    @property
    def _partner(self) -> np.ndarray:
        return self._stored[1]

    @cached_property
    def _paired(self) -> np.ndarray:
        """Which of the owners stand for two coordinates."""
        two = self.grid.basis.weights.ravel()[self._own] == 2
        return two | (self._own != self._partner)

    @cached_property
    def _scale(self) -> np.ndarray:
        return np.where(self._paired, math.sqrt(2.0), 1.0)
