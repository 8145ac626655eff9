"""What stands in a file, read without fdiff: h5py, json, tomllib, struct and gzip alone."""

from __future__ import annotations

import gzip
import json
import math
import struct
import tomllib
from pathlib import Path
from typing import Any

import h5py
import numpy as np


def samples(path: Path, most: int | None = None) -> tuple[list[str], list[np.ndarray], np.ndarray]:
    """Names of the fields ([] where the file has none), the samples [t, (z,) (y,) x, field], times.

    Links out of the file are not followed, but to the parts of a whole file that lie beside it.
    ``most``: no more than so many of the first samples.
    """
    with h5py.File(path, "r") as file:
        if "t0_fields" in file:
            group = _inside(file, "t0_fields")
            names = [str(name) for name in group.attrs["field_names"]]
            names += sorted(set(group) - set(names))  # a field is one whether it is listed or not
            arrays = [_inside(file, f"t0_fields/{name}")[...] for name in names]
            stacked = np.stack(arrays, axis=-1)
            sides = tuple(reversed(range(2, stacked.ndim - 1)))
            turned = stacked.transpose(0, 1, *sides, stacked.ndim - 1)
            return names, list(turned), np.asarray(_inside(file, "dimensions/time"), float)
        parts = {part[0] for part in json.loads(file.attrs.get("fdiff", "{}")).get("parts", ())}
        found = []
        for key in sorted(file):
            if len(found) == most:
                break
            link = file.get(key, getlink=True)
            if isinstance(link, h5py.ExternalLink) and link.filename in parts:
                with h5py.File(path.parent / link.filename, "r") as part:
                    found.append(_inside(part, f"{link.path.strip('/')}/data")[...])
                    times = np.asarray(_inside(part, f"{link.path.strip('/')}/grid/t"), float)
            elif _is_sample(file, key):
                found.append(_inside(file, f"{key}/data")[...])
        if not parts:
            first = next(key for key in sorted(file) if _is_sample(file, key))
            times = np.asarray(_inside(file, f"{first}/grid/t"), float)
        return [], found, times


def everything(path: Path) -> dict[str, bytes]:
    """The bytes of every dataset of a file, by name; of links their targets."""
    found: dict[str, bytes] = {}

    def visit(name: str, link) -> None:
        if not isinstance(link, h5py.HardLink):
            found[name] = repr(vars(link)).encode()
        elif isinstance(file[name], h5py.Dataset):
            found[name] = file[name][...].tobytes()

    with h5py.File(path, "r") as file:
        file.visititems_links(visit)
    return found


def _is_sample(file: h5py.File, key: str) -> bool:
    try:
        group = _inside(file, key)
    except AssertionError:
        return False
    return isinstance(group, h5py.Group) and "data" in group


def _inside(file: h5py.File, name: str) -> Any:
    """A thing that is reached by hard links, and by soft ones to another name of the same file."""
    place = file
    for step in name.split("/"):
        link = place.get(step, getlink=True)
        if isinstance(link, h5py.SoftLink):
            place = _inside(file, link.path.strip("/"))
        elif isinstance(link, h5py.HardLink):
            place = place[step]
        else:
            raise AssertionError(f"{name} leads out of the file: {link}")
    if isinstance(place, h5py.Dataset) and (place.is_virtual or place.external):
        raise AssertionError(f"{name} has its values in another file")
    return place


def pixels(path: Path) -> np.ndarray:
    """The bytes of an IDX file of images, rows from the bottom."""
    raw = path.read_bytes()
    raw = gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw
    shape = struct.unpack(">3I", raw[4:16])
    return np.frombuffer(raw, np.uint8, math.prod(shape), 16).reshape(shape)[:, ::-1]


def tensors(path: Path) -> dict[str, np.ndarray]:
    """The float32 tensors of a safetensors file."""
    raw = path.read_bytes()
    size = struct.unpack("<Q", raw[:8])[0]
    header = json.loads(raw[8 : 8 + size])
    header.pop("__metadata__", None)
    kinds = {"F32": "<f4", "F64": "<f8", "I64": "<i8", "I32": "<i4"}
    return {
        name: np.frombuffer(raw[8 + size :][slice(*about["data_offsets"])], kinds[about["dtype"]])
        .reshape(about["shape"])
        for name, about in header.items()
    }  # fmt: skip


def text(path: Path) -> str:
    raw = path.read_bytes()
    for mark, encoding in (
        (b"\xff\xfe", "utf-16"),
        (b"\xfe\xff", "utf-16"),
        (b"\xef\xbb\xbf", "utf-8-sig"),
    ):
        if raw.startswith(mark):
            return raw.decode(encoding)
    return raw.decode()


def toml(path: Path) -> dict[str, Any]:
    return tomllib.loads(text(path))


def agrees(ours: Any, written: Any) -> bool:
    """Whether a value is the one that was written, up to one value standing for all axes."""
    if isinstance(written, dict):
        return isinstance(ours, dict) and all(
            k in ours and agrees(ours[k], v) for k, v in written.items()
        )
    if isinstance(written, list):
        ours = list(ours) if isinstance(ours, list | tuple) else [ours]
        spread = written * len(ours) if len(written) == 1 else written
        return len(ours) == len(spread) and all(map(agrees, ours, spread))
    if isinstance(ours, list | tuple):
        return all(agrees(one, written) for one in ours)
    if isinstance(written, bool) or isinstance(ours, bool):
        return ours is written
    if isinstance(written, int | float) and isinstance(ours, int | float):
        return float(ours) == float(written) or (math.isnan(ours) and math.isnan(written))
    return ours == written
