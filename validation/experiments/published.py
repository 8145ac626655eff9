"""The paper's protocol for fields of values: its scaling, network, loss and sampler.

On ``n x n`` nodes of the periodic unit square, values are those of `fdiff.compat`: a field of
``native x native`` cells is average-pooled and multiplied by 2 for each halving, so that it stands
to the grid's own noise as before. The network sees the values as they are, coordinates from 0 to 1
with both ends, and the time; it predicts the noise, learns with ``||prediction - noise||^2`` at
uniform times, and is sampled by Euler-Maruyama steps uniform in time from the prior to t = 0.
As there, ``-s / sqrt(a)`` times the network's output is the noise: the output is the score's part
of the reverse drift over ``sqrt(a)``.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from torch import Tensor

import fdiff
from fdiff import backends, compat, nn, solvers
from fdiff.grid import Grid
from fdiff.process import per_sample
from fdiff.score.base import Score

LEARNING_RATE = 1e-3  # Adam, constant
SCHEDULE = fdiff.LinearSchedule(0.1, 20.0, T=1.0)


def square(n: int) -> Grid:
    return Grid((n, n))


def values_on(u: np.ndarray, n: int) -> np.ndarray:
    """Fields ``(..., native, native)`` on n x n nodes: averages, times ``native / n``."""
    native = u.shape[-1]
    if native % n:
        raise ValueError(f"average pooling needs a divisor of {native}, got {n}")
    r = native // n
    blocks = u.reshape(*u.shape[:-2], n, r, n, r)
    return (r * blocks.mean((-3, -1))).astype(np.float32)


def function_values(values: np.ndarray, native: int) -> np.ndarray:
    """Values of fields on n x n nodes brought back to the size that they have at ``native``."""
    return values * np.float32(values.shape[-1] / native)


class PublishedNetwork(torch.nn.Module):
    """A Fourier neural operator of the values, two coordinates and the time: the noise."""

    def __init__(self, seed: int, network: Mapping):
        super().__init__()
        options = {"mixing": "full", **network}
        self.operator = nn.NetworkConfig(**options).build(square(32), 3, 1, seed=seed)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """``x``: (batch, 1, n, n), ``t``: (batch,) in [0, 1]."""
        lines = compat.coordinates(square(x.shape[-1]))
        places = [torch.as_tensor(line, dtype=x.dtype).expand_as(x) for line in lines]
        # The network's embedding expects numbers of size 5.
        output = self.operator(torch.cat([x, *places], 1), 10 * t - 5)
        return -(SCHEDULE.std(t) / SCHEDULE.a(t).sqrt()).reshape(-1, 1, 1, 1) * output


@final
@dataclass(frozen=True, eq=False)
class PublishedScore(Score):
    """The score of a network that predicts the noise; its values belong to the grid."""

    process: fdiff.ForwardProcess
    network: PublishedNetwork

    @torch.no_grad()
    def denoise_coefficients(self, t, c, grid: Grid):
        m, s = (per_sample(f(t), c, grid) for f in (self.process.mean_factor, self.process.std))
        return (c - s * self._noise(t, c, grid)) / m

    @torch.no_grad()
    def score_coefficients(self, t, c, grid: Grid):
        return -self._noise(t, c, grid) / per_sample(self.process.std(t), c, grid)

    def _noise(self, t, c: Tensor, grid: Grid) -> Tensor:
        x = grid.basis.inverse(c)
        times = torch.full((len(x),), float(t), dtype=x.dtype)
        prediction = grid.basis.project(grid.basis.forward(self.network(x, times)))
        return backends.of(c).constant(prediction, c)


@dataclass(frozen=True, eq=False)
class Published:
    score: PublishedScore
    losses: np.ndarray  # (validations, 2): fields seen, loss (of predicting no noise: 1)
    seconds: float  # of the process


def train(
    fields: np.ndarray, prior: compat.Prior, *, n: int, steps: int, batch: int, seed: int, network
) -> Published:
    """``fields``: (samples, 1, native, native), function values; trained on n x n nodes alone."""
    data, grid = torch.from_numpy(values_on(fields, n)), square(n)
    model = PublishedNetwork(seed, network)
    optimiser = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE, fused=True)
    filter_ = torch.as_tensor(prior.multiplier(grid)).to(torch.complex64)
    draw = torch.Generator().manual_seed(seed)
    silence = grid.size * prior.std(grid) ** 2 / 2
    start, losses, recent = time.process_time(), [], []
    for step in range(steps):
        x0 = data[torch.randint(len(data), (batch,), generator=draw)]
        t = torch.rand(batch, generator=draw)
        white = torch.randn(x0.shape, generator=draw)
        noise = torch.fft.irfft2(torch.fft.rfft2(white) * filter_, s=grid.shape)
        m, s = (f(t).reshape(-1, 1, 1, 1) for f in (SCHEDULE.mean_factor, SCHEDULE.std))
        loss = (model(m * x0 + s * noise, t) - noise).square().flatten(1).sum(1).mean() / 2
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        recent.append(loss.item())
        if (step + 1) % max(1, steps // 10) == 0:
            losses.append((batch * (step + 1), np.mean(recent) / silence))
            recent = []
    seconds = time.process_time() - start
    process = fdiff.ForwardProcess(prior.covariance, SCHEDULE)
    return Published(PublishedScore(process, model.eval()), np.array(losses), seconds)


def sample(score: PublishedScore, n: int, size: int, steps: int, seed: int, native: int):
    """Fields ``(size, 1, n, n)`` as function values, by the paper's Euler-Maruyama steps."""
    times = solvers.times(score.process, steps, "time", end=0.0)
    out = fdiff.sample(
        score, square(n), size, solver=solvers.EulerMaruyama(), seed=seed, times=times,
        channels=1, start="prior", close=False, batch=max(1, 2**19 // n**2), backend="torch",
        dtype="float32",
    )  # fmt: skip
    return function_values(out.fields.numpy(), native)  # type: ignore[attr-defined]
