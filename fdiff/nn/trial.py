"""What one evaluation of a network tells: that its shapes fit, its operations, if it compiles."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from fdiff.grid import Grid
from fdiff.nn.fields import coefficient_type
from fdiff.nn.precondition import Denoiser
from fdiff.words import warn


def try_network(denoiser: Denoiser, grid: Grid, channels: int, device, conditions: int = 0) -> None:
    """One evaluation on a small batch, so that a wrong shape shows before training."""
    with torch.no_grad():
        c = torch.zeros(
            (1, channels, *grid.basis.shape), dtype=coefficient_type(grid), device=device
        )
        t = torch.zeros(1, device=device)
        out = denoiser.denoise_centred(t, c, grid, _told(t, conditions))
    if out.shape != c.shape:
        raise ValueError(
            f"the network gives {tuple(out.shape)} for {tuple(c.shape)}: check its out_channels"
        )


def compile_network(
    denoiser: Denoiser, batches: dict[Grid, int], channels: int, device, conditions: int = 0
) -> bool:
    """Compile the network in place for batches of so many fields on the grids, backward too; where
    that fails, warn and leave it as it is."""
    network = denoiser.network
    try:
        with warnings.catch_warnings():
            # Tables that are cached in Python become constants of the compiled network.
            warnings.filterwarnings("ignore", "Dynamo detected a call to a `functools.lru_cache`")
            network.compile()
            for grid, size in batches.items():
                x = torch.zeros((size, channels, *grid.shape), device=device)
                c, t = grid.basis.forward(x), torch.zeros(size, device=device)
                out = denoiser.denoise_centred(t, c, grid, _told(t, conditions))
                out.abs().sum().backward()
    except Exception as error:  # whatever a compiler may raise
        network._compiled_call_impl = None
        said = str(error).strip().splitlines() or [""]
        warn(
            f"torch.compile failed ({type(error).__name__}: {said[0][:120]}); "
            "training goes on without it"
        )
        return False
    finally:
        denoiser.zero_grad(set_to_none=True)
    return True


def field_flops(
    denoiser: Denoiser, grid: Grid, channels: int, device, conditions: int = 0
) -> float:
    """Floating-point operations of the matrix products in training on one field of ``grid``.

    Forward, and twice as many backward; FFTs and pointwise work are not counted.
    """
    with FlopCounterMode(display=False) as counter:
        try_network(denoiser, grid, channels, device, conditions)
    return 3.0 * counter.get_total_flops()


def _told(t: Tensor, conditions: int) -> Tensor | None:
    return t.new_zeros((len(t), conditions)) if conditions else None
