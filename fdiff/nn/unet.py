"""U-Net: the finite-dimensional baseline. Its convolutions act on nodes, not on functions."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import final

import torch
from torch import Tensor, nn

from fdiff.grid import Grid
from fdiff.nn.fno import TimeEmbedding

PADDING = {"periodic": "circular", "neumann": "replicate", "dirichlet": "constant"}


class ConvolutionBlock(nn.Module):
    """``x + conv(silu((1 + a(t)) norm(conv(x)) + b(t)))``, 3 nodes wide, channels first."""

    def __init__(self, boundary: tuple[str, ...], channels: int, embedding: int):
        super().__init__()
        kind = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[len(boundary) - 1]
        self.boundary = boundary
        self.first, self.second = kind(channels, channels, 3), kind(channels, channels, 3)
        self.norm = nn.GroupNorm(math.gcd(8, channels), channels)
        self.modulation = nn.Linear(embedding, 2 * channels)

    def forward(self, x: Tensor, embedded: Tensor) -> Tensor:
        h = self.norm(self.first(pad(x, self.boundary)))
        lead = (len(x), -1) + (1,) * len(self.boundary)
        scale, shift = (m.reshape(lead) for m in self.modulation(embedded).chunk(2, 1))
        h = nn.functional.silu(torch.addcmul(shift, h, 1 + scale))
        return x + self.second(pad(h, self.boundary))


def pad(x: Tensor, boundary: tuple[str, ...]) -> Tensor:
    """One cell on each side of every axis, as the boundary continues the function."""
    for axis, kind in enumerate(boundary):
        x = x.movedim(2 + axis, -1)
        flat = x.reshape(len(x), -1, x.shape[-1])
        mode = PADDING[kind]
        flat = nn.functional.pad(flat, (1, 1), mode=mode)
        x = flat.reshape(*x.shape[:-1], flat.shape[-1]).movedim(-1, 2 + axis)
    return x


@final
class UNet(nn.Module):
    """``model(x, t, condition=None)`` on nodes: averages of 2 nodes down, repetition up.

    It sees pixels: on another grid it is another function, which is what it is here to show. Every
    axis must be divisible by ``2^n_levels``.
    """

    def __init__(
        self,
        box: Grid,
        in_channels: int = 1,
        out_channels: int = 1,
        *,
        hidden_channels: int = 32,
        n_levels: int = 2,
        condition_channels: int = 0,
        seed: int = 0,
    ):
        super().__init__()
        self.box, self.n_levels = box, n_levels
        kind = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[box.dim - 1]
        widths = [hidden_channels * 2**level for level in range(n_levels + 1)]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.embedding = TimeEmbedding(hidden_channels)
            self.condition = (
                nn.Linear(condition_channels, hidden_channels) if condition_channels else None
            )
            self.lift = kind(in_channels, hidden_channels, 1)

            def blocks(sizes):
                return nn.ModuleList(
                    ConvolutionBlock(box.boundary, width, hidden_channels) for width in sizes
                )

            self.down, self.up = blocks(widths), blocks(widths[:-1])
            self.widen = nn.ModuleList(kind(a, b, 1) for a, b in pairwise(widths))
            self.narrow = nn.ModuleList(kind(b, a, 1) for a, b in pairwise(widths))
            self.project = kind(hidden_channels, out_channels, 1)
        for parameter in self.project.parameters():
            nn.init.zeros_(parameter)

    def check_shape(self, shape: tuple[int, ...]) -> None:
        """Raises ValueError where the network cannot work on a grid of this shape."""
        if any(n % 2**self.n_levels for n in shape):
            raise ValueError(
                f"a U-Net of {self.n_levels} levels needs sides divisible by {2**self.n_levels}, "
                f"got {shape}"
            )

    def forward(self, x: Tensor, t: Tensor, condition: Tensor | None = None) -> Tensor:
        self.check_shape(tuple(x.shape[2:]))
        embedded = self.embedding(t.to(x.dtype))
        if self.condition is not None:
            embedded = embedded + self.condition(condition)
        mean = (
            nn.functional.avg_pool1d, nn.functional.avg_pool2d, nn.functional.avg_pool3d
        )[self.box.dim - 1]  # fmt: skip
        h, kept = self.lift(x), []
        for level, block in enumerate(self.down):
            if level:
                h = self.widen[level - 1](mean(h, 2))
            h = block(h, embedded)
            kept.append(h)
        for level in reversed(range(self.n_levels)):
            up = nn.functional.interpolate(self.narrow[level](h), scale_factor=2, mode="nearest")
            h = self.up[level](kept[level] + up, embedded)
        return self.project(h)
