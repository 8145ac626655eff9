"""Orthonormal Fourier, cosine and sine transforms on cached FFTW plans, any mix of axes.

With ``T`` the orthonormal transform, ``forward`` gives ``scale * T u`` and ``inverse`` gives
``T^-1 c / scale``; per axis ``T`` is

* ``"periodic"``: the discrete Fourier transform; the last periodic axis is halved (``rfft``),
* ``"neumann"``: the DCT-II,
* ``"dirichlet"``: the DST-II, entry ``j`` belonging to the wave number ``j + 1``.

Fields are transformed one at a time through the plan's own aligned buffers, and plans are made
without timing (``FFTW_ESTIMATE``). Both are deliberate: the last bit of a result then depends
neither on the batch nor on how busy the machine was when the plan was made.
"""

from __future__ import annotations

import math
import threading
from collections import OrderedDict

import numpy as np
import pyfftw

_FORWARD = {"neumann": "FFTW_REDFT10", "dirichlet": "FFTW_RODFT10"}
_INVERSE = {"neumann": "FFTW_REDFT01", "dirichlet": "FFTW_RODFT01"}
_PLANS_PER_THREAD = 64

# A plan owns its buffers, so it may be used by one thread at a time.
_local = threading.local()


def coefficient_shape(shape: tuple[int, ...], boundary: tuple[str, ...]) -> tuple[int, ...]:
    """Shape of the coefficients: that of the field, the last periodic axis halved."""
    out = list(shape)
    if "periodic" in boundary:
        axis = halved_axis(boundary)
        out[axis] = shape[axis] // 2 + 1
    return tuple(out)


def halved_axis(boundary: tuple[str, ...]) -> int:
    """The last periodic axis, the one of which ``rfft`` keeps half."""
    return len(boundary) - 1 - boundary[::-1].index("periodic")


def forward(values, boundary: tuple[str, ...], scale: float, threads: int = 1) -> np.ndarray:
    """``scale * T values`` over the last ``len(boundary)`` axes; float32 or float64 in."""
    shape = values.shape[-len(boundary) :]
    plan = _plan(shape, boundary, values.dtype, threads)
    lead = values.shape[: values.ndim - len(shape)]
    fields = values.reshape(-1, *shape)
    out = np.empty((fields.shape[0], *plan.coefficient_shape), plan.coefficient_dtype)
    for field, coefficients in zip(fields, out):
        plan.forward(field, coefficients, scale)
    return out.reshape(*lead, *plan.coefficient_shape)


def inverse(
    coefficients, shape: tuple[int, ...], boundary: tuple[str, ...], scale: float, threads: int = 1
) -> np.ndarray:
    """``T^-1 coefficients / scale`` on a grid of ``shape``; the inverse of `forward`."""
    single = coefficients.dtype in (np.dtype(np.float32), np.dtype(np.complex64))
    plan = _plan(shape, boundary, np.dtype(np.float32 if single else np.float64), threads)
    lead = coefficients.shape[: coefficients.ndim - len(shape)]
    batch = coefficients.reshape(-1, *plan.coefficient_shape)
    out = np.empty((batch.shape[0], *shape), plan.dtype)
    for row, field in zip(batch, out):
        plan.inverse(row, field, scale)
    return out.reshape(*lead, *shape)


def _plan(shape, boundary, dtype, threads) -> _Plan:
    cache = getattr(_local, "plans", None)
    if cache is None:
        cache = _local.plans = OrderedDict()
    key = (shape, boundary, np.dtype(dtype).char, threads)
    if key not in cache:
        cache[key] = _Plan(shape, boundary, np.dtype(dtype), threads)
        if len(cache) > _PLANS_PER_THREAD:
            cache.popitem(last=False)
    cache.move_to_end(key)
    return cache[key]


class _Plan:
    """The FFTW plans of one grid shape: real-to-real axes first, then the periodic ones."""

    def __init__(self, shape, boundary, dtype, threads):
        self.dtype = dtype
        self.coefficient_shape = coefficient_shape(shape, boundary)
        real_axes = tuple(i for i, kind in enumerate(boundary) if kind != "periodic")
        # FFTW halves the last axis of the list.
        self.fourier = tuple(i for i, kind in enumerate(boundary) if kind == "periodic")
        self.coefficient_dtype = np.result_type(dtype, np.complex64) if self.fourier else dtype

        self.field = pyfftw.empty_aligned(shape, dtype)
        options = {"threads": threads, "flags": ("FFTW_ESTIMATE",)}
        if real_axes:
            self.middle = pyfftw.empty_aligned(shape, dtype)
            kinds = [boundary[i] for i in real_axes]
            self.to_real = pyfftw.FFTW(
                self.field, self.middle, real_axes, tuple(_FORWARD[k] for k in kinds), **options
            )
            self.from_real = pyfftw.FFTW(
                self.middle, self.field, real_axes, tuple(_INVERSE[k] for k in kinds), **options
            )
        else:
            self.middle = self.field
            self.to_real = self.from_real = None
        if self.fourier:
            self.modes = pyfftw.empty_aligned(self.coefficient_shape, self.coefficient_dtype)
            self.to_fourier = pyfftw.FFTW(self.middle, self.modes, self.fourier, **options)
            self.from_fourier = pyfftw.FFTW(
                self.modes, self.middle, self.fourier, "FFTW_BACKWARD", **options
            )
        else:
            self.modes = self.middle

        # FFTW's transforms are unnormalised: `forward` then `inverse` multiplies by
        # prod N (periodic) and prod 2N (real); the orthonormal one shares the root of it.
        self.root = math.sqrt(
            math.prod((1 if kind == "periodic" else 2) * n for n, kind in zip(shape, boundary))
        )
        # The constant (DCT) and the alternating (DST) mode lack the factor sqrt(2).
        self.edges = tuple(
            (slice(None),) * i + (0 if boundary[i] == "neumann" else -1,) for i in real_axes
        )

    def forward(self, field, out, scale):
        self.field[...] = field
        if self.to_real is not None:
            self.to_real.execute()
        if self.fourier:
            self.to_fourier.execute()
        np.multiply(self.modes, scale / self.root, out=out, casting="same_kind")
        for edge in self.edges:
            out[edge] *= math.sqrt(0.5)

    def inverse(self, coefficients, out, scale):
        np.multiply(coefficients, 1.0 / (scale * self.root), out=self.modes, casting="same_kind")
        for edge in self.edges:
            self.modes[edge] *= math.sqrt(2.0)
        if self.fourier:
            self.from_fourier.execute()
        if self.from_real is not None:
            self.from_real.execute()
        out[...] = self.field
