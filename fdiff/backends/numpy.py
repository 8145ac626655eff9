"""Array operations on numpy arrays; transforms by FFTW."""

from __future__ import annotations

import math
from contextlib import nullcontext

import numpy as np

exp, log, expm1, log1p, sqrt = np.exp, np.log, np.expm1, np.log1p, np.sqrt
sin, cos, tan, arctan2 = np.sin, np.cos, np.tan, np.arctan2
where, stack, concatenate, zeros_like = np.where, np.stack, np.concatenate, np.zeros_like
logaddexp = np.logaddexp


def forward(u, grid, threads: int = 1) -> np.ndarray:
    """Coefficients of real fields ``(..., *grid.shape)``; see `fdiff.grid.Basis.forward`."""
    from fdiff_kernels import transforms

    if np.iscomplexobj(u):
        raise TypeError("fields are real; got a complex array")
    u = np.asarray(u)
    check_trailing("a field", u.shape, grid.shape)
    if u.dtype != np.float32:
        u = u.astype(np.float64, copy=False)
    return transforms.forward(u, grid.boundary, math.sqrt(grid.cell_volume), threads)


def inverse(
    c, grid, threads: int = 1, overwrite: bool = False, out: np.ndarray | None = None
) -> np.ndarray:
    """Fields of coefficients ``(..., *grid.basis.shape)``; see `fdiff.grid.Basis.inverse`.

    ``out``: a contiguous array of the result's shape and precision to write to.
    """
    from fdiff_kernels import transforms

    c = np.asarray(c)
    check_trailing("an array of coefficients", c.shape, grid.basis.shape)
    if np.iscomplexobj(c) and not grid.basis.is_complex:
        raise TypeError(f"coefficients on boundaries {grid.boundary} are real; got a complex array")
    root = math.sqrt(grid.cell_volume)
    return transforms.inverse(c, grid.shape, grid.boundary, root, threads, overwrite, out)


def constant(array, like):
    """``array`` (numpy) as an array of the kind, device and precision of ``like``.

    A real array stays real, a complex one complex.
    """
    return _cast(np.asarray(array), real_dtype(like))


def _cast(array, real):
    kind = np.result_type(real, np.complex64) if np.iscomplexobj(array) else real
    return array.astype(kind, copy=False)


def lasting():
    """A context in which arrays are made that are kept; see `fdiff.backends.torch.lasting`."""
    return nullcontext()


def device_named(device=None) -> None:
    """Nothing: numpy computes on the CPU.

    Raises:
        ValueError: another device.
    """
    if device is not None and str(device) != "cpu":
        raise ValueError(
            f'backend="numpy" computes on the CPU, not on {str(device)!r}: use backend="torch"'
        )


def from_numpy(array, dtype=None, device=None):
    """A numpy array as an array of this backend; ``dtype`` is the real precision."""
    return np.asarray(array) if dtype is None else _cast(np.asarray(array), np.dtype(dtype))


def to_numpy(array) -> np.ndarray:
    return np.asarray(array)


def real_product(a, b):
    """``Re(conj(a) b)`` per entry."""
    if np.iscomplexobj(a) or np.iscomplexobj(b):
        return a.real * b.real + a.imag * b.imag
    return a * b


def all_finite(array) -> bool:
    return bool(np.isfinite(array).all())


def real(array):
    return array.real


def float64(array):
    """An array in double precision, complex if it was."""
    return array.astype(np.result_type(array.dtype, np.float64), copy=False)


def narrow(array, like):
    """An array in the precision of ``like``, complex if it was."""
    return _cast(array, real_dtype(like))


def interleaved(array):
    """A complex array ``(..., n)`` as reals ``(..., 2 n)``; a real one as it is."""
    return np.ascontiguousarray(array).view(real_dtype(array))


def paired(array):
    """The inverse of `interleaved` for complex arrays."""
    return array.view(np.result_type(array.dtype, np.complex64))


def largest(array):
    """The maximum over the last axis, which stays with length one."""
    return array.max(-1, keepdims=True)


def pad_axes(array, count: int):
    """``array`` with ``count`` axes of length one appended."""
    return np.asarray(array).reshape(np.shape(array) + (1,) * count)


def real_dtype(array):
    """float32 or float64: the real precision of ``array``."""
    return np.zeros(0, array.dtype).real.dtype


def zeros(shape, like):
    """Zeros of the kind, dtype and device of ``like``."""
    return np.zeros(shape, like.dtype)


def check_trailing(what: str, got: tuple[int, ...], expected: tuple[int, ...]) -> None:
    """Raise ValueError unless the shape ``got`` ends in ``expected``."""
    if got[len(got) - len(expected) :] != expected or len(got) < len(expected):
        raise ValueError(f"{what} on this grid ends in axes {expected}, got shape {got}")
