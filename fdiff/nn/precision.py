"""bfloat16 inside networks: their products in eight bits of mantissa, all else in float32."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from functools import wraps

import torch
from torch import Tensor

# What the network computes in; None for the precision of its weights.
PRECISIONS: dict[str, torch.dtype | None] = {"float32": None, "bfloat16": torch.bfloat16}


def products_in(dtype: torch.dtype | None, device: torch.device):
    """A context in which matrix products and convolutions of float32 tensors are of ``dtype``."""
    return nullcontext() if dtype is None else torch.autocast(device.type, dtype)


def full_precision(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """``function(u, ...)`` outside any autocast, with ``u`` in float32 or more.

    For transforms: coefficients span more orders of magnitude than bfloat16 has digits, and there
    are no complex numbers of that kind.
    """

    @wraps(function)
    def outside(u: Tensor, *arguments, **options) -> Tensor:
        if not torch.is_autocast_enabled(u.device.type):
            return function(u, *arguments, **options)
        with torch.autocast(u.device.type, enabled=False):
            return function(u.float() if u.dtype in _SHORT else u, *arguments, **options)

    return outside


_SHORT = (torch.bfloat16, torch.float16)
