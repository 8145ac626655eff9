"""Spectral blocks and the projection behind them with their backward passes written out.

Autograd would keep a tensor for each operation and allocate the next, and fresh pages of memory cost
more than the products. Here a step keeps what it needs, works in place, and goes through a batch in
pieces, so that what passes from one operation to the next stays in the cache.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import final

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import silu

from fdiff.grid import Grid
from fdiff.nn.spectral import (
    add_from_modes,
    adjoint_weights,
    batch_major,
    mix,
    mix_gradient,
    mode_count,
    mode_major,
    to_modes,
)

# Numbers in a piece of a field with all its channels: on a CPU a few such tensors fit its caches.
PIECE = {"cpu": 2**18}
LARGE_PIECE = 2**26


def piece_size(grid: Grid, channels: int, device: torch.device) -> int:
    """Samples that go through the layers together."""
    return max(1, PIECE.get(device.type, LARGE_PIECE) // (grid.size * channels))


def _blocks(weights: tuple[Tensor, ...]) -> Iterator[tuple[Tensor, ...]]:
    return zip(*[iter(weights)] * 4)


@final
class SpectralStack(torch.autograd.Function):
    """``x <- x + silu(scale h + shift)`` with ``h = K x + P x`` for each block in turn.

    ``x``: ``(batch, *grid.shape, channels)``; then, for each block, the mixing ``W`` of
    ``K = from_modes W to_modes``: ``(count, in, out)``, the pointwise ``P``: ``(out, in)``, and
    ``scale``, ``shift``: ``(batch, 1, .., channels)``.

    Kept for the backward pass: of each block ``h`` and the modes of ``x``, and the last ``x``, from
    which the earlier ones follow by subtraction.
    """

    @staticmethod
    def forward(ctx, grid: Grid, n_modes: tuple[int, ...], x: Tensor, *weights: Tensor) -> Tensor:
        modes, kept = mode_count(grid, n_modes), []
        x = x.contiguous()
        for mixing, pointwise, scale, shift in _blocks(weights):
            c = mode_major(to_modes(x, grid, n_modes))
            h = torch.mm(x.flatten(0, -2), pointwise.t()).view_as(x)
            add_from_modes(h, batch_major(mix(c, mixing), modes), grid, n_modes)
            kept += [c, h]
            x = silu(torch.addcmul(shift, h, scale), inplace=True).add_(x)
        ctx.grid, ctx.n_modes = grid, n_modes
        ctx.save_for_backward(x, *kept, *weights)
        return x

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: Tensor):
        x, *saved = ctx.saved_tensors
        grid, n_modes = ctx.grid, ctx.n_modes
        modes, nodes = mode_count(grid, n_modes), tuple(range(1, x.ndim - 1))
        count = len(saved) // 3
        kept, weights = saved[:count], saved[count:]
        adjoint = adjoint_weights(grid, n_modes, x.dtype, x.device)
        of_weights = []
        for i, block in reversed(list(enumerate(_blocks(weights)))):
            mixing, pointwise, scale, shift = block
            c, h = kept[2 * i : 2 * i + 2]
            argument = torch.addcmul(shift, h, scale)
            inner = torch.ops.aten.silu_backward(gradient, argument)
            x = x - silu(argument, inplace=True)
            of_shift = inner.sum(nodes, keepdim=True)
            of_scale = torch.mul(inner, h, out=argument).sum(nodes, keepdim=True)
            inner.mul_(scale)
            flat = inner.flatten(0, -2)
            of_pointwise = torch.mm(flat.t(), x.flatten(0, -2))
            gradient = torch.addmm(gradient.flatten(0, -2), flat, pointwise).view_as(x)
            e = mode_major(to_modes(inner, grid, n_modes))
            of_mixing = mix_gradient(c, adjoint * e, mixing)
            add_from_modes(gradient, batch_major(mix(e, mixing.mH), modes), grid, n_modes)
            of_weights = [of_mixing, of_pointwise, of_scale, of_shift, *of_weights]
        return None, None, gradient, *of_weights


@final
class Projection(torch.autograd.Function):
    """``W_2 silu(W_1 x + b_1) + b_2`` at every node; the hidden layer is computed again backward."""

    @staticmethod
    def forward(ctx, x: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor) -> Tensor:
        ctx.save_for_backward(x, w1, b1, w2)
        hidden = torch.addmm(b1, x.flatten(0, -2), w1.t())
        return torch.addmm(b2, silu(hidden, inplace=True), w2.t()).view(*x.shape[:-1], -1)

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: Tensor):
        x, w1, b1, w2 = ctx.saved_tensors
        rows, gradient = x.flatten(0, -2), gradient.flatten(0, -2)
        hidden = torch.addmm(b1, rows, w1.t())
        inner = torch.ops.aten.silu_backward(torch.mm(gradient, w2), hidden)
        of_w2 = torch.mm(gradient.t(), silu(hidden, inplace=True))
        of_w1 = torch.mm(inner.t(), rows)
        of_x = torch.mm(inner, w1).view_as(x)
        return of_x, of_w1, inner.sum(0), of_w2, gradient.sum(0)
