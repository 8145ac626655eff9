"""What networks predict, the exact conversions, and denoising score matching in the H-norm."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from fdiff import backends
from fdiff.grid import Grid
from fdiff.shells import shell_index

PREDICTIONS = ("x0", "noise", "velocity", "score")
SHELL_FLOOR = 1e-8  # of the posterior's trace: below, float32 has few digits of a mode left


def to_x0(prediction: str, value, x, m, s):
    """``x_0`` from a prediction at ``x = m x_0 + s noise``; velocity ``m noise - s x_0``, score
    ``-noise / s``. ``m``, ``s`` broadcast over ``x``; numbers, numpy or torch."""
    _check(prediction)
    if prediction == "x0":
        return value
    if prediction == "noise":
        return (x - s * value) / m
    if prediction == "velocity":
        return m * x - s * value
    return (x + s * s * value) / m


def from_x0(prediction: str, x0, x, m, s):
    """The inverse of `to_x0`; ``s > 0`` but for "x0" and "velocity" with its limit."""
    _check(prediction)
    if prediction == "x0":
        return x0
    noise = (x - m * x0) / s
    if prediction == "noise":
        return noise
    return m * noise - s * x0 if prediction == "velocity" else -noise / s


def _check(prediction: str) -> None:
    if prediction not in PREDICTIONS:
        raise ValueError(f"prediction must be one of {PREDICTIONS}, got {prediction!r}")


def denoising_loss(
    denoiser,
    x0: Tensor,
    noise: Tensor,
    half_log_snr: Tensor,
    grid: Grid,
    shell_weight: float = 0.0,
    condition: Tensor | None = None,
) -> Tensor:
    """``weight(lambda) ||D(x_t) - x_0||_H^2`` of each sample, ``x_t = m x_0 + s noise``.

    ``x0`` (centred) and ``noise``: coefficients ``(batch, channels, *basis.shape)``. Since
    ``D - x_0 = (s / m)(noise - prediction)``, every choice of the denoiser's ``loss_weight`` is the
    loss ``omega ||noise_theta - Z||_H^2`` with ``omega = weight s^2 / m^2``.

    The H-norm hardly sees the fine modes, nor the few of the lowest shells. ``shell_weight`` adds
    that many times the mean over shells of the error in units of the posterior's variance, which
    is one for the linear model; modes with less than `SHELL_FLOOR` of it do not count.
    """
    lead = (-1,) + (1,) * (1 + grid.dim)
    m, s = (f.reshape(lead) for f in mean_and_std(half_log_snr))
    x0, noise = denoiser.scaled(x0, grid), denoiser.scaled(noise, grid)
    estimate = denoiser.denoise_scaled(half_log_snr, m * x0 + s * noise, grid, condition)
    error = estimate - x0
    channels = x0.shape[1]
    # One weight for all channels, or one each.
    weight = denoiser.loss_weight(half_log_snr).flatten(1)
    loss = (weight * grid.basis.inner(error, error)).mean(1)
    if shell_weight:
        power = backends.of(error).real_product(error, error)
        floor = SHELL_FLOOR * denoiser.posterior_trace_scaled(half_log_snr)
        expected = denoiser.posterior_variance_scaled(half_log_snr, error, grid)
        relative = power / (expected + floor)
        shells = backends.of(power).constant(shell_weights(grid), power)
        loss = loss + shell_weight / channels * (relative * shells).flatten(1).sum(1)
    return loss


@lru_cache(maxsize=64)
def shell_weights(grid: Grid) -> np.ndarray:
    """Weights of the stored modes that give every shell of `fdiff.shells` the same share; sum 1.

    Modes that are not retained have weight 0.
    """
    basis, index = grid.basis, shell_index(grid)
    modes = basis.weights * basis.retained
    count = np.bincount(index.ravel(), modes.ravel())
    out = modes / np.where(modes > 0, count[index], 1.0)
    return out / (count > 0).sum()


def mean_and_std(half_log_snr: Tensor) -> tuple[Tensor, Tensor]:
    """``(m, s)`` of ``lambda = ln(m / s)``, with ``m^2 + s^2 = 1``."""
    return torch.sigmoid(2 * half_log_snr).sqrt(), torch.sigmoid(-2 * half_log_snr).sqrt()
