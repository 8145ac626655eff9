"""Spectral layers in the grid's own basis: transform, mix the channels mode by mode, back.

Fields are channels last here, ``(batch, *shape, channels)``, so that a truncated transform is one
real matrix product an axis. For many modes on large grids FFTs win; `uses_matrices` picks.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import final

import numpy as np
import torch
from torch import Tensor, nn

from fdiff import backends
from fdiff.backends.torch import cached
from fdiff.grid import Grid
from fdiff.nn.precision import full_precision
from fdiff.nn.scratch import room, scratch

# As `python -m benchmarks.crossing` measures on a CPU. On real axes, which an FFT must reorder,
# products win up to so many modes; on a periodic axis up to so many, or this share of its nodes.
REAL_LIMIT, PERIODIC_LIMIT, PERIODIC_SHARE = 512, 32, 0.45


def retained_modes(grid: Grid, axis: int, n_modes: int) -> np.ndarray:
    """Positions in ``grid.basis`` along ``axis`` of the modes that a grid of ``n_modes`` nodes
    retains; ascending, so a periodic axis in FFT order has ``0, 1, .., -2, -1``."""
    k = np.abs(grid.basis.wavenumbers(axis))
    inside = 2 * k < n_modes if grid.boundary[axis] == "periodic" else k < n_modes
    return np.flatnonzero(inside)


@lru_cache(maxsize=256)
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
        n <= (max(PERIODIC_LIMIT, PERIODIC_SHARE * nodes) if kind == "periodic" else REAL_LIMIT)
        for n, nodes, kind in zip(n_modes, grid.shape, grid.boundary)
    )


@full_precision
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


@full_precision
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


@cached(maxsize=256)
def _positions(grid: Grid, n_modes: tuple[int, ...], device) -> tuple[Tensor, ...]:
    return tuple(
        torch.from_numpy(retained_modes(grid, axis, n)).to(device) for axis, n in enumerate(n_modes)
    )


@cached(maxsize=256)
def axis_matrix(grid: Grid, axis: int, n_modes: int, dtype, device) -> Tensor:
    """``e_k(x_j)`` of one axis, shape ``(nodes, modes)``, mean square one; complex if periodic.

    ``dtype`` is the real precision.
    """
    kind = grid.boundary[axis]
    k = grid.basis.wavenumbers(axis)[retained_modes(grid, axis, n_modes)]
    turn = 2.0 if kind == "periodic" else 1.0
    rate = turn * math.pi * k / grid.lengths[axis]
    angle = np.outer(grid.points(axis) - grid.origin[axis], rate)
    if kind == "periodic":
        complex_dtype = torch.complex64 if dtype == torch.float32 else torch.complex128
        return torch.from_numpy(np.exp(1j * angle)).to(device, complex_dtype)
    norm = np.where(k == 0, 1.0, math.sqrt(2.0))
    values = np.cos(angle) if kind == "neumann" else np.sin(angle)
    return torch.from_numpy(norm * values).to(device, dtype)


@cached(maxsize=256)
def _products(grid: Grid, n_modes: tuple[int, ...], dtype, device):
    """``(axis, forward matrix, inverse matrix)`` in the order of the forward products: the halved
    axis first, while the field is real; its matrices are real and act on ``(Re, Im)`` stacked."""
    halved = grid.basis.halved_axis
    rest = [axis for axis in range(grid.dim) if axis != halved]
    products = []
    for axis in rest if halved is None else [halved, *rest]:
        inverse = axis_matrix(grid, axis, n_modes[axis], dtype, device)
        forward = inverse.mH / grid.shape[axis]
        if axis == halved:
            forward = torch.cat([forward.real, forward.imag])
            # The modes k > 0 stand for +k and -k: u = Re sum omega c e.
            omega = torch.full((inverse.shape[1],), 2.0, dtype=dtype, device=device)
            omega[0] = 1.0
            inverse = torch.cat([omega * inverse.real, -omega * inverse.imag], 1)
        products.append((axis, forward.contiguous(), inverse.contiguous()))
    return products


def _along(matrix: Tensor, u: Tensor, axis: int, slot: str = "", add_to: Tensor | None = None):
    """``matrix`` (out, in) applied to axis ``axis`` of ``u`` as one batched product.

    Outside autograd the result may be in scratch memory, ``slot``, or be added to ``add_to``.
    """
    lead, rest = u.shape[:axis], u.shape[axis + 1 :]
    if u.is_complex() and not matrix.is_complex():
        real = torch.view_as_real(u)
        return torch.view_as_complex(_along(matrix, real, axis).contiguous())
    flat = u.reshape(math.prod(lead), u.shape[axis], math.prod(rest))
    shape = (len(flat), matrix.shape[0], flat.shape[2])
    # Expanded by hand: torch.matmul would fold the batch into one product and copy ``u`` for it.
    matrices = matrix.expand(len(flat), *matrix.shape)
    if add_to is not None:
        return torch.baddbmm(add_to.view(shape), matrices, flat, out=add_to.view(shape))
    out = scratch(slot, shape, flat) if slot else None
    return torch.bmm(matrices, flat, out=out).reshape(*lead, matrix.shape[0], *rest)


def _to_modes_by_matrices(
    u: Tensor, grid: Grid, n_modes: tuple[int, ...], slots: bool = False
) -> Tensor:
    for axis, forward, _ in _products(grid, n_modes, backends.of(u).real_dtype(u), u.device):
        u = _along(forward, u, axis + 1, f"axis {axis}" if slots else "")
        if axis == grid.basis.halved_axis:
            u = torch.complex(*u.chunk(2, axis + 1))
    return u


def _from_modes_by_matrices(
    c: Tensor, grid: Grid, n_modes: tuple[int, ...], add_to: Tensor | None = None
) -> Tensor:
    products = _products(grid, n_modes, backends.of(c).real_dtype(c), c.device)
    for axis, _, inverse in reversed(products):
        if axis == grid.basis.halved_axis:
            c = torch.cat([c.real, c.imag], axis + 1)
        last = axis == products[0][0]
        slot = "" if add_to is None else f"axis {axis}"
        c = _along(inverse, c, axis + 1, slot, add_to if last else None)
    return c


def write_modes(out: Tensor, u: Tensor, grid: Grid, n_modes: tuple[int, ...]) -> Tensor:
    """`to_modes` of ``u`` written to ``out``: ``(count, batch, channels)``; outside autograd."""
    if uses_matrices(grid, n_modes):
        c = _to_modes_by_matrices(u, grid, n_modes, slots=True)
    else:
        c = to_modes(u, grid, n_modes, matrices=False)
    return out.copy_(c.flatten(1, -2).transpose(0, 1))


def add_from_modes(u: Tensor, c: Tensor, grid: Grid, n_modes: tuple[int, ...]) -> None:
    """`from_modes` of ``c``, ``(count, batch, channels)``, added to the contiguous ``u``; outside
    autograd."""
    shape = (c.shape[1], *mode_count(grid, n_modes), c.shape[2])
    ordered = scratch("ordered", shape, c)
    ordered.flatten(1, -2).copy_(c.transpose(0, 1))
    if uses_matrices(grid, n_modes):
        _from_modes_by_matrices(ordered, grid, n_modes, add_to=u)
    else:
        u.add_(from_modes(ordered, grid, n_modes, matrices=False))


@dataclass(frozen=True)
class Synthesis:
    """A linear map S from coefficients to nodes, as `from_modes`, in the forms that layers need."""

    nodes: Callable[..., Tensor]  # (c, grid, n_modes) -> S c; shapes of `from_modes`
    add: Callable[..., None]  # (u, c, grid, n_modes): adds S c; shapes of `add_from_modes`
    # (out, u, grid, n_modes) -> out: the adjoint of S over `adjoint_weights`, as `write_modes`
    write_adjoint: Callable[..., Tensor]


MODES = Synthesis(from_modes, add_from_modes, write_modes)


@cached(maxsize=256)
def adjoint_weights(grid: Grid, n_modes: tuple[int, ...], dtype, device) -> Tensor:
    """``N omega_k``, shape ``(count, 1, 1)``: the adjoint of `from_modes` is `to_modes` times it.

    N nodes; ``omega_k = 2`` where a stored mode stands for ``+k`` and ``-k``. So the adjoint of
    `from_modes` after a mixing ``W`` after `to_modes` is the same with ``W^H``.
    """
    count = mode_count(grid, n_modes)
    omega = torch.ones(count, dtype=dtype, device=device)
    if grid.basis.halved_axis is not None:
        omega.movedim(grid.basis.halved_axis, 0)[1:] = 2.0
    return (omega * grid.size).reshape(-1, 1, 1)


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
        """Both ``(batch, *modes, channels)``."""
        return batch_major(mix(mode_major(c), self.weight()), self.modes)


def mode_major(c: Tensor) -> Tensor:
    """``(batch, *modes, channels)`` as ``(count, batch, channels)``, which products want."""
    return c.flatten(1, -2).transpose(0, 1).contiguous()


def batch_major(c: Tensor, modes: tuple[int, ...]) -> Tensor:
    """The inverse of `mode_major`."""
    return c.transpose(0, 1).unflatten(1, modes)


def mix(c: Tensor, weight: Tensor, out: Tensor | None = None) -> Tensor:
    """``c_k W(k)``: ``(count, batch, in)`` times ``(count, in, out)``."""
    if c.is_complex() and not weight.is_complex():
        # There is no complex bfloat16, which an autocast may have made of the product.
        return torch.complex(*torch.bmm(_parts(c), weight).to(c.real.dtype).chunk(2, 1), out=out)
    return torch.bmm(c, weight, out=out)


def mix_gradient(c: Tensor, gradient: Tensor, weight: Tensor) -> Tensor:
    """Gradient of ``weight`` from that of ``mix(c, weight)``; outside autograd."""
    out = room(weight.shape, weight)
    if c.is_complex() and not weight.is_complex():
        return torch.bmm(_parts(c).mT, _parts(gradient), out=out)
    return torch.bmm(c.mH, gradient, out=out)


def _parts(c: Tensor) -> Tensor:
    return torch.cat([c.real, c.imag], 1)


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
