"""Files of a run directory: JSON, safetensors and TOML, each complete or absent; no pickles."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn

import fdiff
from fdiff.dataset.fingerprint import Fingerprints
from fdiff.files import write_bytes
from fdiff.grid import Grid
from fdiff.nn.spectrum import ChannelSpectra, ShellSpectrum
from fdiff.score.mean import Field

FINGERPRINTS = "fingerprints.safetensors"
# What `run.json` may hold by the name of its class: plain numbers, no code.
KINDS: dict[str, Any] = {
    kind.__name__: kind
    for kind in (
        fdiff.BesselCovariance,
        fdiff.MaternCovariance,
        fdiff.SquaredExponentialCovariance,
        fdiff.LinearSchedule,
        fdiff.ConstantSchedule,
        fdiff.CosineSchedule,
        ShellSpectrum,
    )
}


def write_json(path: Path, value: Any) -> None:
    write_bytes(path, json.dumps(value, indent=1, allow_nan=False).encode())


def read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text())
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(
            f"{path} is damaged ({error}): train again, or restore the file"
        ) from error


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    from safetensors.torch import save

    write_bytes(path, save({k: t.detach().cpu().contiguous() for k, t in tensors.items()}))


def read_tensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not path.is_file():
        raise ValueError(f"{path.parent} has no {path.name}: it is no whole run directory")
    try:
        return load_file(path)
    except SafetensorError as error:
        raise ValueError(f"{path} is truncated or damaged ({error}): train again") from error


def write_fingerprints(directory: Path, known: Fingerprints) -> None:
    """What a run was trained on, in ``fingerprints.safetensors``."""
    from safetensors.numpy import save

    about = {"about": json.dumps(known.about())}
    write_bytes(directory / FINGERPRINTS, save(known.arrays(), about))


def has_fingerprints(directory: Path) -> bool:
    """Whether the run says what it was trained on."""
    return (directory / FINGERPRINTS).is_file()


def read_fingerprints(directory: Path) -> Fingerprints | None:
    """The fields that a run was trained on; None for a run of a version that did not write them."""
    from safetensors import SafetensorError, safe_open

    path = directory / FINGERPRINTS
    if not has_fingerprints(directory):
        return None
    try:
        with safe_open(path, framework="numpy") as file:
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            return Fingerprints.restored(arrays, json.loads(file.metadata()["about"]))
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{path} is truncated or damaged ({error}): restore the file; it says what the run was "
            "trained on"
        ) from error


def weights_of(module: nn.Module) -> dict[str, Tensor]:
    """Parameters, and the buffers that belong to the state (as of batch normalisation)."""
    lasting = set(module.state_dict())
    buffers = {name: b for name, b in module.named_buffers() if name in lasting}
    return dict(module.named_parameters()) | buffers


def copy_into(module, tensors: Mapping[str, Tensor], source: str) -> None:
    """Load weights into a network.

    Raises:
        ValueError: weights of another network, naming the first that differs.
    """
    own = weights_of(module)
    missing, extra = sorted(set(own) - set(tensors)), sorted(set(tensors) - set(own))
    if missing or extra:
        example = f"lacks {missing[0]}" if missing else f"has {extra[0]} besides"
        raise ValueError(f"{source} belongs to another network: it {example}")
    for name, parameter in own.items():
        if parameter.shape != tensors[name].shape:
            raise ValueError(
                f"{source} belongs to a network of another shape: {name} is "
                f"{tuple(tensors[name].shape)}, here {tuple(parameter.shape)}; build it with the "
                "run's own configuration"
            )
    for name, parameter in own.items():
        parameter.data.copy_(tensors[name])


def to_json(value) -> Any:
    """A covariance, schedule, mean or grid as JSON values."""
    if isinstance(value, Grid):
        return dataclasses.asdict(value)
    if isinstance(value, Field):
        if np.ptp(value.values) == 0:
            return float(value.values.flat[0])
        return {"values": value.values.tolist(), "grid": to_json(value.grid)}
    if isinstance(value, int | float):
        return float(value)
    if isinstance(value, ChannelSpectra):
        return [to_json(spectrum) for spectrum in value.channels]
    name = type(value).__name__
    if name not in KINDS:
        raise ValueError(f"a run cannot record {name}; it records {', '.join(KINDS)}")
    return {"type": name, **dataclasses.asdict(value)}


def grid_from_json(value: dict[str, Any]) -> Grid:
    return Grid(*(tuple(value[name]) for name in ("shape", "lengths", "boundary", "origin")))


def mean_from_json(value) -> float | Field:
    if isinstance(value, dict):
        return Field(np.array(value["values"]), grid_from_json(value["grid"]))
    return float(value)


def object_from_json(value: dict[str, Any] | list[dict[str, Any]]):
    """A covariance (a list: one a channel) or schedule."""
    if isinstance(value, list):
        return ChannelSpectra(tuple(object_from_json(one) for one in value))
    arguments: dict[str, Any] = {
        k: tuple(v) if isinstance(v, list) else v for k, v in value.items()
    }
    name = arguments.pop("type")
    if name not in KINDS:
        raise ValueError(f"run.json names {name!r}, which this version does not know")
    return KINDS[name](**arguments)
