"""Array operations on torch tensors, differentiable, on any device; transforms by torch.fft."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

import numpy as np
import torch

from fdiff.backends.numpy import check_trailing

exp, log, expm1, log1p, sqrt = torch.exp, torch.log, torch.expm1, torch.log1p, torch.sqrt
sin, cos, tan, arctan2 = torch.sin, torch.cos, torch.tan, torch.arctan2
where, stack, concatenate, zeros_like = torch.where, torch.stack, torch.cat, torch.zeros_like
logaddexp = torch.logaddexp


def lasting():
    """A context in which tensors are made that are kept: outside inference mode, whoever asks.

    Autograd could not save them otherwise.
    """
    return torch.inference_mode(False)


def cached(maxsize: int) -> Callable[[Callable], Callable]:
    """`lru_cache` for functions that make tensors, see `lasting`."""
    return lambda make: lru_cache(maxsize)(lasting()(make))


def forward(u, grid, threads: int = 1) -> torch.Tensor:
    """Coefficients of real fields ``(..., *grid.shape)``; see `fdiff.grid.Basis.forward`."""
    if u.is_complex():
        raise TypeError("fields are real; got a complex tensor")
    check_trailing("a field", tuple(u.shape), grid.shape)
    if u.dtype not in (torch.float32, torch.float64):
        u = u.to(torch.float64)
    c = u
    for axis in _real_axes(grid):
        c = _REAL_FORWARD[grid.boundary[axis]](c, axis - grid.dim)
    fourier = _fourier_axes(grid)
    if fourier:
        c = torch.fft.rfftn(c, dim=fourier, norm="ortho")
    return c * math.sqrt(grid.cell_volume)


def inverse(c, grid, threads: int = 1, overwrite: bool = False) -> torch.Tensor:
    """Fields of coefficients ``(..., *grid.basis.shape)``."""
    check_trailing("an array of coefficients", tuple(c.shape), grid.basis.shape)
    if c.is_complex() and not grid.basis.is_complex:
        raise TypeError(
            f"coefficients on boundaries {grid.boundary} are real; got a complex tensor"
        )
    fourier = _fourier_axes(grid)
    u = c
    if fourier:
        sizes = [grid.shape[axis] for axis in fourier]
        u = torch.fft.irfftn(_hermitian(c, grid), s=sizes, dim=fourier, norm="ortho")
    for axis in _real_axes(grid):
        u = _REAL_INVERSE[grid.boundary[axis]](u, axis - grid.dim)
    return u / math.sqrt(grid.cell_volume)


def constant(array, like):
    """``array`` (numpy) as a tensor of the device and precision of ``like``.

    A real array stays real, a complex one complex.
    """
    return from_numpy(array, real_dtype(like), like.device)


def from_numpy(array, dtype=None, device=None):
    """A numpy array as a tensor; ``dtype`` is the real precision, a torch dtype or its name."""
    array = np.asarray(array)
    # Arrays shared between callers are read-only, which torch cannot express: it gets a copy.
    tensor = torch.from_numpy(array if array.flags.writeable else array.copy())
    if isinstance(dtype, str):
        dtype = getattr(torch, dtype)
    return from_tensor(tensor, dtype, device)


def from_tensor(tensor, dtype=None, device=None):
    """A tensor in the real precision ``dtype`` on ``device``; complex if it was."""
    if dtype is not None and tensor.is_complex():
        dtype = torch.complex64 if dtype == torch.float32 else torch.complex128
    return tensor.to(device=device, dtype=dtype)


def to_numpy(array) -> np.ndarray:
    return array.detach().cpu().numpy()


def device_named(device=None) -> torch.device:
    """The device of a name such as ``"cpu"`` or ``"cuda:1"``; the CPU without one.

    Raises:
        ValueError: no such device, or one that cannot compute here what fdiff needs.
    """
    if device is None:
        return torch.device("cpu")
    try:
        where = torch.device(device)
    except (RuntimeError, TypeError):
        raise ValueError(f'a device is "cpu", "cuda" or "cuda:1", not {device!r}') from None
    if where.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"torch finds no CUDA device for {str(device)!r} here: use cpu")
    fault = _fault(where)
    if isinstance(fault, torch.cuda.OutOfMemoryError):
        raise ValueError(
            f"the memory of the device {str(device)!r} is full: wait, or use cpu"
        ) from fault
    if fault is not None:
        raise ValueError(
            f"torch cannot compute in double precision with FFTs on the device {str(device)!r} "
            "here: use cpu"
        ) from fault
    return where


@lru_cache(maxsize=16)
def _fault(where: torch.device) -> Exception | None:
    """What keeps a device from double precision, complex numbers and FFTs; None where it has them.

    A name says nothing of that: torch knows names of devices that this machine, or this build of
    torch, does not have, and some that have no double precision.
    """
    try:
        u = torch.arange(6, dtype=torch.float64, device=where)
        back = torch.fft.irfft(torch.fft.rfft(u), n=6).cpu()
    except Exception as error:  # whatever the part of torch for a device may raise
        return error.with_traceback(None)
    right = bool((back - torch.arange(6)).abs().max() < 1e-12)
    return None if right else ArithmeticError("its results are wrong")


def zeros(shape, like):
    """Zeros of the kind, dtype and device of ``like``."""
    return torch.zeros(shape, dtype=like.dtype, device=like.device)


def real_product(a, b):
    """``Re(conj(a) b)`` per entry."""
    if a.is_complex() or b.is_complex():
        return (a.conj() * b).real
    return a * b


def all_finite(array) -> bool:
    return bool(torch.isfinite(array).all())


def real(array):
    return array.real if array.is_complex() else array


def float64(array):
    """A tensor in double precision, complex if it was."""
    return array.to(torch.complex128 if array.is_complex() else torch.float64)


def narrow(array, like):
    """A tensor in the precision of ``like``, complex if it was."""
    return from_tensor(array, real_dtype(like))


def interleaved(array):
    """A complex tensor ``(..., n)`` as reals ``(..., 2 n)``; a real one as it is."""
    return torch.view_as_real(array).flatten(-2) if array.is_complex() else array


def paired(array):
    """The inverse of `interleaved` for complex tensors."""
    return torch.view_as_complex(array.unflatten(-1, (-1, 2)).contiguous())


def largest(array):
    """The maximum over the last axis, which stays with length one."""
    return array.amax(-1, keepdim=True)


def pad_axes(array, count: int):
    """``array`` with ``count`` axes of length one appended."""
    return array.reshape(tuple(array.shape) + (1,) * count)


def real_dtype(array):
    """float32 or float64: the real precision of ``array``."""
    return torch.float32 if array.dtype in (torch.float32, torch.complex64) else torch.float64


def _real_axes(grid) -> list[int]:
    return [i for i, kind in enumerate(grid.boundary) if kind != "periodic"]


def _fourier_axes(grid) -> list[int]:
    return [i - grid.dim for i, kind in enumerate(grid.boundary) if kind == "periodic"]


def _hermitian(c, grid):
    """``c``; complex even where the caller's coefficients happen to be real."""
    return c if c.is_complex() else torch.complex(c, torch.zeros_like(c))


@cached(maxsize=64)
def _twiddle(n: int, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    """``e^{-i pi k / 2n}``, ``k = 0..n//2``, times the factor that makes the DCT orthonormal."""
    k = np.arange(n // 2 + 1)
    # k = 0 lacks the factor sqrt(2); its partner n - k does not exist.
    norm = np.sqrt(np.where(k == 0, 1, 2) / n)
    complex_dtype = torch.complex64 if dtype == torch.float32 else torch.complex128
    return torch.from_numpy(norm * np.exp(-0.5j * math.pi * k / n)).to(device, complex_dtype)


def _dct(x, axis):
    """Orthonormal DCT-II by one real FFT of the same length (Makhoul 1980).

    With ``v = (x_0, x_2, ..., x_3, x_1)`` and ``Z_k = e^{-i pi k / 2n} V_k``, the coefficient is
    ``Re Z_k`` at ``k`` and ``-Im Z_k`` at ``n - k``.
    """
    n = x.shape[axis]
    x = x.movedim(axis, -1)
    v = torch.cat([x[..., ::2], x[..., 1::2].flip(-1)], -1)
    z = torch.fft.rfft(v) * _twiddle(n, x.dtype, x.device)
    upper = -z.imag[..., 1 : (n + 1) // 2].flip(-1)
    return torch.cat([z.real, upper], -1).movedim(-1, axis)


def _idct(c, axis):
    """Inverse of `_dct`."""
    n = c.shape[axis]
    c = c.movedim(axis, -1)
    half = n // 2 + 1
    lower = c[..., :half]
    upper = torch.nn.functional.pad(c[..., n - half + 1 :].flip(-1), (1, 0))
    w = _twiddle(n, c.dtype, c.device)
    v = torch.fft.irfft(torch.complex(lower, -upper) / w, n=n)
    # Of each pair k, n - k the real FFT holds both numbers; at k = 0 there is no partner.
    x = torch.empty_like(c)
    x[..., ::2] = v[..., : (n + 1) // 2]
    x[..., 1::2] = v[..., (n + 1) // 2 :].flip(-1)
    return x.movedim(-1, axis)


def _alternate(x, axis):
    sign = torch.ones(x.shape[axis], dtype=x.dtype, device=x.device)
    sign[1::2] = -1
    return x * sign.reshape([-1 if i == axis % x.ndim else 1 for i in range(x.ndim)])


def _dst(x, axis):
    """Orthonormal DST-II: ``sin(pi k (j + 1/2) / n) = (-1)^j cos(pi (n - k)(j + 1/2) / n)``."""
    return _dct(_alternate(x, axis), axis).flip(axis)


def _idst(c, axis):
    """Inverse of `_dst`."""
    return _alternate(_idct(c.flip(axis), axis), axis)


_REAL_FORWARD = {"neumann": _dct, "dirichlet": _dst}
_REAL_INVERSE = {"neumann": _idct, "dirichlet": _idst}
