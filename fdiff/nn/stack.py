"""Spectral blocks and the projection behind them with their passes written out.

Autograd would keep a tensor for each operation and allocate the next. Here a batch goes through in
pieces, so that what passes from one operation to the next stays in the cache, and all but what the
backward pass needs is scratch memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import wraps
from typing import final

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import silu

from fdiff.grid import Grid
from fdiff.nn.scratch import LARGEST, room, scratch
from fdiff.nn.spectral import (
    Synthesis,
    add_from_modes,
    adjoint_weights,
    mix,
    mix_gradient,
    write_modes,
)

# Numbers in a piece of a field with all its channels, for each thread of a CPU: a few tensors of
# 2 MiB stay in its cache together, and are long beside the start of an operation.
PIECE = 2**19
LARGE_PIECE = 2**26  # on other devices


def piece_size(grid: Grid, channels: int, device: torch.device) -> int:
    """Samples that go through the layers together."""
    numbers = LARGE_PIECE
    if device.type == "cpu":
        numbers = min(PIECE * torch.get_num_threads(), LARGEST // 2)
    return max(1, numbers // (grid.size * channels))


def first_order(backward: Callable) -> Callable:
    """`once_differentiable` that refuses second derivatives in saved tensors too.

    That one refuses them only where the incoming gradient depends on something; else what the
    backward pass makes of the weights and of ``x`` would silently count as constant.
    """

    @wraps(backward)
    def checked(ctx, gradient: Tensor):
        if torch.is_grad_enabled() and not gradient.requires_grad:
            gradient = gradient.detach().requires_grad_()
        return once_differentiable(backward)(ctx, gradient)

    return checked


def _blocks(weights: tuple[Tensor, ...]) -> Iterator[tuple[Tensor, ...]]:
    return zip(*[iter(weights)] * 4)


def block(
    x: Tensor, grid: Grid, n_modes, synthesis: Synthesis, weights, c: Tensor, h: Tensor, out: Tensor
) -> Tensor:
    """``x + silu(scale h + shift)``, ``h = K x + P x``; fills ``c`` (the modes of x) and ``h``."""
    mixing, pointwise, scale, shift = weights
    write_modes(c, x, grid, n_modes)
    torch.mm(x.flatten(0, -2), pointwise.t(), out=h.flatten(0, -2))
    mixed = mix(c, mixing, scratch("mixed", (*c.shape[:2], mixing.shape[2]), c))
    synthesis.add(h, mixed, grid, n_modes)
    argument = torch.addcmul(shift, h, scale, out=scratch("argument", h.shape, h))
    return torch.add(x, silu(argument, inplace=True), out=out)


def run_in_place(
    x: Tensor, grid: Grid, n_modes: tuple[int, ...], synthesis: Synthesis, *weights: Tensor
) -> Tensor:
    """`SpectralStack` outside autograd: ``x`` is contiguous and is used up."""
    adjoint = adjoint_weights(grid, n_modes, x.dtype, x.device)
    like = x.new_empty(0, dtype=x.dtype.to_complex()) if grid.basis.is_complex else x
    for entries in _blocks(weights):
        c = scratch("modes", (len(adjoint), len(x), x.shape[-1]), like)
        x = block(x, grid, n_modes, synthesis, entries, c, scratch("h", x.shape, x), x)
    return x


@final
class SpectralStack(torch.autograd.Function):
    """``x <- x + silu(scale h + shift)`` with ``h = K x + P x`` for each block in turn.

    ``x``: ``(batch, *grid.shape, channels)``; then, for each block, the mixing ``W`` of
    ``K = S W to_modes``, S the ``synthesis``: ``(count, in, out)``, the pointwise ``P``:
    ``(out, in)``, and ``scale``, ``shift``: ``(batch, 1, .., channels)``.

    Kept for the backward pass: of each block ``h`` and the modes of ``x``, and the last ``x``, from
    which the earlier ones follow by subtraction.
    """

    @staticmethod
    def forward(
        ctx, grid: Grid, n_modes: tuple[int, ...], synthesis: Synthesis, x: Tensor, *weights: Tensor
    ) -> Tensor:
        n_blocks = len(weights) // 4
        adjoint = adjoint_weights(grid, n_modes, x.dtype, x.device)
        like = x.new_empty(0, dtype=x.dtype.to_complex()) if grid.basis.is_complex else x
        c = room((n_blocks, len(adjoint), len(x), x.shape[-1]), like)
        *h, out = kept = room((n_blocks + 1, *x.shape), x)
        x = x.contiguous()
        for entries, modes, inner in zip(_blocks(weights), c, h):
            x = block(x, grid, n_modes, synthesis, entries, modes, inner, out)
        ctx.grid, ctx.n_modes, ctx.synthesis = grid, n_modes, synthesis
        ctx.save_for_backward(kept, c, *weights)
        return out

    @staticmethod
    @first_order
    def backward(ctx, gradient: Tensor):
        (*h, x), c, *weights = ctx.saved_tensors
        grid, n_modes, nodes = ctx.grid, ctx.n_modes, tuple(range(1, x.ndim - 1))
        adjoint = adjoint_weights(grid, n_modes, x.dtype, x.device)
        given, gradient = gradient, room(x.shape, x)
        of_weights: list[Tensor] = []
        for i, entries in reversed(list(enumerate(_blocks(tuple(weights))))):
            mixing, pointwise, scale, shift = entries
            argument = torch.addcmul(shift, h[i], scale, out=scratch("argument", x.shape, x))
            inner = scratch("inner", x.shape, x)
            torch.ops.aten.silu_backward(given, argument, grad_input=inner)
            x = torch.sub(x, silu(argument, inplace=True), out=scratch("x", x.shape, x))
            of_shift = inner.sum(nodes, keepdim=True)
            of_scale = torch.mul(inner, h[i], out=argument).sum(nodes, keepdim=True)
            rows = inner.mul_(scale).flatten(0, -2)
            of_pointwise = torch.mm(rows.t(), x.flatten(0, -2))
            torch.addmm(given.flatten(0, -2), rows, pointwise, out=gradient.flatten(0, -2))
            given = gradient
            # The adjoint of K is from_modes W^H S*: the weights of the modes cancel.
            e = ctx.synthesis.write_adjoint(scratch("modes", c[i].shape, c), inner, grid, n_modes)
            add_from_modes(gradient, mix(e, mixing.mH, scratch("mixed", e.shape, e)), grid, n_modes)
            of_mixing = mix_gradient(c[i], e.mul_(adjoint), mixing)
            of_weights = [of_mixing, of_pointwise, of_scale, of_shift, *of_weights]
        return None, None, None, gradient, *of_weights


@final
class Projection(torch.autograd.Function):
    """``W_2 silu(W_1 x + b_1) + b_2`` at every node; the backward pass recomputes the inside."""

    @staticmethod
    def forward(ctx, x: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor) -> Tensor:
        ctx.save_for_backward(x, w1, b1, w2)
        hidden = silu(_hidden(x, w1, b1), inplace=True)
        return torch.addmm(b2, hidden, w2.t()).view(*x.shape[:-1], -1)

    @staticmethod
    @first_order
    def backward(ctx, gradient: Tensor):
        x, w1, b1, w2 = ctx.saved_tensors
        rows, gradient = x.flatten(0, -2), gradient.flatten(0, -2)
        hidden = _hidden(x, w1, b1)
        inner = torch.mm(gradient, w2, out=scratch("outer", hidden.shape, x))
        torch.ops.aten.silu_backward(inner, hidden, grad_input=inner)
        of_w2 = torch.mm(gradient.t(), silu(hidden, inplace=True))
        of_w1 = torch.mm(inner.t(), rows)
        of_x = torch.mm(inner, w1).view_as(x)
        return of_x, of_w1, inner.sum(0), of_w2, gradient.sum(0)


def _hidden(x: Tensor, w1: Tensor, b1: Tensor) -> Tensor:
    rows = x.flatten(0, -2)
    return torch.addmm(b1, rows, w1.t(), out=scratch("hidden", (len(rows), len(w1)), x))
