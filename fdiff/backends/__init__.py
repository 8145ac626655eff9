"""The few array operations that scores, solvers and metrics need, for numpy and for torch.

`of` picks the module by the kind of the array that comes in; torch is imported only when a tensor
comes. Both modules have the same functions.
"""

from __future__ import annotations

import sys
from types import ModuleType


def of(*arrays) -> ModuleType:
    """``fdiff.backends.torch`` if any of ``arrays`` is a tensor, else ``fdiff.backends.numpy``."""
    torch = sys.modules.get("torch")
    if torch is not None and any(isinstance(a, torch.Tensor) for a in arrays):
        return named("torch")
    return named("numpy")


def named(name: str) -> ModuleType:
    """The backend called ``"numpy"`` or ``"torch"``."""
    if name == "numpy":
        from fdiff.backends import numpy

        return numpy
    if name == "torch":
        try:
            from fdiff.backends import torch
        except ModuleNotFoundError as missing:
            raise ModuleNotFoundError(
                'backend="torch" needs PyTorch: pip install "fdiff[torch]"'
            ) from missing
        return torch
    raise ValueError(f'backend must be "numpy" or "torch", got {name!r}')
