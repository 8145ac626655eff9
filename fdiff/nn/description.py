"""``run.json``, which holds all that a run's denoiser is made from, checked key by key.

The file was written whole by `fdiff.nn.train`; whatever is missing from it or of another kind is
damage, and no default takes its place: another noise would give other fields without a word.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

from torch import Tensor

from fdiff.described import Item, check_box, shown
from fdiff.errors import FileError, UnknownVersion
from fdiff.inputs import read_json
from fdiff.nn.checkpoint import KINDS, object_from_json
from fdiff.nn.config import Config, DenoiserConfig, NetworkConfig, TrainingConfig
from fdiff.nn.spectrum import ShellSpectrum

FORMAT = 1  # of run.json
KEYS = (
    "format", "grid", "channels", "mean", "spectrum", "noise", "schedule", "config", "network",
    "conditions", "condition_ranges", "fields", "time", "training_data",
)  # fmt: skip
# Keys that came after the first runs of a format, each with what the runs without it mean.
ADDED: dict[str, Any] = {"condition_ranges": None}
MOST_NODES = 1 << 32
MOST_OVERSAMPLING = 64  # finer grids, per axis, than any network needs inside
_TABLES = {"network": NetworkConfig, "denoiser": DenoiserConfig, "training": TrainingConfig}


def read_description(directory: Path) -> dict[str, Any]:
    """The checked description of a run.

    Raises:
        FileNotFoundError: no run directory.
        UnknownVersion: of another version of fdiff.
        FileError: damaged; the item is named.
    """
    path = directory / "run.json"
    if not path.exists() and not path.is_symlink():
        raise FileNotFoundError(f"{directory} is no run directory: it has no run.json")
    whole = Item(str(path), "", read_json(path))
    version = whole.table(["format"])["format"].value
    if version != FORMAT or isinstance(version, bool):
        raise UnknownVersion(
            path, "format", f"{FORMAT}, which this version of fdiff reads", f"{version!r:.20}",
            f"it has format {version!r:.20}: use the version of fdiff that wrote the run",
        )  # fmt: skip
    table = whole.table([key for key in KEYS if key not in ADDED], KEYS)
    _grid(table["grid"])
    channels = table["channels"].whole(1, 1 << 16)
    _mean(table["mean"], table["grid"].value, channels)
    _spectrum(table["spectrum"], channels)
    _object(table["noise"])
    _object(table["schedule"])
    _config(table["config"])
    if table["network"].value is not None:
        table["network"].text()
    _conditions(table["conditions"], table.given("condition_ranges"))
    _names(table["fields"], channels)
    table["time"].number()
    table["training_data"].table()
    return ADDED | whole.value


def _grid(item: Item) -> tuple[int, ...]:
    """The shape of a grid, which is complete and no larger than any that can be trained on."""
    parts = item.table(["shape", "lengths", "boundary", "origin"], ())
    axes = parts["shape"].each()
    if not 1 <= len(axes) <= 3:
        raise parts["shape"].refused("1 to 3 numbers of nodes")
    shape = tuple(axis.whole(1, MOST_NODES) for axis in axes)
    if math.prod(shape) > MOST_NODES:
        raise parts["shape"].refused(f"at most {MOST_NODES} nodes")
    check_box(parts["lengths"], parts["boundary"], parts["origin"], len(shape))
    return shape


def _mean(item: Item, grid: dict[str, Any], channels: int) -> None:
    """A number, or values on a grid, which have an axis of channels where there are several."""
    if not isinstance(item.value, dict):
        item.number()
        return
    parts = item.table(["values", "grid"], ())
    shape = _grid(parts["grid"])
    if parts["grid"].value != grid:
        raise FileError(item.file, parts["grid"].name, "the grid of the run", "another")
    values = [parts["values"]]
    for count in (channels, *shape) if channels > 1 else shape:
        values = [one for row in values for one in row.each(count)]
    for value in values:
        value.number()


def _spectrum(item: Item, channels: int) -> None:
    """One spectrum, or a list of one for each channel."""
    if isinstance(item.value, list):
        for one in item.each(channels):
            _object(one, "ShellSpectrum")
    elif channels > 1:
        raise item.refused(f"a spectrum for each of the {channels} channels")
    else:
        _object(item)


def _object(item: Item, *kinds: str) -> None:
    """A covariance or schedule: the name of its class, and every parameter of it."""
    name = item.table(["type"])["type"].text(*(kinds or KINDS))
    fields = dataclasses.fields(KINDS[name])
    parts = item.table(["type", *(field.name for field in fields)], ())
    for field in fields:
        part = parts[field.name]
        if field.type == "str":
            part.text()
        elif str(field.type).startswith("tuple"):
            for one in part.each():
                one.number()
        else:
            part.number()
    if KINDS[name] is ShellSpectrum:
        _shells(parts)
    try:
        object_from_json(item.value)
    except ValueError as error:  # the class says what else it expects
        said = str(error)
        raise FileError(
            item.file,
            item.name,
            "a sound object",
            said,
            message=f"{item.file}: {item.name}: {said}",
        ) from None


def _shells(parts) -> None:
    parts["tail"].text("exponential", "power")
    kappa = [one.number(above=-1e-300) for one in parts["kappa"].each()]
    parts["values"].each(len(kappa))
    if any(b <= a for a, b in pairwise(kappa)):
        raise parts["kappa"].refused("frequencies in increasing order")
    for value in parts["values"].each():
        value.number(above=0)


def _config(item: Item) -> None:
    """All three tables with all their keys; `Config` says what is wrong with a value."""
    tables = item.table(list(_TABLES), ())
    for name, kind in _TABLES.items():
        keys = [field.name for field in dataclasses.fields(kind)]
        tables[name].table([key for key in keys if f"config.{name}.{key}" not in ADDED], keys)


def _conditions(item: Item, ranges: Item | None) -> None:
    if item.value is None:
        return
    parts = item.table(["names", "centre", "scale"], ())
    names = [name.text() for name in parts["names"].each()]
    if not names or len(set(names)) < len(names):
        raise parts["names"].refused("different names of parameters")
    for centre in parts["centre"].each(len(names)):
        centre.number()
    for scale in parts["scale"].each(len(names)):
        scale.number(above=0)
    if ranges is not None:
        ends = ranges.table(["low", "high"], ())
        low = [end.number() for end in ends["low"].each(len(names))]
        for least, most in zip(low, ends["high"].each(len(names))):
            most.number(above=least)


def _names(item: Item, channels: int) -> None:
    names = [name.text() for name in item.each(channels)]
    if len(set(names)) < len(names):
        raise FileError(item.file, item.name, "different names", ", ".join(names)[:80])


def check_size(description: dict[str, Any], tensors: Mapping[str, Tensor]) -> None:
    """Before a network is built: its layers fit the weights that there are, the grid its levels.

    A block has at least ``hidden_channels²`` weights, those of its pointwise map.

    Raises:
        ValueError: a count in the configuration to which the weights do not come up.
    """
    config = Config.recorded(description["config"])
    count = sum(tensor.numel() for tensor in tensors.values())
    network = config.network
    layers = {"n_levels": network.n_levels} if network.kind in ("uno", "unet") else {}
    layers |= {} if network.kind == "unet" else {"n_layers": network.n_layers}
    for name, number in layers.items():
        if number > len(tensors):
            raise ValueError(
                f"config.network.{name}: expected at most {len(tensors)}, the number of tensors in "
                f"the run, found {number}"
            )
    if network.hidden_channels**2 > count:
        raise ValueError(
            f"config.network.hidden_channels: expected at most {math.isqrt(count)}, the root of "
            f"the number of weights, found {network.hidden_channels}"
        )
    if network.oversampling > MOST_OVERSAMPLING:
        raise ValueError(
            f"config.network.oversampling: expected at most {MOST_OVERSAMPLING}, found "
            f"{shown(network.oversampling)}"
        )
    grid = description["grid"]["shape"]
    if max(config.training.levels) != max(grid):
        raise ValueError(
            f"grid.shape: expected {max(config.training.levels)} nodes along the longest axis, as "
            f"config.training.levels has, found {max(grid)}"
        )
