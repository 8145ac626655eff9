"""A trained network as a score, for every solver, grid and kind of array."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from torch import Tensor

from fdiff.grid import Grid
from fdiff.nn.precondition import Denoiser
from fdiff.nn.stack import first_order
from fdiff.process import ForwardProcess
from fdiff.score.base import Score
from fdiff.score.mean import channels_of


@final
@dataclass(frozen=True, eq=False)
class NetworkScore(Score):
    """`Score` of a `Denoiser`; numpy or torch in, the same out; computed where the network lives.

    The state keeps its own precision; the network computes in that of its weights. One call to the
    network takes ``batch`` samples, which bounds the memory, also where a gradient is asked for.
    Tensors have gradients (of first order) with respect to the state, the time and the condition,
    never to the weights.
    """

    process: ForwardProcess
    denoiser: Denoiser
    condition: Tensor | None = None  # (condition_channels,), for all samples
    batch: int = 64
    channels: int | None = None  # of the fields; by default as many as the reference has

    def __post_init__(self) -> None:
        if self.channels is None:
            object.__setattr__(self, "channels", channels_of(*self.reference))
        if self.process.covariance != self.denoiser.noise:
            raise ValueError(
                f"the network was trained for the noise {self.denoiser.noise!r}, the process has "
                f"{self.process.covariance!r}: use the process of the run"
            )

    @property
    def reference(self):
        return self.denoiser.mean, self.denoiser.covariance

    def denoise_coefficients(self, t, c, grid: Grid):
        weight = next(self.denoiser.parameters())
        state = c if isinstance(c, Tensor) else torch.from_numpy(np.ascontiguousarray(c))
        precision = weight.dtype.to_complex() if state.is_complex() else weight.dtype
        # Networks see (samples, channels, *modes); fields of one channel may come without the axis.
        lead = state.shape[: state.ndim - grid.dim]
        self.check_channels(state, grid)
        channels = self.channels or (lead[1] if len(lead) > 1 else 1)
        flat = state.reshape(-1, channels, *grid.basis.shape)
        values = self.process.half_log_snr(t)
        if not isinstance(values, Tensor):
            values = torch.as_tensor(np.asarray(values))
        values = values.to(weight.device, weight.dtype).expand(len(flat))
        pieces = [
            self._evaluate(part.to(weight.device, precision), value, grid)
            for part, value in zip(flat.split(self.batch), values.split(self.batch))
        ]
        out = torch.cat(pieces).reshape(state.shape).to(state.device, state.dtype)
        return out if isinstance(c, Tensor) else out.detach().numpy()

    def _evaluate(self, c: Tensor, half_log_snr: Tensor, grid: Grid) -> Tensor:
        condition = self.condition
        if condition is not None:
            condition = condition.to(c.device, half_log_snr.dtype).expand(len(c), -1)
        return _Denoised.apply(self.denoiser, grid, c, half_log_snr, condition)


@final
class _Denoised(torch.autograd.Function):
    """`Denoiser.denoise_coefficients` as a function of ``(c, half_log_snr, condition)``.

    The backward pass computes the network again, so that the forward pass is that of sampling and
    keeps nothing inside. The weights are constants.
    """

    @staticmethod
    def forward(
        ctx, denoiser: Denoiser, grid: Grid, c: Tensor, half_log_snr: Tensor, condition
    ) -> Tensor:
        ctx.denoiser, ctx.grid = denoiser, grid
        ctx.save_for_backward(c, half_log_snr, condition)
        return denoiser.denoise_coefficients(half_log_snr, c, grid, condition)

    @staticmethod
    @first_order
    def backward(ctx, gradient: Tensor):
        wanted = ctx.needs_input_grad[2:]
        c, half_log_snr, condition = inputs = [
            None if x is None else x.detach().requires_grad_(asked)
            for x, asked in zip(ctx.saved_tensors, wanted)
        ]
        with torch.enable_grad():
            out = ctx.denoiser.denoise_coefficients(half_log_snr, c, ctx.grid, condition)
        asked = [x for x, needed in zip(inputs, wanted) if needed and x is not None]
        found = iter(torch.autograd.grad(out, asked, gradient, allow_unused=True))
        return None, None, *(next(found) if needed else None for needed in wanted)
