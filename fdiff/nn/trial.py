"""What one evaluation of a network tells: that its shapes fit, its operations, if it compiles."""

from __future__ import annotations

import warnings

import torch
from torch.utils.flop_counter import FlopCounterMode

from fdiff.grid import Grid
from fdiff.nn.fields import coefficient_type
from fdiff.nn.precondition import Denoiser


def try_network(denoiser: Denoiser, grid: Grid, channels: int, device) -> None:
    """One evaluation on a small batch, so that a wrong shape shows before training."""
    with torch.no_grad():
        c = torch.zeros(
            (1, channels, *grid.basis.shape), dtype=coefficient_type(grid), device=device
        )
        out = denoiser.denoise_centred(torch.zeros(1, device=device), c, grid)
    if out.shape != c.shape:
        raise ValueError(
            f"the network gives {tuple(out.shape)} for {tuple(c.shape)}: check its out_channels"
        )


def compile_network(denoiser: Denoiser, grid: Grid, channels: int, device) -> bool:
    """Compile the network in place; where that fails, warn and leave it as it is."""
    network = denoiser.network
    network.compile()
    try:
        try_network(denoiser, grid, channels, device)
    except Exception as error:  # whatever a compiler may raise
        network._compiled_call_impl = None
        warnings.warn(
            f"torch.compile failed ({type(error).__name__}: {str(error).splitlines()[0][:120]}); "
            "training goes on without it",
            stacklevel=3,
        )
        return False
    return True


def field_flops(denoiser: Denoiser, grid: Grid, channels: int, device) -> float:
    """Floating-point operations of the matrix products in training on one field of ``grid``.

    Forward, and twice as many backward; FFTs and pointwise work are not counted.
    """
    with FlopCounterMode(display=False) as counter:
        try_network(denoiser, grid, channels, device)
    return 3.0 * counter.get_total_flops()
