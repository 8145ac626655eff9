"""Fields of the reaction-diffusion experiments, u at t = 2.5; their priors; training on them."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

import fdiff
from fdiff import dataset, levels, metrics, nn
from fdiff.covariance import CovarianceOperator
from fdiff.dataset import factory
from fdiff.dataset.recipe import load
from fdiff.grid import Grid
from fdiff.metrics.spectra import Spectrum
from fdiff.score.mean import Field
from validation.experiments import priors

NATIVE = 128  # coarser truth is its restriction; finer truth is computed on the finer grid
TRAIN_SEED, HELD_OUT_SEED, SAMPLE_SEED = 0, 1, 7
SCHEDULE = fdiff.LinearSchedule(0.1, 20.0, T=1.0)  # the paper's
SYMMETRIES = ("reflections", "transpositions")  # of the equation on the square
WATCHED = 256  # held-out fields of the validation loss
FNO_MODES = 28  # cosine modes with noise, the paper's 14 of a periodic axis
BOX = Grid((NATIVE, NATIVE), 2.0, "neumann", -1.0)


def make(folder: Path, train: int, held_out: int, fine: Mapping[int, int], workers: int) -> None:
    """Computes what is missing in ``folder``: training and held-out fields on 128 x 128 cells, and
    ``fine[n]`` held-out fields on n x n cells for finer grids.

    The initial law is the recipe's, as the field that is the same function on every grid.
    """
    recipe = load("paper-reaction-diffusion").override(initial="grf")
    for name, seed, samples, n in (
        ("train", TRAIN_SEED, train, NATIVE),
        ("held_out", HELD_OUT_SEED, held_out, NATIVE),
        *((f"held_out_{n}", HELD_OUT_SEED, samples, n) for n, samples in fine.items()),
    ):
        wanted = recipe.override(samples=samples, seed=seed, resolution=(n, n))
        factory.generate(wanted, folder / f"{name}.h5", workers)


@lru_cache(maxsize=8)
def fields(folder: str, name: str) -> tuple[np.ndarray, Grid]:
    """``(samples, 1, n, n)`` and the grid of one of the files of `make`."""
    with dataset.open(Path(folder) / f"{name}.h5") as file:
        return file.fields("u"), file.grid


@lru_cache(maxsize=8)
def on_level(folder: str, name: str, n: int, boundary: str = "neumann") -> np.ndarray:
    """Fields on n x n cells: restricted, or for grids finer than 128 those computed there."""
    if n > NATIVE:
        return fields(folder, f"{name}_{n}")[0]
    u, grid = fields(folder, name)
    return restricted(u, grid_of(grid.shape[0], boundary), grid_of(n, boundary))


def restricted(u: np.ndarray, grid: Grid, target: Grid) -> np.ndarray:
    """Restriction in float64, kept in float32."""
    parts = [u[i : i + 128] for i in range(0, len(u), 128)]
    return np.concatenate(
        [levels.resample_field(p.astype(float), grid, target).astype(np.float32) for p in parts]
    )


def grid_of(n: int, boundary: str = "neumann") -> Grid:
    """n x n cells of PDEBench's square, with its walls or (wrongly) without."""
    return Grid((n, n), 2.0, boundary, -1.0)


@dataclass(frozen=True, eq=False)
class Truth:
    """What a training sees: fields on its level, with their mean and spectrum."""

    fields: np.ndarray
    grid: Grid
    mean: Field
    covariance: nn.ShellSpectrum


@lru_cache(maxsize=4)
def training_set(folder: str, n: int, boundary: str = "neumann") -> Truth:
    u, grid = on_level(folder, "train", n, boundary), grid_of(n, boundary)
    c = grid.basis.project(grid.basis.forward(u[:, 0].astype(float)))
    mean = nn.estimate_mean(c, grid)
    return Truth(u, grid, mean, nn.estimate_spectrum(c - grid.basis.forward(mean.values), grid))


def prior(name: str, power: float, grid: Grid, covariance: CovarianceOperator, seed: int = 0):
    """One of the paper's five priors as an operator on functions, with the data's trace.

    ``standard`` has it on ``grid``, since its limit has none. ``inverse_laplacian`` and ``bessel``
    have the covariance ``(shift - Laplacian)^-power``; the constant, which the first does not know,
    gets the noise of the next mode. ``combined``: half of it is ``fno``.
    """
    lowest = grid.basis.laplacian[grid.basis.laplacian > 0].min()
    low = priors.random_modes(np.random.default_rng([seed, FNO_MODES]), (FNO_MODES, FNO_MODES))
    laplace = fdiff.LaplaceCovariance(1.0, power, zero_mode=lowest**-power)
    bessel = fdiff.BesselCovariance(1.0, 60.0 / max(grid.lengths) ** 2, power)
    total = priors.trace(covariance, grid)
    return priors.with_trace(total, grid, name, low, laplace, bessel)


@dataclass(frozen=True, eq=False)
class Trained:
    score: nn.NetworkScore
    losses: np.ndarray  # (validations, 2): fields seen, loss on the training fields
    validation: float  # held-out loss on the training level, the linear model's is 1
    seconds: float  # of the process


def build(folder: str, noise, n: int, seed: int, network: Mapping, boundary: str = "neumann"):
    """An untrained network around the linear denoiser of the n x n training fields.

    ``network``: arguments of `fdiff.nn.NetworkConfig`.
    """
    data = training_set(folder, n, boundary)
    scale = "limit" if noise.is_trace_class(2) else "grid"
    built = nn.NetworkConfig(**network).build(data.grid, 2, 1, seed=seed)
    return nn.WienerDenoiser(built, noise, data.mean, data.covariance, data.grid, scale=scale)


def train(
    folder: str,
    noise: CovarianceOperator,
    *,
    n: int,
    steps: int,
    batch: int,
    seed: int,
    network: Mapping,
    boundary: str = "neumann",
) -> Trained:
    """The network of `build` for the prior ``noise``, trained on n x n cells alone."""
    data = training_set(folder, n, boundary)
    watched = on_level(folder, "held_out", n, boundary)[:WATCHED]
    config = nn.TrainingConfig(
        levels=(n,), steps=(steps,), batch_size=(batch,), schedule="warm", symmetries=SYMMETRIES,
        seed=seed, save_every=max(1, steps // 10),
    )  # fmt: skip
    denoiser = build(folder, noise, n, seed, network, boundary)
    start = time.process_time()
    trainer = nn.MultilevelTrainer(denoiser, data.fields, data.grid, config, watched).train()
    seconds = time.process_time() - start
    losses = np.array([(r.samples, r.loss) for r in trainer.records])
    validation = trainer.records[-1].validation[f"{n}x{n}"]
    return Trained(score_of(trainer.average.module), losses, validation, seconds)


def score_of(denoiser) -> nn.NetworkScore:
    """Of a trained denoiser, for the paper's schedule."""
    # Its own copy of the noise: not all operators compare equal to their copies.
    process = fdiff.ForwardProcess(denoiser.noise, SCHEDULE)
    return nn.NetworkScore(process, denoiser.eval().requires_grad_(False))


def drawn(
    score, grid: Grid, size: int, steps: int = 10, solver=None, *, seed: int, **options
) -> np.ndarray:
    """`fdiff.sample` of one channel, ``(size, 1, *grid.shape)`` in float32.

    ``seed``: of the training. Every training has its own noise, so that an interval over seeds
    covers the scatter of a finite set; what is drawn for one seed, on any grid and by any sampler,
    starts from the same functions.
    The state is float64: modes that a prior leaves without noise are too small for float32.
    """
    batch = max(1, 2**19 // grid.size)
    out = fdiff.sample(
        score, grid, size, steps, solver, SAMPLE_SEED + seed, channels=1, batch=batch,
        backend="torch", **options,
    )  # fmt: skip
    return out.fields.float().numpy()  # type: ignore[attr-defined]


def gaussian(folder: str, n: int, size: int, level: int, first: int = 0) -> np.ndarray:
    """Gaussian fields on n x n cells with the mean and the spectrum of the fields of ``level``."""
    data, grid = training_set(folder, level), grid_of(n)
    mean = levels.resample_field(data.mean.values, data.grid, grid)
    drawn = data.covariance.sample(grid, size, seed=SAMPLE_SEED, first=first, channels=1)
    return (mean + drawn).astype(np.float32)


def held_out(folder: str, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Held-out fields on n x n cells in two halves: to compare with, and as truth against truth."""
    u = on_level(folder, "held_out", n)
    return u[: len(u) // 2], u[len(u) // 2 :]


@lru_cache(maxsize=8)
def reference(folder: str, n: int) -> metrics.Reference:
    """The first half of the held-out fields on n x n cells."""
    return metrics.Reference(held_out(folder, n)[0], grid_of(n))


@lru_cache(maxsize=8)
def training_reference(folder: str, n: int) -> metrics.Reference:
    """The training fields on n x n cells (at most 128), which the paper compares with."""
    n = min(n, NATIVE)
    return metrics.Reference(on_level(folder, "train", n), grid_of(n))


def quality(folder: str, u: np.ndarray, n: int, names: Sequence[str]) -> np.ndarray:
    """Values of the metrics ``names`` against held-out truth, then the paper's, the approximate
    sliced Wasserstein distance to the training fields."""
    rows = reference(folder, n).compare(u, grid_of(n), names)
    paper = training_reference(folder, n).compare(u, grid_of(n), [PAPER])
    return np.array([row.value for row in (*rows, *paper)])


PAPER = "approximate_sliced_wasserstein"


def spectrum_of(folder: str, u: np.ndarray, n: int) -> Spectrum:
    """Relative error of the shells' energies against held-out truth."""
    return metrics.spectrum_ratio(u, held_out(folder, n)[0], grid_of(n))


def seam(u: np.ndarray) -> float:
    """``E |first line - last line|^2 / (2 Var)`` over both axes of fields ``(samples, 1, n, m)``.

    Values at opposite walls: 1 where they are independent, near 0 where the box closes up.
    """
    jumps = [u[..., 0, :] - u[..., -1, :], u[..., :, 0] - u[..., :, -1]]
    return float(np.mean([np.mean(np.square(j, dtype=float)) for j in jumps]) / (2 * u.var()))
