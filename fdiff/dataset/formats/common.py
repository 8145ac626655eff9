"""Names and types that all formats share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from fdiff.dataset.opening import readable
from fdiff.dataset.records import root_record
from fdiff.errors import FileError

ATTRIBUTE = "fdiff"  # provenance, JSON text: at the root of the file, and of each sample
AXES = ("z", "y", "x")  # of the data, slowest first; a grid's axes have this order

# The identity of a solution begins so where it starts from values of a file.
BY_CONTENT = "content:"
STORED = "<f4"  # the type of the values that fdiff writes

# A place in a file: offset and size in bytes.
Region = tuple[int, int]


def provenance(file) -> dict[str, Any]:
    """What fdiff recorded of a file's making; empty for a file of somebody else."""
    return root_record(file.attrs.get(ATTRIBUTE), file.filename)


def place(data) -> Region | None:
    """Where an HDF5 dataset lies as one piece of values of fdiff's type; None where it does not.

    Raises:
        FileError: a piece of another size, or beyond the end of the file.
    """
    offset, size = data.id.get_offset(), data.id.get_storage_size()
    if offset is None or data.dtype != np.dtype(STORED):
        return None
    path = Path(data.file.filename)
    if size != data.nbytes or offset + size > path.stat().st_size:
        raise FileError(
            path, data.name.lstrip("/"), f"{data.nbytes} bytes within the file",
            f"{size} from {offset} on", "the file is truncated or damaged",
        )  # fmt: skip
    return offset, size


def numbers(stored, what: str, follow_links: bool = False) -> np.ndarray:
    """Times or positions as an array of real numbers, in the type of the file where it is a float.

    Raises:
        ValueError: something else than an array of real numbers; ``what`` names it.
    """
    if not hasattr(stored, "dtype") or stored.dtype.kind not in "fiu" or stored.shape is None:
        kind = getattr(stored, "dtype", "a group")
        raise ValueError(f"expected numbers for {what}, found {_type_name(kind)}")
    values = np.asarray(readable(stored, follow_links))
    return values if values.dtype.kind == "f" else values.astype(float)


def require_times(times: np.ndarray, count: int | None = None, ours: bool = False) -> None:
    """Refuse stored times that are not finite, do not increase, or are not ``count`` in a row.

    ``ours``: the times of a recipe increase, and float32 may round two of them to one number.

    Raises:
        ValueError: what was found.
    """
    if times.ndim != 1 or not len(times):
        raise ValueError(f"expected stored times in a row, found an array of shape {times.shape}")
    if not np.isfinite(times).all():
        raise ValueError("the stored times are not all finite numbers")
    steps = np.diff(times.astype(float))
    if (steps < 0 if ours else steps <= 0).any():
        i = int(np.argmax(steps < 0 if ours else steps <= 0))
        raise ValueError(
            f"the stored times must increase; number {i} is {times[i]:g}, number {i + 1} is "
            f"{times[i + 1]:g}: put the frames and their times in order, each time once"
        )
    if count is not None and len(times) != count:
        raise ValueError(f"the samples have {count} frames, and {len(times)} times are stored")


def text_of(value) -> str:
    """Text of an HDF5 attribute, which may be bytes."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if not isinstance(value, str):
        raise ValueError(f"expected text in an attribute, found {_type_name(type(value))}")
    return value


def texts_of(value, what: str) -> list[str]:
    """A list of texts of an HDF5 attribute.

    Raises:
        ValueError: something else; ``what`` names it.
    """
    row = np.atleast_1d(np.asarray(value, object)) if _is_row(value) else None
    if row is None or row.ndim != 1 or not all(isinstance(one, str | bytes) for one in row):
        raise ValueError(f"expected names in {what}, found {_type_name(type(value))}")
    return [text_of(one) for one in row]


def _is_row(value) -> bool:
    return isinstance(value, str | bytes | np.ndarray | list | tuple)


def _type_name(kind) -> str:
    return f"the type {getattr(kind, '__name__', kind)}"
