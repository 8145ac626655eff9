"""Neural operator that tells orientations apart in every basis: channels of different parity."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor, nn

from fdiff.grid import Grid
from fdiff.nn.fno import MIXINGS, OperatorNetwork, SpectralBlock, run_blocks
from fdiff.nn.parity import PARITIES


@final
class OrientedFNO(OperatorNetwork):
    """`FNO` that tells a shape from its mirror image: ``model(x, t, condition=None)``.

    An operator that multiplies cosine coefficients commutes with the reflections of the box, and so
    does one with weights of ``|k|`` in any basis: its features have no left and right, no
    rising and falling stroke. Here a quarter of the channels (in two dimensions) are odd along the
    first axis, a quarter along the second, a quarter along both: Hilbert transforms, as smooth
    relatives of derivatives.

    Args:
        hidden_channels: divisible by ``2^dim``.
        mixing, n_modes, coordinates, condition_channels, oversampling, seed: as for `FNO`.
    """

    def __init__(
        self,
        box: Grid,
        in_channels: int = 1,
        out_channels: int = 1,
        *,
        hidden_channels: int = 32,
        n_layers: int = 4,
        n_modes: int | tuple[int, ...] = 32,
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
        if hidden_channels % 2**box.dim:
            raise ValueError(
                f"hidden_channels must be a multiple of {2**box.dim}, one share for each parity, "
                f"got {hidden_channels}"
            )
        if len({kind == "periodic" for kind in box.boundary}) > 1:
            raise ValueError(
                f"an oriented network needs all axes periodic, or none, got {box.boundary}"
            )
        width = hidden_channels
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed + 1)
            self.blocks = nn.ModuleList(
                SpectralBlock(
                    box, width, MIXINGS[mixing](box, width, width, self.n_modes), width,
                    oversampling, PARITIES,
                )
                for _ in range(n_layers)
            )  # fmt: skip

    def transform(self, h: Tensor, embedded: Tensor, grid: Grid, weights: dict) -> Tensor:
        return run_blocks(self.blocks, h, embedded, grid, weights)
