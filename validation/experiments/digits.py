"""Tasks of the experiment on MNIST: digits on grids, training with any prior, samples, measures.

Ours: function values on the no-flux square, a prior with the data's trace, `WienerDenoiser`,
`GaussianExact`. The published protocol is that of `published`, on Fourier crops of the digits.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

import fdiff
from fdiff import compat, levels, metrics
from fdiff.covariance import CovarianceOperator
from fdiff.dataset.images import SIDE, ImageFolder
from fdiff.grid import Grid
from fdiff.metrics.estimate import Estimate, student
from fdiff.nn.config import NetworkConfig, TrainingConfig
from fdiff.nn.precondition import WienerDenoiser
from fdiff.nn.score import NetworkScore
from fdiff.nn.spectrum import estimate_mean, estimate_spectrum
from fdiff.nn.trainer import MultilevelTrainer
from fdiff.nn.validation import validation_ratio
from validation.experiments import priors, published

COARSE = 32  # the resolution of training
FRAME = 1 / 8  # width of the frame in which `frame_rms` looks; MNIST's own margin is 1 / 7
VENDI = 32  # digits of a Vendi score, which grows with their number
MEASURES = (
    "energy distance", "sliced Wasserstein", "approximate sliced Wasserstein",
    "Vendi, cosine", "Vendi, Gaussian", "pointwise W1", "frame",
)  # fmt: skip
SHOWN = 8  # digits of each set that a gallery draws
PAPER = {
    "standard": {},
    "fno": {"modes": (32, 16)},
    "inverse_laplacian": {"scale": 20.0},
    "bessel": {"shift": 8.0},
    "combined": {"modes": (32, 16)},
}  # the published arguments of each prior in its MNIST script


@lru_cache(maxsize=12)
def digits(folder: str, boundary: str, side: int, split: str, most: int) -> tuple[np.ndarray, Grid]:
    """At most ``most`` digits ``(count, 1, side, side)``, evenly spread over the split; their grid.

    Up to 64² restrictions of the digits resized to 64², as training sees them; beyond, the digits
    resized to that side. A periodic box takes the same values.
    """
    images = ImageFolder(folder, max(side, SIDE))
    fields = images.fields(split=split)
    fields = fields[np.unique(np.linspace(0, len(fields) - 1, min(most, len(fields))).astype(int))]
    fine = Grid(images.grid.shape, 1.0, boundary)
    grid = fine.with_shape((side, side))
    if grid == fine:
        return fields, grid
    parts = np.array_split(fields, max(1, len(fields) // 512))
    return np.concatenate([_restricted(part, fine, grid) for part in parts]), grid


def _restricted(fields: np.ndarray, fine: Grid, grid: Grid) -> np.ndarray:
    return levels.restrict_field(fields.astype(float), fine, grid).astype(np.float32)


def noise(name: str, grid: Grid, data: CovarianceOperator) -> CovarianceOperator:
    """The paper's priors as operators in function space, with the data's trace.

    Powers are the paper's 0.55 on the multiplier, 1.1 on the covariance. "smooth" is what
    `fdiff.nn.train` takes for fields, "short" what ``fdiff train`` takes for folders of images: up
    to some 12 half waves a side white, so that digits come out of it coarse modes first. Random
    multipliers are real and even, so self-adjoint; the inverse Laplacian has a zero mode, since
    digits differ in their ink; a sum is of independent noises. White noise has no trace: at 32² its
    values have the data's variance.
    """
    total = priors.trace(data, grid)
    if name == "standard":
        return total / COARSE**grid.dim * fdiff.WhiteNoise()
    low = priors.random_modes(np.random.default_rng(0), (COARSE, COARSE))
    laplace = fdiff.LaplaceCovariance(1.0, 1.1, zero_mode=np.pi**-2.2)
    bessel = fdiff.BesselCovariance(1.0, 8.0, 1.1)
    others = {
        other: fdiff.BesselCovariance(1.0, shift, 1.75)
        for other, shift in (("smooth", 60.0), ("short", 1500.0))
    }
    return priors.with_trace(total, grid, name, low, laplace, bessel, **others)


def prominent(folder: str, prior: str, train: int) -> int:
    """Half waves a side at which the digits' spectrum over the prior's is largest; not of the mean
    values, 0."""
    fields, grid = digits(folder, "neumann", SIDE, "train", train)
    c = grid.basis.project(
        grid.basis.forward(fields[:: max(1, len(fields) // 1500), 0].astype(float))
    )
    data = estimate_spectrum(c - c.mean(0), grid)
    shell = np.rint(np.sqrt(grid.basis.laplacian) / np.pi).astype(int).ravel()
    ratio = data.eigenvalues(grid) / noise(prior, grid, data).eigenvalues(grid)
    mean = np.bincount(shell, ratio.ravel()) / np.maximum(np.bincount(shell), 1)
    return 1 + int(np.argmax(mean[1:COARSE]))


def learner(
    fields: np.ndarray, grid: Grid, prior: str, network: dict, training: TrainingConfig
) -> MultilevelTrainer:
    """A trainer as `fdiff.nn.train` makes one, with any of the priors."""
    c = grid.basis.project(grid.basis.forward(fields.astype(float)))
    mean = estimate_mean(c[:, 0], grid)
    data = estimate_spectrum(c - grid.basis.forward(mean.values), grid)
    body = NetworkConfig(coordinates=True, **network).build(grid, 2, 1, training.seed)
    q = noise(prior, grid, data)
    # What has no scale that all grids share is scaled on each.
    scale = "limit" if q.is_trace_class(grid.dim) else "grid"
    denoiser = WienerDenoiser(body, q, mean, data, grid, scale=scale)
    return MultilevelTrainer(denoiser, fields, grid, training)


def score_of(trainer: MultilevelTrainer) -> NetworkScore:
    denoiser: Any = trainer.average.module
    process = fdiff.ForwardProcess(denoiser.noise, fdiff.LinearSchedule())
    return NetworkScore(process, denoiser, batch=64)


def sampled(score: NetworkScore, grid: Grid, size: int, steps: int, seed: int) -> np.ndarray:
    """Digits ``(size, 1, *grid.shape)``; the same functions on every grid."""
    drawn = fdiff.sample(
        score, grid, size, steps, seed=seed, channels=1, batch=64, backend="torch", dtype="float32"
    )
    return drawn.fields.numpy()


def rescaled(fields: np.ndarray) -> np.ndarray:
    """Each digit's values moved to [0, 1], as the published evaluation does with samples."""
    low, high = (f(axis=(-2, -1), keepdims=True) for f in (fields.min, fields.max))
    return (fields - low) / (high - low)


def frame_rms(fields: np.ndarray, width: float = FRAME) -> float:
    """Root mean square of the values within ``width`` (a share of the side) of the walls."""
    n = fields.shape[-1]
    inner = slice(round(width * n), n - round(width * n))
    frame = np.ones((n, n), bool)
    frame[inner, inner] = False
    return float(np.sqrt(np.mean(fields[..., frame].astype(float) ** 2)))


def measure(fields: np.ndarray, truth: np.ndarray, grid: Grid) -> np.ndarray:
    """`MEASURES` of ``fields`` against held-out digits."""
    names = (
        "energy_distance", "sliced_wasserstein", "approximate_sliced_wasserstein", "pointwise_w1",
    )  # fmt: skip
    rows = {r.metric: r.value for r in metrics.compare(fields, truth, grid, metrics=names)}
    few = fields[:VENDI]
    length = metrics.median_distance(truth[:VENDI], grid)
    vendi = [metrics.vendi_cosine(few, grid).value, metrics.vendi_gaussian(few, grid, length).value]
    *distances, pointwise = (rows[name] for name in names)
    return np.array([*distances, *vendi, pointwise, frame_rms(fields)])


def task(study: str, **arguments) -> dict[str, np.ndarray]:
    """One of `STUDIES`, so that a worker process keeps the digits that it has read."""
    return STUDIES[study](**arguments)


def truth_task(folder: str, seed: int, sides: list, samples: int, train: int, test: int) -> dict:
    """Digits of the training split, other ones for each seed, against the held-out ones."""
    out = {}
    for side in sides:
        held_out, grid = digits(folder, "neumann", side, "test", test)
        others, _ = digits(folder, "neumann", side, "train", train)
        rows = np.random.default_rng(seed).permutation(len(others))[:samples]
        out[f"measures_{side}"] = measure(others[rows], held_out, grid)
        out[f"digits_{side}"] = others[rows[:SHOWN], 0].astype(np.float16)
    return out


def trained_task(
    folder: str, seed: int, prior: str, boundary: str, levels: list, steps: list, batch: int,
    rate: float, network: dict, train: int, test: int, sides: list, samples: int,
    evaluations: int, points: int, validation: int,
) -> dict:  # fmt: skip
    """A training of ours, its loss at 64² over CPU seconds, and what it samples at ``sides``."""
    top = max(levels)
    fields, grid = digits(folder, boundary, top, "train", train)
    training = TrainingConfig(
        levels=tuple(levels), steps=tuple(steps), batch_size=(batch,) * len(levels), seed=seed,
        learning_rate=rate, save_every=10**9,
    )  # fmt: skip
    trainer = learner(fields, grid, prior, network, training)
    out = _curve(trainer, folder, boundary, points, validation)
    score = score_of(trainer)
    for side in sides:
        held_out, grid = digits(folder, boundary, side, "test", test)
        start = time.process_time()
        drawn = sampled(score, grid, samples, evaluations, seed)
        out[f"seconds_{side}"] = np.array(time.process_time() - start)
        out[f"measures_{side}"] = measure(drawn, held_out, grid)
        out[f"digits_{side}"] = drawn[:SHOWN, 0].astype(np.float16)
        if side == COARSE:
            coarse, coarse_grid = drawn, grid
        elif side == SIDE and COARSE in sides:
            # The same seeds: the same digits, up to what the network makes of the finer grid.
            seen = _restricted(drawn, grid, coarse_grid)
            out["difference"] = np.array(np.sqrt(np.mean((seen - coarse) ** 2)) / held_out.std())
    return out


def _curve(
    trainer: MultilevelTrainer, folder: str, boundary: str, points: int, validation: int
) -> dict:
    """Trains; validation loss at 64² (or none) at some ``points``, CPU seconds of training only."""
    grid = Grid((SIDE, SIDE), 1.0, boundary)
    kept = torch.from_numpy(digits(folder, boundary, SIDE, "test", validation or 1)[0])
    spent, rows = 0.0, []
    for k in range(points + 1):
        start = time.process_time()
        trainer.train(until=round(trainer.total_steps * k / points))
        spent += time.process_time() - start
        if validation:
            loss = validation_ratio(
                trainer.average.module, kept, grid, trainer.config.half_log_snr, 0, trainer.device
            )
            rows.append((spent, trainer.samples_before(trainer.step), loss))
    return {"curve": np.array(rows), "seconds": np.array(spent)}


def paper_task(
    folder: str, seed: int, prior: str, steps: int, batch: int, network: dict, train: int,
    test: int, sides: list, samples: int, evaluations: int,
) -> dict:  # fmt: skip
    """The published protocol: its crops, prior, prediction, sampler, and its rescaling."""
    fine, _ = digits(folder, "periodic", SIDE, "train", train)
    crops = compat.downsample(fine, SIDE // COARSE)
    filter_ = compat.prior(prior, **PAPER[prior])
    trained = published.train(
        crops, filter_, n=COARSE, steps=steps, batch=batch, seed=seed, network=network
    )
    out = {"seconds": np.array(trained.seconds)}
    for side in sides:
        held_out, grid = digits(folder, "periodic", side, "test", test)
        drawn = published.sample(trained.score, side, samples, evaluations, seed, SIDE)
        out[f"measures_{side}"] = measure(drawn, held_out, grid)
        out[f"rescaled_{side}"] = measure(rescaled(drawn), held_out, grid)
        out[f"digits_{side}"] = rescaled(drawn)[:SHOWN, 0].astype(np.float16)
    return out


STUDIES: dict[str, Callable[..., dict]] = {
    "truth": truth_task,
    "trained": trained_task,
    "paper": paper_task,
}


def difference(first, second) -> Estimate:
    """Mean over paired runs of ``first - second``, with Student's interval."""
    return student(np.asarray(first, float) - np.asarray(second, float))


def mnist_folder(data: Path | None) -> str:
    """The folder with images; `Skipped` says what would let the experiment run."""
    from fdiff.dataset.idx import find_images
    from validation.experiments.runner import Skipped

    if data is None:
        raise Skipped("it needs MNIST: give --data DIR, the folder of its IDX files (.gz or raw)")
    try:
        find_images(data)
    except ValueError as error:
        raise Skipped(f"{error}; give --data DIR, the folder of MNIST's IDX files") from error
    return str(data)
