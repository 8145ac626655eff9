"""Keyed Gaussian noise: the same seed gives the same function on every grid.

A number is a function of (seed, purpose, channel, sample, wave vector, level, time index) and of
nothing else, so it depends on no grid, batch, order of calls or number of threads. The modes that
two grids on one box share are bitwise equal in float64.
"""

from __future__ import annotations

import numbers
from collections.abc import Sequence

import numpy as np

from fdiff import backends
from fdiff.grid import Grid

# What a number is used for. One seed serves all uses, and the uses stay independent.
FIELD = 0  # a field drawn from a covariance operator
START = 1  # the start of a sampler
STEPS = 2  # the steps of a sampler
PERTURBATION = 3  # the forward process
PATHS = 4  # Q-Wiener paths
PDE_INITIAL = 5  # initial data of a partial differential equation
FORCING = 6  # stochastic forcing
TRAINING = 7  # order of the data and times in training
CORRECTOR = 8  # corrector steps

# For `uniforms`: keys that no field uses, the code of the wave number -32768.
APART = 0xFFFF

MAX_WAVENUMBER = 32767
MAX_LEVEL = 2**16 - 1
MAX_INDEX = 2**32

_ONE = ((0, 0, 1.0),)  # the terms of a single draw
_BLOCK_BYTES = 2**19  # coefficients at a time, where there are many samples
_MODES_PER_THREAD = 4096  # below that a thread costs more than it saves


def white_coefficients(
    grid: Grid,
    seed: int,
    purpose: int,
    size: int = 1,
    first: int = 0,
    channels: int | None = None,
    *,
    level: int = 0,
    time: int = 0,
    root: np.ndarray | None = None,
    dtype=np.float64,
    threads: int = 1,
):
    """Independent coefficients with ``E|c_k|^2 = root_k^2`` of samples ``first .. first+size-1``.

    Shape ``(size, *basis.shape)``, or ``(size, channels, *basis.shape)``; no channels means
    channel 0. ``root`` (in the layout of the basis, default 1) is the square root of a
    covariance's eigenvalues. Modes that are not retained are 0. ``dtype`` is the real precision;
    the numbers are computed in float64 and rounded. ``threads`` changes no bit.

    Raises:
        ValueError: an index out of range, or a wave number above 32767.
        TypeError: an index that is not a whole number.
    """
    return combined_coefficients(
        grid, seed, purpose, [(level, time, 1.0)], size, first, channels,
        root=root, dtype=dtype, threads=threads,
    )  # fmt: skip


def combined_coefficients(
    grid: Grid,
    seed: int,
    purpose: int,
    terms: Sequence[tuple[int, int, float]],
    size: int = 1,
    first: int = 0,
    channels: int | None = None,
    *,
    root: np.ndarray | None = None,
    dtype=np.float64,
    threads: int = 1,
) -> np.ndarray:
    """``sum_j weight_j zeta(level_j, time_j)`` for terms ``(level, time, weight)``.

    The coefficients are those of `white_coefficients`; no array is held for any one term.
    """
    basis = grid.basis
    amplitude = _amplitude(grid, root)
    lead = (size,) if channels is None else (size, channels)
    kind = np.result_type(dtype, np.complex64) if basis.is_complex else np.dtype(dtype)
    _check_range("size", size, 0, MAX_INDEX)
    out = np.empty((*lead, *basis.shape), kind)
    _fill(out, None, amplitude, grid, seed, purpose, terms, first, threads)
    return out


def white_fields(
    grid: Grid,
    seed: int,
    purpose: int,
    size: int = 1,
    first: int = 0,
    channels: int | None = None,
    *,
    root: np.ndarray | None = None,
    threads: int = 1,
) -> np.ndarray:
    """The fields of `white_coefficients`, ``(size, [channels,] *grid.shape)``, in float64.

    The coefficients live in a block of a few samples that stays in the cache.
    """
    basis = grid.basis
    amplitude = _amplitude(grid, root)
    _check_range("size", size, 0, MAX_INDEX)
    inner = () if channels is None else (channels,)
    out = np.empty((size, *inner, *grid.shape))
    kind = complex if basis.is_complex else float
    per_sample = 16 * amplitude.size * (channels or 1)
    block = max(1, min(size, _BLOCK_BYTES // per_sample))
    coefficients = np.empty((block, *inner, *basis.shape), kind)
    for start in range(0, size, block):
        part = coefficients[: min(block, size - start)]
        _fill(part, None, amplitude, grid, seed, purpose, _ONE, first + start, threads)
        fields = out[start : start + len(part)]
        backends.of(part).inverse(part, grid, threads, overwrite=True, out=fields)
    return out


def advance(
    c: np.ndarray,
    decay,
    root: np.ndarray,
    grid: Grid,
    seed: int,
    purpose: int,
    first: int = 0,
    *,
    level: int = 0,
    time: int = 0,
    threads: int = 1,
) -> None:
    """``c <- decay c + root zeta`` in place: one exact step of a linear equation, fused.

    ``c``: contiguous ``(samples, [channels,] *basis.shape)``; ``decay``: a number or one per mode.
    """
    decay = np.broadcast_to(np.asarray(decay, dtype=float), grid.basis.shape)
    amplitude = _amplitude(grid, root)
    _fill(c, decay.ravel(), amplitude, grid, seed, purpose, [(level, time, 1.0)], first, threads)


def _fill(out, decay, amplitude, grid: Grid, seed, purpose, terms, first, threads) -> None:
    """``out <- decay out + amplitude sum_j weight_j zeta_j``; ``decay`` None means 0."""
    from fdiff_kernels import philox, policy

    lead = out.shape[: out.ndim - grid.dim]
    size, count = lead[0], lead[1] if len(lead) == 2 else 1
    _check_range("first", first, 0, MAX_INDEX - max(size, 1))
    _check_range("channels", count, 1, MAX_INDEX)
    _check_range("threads", threads, 1, 1024)
    for level, time, _ in terms:
        _check_range("level", level, 0, MAX_LEVEL)
        _check_range("time", time, 0, MAX_INDEX - 1)
    if not out.flags.c_contiguous:
        raise ValueError("noise is written into contiguous arrays; pass a copy")
    key = np.uint64(checked_seed(seed))
    keys = np.array([philox.stream_key(key, purpose, i) for i in range(count)], np.uint32)
    levels, times, weights = zip(*terms) if terms else ((), (), ())
    real = out.view(out.real.dtype).reshape(size, count, amplitude.size, -1)
    arguments = (
        *_lines(grid), np.empty(0) if decay is None else decay, amplitude, keys, np.int64(first),
        np.array(levels, np.uint32), np.array(times, np.uint32), np.array(weights, np.float64),
    )  # fmt: skip
    policy.in_ranges(
        lambda start, stop: philox.gaussian_modes(*arguments, start, stop, real),
        amplitude.size,
        threads,
        least=_MODES_PER_THREAD,
    )


def _amplitude(grid: Grid, root: np.ndarray | None) -> np.ndarray:
    """``root`` as a flat array that is zero on modes not retained."""
    basis = grid.basis
    if root is None:
        return basis.retained.astype(float).ravel()
    root = np.asarray(root, dtype=float)
    if root.shape != basis.shape:
        raise ValueError(f"root needs the layout {basis.shape} of the basis, got {root.shape}")
    if root[~basis.retained].any():
        root = np.where(basis.retained, root, 0.0)
    return np.ascontiguousarray(root).ravel()


def _lines(grid: Grid) -> tuple[np.ndarray, ...]:
    """Wave numbers along three axes (``[0]`` for one that is not there), and which are periodic."""
    basis = grid.basis
    lines = [basis.wavenumbers(axis) for axis in range(grid.dim)]
    if any(k[basis.axis_retained(i)].max(initial=0) > MAX_WAVENUMBER for i, k in enumerate(lines)):
        raise ValueError(
            f"keyed noise has wave numbers up to {MAX_WAVENUMBER}; a grid of shape {grid.shape} "
            "has more: draw on a coarser grid and prolong"
        )
    absent = 3 - grid.dim
    periodic = [kind == "periodic" for kind in grid.boundary] + [False] * absent
    return *lines, *[np.zeros(1, np.int64)] * absent, np.array(periodic, np.int64)


def like(x, grid: Grid, seed: int, purpose: int, first: int = 0, *, root=None, level=0, time=0):
    """Noise coefficients for the coefficients ``x``: same leading axes, kind, device, precision.

    Leading axes of ``x`` are ``()``, ``(samples,)`` or ``(samples, channels)``; the numbers are
    those of samples ``first, first + 1, ...``
    """
    lead = tuple(x.shape)[: x.ndim - grid.dim]
    if len(lead) > 2:
        raise ValueError(
            f"expected (samples, channels, *{grid.basis.shape}) with samples and channels "
            f"optional, got shape {tuple(x.shape)}"
        )
    backend = backends.of(x)
    size = lead[0] if lead else 1
    channels = lead[1] if len(lead) == 2 else None
    noise = white_coefficients(
        grid, seed, purpose, size, first, channels, root=root, level=level, time=time
    )
    real = str(backend.real_dtype(x)).removeprefix("torch.")
    if real == "float32":
        noise = noise.astype(np.complex64 if np.iscomplexobj(noise) else np.float32)
    noise = noise.reshape(*lead, *grid.basis.shape)
    return backend.from_numpy(noise, device=getattr(x, "device", None))


def uniforms(seed: int, purpose: int, size: int, first: int = 0, *, kind: int = 0, time: int = 0):
    """Uniform numbers in (0, 1] of samples ``first .. first+size-1``; ``kind`` tells uses apart."""
    from fdiff_kernels import philox

    out = np.empty(size)
    key = philox.stream_key(np.uint64(checked_seed(seed)), purpose, 0)
    philox.uniforms(key, np.uint32(kind), np.uint32(time), first, out)
    return out


def checked_seed(seed: int) -> int:
    """``seed`` as a Python int in ``0 .. 2^64 - 1``."""
    if isinstance(seed, bool) or not isinstance(seed, numbers.Integral):
        raise TypeError(f"a seed is a whole number in 0 .. 2^64 - 1, got {seed!r}")
    _check_range("seed", int(seed), 0, 2**64 - 1)
    return int(seed)


def _check_range(name: str, value: int, low: int, high: int) -> None:
    if not isinstance(value, numbers.Integral):
        raise TypeError(f"{name} is a whole number, got {value!r}")
    if not low <= value <= high:
        raise ValueError(f"{name} must lie in {low} .. {high}, got {value}")
