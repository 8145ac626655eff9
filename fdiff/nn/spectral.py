"""Spectral layers in the grid's own basis: transform, mix the channels mode by mode, back.

Fields are channels last here, ``(batch, *shape, channels)``, so that a truncated transform is one
real matrix product an axis. For many modes on large grids FFTs win; `uses_matrices` picks.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import final

import numpy as np
import torch
from torch import Tensor, nn

from fdiff import backends
from fdiff.grid import Grid

# Measured on a CPU core at 64² to 256² nodes. On real axes, which an FFT must reorder, products win
# up to this many modes; on a periodic axis while the modes are fewer than this share of the nodes.
REAL_LIMIT, PERIODIC_SHARE = 256, 0.45


def retained_modes(grid: Grid, axis: int, n_modes: int) -> np.ndarray:
    """Positions in ``grid.basis`` along ``axis`` of the modes that a grid of ``n_modes`` nodes
    retains; ascending, so a periodic axis in FFT order has ``0, 1, .., -2, -1``."""
    k = np.abs(grid.basis.wavenumbers(axis))
    inside = 2 * k < n_modes if grid.boundary[axis] == "periodic" else k < n_modes
    return np.flatnonzero(inside)


def mode_count(box: Grid, n_modes: tuple[int, ...]) -> tuple[int, ...]:
    """Stored modes per axis (half of a periodic axis where the field is real)."""
    small = box.with_shape(n_modes)
    return tuple(len(retained_modes(small, axis, n)) for axis, n in enumerate(n_modes))


def check_modes(grid: Grid, n_modes: tuple[int, ...]) -> None:
    """Raise ValueError where the network has more modes than ``grid``."""
    if any(n > m for n, m in zip(n_modes, grid.shape)):
        raise ValueError(
            f"n_modes {n_modes} are more than a grid of shape {grid.shape} has: use a grid of at "
            f"least that many nodes, or a network with n_modes <= {min(grid.shape)}"
        )


def uses_matrices(grid: Grid, n_modes: tuple[int, ...]) -> bool:
    """Whether the truncated transform is cheaper as matrix products than as FFTs."""
    return all(
        n <= (PERIODIC_SHARE * nodes if kind == "periodic" else REAL_LIMIT)
        for n, nodes, kind in zip(n_modes, grid.shape, grid.boundary)
    )


def to_modes(u: Tensor, grid: Grid, n_modes: tuple[int, ...], matrices: bool | None = None):
    """Coefficients ``(batch, *modes, channels)`` of ``u``: ``(batch, *grid.shape, channels)``.

    Against the basis scaled to mean square one, so that they do not depend on the box's volume:
    ``c_k = mean_j u_j conj(e_k(x_j))`` with ``e_0 = 1``. Complex where an axis is periodic.
    """
    check_modes(grid, n_modes)
    if uses_matrices(grid, n_modes) if matrices is None else matrices:
        return _to_modes_by_matrices(u, grid, n_modes)
    c = grid.basis.forward(u.movedim(-1, 1)) / math.sqrt(grid.volume)
    for axis, kept in enumerate(_positions(grid, n_modes, u.device)):
        c = c.index_select(2 + axis, kept)
    return c.movedim(1, -1)


def from_modes(c: Tensor, grid: Grid, n_modes: tuple[int, ...], matrices: bool | None = None):
    """Nodes ``(batch, *grid.shape, channels)`` of coefficients as `to_modes` gives them."""
    if uses_matrices(grid, n_modes) if matrices is None else matrices:
        return _from_modes_by_matrices(c, grid, n_modes)
    c = c.movedim(-1, 1) * math.sqrt(grid.volume)
    for axis, kept in enumerate(_positions(grid, n_modes, c.device)):
        shape = list(c.shape)
        shape[2 + axis] = grid.basis.shape[axis]
        c = c.new_zeros(shape).index_copy(2 + axis, kept, c)
    return grid.basis.inverse(c).movedim(1, -1)


@lru_cache(maxsize=256)
def _positions(grid: Grid, n_modes: tuple[int, ...], device) -> tuple[Tensor, ...]:
    return tuple(
        torch.from_numpy(retained_modes(grid, axis, n)).to(device) for axis, n in enumerate(n_modes)
    )


@lru_cache(maxsize=256)
def axis_matrix(grid: Grid, axis: int, n_modes: int, dtype, device, derivative: bool = False):
    """``e_k(x_j)`` of one axis, shape ``(nodes, modes)``, mean square one; complex if periodic.

    ``derivative`` gives ``e_k'(x_j)``, in units of 1/length. ``dtype`` is the real precision.
    """
    kind = grid.boundary[axis]
    k = grid.basis.wavenumbers(axis)[retained_modes(grid, axis, n_modes)]
    turn = 2.0 if kind == "periodic" else 1.0
    rate = turn * math.pi * k / grid.lengths[axis]
    angle = np.outer(grid.points(axis) - grid.origin[axis], rate)
    if kind == "periodic":
        values = np.exp(1j * angle) * (1j * rate if derivative else 1.0)
        complex_dtype = torch.complex64 if dtype == torch.float32 else torch.complex128
        return torch.from_numpy(values).to(device, complex_dtype)
    norm = np.where(k == 0, 1.0, math.sqrt(2.0))
    even, odd = np.cos(angle), np.sin(angle)
    if kind == "neumann":
        values = -rate * odd if derivative else even
    else:
        values = rate * even if derivative else odd
    return torch.from_numpy(norm * values).to(device, dtype)


def _along(matrix: Tensor, u: Tensor, axis: int) -> Tensor:
    """``matrix`` (out, in) applied to axis ``axis`` of ``u`` as one batched product."""
    lead, rest = u.shape[:axis], u.shape[axis + 1 :]
    if u.is_complex() and not matrix.is_complex():
        real = torch.view_as_real(u)
        return torch.view_as_complex(_along(matrix, real, axis).contiguous())
    flat = u.reshape(math.prod(lead), u.shape[axis], math.prod(rest))
    return torch.matmul(matrix, flat).reshape(*lead, matrix.shape[0], *rest)


def _order(grid: Grid) -> list[int]:
    """Axes in the order of the forward products: the halved one first, while the field is real."""
    halved = grid.basis.halved_axis
    rest = [axis for axis in range(grid.dim) if axis != halved]
    return rest if halved is None else [halved, *rest]


def _to_modes_by_matrices(u: Tensor, grid: Grid, n_modes: tuple[int, ...]) -> Tensor:
    dtype = backends.of(u).real_dtype(u)
    for axis in _order(grid):
        values = axis_matrix(grid, axis, n_modes[axis], dtype, u.device)
        matrix = values.conj().mT / grid.shape[axis]
        if axis == grid.basis.halved_axis:
            both = _along(torch.cat([matrix.real, matrix.imag]), u, axis + 1)
            u = torch.complex(*both.chunk(2, axis + 1))
        else:
            u = _along(matrix, u, axis + 1)
    return u


def _from_modes_by_matrices(
    c: Tensor, grid: Grid, n_modes: tuple[int, ...], derivative: int | None = None
) -> Tensor:
    dtype = backends.of(c).real_dtype(c)
    for axis in reversed(_order(grid)):
        matrix = axis_matrix(grid, axis, n_modes[axis], dtype, c.device, axis == derivative)
        if axis == grid.basis.halved_axis:
            # The modes k > 0 stand for +k and -k: u = Re sum omega c e.
            omega = torch.full((matrix.shape[1],), 2.0, dtype=dtype, device=c.device)
            omega[0] = 1.0
            pair = torch.cat([omega * matrix.real, -omega * matrix.imag], 1)
            c = _along(pair, torch.cat([c.real, c.imag], axis + 1), axis + 1)
        else:
            c = _along(matrix, c, axis + 1)
    return c


def frequencies(box: Grid, n_modes: tuple[int, ...]) -> np.ndarray:
    """``|k|`` of the stored modes, shape ``modes``, in units of ``pi / (longest side)``."""
    small = box.with_shape(n_modes)
    lines = [
        small.basis.axis_laplacian(axis)[retained_modes(small, axis, n)]
        for axis, n in enumerate(n_modes)
    ]
    mu = sum(np.meshgrid(*lines, indexing="ij", sparse=True))
    return np.sqrt(mu) * max(box.lengths) / math.pi


class SpectralMixing(nn.Module):
    """``y_k = W(k) c_k`` on coefficients: a translation-invariant operator between channels.

    Given weights indexed by wave number, not by position in an array: every grid that has the
    modes sees the same operator.
    """

    def __init__(self, box: Grid, in_channels: int, out_channels: int, n_modes: tuple[int, ...]):
        super().__init__()
        self.n_modes = n_modes
        self.in_channels, self.out_channels = in_channels, out_channels
        self.modes = mode_count(box, n_modes)
        self.is_complex = box.basis.is_complex

    def weight(self) -> Tensor:
        """``(modes, in, out)``"""
        raise NotImplementedError

    def forward(self, c: Tensor) -> Tensor:
        batch, count = c.shape[0], math.prod(self.modes)
        weight = self.weight()
        c = c.reshape(batch, count, self.in_channels).transpose(0, 1)
        if c.is_complex() and not weight.is_complex():
            parts = torch.bmm(torch.cat([c.real, c.imag], 1), weight)
            y = torch.complex(*parts.chunk(2, 1))
        else:
            y = torch.bmm(c, weight)
        return y.transpose(0, 1).reshape(batch, *self.modes, self.out_channels)


@final
class FullMixing(SpectralMixing):
    """One matrix a mode, as in the textbook operator: complex where the basis is.

    Li et al. (2021), Fourier neural operator for parametric PDEs, https://arxiv.org/abs/2010.08895
    """

    def __init__(self, box: Grid, in_channels: int, out_channels: int, n_modes, generator=None):
        super().__init__(box, in_channels, out_channels, n_modes)
        parts = (2,) if self.is_complex else ()
        shape = (math.prod(self.modes), in_channels, out_channels, *parts)
        # A pair (real, imaginary) is kept real, so that .double() and optimisers treat it as such.
        scale = 0.5 / math.sqrt(in_channels * (2 if self.is_complex else 1))
        self.entries = nn.Parameter(scale * torch.randn(shape, generator=generator))

    def weight(self) -> Tensor:
        return torch.view_as_complex(self.entries) if self.is_complex else self.entries


@final
class RadialMixing(SpectralMixing):
    """``W(k) = sum_r phi_r(|k|) A_r``: real matrices ``A_r`` on hat functions of ``|k|``.

    An isotropic convolution: it commutes with the reflections and transpositions of the box, and
    has a hundred times fewer weights than `FullMixing`. The hats' centres are denser at low
    frequencies (uniform in ``log(1 + |k|/2)``).
    """

    hats: Tensor

    def __init__(
        self, box: Grid, in_channels: int, out_channels: int, n_modes, n_radial=12, generator=None
    ):
        super().__init__(box, in_channels, out_channels, n_modes)
        self.register_buffer("hats", _hats(frequencies(box, n_modes), n_radial), persistent=False)
        scale = 0.5 / math.sqrt(in_channels)
        shape = (n_radial, in_channels, out_channels)
        self.entries = nn.Parameter(scale * torch.randn(shape, generator=generator))

    def weight(self) -> Tensor:
        count = self.entries.shape[0]
        flat = self.hats.to(self.entries.dtype) @ self.entries.reshape(count, -1)
        return flat.reshape(-1, self.in_channels, self.out_channels)


def _hats(frequency: np.ndarray, count: int) -> Tensor:
    """Values of ``count`` hat functions at ``frequency``, shape ``(modes, count)``; sum 1."""
    place = np.log1p(frequency.ravel() / 2)
    place = np.minimum(place / max(np.log1p(frequency.max(initial=0) / 2), 1e-12), 1.0)
    hats = np.maximum(0.0, 1.0 - np.abs(place[:, None] * (count - 1) - np.arange(count)))
    return torch.from_numpy(hats).float()
