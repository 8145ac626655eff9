"""U-shaped neural operator: blocks on the given grid, then on ever coarser grids of fixed size."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor, nn

from fdiff.grid import Grid
from fdiff.nn.fno import MIXINGS, OperatorNetwork, SpectralBlock, run_blocks
from fdiff.nn.spectral import from_modes, to_modes


def resample_nodes(h: Tensor, source: Grid, target: Grid) -> Tensor:
    """Restriction or prolongation of ``(batch, *source.shape, channels)`` to ``target``."""
    shared = tuple(map(min, source.shape, target.shape))
    return from_modes(to_modes(h, source, shared), target, shared)


@final
class UNO(OperatorNetwork):
    """``model(x, t, condition=None)`` as `FNO`, with ``n_levels`` inner grids.

    Level ``j = 1, 2, ..`` lives on the grid of ``n_modes / 2^(j-1)`` nodes, whatever the grid of
    ``x``: descending restricts to all its modes, ascending prolongs and adds to what was there.
    Only the outermost blocks depend on the resolution, so a finer grid costs little.

    Rahman, Ross and Azizzadenesheli (2023), U-NO, https://arxiv.org/abs/2204.11127
    """

    def __init__(
        self,
        box: Grid,
        in_channels: int = 1,
        out_channels: int = 1,
        *,
        hidden_channels: int = 32,
        n_layers: int = 1,
        n_modes: int | tuple[int, ...] = 32,
        n_levels: int = 2,
        mixing: str = "radial",
        coordinates: bool = False,
        condition_channels: int = 0,
        oversampling: int = 1,
        seed: int = 0,
    ):
        super().__init__(
            box, in_channels, out_channels, hidden_channels, n_modes, coordinates,
            condition_channels, seed,
        )  # fmt: skip
        if mixing not in MIXINGS:
            raise ValueError(f"mixing must be one of {sorted(MIXINGS)}, got {mixing!r}")
        sides = [tuple(max(2, n >> j) for n in self.n_modes) for j in range(n_levels)]
        self.inner = [box.with_shape(shape) for shape in sides]
        modes = [self.n_modes, *sides]
        width = hidden_channels
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed + 1)

            def blocks(n):
                return nn.ModuleList(
                    SpectralBlock(
                        box, width, MIXINGS[mixing](box, width, width, n), width, oversampling
                    )
                    for _ in range(n_layers)
                )

            self.down = nn.ModuleList(blocks(n) for n in modes)
            self.up = nn.ModuleList(blocks(n) for n in modes[:-1])

    def transform(self, h: Tensor, embedded: Tensor, grid: Grid, weights: dict) -> Tensor:
        grids = [grid, *self.inner]
        kept = []
        for level, blocks in enumerate(self.down):
            if level:
                h = resample_nodes(h, grids[level - 1], grids[level])
            h = run_blocks(blocks, h, embedded, grids[level], weights)
            kept.append(h)
        for level in reversed(range(len(self.up))):
            h = kept[level] + resample_nodes(h, grids[level + 1], grids[level])
            h = run_blocks(self.up[level], h, embedded, grids[level], weights)
        return h
