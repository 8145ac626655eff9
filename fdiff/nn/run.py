"""A training run: from fields to a directory, and from the directory to a score."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, cast, final

import numpy as np
import torch

from fdiff.files import write_bytes
from fdiff.grid import Grid
from fdiff.nn import checkpoint as files
from fdiff.nn import parallel
from fdiff.nn.board import Board, open_writer
from fdiff.nn.config import Config
from fdiff.nn.fields import checked_fields, level_grids, restricted
from fdiff.nn.parallel import Team
from fdiff.nn.precondition import Denoiser
from fdiff.nn.progress import Progress, read_records
from fdiff.nn.score import NetworkScore
from fdiff.nn.spectrum import estimate_mean, estimate_spectrum
from fdiff.nn.trainer import MultilevelTrainer, TrainingDiverged
from fdiff.process import ForwardProcess
from fdiff.schedule import LinearSchedule

FORMAT = 1  # of run.json
SAMPLING_BATCH_NODES = 2**19  # nodes of one network call: bounds the memory


@final
@dataclass(frozen=True)
class Run:
    """A trained network with all that sampling needs."""

    denoiser: Denoiser
    process: ForwardProcess
    grid: Grid  # the finest that was trained on
    config: Config
    fields: tuple[str, ...]  # names of the channels
    time: float  # of the data
    training_data: dict[str, Any]  # provenance of the fields that were trained on
    identity: str  # digest of the weights
    device: torch.device

    @cached_property
    def score(self) -> NetworkScore:
        batch = max(1, SAMPLING_BATCH_NODES // (4 * self.grid.size))
        return NetworkScore(self.process, self.denoiser, batch=batch)


def train(
    fields: np.ndarray,
    grid: Grid,
    config: Config | None = None,
    out: Path | str | None = None,
    *,
    validation: np.ndarray | None = None,
    names: Sequence[str] = ("u",),
    time: float = 0.0,
    training_data: dict[str, Any] | None = None,
    resume: bool = False,
    device: str | None = None,
    progress: Callable[[Progress], None] | None = None,
    tensorboard: bool = False,
) -> Run:
    """Train on ``fields`` ``(samples, channels, *grid.shape)`` and leave the run in ``out``.

    Mean and spectrum are estimated on the finest level, whatever the resolution of the data.
    ``resume`` continues an interrupted run of ``out``, bit for bit on the same machine. Under
    ``torchrun`` the processes share each batch, and the first of them writes and reports.
    ``tensorboard`` writes the losses for TensorBoard too, into ``out/tensorboard``.

    Raises:
        ValueError: data or a configuration that does not fit, see `MultilevelTrainer`; a directory
            that holds another run.
        TrainingDiverged: the loss is not finite; the batch is saved in ``out``.
    """
    config = Config() if config is None else config
    fields = _with_channels(fields, grid)
    if len(names) != fields.shape[1]:
        names = [f"field{i}" for i in range(fields.shape[1])]
    finest = max(level_grids(grid, config.training.levels), key=lambda g: g.size)
    # Restricted once: what lies beyond the finest level must not enter mean or spectrum.
    fields = _restricted(fields, grid, finest)
    if validation is not None:
        validation = _restricted(_with_channels(validation, grid), grid, finest)
    directory = None if out is None else Path(out)
    if tensorboard and directory is None:
        raise ValueError("tensorboard needs a run directory to write into: give out")
    about = {"fields": list(names), "time": float(time), "training_data": training_data or {}}
    with parallel.team(device) as team:
        if directory is not None and resume and (directory / "state.json").is_file():
            trainer, description = _resumed(directory, fields, finest, config, validation, team)
        else:
            if directory is not None:
                _claim(directory)
            trainer, description = _fresh(fields, finest, config, validation, team)
        board = None
        if tensorboard and directory is not None and team.leads:
            board = Board(open_writer(directory / "tensorboard", trainer.step))
        try:
            _train_and_save(trainer, directory, description | about, progress, board)
        finally:
            if board is not None:
                board.close()
    return _run(description | about, cast(Denoiser, trainer.average.module), trainer.device)


def _train_and_save(trainer: MultilevelTrainer, directory, description, progress, board) -> None:
    team = trainer.team

    def save(trainer: MultilevelTrainer) -> None:
        if directory is not None:
            save_run(directory, trainer, description)
        if board is not None and trainer.records:
            board.record(trainer.records[-1])

    def report(now: Progress) -> None:
        if board is not None:
            board.step(now)
        if progress is not None:
            progress(now)

    # Files appear when all processes have seen what was there before.
    team.wait()
    if trainer.step == 0 and team.leads:
        save(trainer)
    try:
        trainer.train(progress=report, save=save)
    except TrainingDiverged as error:
        if directory is not None and team.leads:
            np.save(directory / "diverged_batch.npy", error.batch)
        team.wait()
        raise
    team.wait()


def load_run(directory: Path | str, device: str | None = None) -> Run:
    """The run of a directory that `train` left; ``device`` defaults to CUDA where there is one.

    Raises:
        FileNotFoundError: no such run.
        ValueError: a damaged file, or weights of another network.
    """
    directory = Path(directory)
    description = _description(directory)
    where = parallel.device_named(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    denoiser = _build(description)
    tensors = files.read_tensors(directory / "model.safetensors")
    files.copy_into(denoiser, tensors, str(directory / "model.safetensors"))
    return _run(description, denoiser.to(where).eval().requires_grad_(False), where)


def save_run(directory: Path, trainer: MultilevelTrainer, description: dict[str, Any]) -> None:
    """All files of a run. `optimizer.safetensors` alone decides where a resumed run goes on."""
    directory.mkdir(parents=True, exist_ok=True)
    files.write_json(directory / "run.json", description)
    _write_config(directory, description["config"])
    lines = [json.dumps(dataclasses.asdict(record)) for record in trainer.records]
    write_bytes(directory / "metrics.jsonl", "".join(f"{x}\n" for x in lines).encode())
    average = dict(trainer.average.module.named_parameters())
    files.write_tensors(directory / "optimizer.safetensors", trainer.state_dict())
    files.write_tensors(directory / "model.safetensors", average)
    if _is_best(trainer):
        files.write_tensors(directory / "best.safetensors", average)
    progress = {"step": trainer.step, "steps": trainer.total_steps, "seconds": trainer.seconds}
    files.write_json(directory / "state.json", progress)


def last_validation(directory: Path | str) -> dict[str, float]:
    """The last validation losses of a run by level; empty where nothing was held out."""
    records = read_records(Path(directory) / "metrics.jsonl")
    return records[-1].validation if records else {}


def _is_best(trainer: MultilevelTrainer) -> bool:
    """Whether the last record has the lowest validation loss on the finest level so far."""
    losses = [list(r.validation.values())[-1] for r in trainer.records if r.validation]
    current = bool(trainer.records) and trainer.records[-1].step == trainer.step
    return current and bool(losses) and losses[-1] == min(losses)


def _fresh(fields, grid: Grid, config: Config, validation, team: Team):
    # Checked before anything is estimated from them.
    checked_fields(fields, grid, "training")
    c = grid.basis.project(grid.basis.forward(np.asarray(fields, float)))
    channels = c.shape[1]
    mean = estimate_mean(c if channels > 1 else c[:, 0], grid)
    centred = c - grid.basis.forward(mean.values)
    covariance = estimate_spectrum(centred, grid)
    description = {
        "format": FORMAT,
        "grid": files.to_json(grid),
        "channels": channels,
        "mean": files.to_json(mean),
        "spectrum": files.to_json(covariance),
        "noise": files.to_json(config.denoiser.noise(grid, covariance)),
        "schedule": files.to_json(LinearSchedule()),
        "config": config.as_dict(),
    }
    denoiser = _build(description)
    trainer = MultilevelTrainer(denoiser, fields, grid, config.training, validation, team=team)
    return trainer, description


def _resumed(directory: Path, fields, grid: Grid, config: Config, validation, team: Team):
    description = _description(directory)
    known = Config.from_dict(description["config"])
    if known != config:
        raise ValueError(
            f"{directory} was trained with {_difference(known, config)}: resume with "
            "the same configuration, or train into another directory"
        )
    if files.grid_from_json(description["grid"]) != grid:
        raise ValueError(
            f"{directory} was trained on {description['grid']}, but the data are on {grid}"
        )
    if fields.shape[1] != description["channels"]:
        raise ValueError(
            f"{directory} was trained on {description['channels']} channels, the data have "
            f"{fields.shape[1]}"
        )
    denoiser = _build(description)
    trainer = MultilevelTrainer(denoiser, fields, grid, config.training, validation, team=team)
    trainer.load_state_dict(files.read_tensors(directory / "optimizer.safetensors"))
    trainer.load_records(directory / "metrics.jsonl")
    return trainer, description


def _difference(known: Config, new: Config) -> str:
    for part in dataclasses.fields(Config):
        a, b = getattr(known, part.name), getattr(new, part.name)
        for key in dataclasses.fields(a):
            x, y = getattr(a, key.name), getattr(b, key.name)
            if x != y:
                return f"{part.name}.{key.name} = {x!r}, not {y!r}"
    return "another configuration"


def _claim(directory: Path) -> None:
    if (directory / "state.json").is_file():
        raise ValueError(
            f"{directory} holds a run already: continue it with resume, or choose another directory"
        )


def _description(directory: Path) -> dict[str, Any]:
    path = directory / "run.json"
    if not path.is_file():
        raise FileNotFoundError(f"{directory} is no run directory: it has no run.json")
    description = files.read_json(path)
    if description.get("format") != FORMAT:
        raise ValueError(
            f"{path} has format {description.get('format')!r}, this version reads {FORMAT}"
        )
    return description


def _build(description: dict[str, Any]) -> Denoiser:
    """The untrained denoiser of a run."""
    grid = files.grid_from_json(description["grid"])
    config = Config.from_dict(description["config"])
    channels = description["channels"]
    inputs = config.denoiser.network_channels(channels)
    network = config.network.build(grid, inputs, channels, seed=config.training.seed)
    return config.denoiser.build(
        network,
        files.object_from_json(description["noise"]),
        files.mean_from_json(description["mean"]),
        files.object_from_json(description["spectrum"]),
        grid,
    )


def _run(description: dict[str, Any], denoiser: Denoiser, device: torch.device) -> Run:
    digest = hashlib.sha256()
    for _, parameter in sorted(denoiser.named_parameters()):
        digest.update(parameter.detach().cpu().numpy().tobytes())
    return Run(
        denoiser,
        ForwardProcess(denoiser.noise, files.object_from_json(description["schedule"])),
        files.grid_from_json(description["grid"]),
        Config.from_dict(description["config"]),
        tuple(description["fields"]),
        description["time"],
        description["training_data"],
        digest.hexdigest()[:16],
        device,
    )


def _write_config(directory: Path, config: dict[str, Any]) -> None:
    try:
        import tomli_w
    except ModuleNotFoundError:
        warnings.warn(
            "config.toml is not written without tomli-w; run.json holds the same", stacklevel=3
        )
        return
    write_bytes(directory / "config.toml", tomli_w.dumps(config).encode())


def _with_channels(fields, grid: Grid) -> np.ndarray:
    fields = np.asarray(fields)
    return fields[:, None] if fields.ndim == grid.dim + 1 else fields


def _restricted(fields: np.ndarray, grid: Grid, target: Grid) -> np.ndarray:
    # Fields of a wrong shape go on as they are: the check of them says so.
    return (
        restricted(fields, grid, target)
        if fields.shape[2:] == grid.shape and len(fields)
        else fields
    )
