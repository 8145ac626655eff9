"""Networks of somebody else, which know neither time nor parameters."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor, nn


@final
class TimeAsChannel(nn.Module):
    """``module(x)`` as ``model(x, t, condition=None)``: time and parameters as constant channels.

    ``module`` maps ``(batch, channels + 1 + condition_channels, *shape)`` to
    ``(batch, out_channels, *shape)``; the channel after those of ``x`` is ``t / scale``. Around a
    Wiener denoiser, ``x`` has two channels for each of the data's.

    ``n_modes``: per axis, the modes that the module mixes, in our meaning (those that a grid of so
    many nodes retains); the correction of a Wiener denoiser then ends with them.
    """

    def __init__(
        self, module: nn.Module, n_modes: tuple[int, ...] | None = None, scale: float = 5.0
    ):
        super().__init__()
        self.module, self.n_modes, self.scale = module, n_modes, scale

    def forward(self, x: Tensor, t: Tensor, condition: Tensor | None = None) -> Tensor:
        numbers = (t / self.scale)[:, None].to(x.dtype)
        if condition is not None:
            numbers = torch.cat([numbers, condition.to(x.dtype)], 1)
        shape = numbers.shape + (1,) * (x.ndim - 2)
        constant = numbers.reshape(shape).expand(*numbers.shape, *x.shape[2:])
        return self.module(torch.cat([x, constant], 1))
