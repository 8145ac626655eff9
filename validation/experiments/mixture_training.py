"""One training of the mixture experiment, and its score's error against the closed form."""

from __future__ import annotations

import time

import numpy as np

import fdiff
from fdiff import compat
from validation.experiments.mixture_problem import (
    CROPPED,
    TRAINED,
    Consistent,
    Published,
    draws,
    relative_spectrum,
    square,
)

MODES = ("published", "plain", "wiener")
EVALUATION_SEED = 2**20  # fields on which the score is compared; training uses the seeds below
EVALUATION_NODES = 2**17  # of one call to the network


def trained_errors(
    mode: str,
    prior: str,
    seed: int,
    *,
    fields: int,
    steps: int,
    batch_size: int,
    network: dict,
    learning_rate: float,
    resolutions: list[int],
    times: list[float],
    samples: list[int],
) -> dict:
    """Train at 32 x 32 and compare: mean squares over samples, by resolution (or problem) and time.

    ``error``, ``norm``: ``E ||S_theta - S||_H^2`` and ``E ||S||_H^2`` on each of ``resolutions``,
    then (the last row) on the law that was trained on; ``linear``: the error of the best linear
    score; ``seconds``: of training, on one thread; ``loss``: means over tenths of the steps.
    ``by_hand`` (published only): ``error`` and ``norm`` at 64 x 64 where the user multiplies what
    the network sees by `CROPPED` and divides what it says: the amplitude it was trained on.
    """
    problem = Published(prior) if mode == "published" else Consistent(prior)
    data = problem.training_fields(fields, seed)
    start = time.process_time()
    denoiser, losses = train(mode, problem, data, seed, steps, batch_size, network, learning_rate)
    seconds = time.process_time() - start
    cases = [(n, problem.score(n), size) for n, size in zip(resolutions, samples)]
    cases.append((TRAINED, problem.trained_score(), samples[resolutions.index(TRAINED)]))
    rows = [compare(denoiser, exact, square(n), times, size) for n, exact, size in cases]
    error, norm, linear = np.array(rows).transpose(1, 0, 2)
    by_hand = np.empty((0, len(times)))
    if mode == "published":
        n = CROPPED * TRAINED
        size = samples[resolutions.index(n)]
        by_hand = compare(denoiser, problem.score(n), square(n), times, size, CROPPED)[:2]
    tenths = [part.mean() for part in np.array_split(losses, min(10, len(losses)))]
    return {
        "error": error, "norm": norm, "linear": linear, "seconds": seconds, "loss": tenths,
        "by_hand": by_hand, "parameters": sum(p.numel() for p in denoiser.parameters()),
    }  # fmt: skip


def train(mode, problem, data, seed, steps, batch_size, network, learning_rate):
    """The trained denoiser and the loss of each step."""
    from fdiff.nn import FNO, MultilevelTrainer, PlainDenoiser, WienerDenoiser
    from fdiff.nn.config import TrainingConfig
    from fdiff.nn.spectrum import estimate_mean

    grid = square(TRAINED)
    c = grid.basis.project(grid.basis.forward(data[:, 0]))
    scale = "limit" if problem.noise.is_trace_class(grid.dim) else "grid"
    if mode == "wiener":
        mean = estimate_mean(c, grid)
        spectrum = relative_spectrum(c - grid.basis.forward(mean.values), grid, problem.noise)
        operator = FNO(grid, 2, 1, coordinates=True, seed=seed, **network)
        denoiser = WienerDenoiser(operator, problem.noise, mean, spectrum, grid, scale=scale)
    else:
        # No mean is taken off: the published network sees none either.
        spectrum = relative_spectrum(c, grid, problem.noise)
        published = mode == "published"
        operator = FNO(
            grid, 3 if published else 1, 1, coordinates=not published, seed=seed, **network
        )
        operator = with_linspace(operator) if published else operator
        denoiser = PlainDenoiser(operator, problem.noise, 0.0, spectrum, grid, scale=scale)
    config = TrainingConfig(
        levels=(TRAINED,), steps=(steps,), batch_size=(batch_size,), learning_rate=learning_rate,
        shell_weight=0.0, save_every=10**9, seed=seed, average=0.99, warmup=20,
    )  # fmt: skip
    trainer = MultilevelTrainer(denoiser, data, grid, config)
    losses: list[float] = []
    trainer.train(progress=lambda at: losses.append(at.loss))
    return trainer.average.module.eval(), np.array(losses)


def with_linspace(operator):
    """``operator`` with the published coordinates as two further channels of its input."""
    import torch

    class Linspace(torch.nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner

        def forward(self, x, t, condition=None):
            lines = compat.coordinates(square(x.shape[-1]))
            planes = [torch.from_numpy(line).to(x).expand(x[:, :1].shape) for line in lines]
            return self.inner(torch.cat([x, *planes], 1), t, condition)

    return Linspace(operator)


def compare(
    denoiser, exact, grid: fdiff.Grid, times: list[float], size: int, scale: float = 1.0
) -> np.ndarray:
    """Mean squares ``||S_theta - S||^2, ||S||^2, ||S_linear - S||^2`` in H: ``(3, times)``.

    ``S_theta(t, x)`` is what the network says of ``scale x``, divided by ``scale``.
    """
    from fdiff.nn import NetworkScore

    learned = NetworkScore(exact.process, denoiser, batch=max(1, EVALUATION_NODES // grid.size))
    linear = fdiff.WienerScore(exact.process, *exact.reference)
    out = np.empty((3, len(times)))
    for i, t in enumerate(times):
        x = draws(exact, t, grid, size, EVALUATION_SEED)
        truth = exact.score_coefficients(t, x, grid)
        parts = (
            learned.score_coefficients(t, scale * x, grid) / scale - truth,
            truth,
            linear.score_coefficients(t, x, grid) - truth,
        )
        out[:, i] = [grid.basis.inner(part, part).mean() for part in parts]
    return out
