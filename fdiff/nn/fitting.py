"""Training from fields to a run directory, from the start or from where it was interrupted."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import nn

from fdiff import locks
from fdiff.dataset.fingerprint import Fingerprints
from fdiff.described import named
from fdiff.files import whole
from fdiff.grid import Grid
from fdiff.nn import augment, parallel
from fdiff.nn import checkpoint as files
from fdiff.nn.board import Board, open_writer
from fdiff.nn.condition import Conditions
from fdiff.nn.config import Config, NetworkConfig
from fdiff.nn.description import FORMAT, read_description
from fdiff.nn.fields import check_sizes, checked_fields, level_grids, restricted
from fdiff.nn.parallel import Team
from fdiff.nn.precondition import Denoiser
from fdiff.nn.progress import Progress
from fdiff.nn.resuming import begun, check_same_run, claim
from fdiff.nn.run import (
    Run,
    as_run,
    build_denoiser,
    conditions_of,
    conditions_to_json,
    save_run,
)
from fdiff.nn.spectrum import estimate_mean, estimate_spectra
from fdiff.nn.trainer import MultilevelTrainer, TrainingDiverged
from fdiff.schedule import LinearSchedule
from fdiff.score.mean import Field
from fdiff.values import real_values
from fdiff.words import by_number, warn

LOCK = "training.lock"  # in a run directory while a training writes there


def train(
    fields: np.ndarray,
    grid: Grid,
    config: Config | None = None,
    out: Path | str | None = None,
    *,
    validation: np.ndarray | None = None,
    names: Sequence[str] | None = None,
    time: float = 0.0,
    training_data: dict[str, Any] | None = None,
    resume: bool = False,
    device: str | None = None,
    progress: Callable[[Progress], None] | None = None,
    tensorboard: bool = False,
    network: nn.Module | None = None,
    parameters: Mapping[str, np.ndarray] | None = None,
    validation_parameters: Mapping[str, np.ndarray] | None = None,
) -> Run:
    """Train on ``fields`` ``(samples, channels, *grid.shape)`` and leave the run in ``out``.

    Mean and spectrum are estimated on the finest level, whatever the resolution of the data.
    ``names`` of the channels: "u" for one, "field0", "field1", ... for several by default.
    ``resume`` continues an interrupted run of ``out``, bit for bit on the same machine. Under
    ``torchrun`` the processes share each batch, and the first of them writes and reports.
    ``tensorboard`` writes the losses for TensorBoard too, into ``out/tensorboard``. ``network``
    takes the place of the configuration's: a module of the signature that `Denoiser` asks for, see
    also `TimeAsChannel`; `load_run` needs it again. ``parameters``: by name, a number for each
    field, which the network is told; the run's scores are then `Run.score_at` values of them.

    Raises:
        ValueError: data or a configuration that does not fit, see `MultilevelTrainer`; a directory
            that holds another run.
        InUseError: another process is training into ``out``.
        TrainingDiverged: the loss is not finite; the batch is saved in ``out``.
    """
    config = Config() if config is None else config
    fields = _with_channels(fields, grid, "training")
    channels = fields.shape[1] if fields.ndim > 1 else 1
    if names is None:
        names = ("u",) if channels == 1 else [f"field{i}" for i in range(channels)]
    elif len(names) != channels:
        raise ValueError(f"{list(names)} are not names for the {channels} channels of the fields")
    check_fit(config, grid, channels, network)
    check_sizes(fields, names)
    finest = max(level_grids(grid, config.training.levels), key=lambda g: g.size)
    # Restricted once: what lies beyond the finest level must not enter mean or spectrum.
    original, fields = fields, _restricted(fields, grid, finest)
    held_out = None
    if validation is not None:
        held_out = _with_channels(validation, grid, "validation")
        validation = _restricted(held_out, grid, finest)
    _check_parameters(parameters or {}, validation_parameters or {}, validation is not None)
    told = (parameters or {}, validation_parameters)
    directory = None if out is None else Path(out)
    for option, given in (("tensorboard", tensorboard), ("resume", resume)):
        if given and directory is None:
            raise ValueError(f"{option} needs a run directory: give out")
    about = {"fields": list(names), "time": float(time), "training_data": training_data or {}}
    with parallel.team(device) as team, _kept(directory, team):
        recorded = None
        if directory is not None and resume and begun(directory):
            description = read_description(directory)
            with named(directory / "run.json"):
                check_same_run(directory, description, fields, finest, config, about, told[0])
                trainer = _trainer(description, fields, config, validation, team, network, told)
            state = directory / "optimizer.safetensors"
            trainer.load_state_dict(files.read_tensors(state), str(state))
            trainer.load_records(directory / "metrics.jsonl")
            recorded = files.read_fingerprints(directory)
        else:
            if directory is not None:
                claim(directory)
            if network is not None:
                _refuse_options_of(network, config)
            description = _described(fields, finest, names, config, network, parameters) | about
            trainer = _trainer(description, fields, config, validation, team, network, told)
        # Of what was given, which the trainer has checked: a level may have too few modes.
        known = Fingerprints.of(original, grid, names)
        if recorded is not None and not recorded.same(known):
            raise ValueError(
                f"{directory} was trained on other fields than these: resume with the same data, "
                "or train into another directory"
            )
        if held_out is not None and team.leads:
            _warn_of_leakage(known, Fingerprints.of(held_out, grid, names))
        board = None
        if tensorboard and directory is not None and team.leads:
            board = Board(open_writer(directory / "tensorboard", trainer.step))
        try:
            _train_and_save(trainer, directory, description, known, progress, board)
        finally:
            if board is not None:
                board.close()
    trained = (trainer.step, trainer.total_steps)
    return as_run(
        description, cast(Denoiser, trainer.average.module), trainer.device, trained, known
    )


@contextmanager
def _kept(directory: Path | None, team: Team) -> Iterator[None]:
    """Keep other trainings out of the directory; the team's first process has the lock."""
    if directory is None:
        yield
    elif team.leads:
        with locks.held(directory / LOCK, f"the run directory {directory}"):
            team.wait()
            yield
    else:
        team.wait()
        yield


def check_fit(config: Config, grid: Grid, channels: int, network: nn.Module | None = None) -> None:
    """Checks a configuration against the grid of the data, before they are read.

    ``network``: as for `train`.

    Raises:
        ValueError: levels that do not nest or are finer than the data, symmetries that the box does
            not have, a noise without a finite trace, or a network that does not fit a level.
    """
    grids = level_grids(grid, config.training.levels)
    augment.check_symmetries(config.training.symmetries, grid)
    finest = max(grids, key=lambda g: g.size)
    config.denoiser.unit_noise(finest)
    if network is not None:
        return
    with torch.device("meta"):  # shapes alone
        inputs = config.denoiser.network_channels(channels)
        built: Any = config.network.build(finest, inputs, channels)
    for level in grids:
        built.check_shape(level.shape)


def _train_and_save(
    trainer: MultilevelTrainer, directory, description, known: Fingerprints, progress, board
) -> None:
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
    begins = trainer.step == 0 and team.leads
    # A run that an earlier version began has no fingerprints yet.
    if directory is not None and team.leads and (begins or not files.has_fingerprints(directory)):
        directory.mkdir(parents=True, exist_ok=True)
        files.write_fingerprints(directory, known)
    if begins:
        save(trainer)
    try:
        trainer.train(progress=report, save=save)
    except TrainingDiverged as error:
        if directory is not None and team.leads:
            with whole(directory / "diverged_batch.npy") as partial, open(partial, "wb") as file:
                np.save(file, error.batch)
        team.wait()
        raise
    team.wait()


def _described(
    fields, grid: Grid, names: Sequence[str], config: Config, network, parameters
) -> dict[str, Any]:
    """What ``run.json`` holds of a new run: all that its denoiser is made from."""
    # Checked before anything is estimated from them.
    checked_fields(fields, grid, "training")
    c = grid.basis.project(grid.basis.forward(np.asarray(fields, float)))
    channels = c.shape[1]
    mean = estimate_mean(c if channels > 1 else c[:, 0], grid)
    mean = Field(augment.symmetrised(mean.values, grid, config.training.symmetries), grid)
    centred = c - grid.basis.forward(mean.values)
    covariance = estimate_spectra(centred, grid, names)
    return {
        "format": FORMAT,
        "grid": files.to_json(grid),
        "channels": channels,
        "mean": files.to_json(mean),
        "spectrum": files.to_json(covariance),
        "noise": files.to_json(config.denoiser.noise(grid, covariance)),
        "schedule": files.to_json(LinearSchedule()),
        "config": config.as_dict(),
        "network": None if network is None else type(network).__name__,
        **conditions_to_json(Conditions.of(parameters) if parameters else None),
    }


def _trainer(description, fields, config: Config, validation, team: Team, network, parameters):
    denoiser, grid = build_denoiser(description, network), files.grid_from_json(description["grid"])
    conditions = conditions_of(description)
    if conditions is None:
        return MultilevelTrainer(denoiser, fields, grid, config.training, validation, team=team)
    told, held_out = (p and conditions.standardised(p) for p in parameters)
    return MultilevelTrainer(
        denoiser, fields, grid, config.training, validation, team=team, conditions=told,
        validation_conditions=held_out,
    )  # fmt: skip


def _warn_of_leakage(known: Fingerprints, validation: Fingerprints) -> None:
    """A warning where fields that are held out are trained on."""
    shared = int(known.known(validation).sum())
    if shared:
        warn(
            f"{shared} of the {len(validation)} validation fields {by_number(shared, 'is', 'are')} "
            "among the training fields: their loss does not say what the network does on others"
        )


def _refuse_options_of(network: nn.Module, config: Config) -> None:
    for option in dataclasses.fields(NetworkConfig):
        given = getattr(config.network, option.name)
        if given != option.default:
            raise ValueError(
                f"network.{option.name} = {given!r} would have no effect: a "
                f"{type(network).__name__} takes the place of the configuration's network"
            )


def _check_parameters(parameters: Mapping, held_out: Mapping, validation: bool) -> None:
    if validation and bool(parameters) != bool(held_out):
        raise ValueError("give parameters and validation_parameters both, or none of them")
    if held_out and not validation:
        raise ValueError("validation_parameters are of validation fields: give these too")
    if held_out and set(held_out) != set(parameters):
        raise ValueError(
            f"validation_parameters are {sorted(held_out)}, parameters are {sorted(parameters)}: "
            "give the same ones"
        )


def _with_channels(fields, grid: Grid, split: str) -> np.ndarray:
    fields = real_values(fields, f"{split} fields")
    return fields[:, None] if fields.ndim == grid.dim + 1 else fields


def _restricted(fields: np.ndarray, grid: Grid, target: Grid) -> np.ndarray:
    # Fields of a wrong shape go on as they are: the check of them says so.
    return (
        restricted(fields, grid, target)
        if fields.shape[2:] == grid.shape and len(fields)
        else fields
    )
