"""The end of a block in few passes over memory, which on a CPU cost as much as its products."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


@final
class ModulatedResidual(torch.autograd.Function):
    """``x + silu(scale h + shift)``; ``scale``, ``shift`` broadcast over the axes between.

    Keeps ``h`` alone for the backward pass: the argument of the activation is recomputed.
    """

    @staticmethod
    def forward(ctx, x: Tensor, h: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        ctx.save_for_backward(h, scale, shift)
        return torch.nn.functional.silu(torch.addcmul(shift, h, scale), inplace=True).add_(x)

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: Tensor):
        h, scale, shift = ctx.saved_tensors
        buffer = torch.addcmul(shift, h, scale)
        inner = torch.ops.aten.silu_backward(gradient, buffer)
        nodes = tuple(range(1, h.ndim - 1))
        of_shift = inner.sum(nodes, keepdim=True)
        of_scale = torch.mul(inner, h, out=buffer).sum(nodes, keepdim=True)
        return gradient, inner.mul_(scale), of_scale, of_shift
