"""Whether a run directory may be begun, or continued with the data and configuration at hand."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fdiff.grid import Grid
from fdiff.nn.checkpoint import grid_from_json
from fdiff.nn.config import Config


def begun(directory: Path) -> bool:
    """Whether a training has saved its state there, in whatever condition that is."""
    states = (directory / name for name in ("state.json", "optimizer.safetensors"))
    return any(path.exists() or path.is_symlink() for path in states)


def claim(directory: Path) -> None:
    """Raises ValueError where the directory holds a run already."""
    if begun(directory):
        raise ValueError(
            f"{directory} holds a run already: continue it with resume, or choose another directory"
        )


def check_same_run(
    directory: Path,
    description: Mapping[str, Any],
    fields: np.ndarray,
    grid: Grid,
    config: Config,
    about: Mapping[str, Any],
    parameters: Sequence[str] | Mapping[str, Any],
) -> None:
    """Raises ValueError with the first difference between a run and what it is to go on with.

    ``description`` is its ``run.json``; ``fields`` (samples, channels, *grid.shape) are the data on
    the finest level ``grid``; ``about`` has the names and time of the fields and where they come
    from, as ``run.json`` records them; ``parameters``: the names of what the network is told.
    """
    known = Config.recorded(description["config"])
    if known != config:
        raise ValueError(
            f"{directory} was trained with {_difference(known, config)}: resume with "
            "the same configuration, or train into another directory"
        )
    trained = grid_from_json(description["grid"])
    if not trained.same_nodes(grid):
        known_box, box = dataclasses.asdict(trained), dataclasses.asdict(grid)
        differing = [part for part in box if known_box[part] != box[part]]
        raise ValueError(
            f"{directory} was trained on a grid of {_listed(known_box, differing)}, the data's "
            f"finest level has {_listed(box, differing)}: resume with the same data, or train into "
            "another directory"
        )
    if fields.shape[1] != description["channels"]:
        raise ValueError(
            f"{directory} was trained on {description['channels']} channels, the data have "
            f"{fields.shape[1]}: resume with the same data, or train into another directory"
        )
    known_names = (description.get("conditions") or {}).get("names", [])
    if list(known_names) != list(parameters):
        raise ValueError(
            f"{directory} was trained on the parameters {list(known_names)}, not "
            f"{list(parameters)}: resume with the same, or train into another directory"
        )
    for key in ("fields", "time"):
        if description[key] != about[key]:
            raise ValueError(
                f"{directory} was trained on {key} {description[key]}, not {about[key]}: resume "
                "with the same data, or train into another directory"
            )
    if description["training_data"].get("identities") != about["training_data"].get("identities"):
        raise ValueError(
            f"{directory} was trained on other samples than these: resume with the same data, or "
            "train into another directory"
        )


def _difference(known: Config, new: Config) -> str:
    for part in dataclasses.fields(Config):
        a, b = getattr(known, part.name), getattr(new, part.name)
        for key in dataclasses.fields(a):
            x, y = getattr(a, key.name), getattr(b, key.name)
            if x != y:
                return f"{part.name}.{key.name} = {x!r}, not {y!r}"
    return "another configuration"


def _listed(values: Mapping[str, Any], keys: Sequence[str]) -> str:
    return ", ".join(f"{key} {values[key]}" for key in keys)
