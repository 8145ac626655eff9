"""Multilevel Monte Carlo for gradients: variances of the level differences, and how many samples.

``grad L_L = sum_l E[g_l - g_(l-1)]``, ``g_(-1) = 0``, where ``g_l`` is the gradient of one field's
loss on level ``l``; both terms of a difference see the same field, time and noise.
Giles (2015), Multilevel Monte Carlo methods, https://doi.org/10.1017/S096249291500001X
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np
import torch

from fdiff.nn.loss import denoising_loss
from fdiff.nn.trainer import MultilevelTrainer


@final
@dataclass(frozen=True)
class LevelVariances:
    """Total variances (traces of covariance) of single-field gradients, coarse to fine."""

    plain: np.ndarray  # Var g_l
    difference: np.ndarray  # Var (g_l - g_(l-1)); the first is Var g_0
    cost: np.ndarray  # of one difference: nodes of both levels
    samples: int

    def rate(self) -> float:
        """``r`` of ``difference ~ nodes per axis^-r``, by least squares over the levels from 1 on;
        needs three levels."""
        if len(self.difference) < 3:
            raise ValueError(f"a rate needs three levels, got {len(self.difference)}")
        fine = np.sqrt(self.cost[1:])
        return -float(np.polyfit(np.log(fine), np.log(self.difference[1:]), 1)[0])

    def allocation(self, budget: float) -> np.ndarray:
        """Fields per level that minimise the variance at ``budget`` (in units of ``cost``):
        ``M_l ~ sqrt(V_l / C_l)``, at least one each."""
        share = np.sqrt(self.difference / self.cost)
        return np.maximum(1, np.floor(budget * share / (share * self.cost).sum())).astype(int)

    def variance(self, counts: np.ndarray) -> float:
        """Variance of the telescoping sum with ``counts`` fields a level."""
        return float((self.difference / counts).sum())


def level_variances(trainer: MultilevelTrainer, samples: int = 64, first: int = 0):
    """`LevelVariances` of the present weights, from the keyed fields ``first, first + 1, ..``.

    One backward pass a field and level.
    """
    levels = len(trainer.grids)
    squares, totals = [0.0] * (2 * levels), [torch.zeros(())] * (2 * levels)
    batches = [trainer.fields(level, first, samples) for level in range(levels)]
    told = trainer.condition(first, samples)
    for i in range(samples):
        before = torch.zeros(())
        for level, (x0, z, lam) in enumerate(batches):
            one = slice(i, i + 1)
            loss = denoising_loss(
                trainer.denoiser, x0[one], z[one], lam[one], trainer.grids[level],
                trainer.config.shell_weight, None if told is None else told[one],
            ).sum()  # fmt: skip
            g = flat_gradient(trainer.denoiser, loss)
            for j, value in ((level, g), (levels + level, g - before)):
                squares[j] += float(value.square().sum())
                totals[j] = totals[j] + value
            before = g
    variances = [
        (square - float(total.square().sum()) / samples) / (samples - 1)
        for square, total in zip(squares, totals)
    ]
    nodes = np.array([grid.size for grid in trainer.grids], float)
    cost = nodes + np.concatenate([[0.0], nodes[:-1]])
    return LevelVariances(np.array(variances[:levels]), np.array(variances[levels:]), cost, samples)


def flat_gradient(module: torch.nn.Module, loss: torch.Tensor) -> torch.Tensor:
    """The gradient by all parameters as one vector; zero where a parameter has no part."""
    parameters = list(module.parameters())
    gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
    return torch.cat(
        [(torch.zeros_like(p) if g is None else g).flatten() for p, g in zip(parameters, gradients)]
    )
