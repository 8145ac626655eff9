"""Exponential moving average of a network's weights."""

from __future__ import annotations

import copy
from typing import final

import torch
from torch import nn


@final
class ExponentialAverage:
    """``average <- d average + (1 - d) weights`` after every step.

    ``d = min(decay, (1 + n) / (10 + n))`` at step ``n``: smaller at first, so that the average
    forgets the initial weights. Buffers are copied.
    """

    def __init__(self, module: nn.Module, decay: float = 0.995):
        if not 0 <= decay < 1:
            raise ValueError(f"the averaging decay must lie in [0, 1), got {decay}")
        self.decay = decay
        self.module = copy.deepcopy(module).eval().requires_grad_(False)

    @torch.no_grad()
    def update(self, module: nn.Module, step: int) -> None:
        """Take in the weights after step number ``step`` = 0, 1, ..."""
        decay = min(self.decay, (1 + step) / (10 + step))
        own = [p.data for p in self.module.parameters()]
        torch._foreach_lerp_(own, [p.detach() for p in module.parameters()], 1 - decay)
        for mine, theirs in zip(self.module.buffers(), module.buffers()):
            mine.copy_(theirs)
