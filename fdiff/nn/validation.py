"""The loss on held-out fields, in units of the linear model's."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from fdiff.grid import Grid
from fdiff.nn.fields import noise_tensor
from fdiff.nn.parallel import Team
from fdiff.nn.precondition import Denoiser, mean_tensor, scales

# Validation draws its noise far from the samples that training ever counts to.
VALIDATION_FIRST = 2**31
VALIDATION_SIZE = 256


@torch.no_grad()
def validation_ratio(
    denoiser: Denoiser,
    fields: Tensor,
    grid: Grid,
    half_log_snr,
    seed: int,
    device,
    batch: int = 64,
    team: Team | None = None,
    conditions: Tensor | None = None,
) -> float:
    """The denoiser's loss on ``fields`` over that of the linear model.

    See `MultilevelTrainer.validate`. The processes of a team share the batches.
    """
    team = Team() if team is None else team
    low, high = half_log_snr
    values = low + (high - low) * (np.arange(batch) + 0.5) / batch
    sums = np.zeros(2)
    for begin in range(batch * team.rank, len(fields), batch * team.size):
        u = fields[begin : begin + batch].to(device)
        x0 = grid.basis.project(grid.basis.forward(u))
        x0 = x0 - mean_tensor(denoiser.mean, grid, x0.dtype, x0.device)
        first = VALIDATION_FIRST + begin
        z = noise_tensor(denoiser.noise, grid, len(u), u.shape[1], seed, first, device)
        x0, z = denoiser.scaled(x0, grid), denoiser.scaled(z, grid)
        lam = torch.from_numpy(values[: len(u)]).to(device, u.dtype)
        m, s = scales(lam, grid.dim)
        x = m * x0 + s * z
        unit = denoiser.posterior_trace_scaled(lam).flatten(1)
        told = None if conditions is None else conditions[begin : begin + batch].to(device)
        ours = denoiser.denoise_scaled(lam, x, grid, told)
        for i, estimate in enumerate((ours, denoiser.wiener(lam, x, grid))):
            error = estimate - x0
            sums[i] += float((grid.basis.inner(error, error) / unit).sum())
    loss, linear = team.add(torch.from_numpy(sums).to(device)).tolist()
    return loss / linear
