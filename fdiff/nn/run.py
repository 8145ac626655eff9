"""A trained network with its directory, and the score that it becomes."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, final

import torch
from torch import nn

from fdiff.backends.torch import device_named
from fdiff.dataset.fingerprint import Fingerprints
from fdiff.described import named
from fdiff.files import write_bytes
from fdiff.grid import Grid
from fdiff.inputs import not_a_link, read_json
from fdiff.nn import checkpoint as files
from fdiff.nn.condition import Conditions
from fdiff.nn.config import Config
from fdiff.nn.description import check_size, read_description
from fdiff.nn.precondition import Denoiser
from fdiff.nn.progress import read_records
from fdiff.nn.score import NetworkScore
from fdiff.nn.trainer import MultilevelTrainer
from fdiff.process import ForwardProcess
from fdiff.words import warn

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
    conditions: Conditions | None = None  # parameters that the network is told
    trained: tuple[int, int] | None = None  # steps done and planned, where they are known
    fingerprints: Fingerprints | None = None  # of the fields that were trained on

    @property
    def unfinished(self) -> str:
        """How far an unfinished training has come, in words; empty for a finished one."""
        if self.trained is None or self.trained[0] >= self.trained[1]:
            return ""
        return f"trained for {self.trained[0]} of {self.trained[1]} steps"

    @cached_property
    def score(self) -> NetworkScore:
        """The score of a run without conditions; see `score_at`."""
        return self.score_at()

    def score_at(self, **parameters: float) -> NetworkScore:
        """The score at these values of the parameters that the run is conditional on.

        A value far outside the trained range gives a warning, see `Conditions.far`.

        Raises:
            ValueError: other parameters than those, or a value that is not finite.
        """
        conditions = self.conditions or Conditions((), (), ())
        if set(parameters) != set(conditions.names):
            if not conditions.names:
                raise ValueError(
                    "this run has no parameters: leave out --set (the arguments of score_at); got "
                    f"{', '.join(parameters)}"
                )
            raise ValueError(
                f"the run is conditional on {', '.join(conditions.names)}: give a value for each, "
                f"and for nothing else; got {', '.join(parameters) or 'none'}"
            )
        for name, value in parameters.items():
            if not math.isfinite(value):
                raise ValueError(f"the parameter {name} must be a finite number, got {value}")
        for sentence in conditions.far(parameters):
            warn(sentence)
        told = torch.from_numpy(conditions.standardised(parameters)) if parameters else None
        batch = max(1, SAMPLING_BATCH_NODES // (4 * self.grid.size))
        return NetworkScore(self.process, self.denoiser, told, batch, len(self.fields))


def load_run(
    directory: Path | str, device: str | None = None, network: nn.Module | None = None
) -> Run:
    """The run of a directory that `train` left; ``device`` defaults to CUDA where there is one.

    ``network``: the module, with any weights, where `train` was given one. A warning says how far
    the run was trained where that is not to its end.

    Raises:
        FileNotFoundError: no such run.
        ValueError: a damaged file (`fdiff.errors.FileError` names it and the item), weights of
            another network, or a device that cannot be used.
    """
    directory = Path(directory)
    where = device_named(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    not_a_link(directory)
    description = read_description(directory)
    tensors = files.read_tensors(directory / "model.safetensors")
    with named(directory / "run.json"):
        if network is None and description["network"] is None:
            check_size(description, tensors)
        denoiser = build_denoiser(description, network)
    files.copy_into(denoiser, tensors, str(directory / "model.safetensors"))
    denoiser = denoiser.to(where).eval().requires_grad_(False)
    with named(directory / "run.json"):
        run = as_run(
            description, denoiser, where, _trained(directory), files.read_fingerprints(directory)
        )
    if run.unfinished:
        warn(f"{directory} was {run.unfinished}: its samples are those of an unfinished training")
    return run


def _trained(directory: Path) -> tuple[int, int] | None:
    """Steps done and planned; None of a directory that was copied without ``state.json``."""
    path = directory / "state.json"
    if not path.is_file():
        return None
    try:
        state = read_json(path)
        return int(state["step"]), int(state["steps"])
    except (ValueError, TypeError, KeyError):
        warn(f"{path} is damaged: how far the run was trained is not known")
        return None


def save_run(directory: Path, trainer: MultilevelTrainer, description: dict[str, Any]) -> None:
    """All files of a run. `optimizer.safetensors` alone decides where a resumed run goes on."""
    directory.mkdir(parents=True, exist_ok=True)
    files.write_json(directory / "run.json", description)
    _write_config(directory, description["config"])
    lines = [json.dumps(dataclasses.asdict(record)) for record in trainer.records]
    write_bytes(directory / "metrics.jsonl", "".join(f"{x}\n" for x in lines).encode())
    average = files.weights_of(trainer.average.module)
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


def build_denoiser(description: dict[str, Any], network: nn.Module | None = None) -> Denoiser:
    """The untrained denoiser of a run, around ``network`` or that of its configuration.

    Raises:
        ValueError: a network given for a run of another one, or none for a run that was given one.
    """
    own = description.get("network")
    given = None if network is None else type(network).__name__
    if own != given:
        raise ValueError(
            f"the run was trained with {_origin(own)}, not with {_origin(given)}: pass "
            + (f"a {own} as network" if own else "no network")
        )
    grid = files.grid_from_json(description["grid"])
    config = Config.recorded(description["config"])
    channels = description["channels"]
    inputs = config.denoiser.network_channels(channels)
    if network is None:
        seed, told = (
            config.training.seed,
            len((description.get("conditions") or {}).get("names", ())),
        )
        network = config.network.build(grid, inputs, channels, seed, told)
    return config.denoiser.build(
        network,
        files.object_from_json(description["noise"]),
        files.mean_from_json(description["mean"]),
        files.object_from_json(description["spectrum"]),
        grid,
    )


def _origin(network: str | None) -> str:
    return "the network of its configuration" if network is None else f"a {network} of your own"


def as_run(
    description: dict[str, Any],
    denoiser: Denoiser,
    device: torch.device,
    trained: tuple[int, int] | None = None,
    fingerprints: Fingerprints | None = None,
) -> Run:
    digest = hashlib.sha256()
    for _, parameter in sorted(denoiser.named_parameters()):
        digest.update(parameter.detach().cpu().numpy().tobytes())
    return Run(
        denoiser,
        ForwardProcess(denoiser.noise, files.object_from_json(description["schedule"])),
        files.grid_from_json(description["grid"]),
        Config.recorded(description["config"]),
        tuple(description["fields"]),
        description["time"],
        description["training_data"],
        digest.hexdigest()[:16],
        device,
        conditions_of(description),
        trained,
        fingerprints,
    )


def conditions_of(description: dict[str, Any]) -> Conditions | None:
    known = description.get("conditions")
    if known is None:
        return None
    # Apart from the rest, which earlier versions read by name.
    ends = description.get("condition_ranges") or {}
    values = {**known, **ends}
    return Conditions(**{k: tuple(v) for k, v in values.items()})


def conditions_to_json(conditions: Conditions | None) -> dict[str, Any]:
    """The entries of ``run.json`` from which `conditions_of` makes the conditions."""
    if conditions is None:
        return {"conditions": None}
    values = dataclasses.asdict(conditions)
    ends = {name: values.pop(name) for name in ("low", "high")}
    return {"conditions": values, "condition_ranges": ends}


def _write_config(directory: Path, config: dict[str, Any]) -> None:
    try:
        import tomli_w
    except ModuleNotFoundError:
        warn("config.toml is not written without tomli-w; run.json holds the same")
        return
    write_bytes(directory / "config.toml", tomli_w.dumps(config).encode())
