"""Orthonormal Fourier, cosine and sine transforms on cached FFTW plans, any mix of axes.

With ``T`` the orthonormal transform, ``forward`` gives ``scale * T u`` and ``inverse`` gives
``T^-1 c / scale``; per axis ``T`` is

* ``"periodic"``: the discrete Fourier transform; the last periodic axis is halved (``rfft``),
* ``"neumann"``: the DCT-II,
* ``"dirichlet"``: the DST-II, entry ``j`` belonging to the wave number ``j + 1``.

Fields are transformed one at a time, through the plan's own aligned buffers where they are small,
and plans are made without timing (``FFTW_ESTIMATE``). Both are deliberate: the last bit of a result
then depends neither on the batch nor on how busy the machine was when the plan was made.
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
# Fields of more values are transformed in place of the result, to save memory.
_BUFFERED = 2**20
# Values of a block of lines that is brought into the order of memory for a real transform.
_BLOCK = 2**15

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
    coefficients,
    shape: tuple[int, ...],
    boundary: tuple[str, ...],
    scale: float,
    threads: int = 1,
    overwrite: bool = False,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """``T^-1 coefficients / scale`` on a grid of ``shape``; the inverse of `forward`.

    With ``overwrite`` large coefficients may be destroyed, which saves an array. ``out``: where to
    write, contiguous and of the result's shape and precision.
    """
    single = coefficients.dtype in (np.dtype(np.float32), np.dtype(np.complex64))
    plan = _plan(shape, boundary, np.dtype(np.float32 if single else np.float64), threads)
    lead = coefficients.shape[: coefficients.ndim - len(shape)]
    batch = coefficients.reshape(-1, *plan.coefficient_shape)
    if out is None:
        out = np.empty((*lead, *shape), plan.dtype)
    for row, field in zip(batch, out.reshape(-1, *shape)):
        plan.inverse(row, field, scale, overwrite)
    return out


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
        self.shape, self.dtype = shape, dtype
        self.coefficient_shape = coefficient_shape(shape, boundary)
        real = [i for i, kind in enumerate(boundary) if kind != "periodic"]
        # FFTW halves the last axis of the list.
        self.fourier = tuple(i for i, kind in enumerate(boundary) if kind == "periodic")
        self.coefficient_dtype = np.result_type(dtype, np.complex64) if self.fourier else dtype
        self.buffered = math.prod(shape) <= _BUFFERED

        self.to_real = [_Lines(shape, i, _FORWARD[boundary[i]], dtype, threads) for i in real]
        self.from_real = [_Lines(shape, i, _INVERSE[boundary[i]], dtype, threads) for i in real]
        # Planning without timing touches no array: those of large plans never take up memory.
        new = pyfftw.empty_aligned if self.buffered else np.empty
        self.field = new(shape, dtype)
        self.modes = self.field
        if self.fourier:
            flags = ("FFTW_ESTIMATE",) if self.buffered else ("FFTW_ESTIMATE", "FFTW_UNALIGNED")
            options = {"threads": threads, "flags": flags}
            self.modes = new(self.coefficient_shape, self.coefficient_dtype)
            self.to_fourier = pyfftw.FFTW(self.field, self.modes, self.fourier, **options)
            self.from_fourier = pyfftw.FFTW(
                self.modes, self.field, self.fourier, "FFTW_BACKWARD", **options
            )

        # FFTW's transforms are unnormalised: `forward` then `inverse` multiplies by
        # prod N (periodic) and prod 2N (real); the orthonormal one shares the root of it.
        self.root = math.sqrt(
            math.prod((1 if kind == "periodic" else 2) * n for n, kind in zip(shape, boundary))
        )
        # The constant (DCT) and the alternating (DST) mode lack the factor sqrt(2).
        self.edges = [(slice(None),) * i + (0 if boundary[i] == "neumann" else -1,) for i in real]

    def forward(self, field, out, scale):
        if self.buffered:
            work, modes = self.field, self.modes
            work[...] = field
        else:
            modes = out
            work = field if self.fourier else out
            if self.to_real or not work.flags.c_contiguous:
                work = field.copy() if self.fourier else out
                work[...] = field
        for lines in self.to_real:
            lines(work)
        if self.fourier:
            self._execute(self.to_fourier, work, modes)
        np.multiply(modes, scale / self.root, out=out, casting="same_kind")
        for edge in self.edges:
            out[edge] *= math.sqrt(0.5)

    def inverse(self, coefficients, out, scale, overwrite):
        field, modes = (self.field, self.modes) if self.buffered else (out, out)
        if self.fourier and not self.buffered:
            fits = coefficients.flags.c_contiguous and coefficients.dtype == self.coefficient_dtype
            usable = overwrite and fits and coefficients.flags.writeable
            modes = coefficients if usable else np.empty_like(self.modes)
        np.multiply(coefficients, 1.0 / (scale * self.root), out=modes, casting="same_kind")
        for edge in self.edges:
            modes[edge] *= math.sqrt(2.0)
        if self.fourier:
            self._execute(self.from_fourier, modes, field)
        for lines in self.from_real:
            lines(field)
        if self.buffered:
            out[...] = field

    def _execute(self, plan, source, target):
        if self.buffered:
            plan.execute()
            return
        dummies = plan.input_array, plan.output_array
        plan.update_arrays(source, target)
        plan.execute()
        plan.update_arrays(*dummies)  # the plan must not keep the caller's arrays alive


class _Lines:
    """An unnormalised real transform along one axis, in place.

    Lines along another axis than the last are brought together in blocks: FFTW takes four times as
    long over strided real lines as over contiguous ones.
    """

    def __init__(self, shape, axis, kind, dtype, threads):
        self.order = [i for i in range(len(shape)) if i != axis] + [axis]
        moved = [n for i, n in enumerate(shape) if i != axis] + [shape[axis]]
        self.step = 1
        if len(moved) > 1:
            self.step = min(moved[0], max(1, _BLOCK // math.prod(moved[1:])))
            moved[0] = self.step
        self.buffer = pyfftw.zeros_aligned(moved, dtype)
        self.plan = pyfftw.FFTW(
            self.buffer, self.buffer, (-1,), (kind,), threads=threads, flags=("FFTW_ESTIMATE",)
        )

    def __call__(self, values):
        lines = values.transpose(self.order)
        if lines.ndim == 1:
            self.buffer[...] = lines
            self.plan.execute()
            lines[...] = self.buffer
            return
        for start in range(0, len(lines), self.step):
            block = lines[start : start + self.step]
            part = self.buffer[: len(block)]
            part[...] = block
            self.plan.execute()
            block[...] = part
