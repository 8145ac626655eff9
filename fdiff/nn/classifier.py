"""Classifier two-sample test: can a small network tell samples from truth?

A fixed protocol, so that numbers compare: fields on at most 32 points an axis in the truth's units,
equally many of both kinds, 70 % to train on, four convolutions (24, 32, 48, 64 channels, all but
the first with stride 2), a global average, AdamW with cosine decay. The accuracy on the fields held
out is 1/2 for equal laws, up to the network's ability to see a difference
(Lopez-Paz & Oquab 2017, https://arxiv.org/abs/1610.06545).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from fdiff.grid import Grid
from fdiff.metrics.estimate import Estimate, normal
from fdiff.metrics.fields import RealArray, Scale, as_pair, on_grid

POINTS = 32
CHANNELS = (24, 32, 48, 64)
TRAINED_SHARE = 0.7
BATCH = 64
STEPS = 1200
QUICK_STEPS = 150
RATE, DECAY = 2e-3, 0.05


class Classifier(nn.Module):
    """Logit of "truth" for each field; ``(batch, channels, *grid)``, one to three axes."""

    def __init__(self, channels: int, dim: int, generator: torch.Generator) -> None:
        super().__init__()
        convolution = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[dim - 1]
        layers: list[nn.Module] = []
        for width in CHANNELS:
            stride = 2 if layers else 1
            layers += [
                nn.utils.skip_init(convolution, channels, width, 3, stride=stride, padding=1),
                nn.GroupNorm(4, width),
                nn.GELU(),
            ]
            channels = width
        self.features = nn.Sequential(*layers)
        self.head = nn.utils.skip_init(nn.Linear, channels, 1)
        # Kaiming's initial weights, drawn from our own generator instead of the global one.
        for name, weight in self.named_parameters():
            if weight.ndim > 1:
                std = math.sqrt(2 / weight[0].numel())
                nn.init.normal_(weight, 0.0, std, generator=generator)
                nn.init.zeros_(self.get_parameter(name.removesuffix("weight") + "bias"))

    def forward(self, u: Tensor) -> Tensor:
        return self.head(self.features(u).flatten(2).mean(dim=2)).squeeze(1)


def classifier_accuracy(
    x: Any, y: Any, grid: Grid, seed: int = 0, quick: bool = False, size: int = 1024
) -> Estimate:
    """Held-out accuracy of the test, samples ``x`` against truth ``y``, at most ``size`` of each.

    The interval is the binomial one over the held-out fields. ``quick`` trains an eighth as long.
    """
    x, y = as_pair(x, y, grid, minimum=10)
    coarse = grid.with_shape(tuple(min(n, POINTS) for n in grid.shape))
    size = min(size, len(x), len(y))
    x, y = (on_grid(u[:size], grid, coarse) for u in (x, y))
    scale = Scale.of(y)
    fields = torch.as_tensor(
        np.concatenate([scale.standardise(u) for u in (x, y)]), dtype=torch.float32
    )
    labels = torch.cat([torch.zeros(size), torch.ones(size)])
    trained, held_out = _split(size, seed)
    generator = torch.Generator().manual_seed(seed)
    network = Classifier(fields.shape[1], grid.dim, generator)
    steps = QUICK_STEPS if quick else STEPS
    _train(network, fields[trained], labels[trained], steps, generator)
    return _accuracy(network, fields[held_out], labels[held_out])


def _split(size: int, seed: int) -> tuple[RealArray, RealArray]:
    """Indices of both kinds to train on and to hold out, both kinds in equal numbers."""
    order = np.random.default_rng([seed, 1]).permutation(size)
    cut = round(TRAINED_SHARE * size)
    first, second = (np.concatenate([part, part + size]) for part in (order[:cut], order[cut:]))
    return first, second


def _train(
    network: Classifier, fields: Tensor, labels: Tensor, steps: int, generator: torch.Generator
) -> None:
    optimizer = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=DECAY)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    loss = nn.BCEWithLogitsLoss()
    network.train()
    for _ in range(steps):
        batch = torch.randint(len(fields), (BATCH,), generator=generator)
        optimizer.zero_grad()
        loss(network(fields[batch]), labels[batch]).backward()
        optimizer.step()
        schedule.step()


@torch.no_grad()
def _accuracy(network: Classifier, fields: Tensor, labels: Tensor) -> Estimate:
    network.eval()
    logits = torch.cat([network(part) for part in fields.split(256)])
    share = float(((logits > 0) == (labels > 0.5)).double().mean())
    # Agresti and Coull's two extra hits and misses keep the interval open at 0 and 1.
    n = len(labels) + 4
    middle = (share * len(labels) + 2) / n
    around = normal(middle, middle * (1 - middle) / n)
    return Estimate(share, min(max(around.low, 0.0), share), max(min(around.high, 1.0), share))
