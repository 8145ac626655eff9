"""Files of a run directory: JSON, safetensors and TOML, each complete or absent; no pickles."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import fdiff
from fdiff.covariance import ChannelCovariance
from fdiff.dataset.fingerprint import LOST, Fingerprints
from fdiff.described import Item
from fdiff.errors import FileError
from fdiff.files import write_bytes
from fdiff.grid import Grid
from fdiff.inputs import parse_json, regular
from fdiff.nn.spectrum import ShellSpectrum
from fdiff.score.mean import Field

FINGERPRINTS = "fingerprints.safetensors"
MOMENTS = ("exp_avg", "exp_avg_sq")  # of Adam, by torch's names
OTHER_NETWORK = (
    "the weights belong to another network, or the file is damaged: build it with the run's own "
    "configuration"
)
DAMAGED = "it is truncated or damaged: restore the file, or train into another directory"
MOST_HEADER = 100_000_000  # bytes of a safetensors header, as its own library has it

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


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    from safetensors.torch import save

    write_bytes(path, save({k: t.detach().cpu().contiguous() for k, t in tensors.items()}))


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file, whose header and size are checked first.

    Raises:
        LinkRefused, FileError: see `fdiff.inputs.regular`; or no such file, one that is truncated,
            longer than its header says, or damaged.
    """
    from safetensors.torch import load_file

    if not path.exists() and not path.is_symlink():
        said = f"{path.parent} has no {path.name}: it is no whole run directory"
        raise FileError(path, "", "a file", "none", message=said)
    check_whole(path)
    try:
        return load_file(path)
    except Exception:  # whatever the library says of bytes that it does not understand
        raise FileError(path, "", "tensors", "a header that names none", DAMAGED) from None


def check_whole(path: Path) -> None:
    """Raises FileError where a safetensors file is shorter or longer than its header says."""
    expected, found = _declared_size(path), path.stat().st_size
    if expected != found:
        raise FileError(path, "", f"{expected} bytes, as its header says", f"{found}", DAMAGED)


def _declared_size(path: Path) -> int:
    """The bytes of a safetensors file by its own header: 8, the header's, and the last tensor's."""
    size = regular(path).stat().st_size
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > min(size - 8, MOST_HEADER):
            raise FileError(path, "", "a header within the file", f"one of {length} bytes", DAMAGED)
        content = file.read(length)
    try:
        text = content.decode()
    except UnicodeDecodeError:
        text = ""
    end = 0
    for name, about in Item(str(path), "", parse_json(text, path, "header")).table().items():
        if name != "__metadata__":
            end = max(end, about.table(["data_offsets"])["data_offsets"].each(2)[1].whole())
    return 8 + length + end


def write_fingerprints(directory: Path, known: Fingerprints) -> None:
    """What a run was trained on, in ``fingerprints.safetensors``."""
    from safetensors.numpy import save

    about = {"about": json.dumps(known.about())}
    write_bytes(directory / FINGERPRINTS, save(known.arrays(), about))


def has_fingerprints(directory: Path) -> bool:
    """Whether the run says what it was trained on."""
    path = directory / FINGERPRINTS
    return path.exists() or path.is_symlink()


def read_fingerprints(directory: Path) -> Fingerprints | None:
    """The fields that a run was trained on; None for a run of a version that did not write them.

    Raises:
        LinkRefused, FileError: as `read_tensors`.
    """
    from safetensors import safe_open

    path = directory / FINGERPRINTS
    if not has_fingerprints(directory):
        return None
    check_whole(path)
    try:
        with safe_open(path, framework="numpy") as file:
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            about = parse_json((file.metadata() or {}).get("about", ""), path, "about")
    except FileError:
        raise
    except Exception:  # whatever the library says of bytes that it does not understand
        raise FileError(path, "", "tensors", "a header that names none", LOST) from None
    return Fingerprints.restored(arrays, Item(str(path), "about", about))


def weights_of(module: nn.Module) -> dict[str, Tensor]:
    """Parameters, and the buffers that belong to the state (as of batch normalisation)."""
    lasting = set(module.state_dict())
    buffers = {name: b for name, b in module.named_buffers() if name in lasting}
    return dict(module.named_parameters()) | buffers


def copy_into(module, tensors: Mapping[str, Tensor], source: str, prefix: str = "") -> None:
    """Load weights into a network; their names in ``tensors`` begin with ``prefix``.

    Raises:
        FileError: weights of another network, naming the first that differs, or weights that are
            not finite.
    """
    own = {prefix + name: weight for name, weight in weights_of(module).items()}
    there = {name for name in tensors if name.startswith(prefix)}
    if missing := sorted(set(own) - there):
        raise FileError(source, missing[0], "a tensor", "none", OTHER_NETWORK)
    if extra := sorted(there - set(own)):
        raise FileError(source, extra[0], "no tensor", "one", OTHER_NETWORK)
    for name, parameter in own.items():
        check_tensor(name, tensors[name], parameter, source)
    with torch.no_grad():
        for name, parameter in own.items():
            parameter.copy_(tensors[name])


def check_tensor(name: str, value: Tensor, like: Tensor, source: str) -> None:
    """Raises FileError where a tensor of a file has not the shape and type of the network's, or is
    not finite."""
    if value.shape != like.shape:
        shapes = f"the shape {tuple(like.shape)}", f"{tuple(value.shape)}"
        raise FileError(source, name, *shapes, f"{name} is of another shape: {OTHER_NETWORK}")
    if value.dtype != like.dtype:
        raise FileError(source, name, f"{_kind(like)} numbers", _kind(value), OTHER_NETWORK)
    if value.is_floating_point() and not torch.isfinite(value).all():
        raise FileError(
            source, name, "finite numbers", "others",
            "it is damaged, or the training diverged: restore it, or train into another directory",
        )  # fmt: skip


def read_number(
    tensors: Mapping[str, Tensor], name: str, source: str, most: float = math.inf
) -> float:
    """A tensor of one number between 0 and ``most``; else FileError."""
    value = _named(tensors, name, source)
    if value.numel() != 1 or not 0 <= float(value) <= most or math.isinf(float(value)):
        upper = "" if math.isinf(most) else f" and <= {most:g}"
        found = f"{float(value):g}" if value.numel() == 1 else f"a shape {tuple(value.shape)}"
        raise FileError(source, name, f"one number >= 0{upper}", found, DAMAGED)
    return float(value)


def read_row(tensors: Mapping[str, Tensor], name: str, source: str) -> Tensor:
    """A tensor of one axis; else FileError."""
    value = _named(tensors, name, source)
    if value.ndim != 1 or not value.is_floating_point():
        found = f"{_kind(value)} of shape {tuple(value.shape)}"
        raise FileError(source, name, "a row of floating-point numbers", found, DAMAGED)
    return value


def read_moments(
    tensors: Mapping[str, Tensor], module: nn.Module, source: str
) -> list[dict[str, Tensor]]:
    """The optimiser's two moments of every weight; none of a weight without a part in the loss.

    Raises:
        FileError: one of the two is missing, does not fit the weight, or belongs to no weight.
    """
    weights = dict(module.named_parameters())
    for place in tensors:
        kind, _, name = place.partition(".")
        if kind in MOMENTS and name not in weights:
            raise FileError(source, place, "no tensor", "one", OTHER_NETWORK)
    found = []
    for name, weight in weights.items():
        keys = [f"{kind}.{name}" for kind in MOMENTS]
        known = [key in tensors for key in keys]
        found.append(
            dict(zip(MOMENTS, (_named(tensors, k, source) for k in keys))) if any(known) else {}
        )
        for key, value in zip(keys, found[-1].values()):
            check_tensor(key, value, weight, source)
    return found


def check_names(tensors: Mapping[str, Tensor], known: tuple[str, ...], source: str) -> None:
    """Raises FileError where a tensor's name begins with none of the known words."""
    for name in tensors:
        if name.partition(".")[0] not in known:
            raise FileError(source, name, "no tensor", "one", OTHER_NETWORK)


def _named(tensors: Mapping[str, Tensor], name: str, source: str) -> Tensor:
    if name not in tensors:
        raise FileError(source, name, "a tensor", "none", DAMAGED)
    return tensors[name]


def _kind(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


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
    if isinstance(value, ChannelCovariance):
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
        return ChannelCovariance(tuple(object_from_json(one) for one in value))
    arguments: dict[str, Any] = {
        k: tuple(v) if isinstance(v, list) else v for k, v in value.items()
    }
    name = arguments.pop("type")
    if name not in KINDS:
        raise ValueError(f"run.json names {name!r}, which this version does not know")
    return KINDS[name](**arguments)
