"""Channels of different parity: synthesis by a basis and by the conjugates of its functions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product

import numpy as np
import torch
from torch import Tensor

from fdiff.backends.torch import cached
from fdiff.grid import Grid
from fdiff.nn.precision import full_precision
from fdiff.nn.scratch import scratch
from fdiff.nn.spectral import (
    Synthesis,
    _along,
    add_from_modes,
    axis_matrix,
    batch_major,
    from_modes,
    mode_count,
    retained_modes,
    write_modes,
)

Matrices = Sequence[tuple[Tensor, Tensor]]  # of each axis: of its even and of its odd channels


def parities(dim: int) -> list[tuple[int, ...]]:
    """The parities of each group of channels, one number per axis: 1 where the group is built from
    the conjugate basis functions (sine for cosine), 0 where from the basis functions themselves."""
    return list(product((0, 1), repeat=dim))


@full_precision
def from_parities(c: Tensor, grid: Grid, n_modes: tuple[int, ...]) -> Tensor:
    """Nodes ``(batch, *grid.shape, channels)`` of coefficients ``(batch, *modes, channels)``.

    The channels are ``2^dim`` equal groups. Along the odd axes of its group (`parities`) a channel
    is a sum of the basis functions' conjugates: ``sin`` for ``cos``, ``cos`` for ``sin``, and
    ``i sign(k) e_k`` for ``e_k``; what is constant along such an axis has none.
    """
    if grid.basis.is_complex:
        return from_modes(c * _turns(grid, n_modes, c.shape[-1], c.dtype, c.device), grid, n_modes)
    axes = range(grid.dim)[::-1]
    halves = _halves(c, grid, axes, _synthesis(grid, n_modes, c.dtype, c.device))
    return torch.cat(halves, 1 + grid.dim).flatten(1 + grid.dim)


def add_from_parities(u: Tensor, c: Tensor, grid: Grid, n_modes: tuple[int, ...]) -> None:
    """`from_parities` of ``c``, ``(count, batch, channels)``, added to the contiguous ``u``;
    outside autograd."""
    if grid.basis.is_complex:
        turns = _turns(grid, n_modes, c.shape[-1], c.dtype, c.device)
        add_from_modes(u, c * turns.flatten(0, -2)[:, None], grid, n_modes)
    else:
        axes, matrices = range(grid.dim)[::-1], _synthesis(grid, n_modes, c.dtype, c.device)
        modes = batch_major(c, mode_count(grid, n_modes))
        for odd, half in enumerate(_halves(modes, grid, axes, matrices, slots=True)):
            _of_parity(u, grid.dim, 0, odd).add_(half)


def write_parities(out: Tensor, u: Tensor, grid: Grid, n_modes: tuple[int, ...]) -> Tensor:
    """The adjoint of `from_parities`, over `fdiff.nn.spectral.adjoint_weights`, written to ``out``:
    ``(count, batch, channels)``; outside autograd. So `write_modes` is `from_modes`'s.
    """
    if grid.basis.is_complex:
        turns = _turns(grid, n_modes, u.shape[-1], out.dtype, u.device)
        return write_modes(out, u, grid, n_modes).mul_(turns.conj().flatten(0, -2)[:, None])
    axes, matrices = range(grid.dim), _analysis(grid, n_modes, u.dtype, u.device)
    view = batch_major(out, mode_count(grid, n_modes))
    for odd, half in enumerate(_halves(u, grid, axes, matrices, slots=True)):
        _of_parity(view, grid.dim, axes[-1], odd).copy_(half)
    return out


PARITIES = Synthesis(from_parities, add_from_parities, write_parities)


def _of_parity(u: Tensor, dim: int, axis: int, odd: int) -> Tensor:
    """The half of the channels that is even (0) or odd (1) along ``axis``; the last dimension in
    ``dim`` of length 2 or 1 and the channels of a group."""
    return u.unflatten(-1, (*(2,) * dim, -1)).narrow(1 + dim + axis, odd, 1)


def _halves(
    u: Tensor, grid: Grid, axes: Sequence[int], matrices: Matrices, slots: bool = False
) -> list[Tensor]:
    """Products along ``axes`` in turn, of ``u`` ``(batch, *shape, channels)``: the results that are
    even, and those that are odd along the last of ``axes``, as `_of_parity` gives them.

    With ``slots``, for use outside autograd, in scratch memory.
    """
    dim = grid.dim
    halves = [u.unflatten(-1, (*(2,) * dim, -1))]
    before = 0
    for axis in axes:
        place, found = 1 + dim + axis, []
        for odd, matrix in enumerate(matrices[axis]):
            parts = [half.narrow(place, odd, 1) for half in halves]
            # One copy, which the product would otherwise make.
            part = _joined(parts, before, "joined" if slots else "")
            found.append(_along(matrix, part, axis + 1, f"parity {axis} {odd}" if slots else ""))
        halves, before = found, place
    return halves


def _joined(parts: list[Tensor], place: int, slot: str) -> Tensor:
    if not slot:
        return torch.cat(parts, place)
    shape = list(parts[0].shape)
    shape[place] *= len(parts)
    return torch.cat(parts, place, out=scratch(slot, shape, parts[0]))


@cached(maxsize=256)
def _synthesis(grid: Grid, n_modes: tuple[int, ...], dtype, device) -> Matrices:
    return [
        (
            axis_matrix(grid, axis, n, dtype, device),
            conjugate_matrix(grid, axis, n, dtype, device),
        )
        for axis, n in enumerate(n_modes)
    ]


@cached(maxsize=256)
def _analysis(grid: Grid, n_modes: tuple[int, ...], dtype, device) -> Matrices:
    pairs = _synthesis(grid, n_modes, dtype, device)
    return [
        ((even.mT / n).contiguous(), (odd.mT / n).contiguous())
        for (even, odd), n in zip(pairs, grid.shape)
    ]


@cached(maxsize=256)
def conjugate_matrix(grid: Grid, axis: int, n_modes: int, dtype, device) -> Tensor:
    """``(nodes, modes)``: ``sin`` where the basis has ``cos`` and the reverse, mean square one."""
    k = grid.basis.wavenumbers(axis)[retained_modes(grid, axis, n_modes)]
    place = (grid.points(axis) - grid.origin[axis]) / grid.lengths[axis]
    angle = math.pi * np.outer(place, k)
    values = np.sin(angle) if grid.boundary[axis] == "neumann" else np.cos(angle)
    return torch.from_numpy(math.sqrt(2.0) * values).to(device, dtype)


@cached(maxsize=64)
def _turns(grid: Grid, n_modes: tuple[int, ...], channels: int, dtype, device) -> Tensor:
    """``prod i sign(k)`` over the odd axes of each channel, ``(*modes, channels)``."""
    lines = [
        1j * np.sign(grid.basis.wavenumbers(axis)[retained_modes(grid, axis, n)])
        for axis, n in enumerate(n_modes)
    ]
    groups = []
    for parity in parities(grid.dim):
        factors = [line if odd else np.ones(len(line)) for line, odd in zip(lines, parity)]
        groups.append(math.prod(np.meshgrid(*factors, indexing="ij")))
    turns = np.repeat(np.stack(groups, -1), channels // len(groups), -1)
    return torch.from_numpy(turns.astype(complex)).to(device, dtype)
