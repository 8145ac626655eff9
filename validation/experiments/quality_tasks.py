"""The long tasks of the quality experiment: each trains or draws with one network and compares."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

import fdiff
from fdiff import levels, nn, solvers
from fdiff.nn.classifier import classifier_accuracy
from fdiff.nn.validation import validation_ratio
from fdiff.solvers.fitted import CorrectionPaths
from validation.experiments import patterns
from validation.experiments.patterns import grid_of

METRICS = ("pointwise_w1", "gradient_w1", "kurtosis", "perimeter_error", "spectrum_error")
CHECKED = 256  # held-out fields of a validation loss
FIT_SEED = 1000  # of the paths that times are fitted to: never those of the samples
COMMON = 32  # fields of one start that all deterministic samplers draw: paired errors
EXAMPLES = 5
# Evaluations that a scheme takes beside one a step: its last map to t = 0, its start.
EXTRA = {"GaussianExact": 0, "DPMSolverPP2M": 1, "DPMSolverPP3M": 5, "EulerMaruyama": 1}


def perform(task: str, **arguments: Any) -> dict[str, Any]:
    """The function named ``task``: one pool of processes serves tasks of several kinds."""
    return TASKS[task](**arguments)


def default_run(
    folder: str, run: str, seed: int, training: Mapping, network: Mapping
) -> dict[str, Any]:
    """Train as ``fdiff demo`` does, into the directory ``run``; go on where it holds a part.

    ``validation``: held-out loss on 32, 64 and 128 points; ``curve``: (records, 2), the training's
    seconds and the loss on its finest level.
    """
    fields, grid = patterns.fields(folder, "train")
    held_out = patterns.on_level(folder, "held_out", patterns.NATIVE)[:CHECKED]
    config = nn.Config.from_dict(
        {
            "training": {"symmetries": list(patterns.SYMMETRIES), **training, "seed": seed},
            "network": dict(network),
        }
    )
    start = time.process_time()
    trained = nn.train(
        fields, grid, config, run, validation=held_out, time=2.5, resume=True, device="cpu"
    )
    seconds = time.process_time() - start
    records = nn.progress.read_records(Path(run) / "metrics.jsonl")
    finest = f"{max(config.training.levels)}x{max(config.training.levels)}"
    return {
        "validation": held_out_losses(folder, trained.denoiser),
        "curve": [(r.seconds, r.validation[finest]) for r in records],
        "seconds": seconds,  # of this process: less than the training's where it was resumed
    }


def held_out_losses(folder: str, denoiser: nn.Denoiser, boundary: str = "neumann") -> list[float]:
    """On 32, 64 and 128 points an axis, in units of the linear model's."""
    low_high = nn.TrainingConfig().half_log_snr
    losses = []
    for n in (32, 64, 128):
        u = torch.from_numpy(patterns.on_level(folder, "held_out", n, boundary)[:CHECKED])
        losses.append(validation_ratio(denoiser, u, grid_of(n, boundary), low_high, 0, "cpu"))
    return losses


def resolutions(folder: str, run: str, seed: int, counts: Mapping[str, int], evaluations: int):
    """Metrics of the run's samples on every number of points in ``counts``, number of fields."""
    score = nn.load_run(run, "cpu").score
    solver = solvers.GaussianExact()
    return on_resolutions(folder, score, seed, counts, "neumann", evaluations, solver)


def on_resolutions(folder, score, seed, counts, boundary, evaluations, solver) -> dict[str, Any]:
    """``metrics_n``; ``same_n``: RMS difference of the fields, restricted, to those on the first
    grid, in standard deviations; ``examples_n``. All NaN where the sampler diverges."""
    out: dict[str, Any] = {}
    first = None
    for n, count in ((int(n), count) for n, count in counts.items()):
        steps = evaluations - EXTRA[type(solver).__name__]
        grid = grid_of(n, boundary)
        try:
            u = patterns.drawn(score, grid, count, steps, solver, seed=seed, start="exact")
        except solvers.DivergenceError:
            u = np.full((count, 1, n, n), np.nan, np.float32)
        finite = bool(np.isfinite(u).all())
        out[f"metrics_{n}"] = measured(folder, u, n) if finite else np.full(len(METRICS), np.nan)
        if first is None:
            first = n, u[:COMMON].astype(float)
        coarse = grid_of(first[0], boundary)
        same = levels.resample_field(u[:COMMON].astype(float), grid, coarse) if finite else np.nan
        shared = first[1][: min(COMMON, count)]
        out[f"same_{n}"] = np.sqrt(np.mean((same - shared) ** 2)) / first[1].std()
        out[f"examples_{n}"] = u[:EXAMPLES, 0].astype(np.float16)
    return out


def measured(folder: str, u: np.ndarray, n: int) -> np.ndarray:
    """`METRICS` against held-out truth on n points, or on 128 where n is finer."""
    reference = patterns.reference(folder, min(n, patterns.NATIVE))
    return np.array([row.value for row in reference.compare(u, grid_of(n), METRICS)])


class GridValues(torch.nn.Module):
    """The reference implementation's scaling around a network trained on ``points`` an axis.

    It draws noise without the factor ``1 / h``, so that on n points its fields, data and noise
    alike, are ``points / n`` times the functions, and those the network sees.
    """

    def __init__(self, network: torch.nn.Module, points: int):
        super().__init__()
        self.network, self.points = network, points

    def forward(self, x, t, condition=None):
        factor = self.points / x.shape[-1]
        return self.network(x * factor, t, condition) / factor


def contender(
    folder: str, kind: str, seed: int, level: int, seconds: float, batch: int,
    network: Mapping, unet: Mapping, counts: Mapping[str, int], evaluations: int,
) -> dict[str, Any]:  # fmt: skip
    """Train one kind of network on one level for ``seconds`` of the processor, draw, compare."""
    boundary = "periodic" if kind == "reference" else "neumann"

    def trainer(steps: int) -> nn.MultilevelTrainer:
        data = patterns.training_set(folder, level, boundary)
        config = nn.TrainingConfig(
            levels=(level,), steps=(steps,), batch_size=(batch,), schedule="warm", seed=seed,
            symmetries=patterns.SYMMETRIES, save_every=10**9,
        )  # fmt: skip
        denoiser = contending(kind, data, level, seed, network, unet)
        return nn.MultilevelTrainer(denoiser, data.fields, data.grid, config)

    steps = max(2, round(seconds / seconds_per_step(trainer(16))))
    start = time.process_time()
    trained = trainer(steps).train()
    spent = time.process_time() - start
    denoiser = trained.average.module.eval().requires_grad_(False)
    score = nn.NetworkScore(fdiff.ForwardProcess(denoiser.noise, patterns.SCHEDULE), denoiser)
    solver = solvers.DPMSolverPP2M()
    out = on_resolutions(folder, score, seed, counts, boundary, evaluations, solver)
    weights = sum(p.numel() for p in denoiser.parameters())
    validation = held_out_losses(folder, denoiser, boundary)
    return out | {
        "validation": validation, "seconds": spent, "steps": steps, "weights": weights
    }  # fmt: skip


def contending(kind: str, data: patterns.Truth, level: int, seed: int, network, unet):
    """The denoiser of a kind: ``operator``, ``unet``, ``noise`` or ``reference``."""
    if kind in ("operator", "unet"):
        around = nn.DenoiserConfig()
    elif kind == "noise":
        around = nn.DenoiserConfig(prediction="noise", wiener=False)
    else:
        # The paper's prior, (8 - Laplacian)^-0.55 applied to white noise.
        around = nn.DenoiserConfig("noise", False, noise_shift=8.0, noise_power=1.1)
    chosen = {"kind": "unet", **unet} if kind == "unet" else dict(network)
    config = nn.NetworkConfig(**chosen)
    built = config.build(data.grid, around.network_channels(1), 1, seed=seed)
    if kind == "reference":
        built = GridValues(built, level)
    noise = around.noise(data.grid, data.covariance)
    return around.build(built, noise, data.mean, data.covariance, data.grid)


def seconds_per_step(trainer: nn.MultilevelTrainer) -> float:
    """Processor seconds, without the first steps."""
    trainer.train(until=4)
    start = time.process_time()
    trainer.train()
    return (time.process_time() - start) / (trainer.total_steps - 4)


def samplers(folder: str, run: str, seed: int, level: int, rows: list, fit: Mapping[str, int]):
    """Every sampler of ``rows`` on ``level`` points: `METRICS`, and the deterministic ones'
    RMS distance to the limit of many steps from the same start, in standard deviations.

    A row is ``[scheme, order, evaluations, fields, times]``, ``times`` "uniform" (in lambda; in
    time for Euler-Maruyama, which is not deterministic) or "fitted". ``fit``: arguments of
    `CorrectionPaths.record`.
    """
    score, grid = nn.load_run(run, "cpu").score, grid_of(level)
    limit = patterns.drawn(
        score, grid, COMMON, fit["limit"], solvers.GaussianExact(3), seed=seed, start="exact"
    )
    paths = CorrectionPaths.record(
        score, grid, fit["fields"], fit["steps"], seed=FIT_SEED + seed, channels=1
    )
    metrics, errors, seconds = [], [], []
    for scheme, order, evaluations, count, kind in rows:
        known = getattr(solvers, scheme)
        solver = known(order) if scheme == "GaussianExact" else known()
        steps = evaluations - EXTRA[scheme]
        euler = scheme == "EulerMaruyama"
        options: dict[str, Any] = {} if euler else {"start": "exact"}
        if kind == "fitted":
            options["times"] = paths.times(steps, order)
        elif euler:
            options["times"] = solvers.times(score.process, steps, "time")
        start = time.process_time()
        try:
            u = patterns.drawn(score, grid, count, steps, solver, seed=seed, **options)
            metrics.append(measured(folder, u, level))
        except solvers.DivergenceError:
            u = np.full((count, 1, level, level), np.nan)
            metrics.append(np.full(len(METRICS), np.nan))
        seconds.append((time.process_time() - start) / count)
        common = min(COMMON, count)
        error = np.sqrt(np.mean((u[:common].astype(float) - limit[:common]) ** 2)) / limit.std()
        errors.append(np.nan if euler else error)
    return {"metrics": metrics, "errors": errors, "seconds": seconds}


def classified(
    folder: str, run: str, seed: int, level: int, scheme: str, order: int, evaluations: int,
    fields: int,
) -> dict[str, Any]:  # fmt: skip
    """Held-out accuracy of the classifier, samples against held-out truth."""
    score, grid = nn.load_run(run, "cpu").score, grid_of(level)
    known = getattr(solvers, scheme)
    solver = known(order) if scheme == "GaussianExact" else known()
    steps = evaluations - EXTRA[scheme]
    u = patterns.drawn(score, grid, fields, steps, solver, seed=seed, start="exact")
    truth = patterns.held_out(folder, level)[0][: len(u)]
    found = classifier_accuracy(u[: len(truth)], truth, grid)
    return {"accuracy": [found.value, found.low, found.high]}


def floors(folder: str, level: int, counts: list[int], classifier: bool) -> dict[str, Any]:
    """`METRICS` of truth against truth in sets of ``counts``: how to read the others."""
    rest = patterns.held_out(folder, level)[1]
    out = {}
    for count in counts:
        sets = [rest[i : i + count] for i in range(0, len(rest) - count + 1, count)][:4]
        out[f"truth_{count}"] = np.mean([measured(folder, u, level) for u in sets], 0)
    if classifier:
        truth = patterns.held_out(folder, level)[0]
        found = classifier_accuracy(rest, truth, grid_of(level))
        out["classifier"] = np.array([found.value, found.low, found.high])
    return out


TASKS = {
    function.__name__: function
    for function in (default_run, contender, resolutions, samplers, classified, floors)
}
