"""Names and types that all formats share."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

ATTRIBUTE = "fdiff"  # provenance, JSON text: at the root of the file, and of each sample
AXES = ("z", "y", "x")  # of the data, slowest first; a grid's axes have this order

# The identity of a solution begins so where it starts from values of a file.
BY_CONTENT = "content:"
STORED = "<f4"  # the type of the values that fdiff writes

# A place in a file: offset and size in bytes.
Region = tuple[int, int]


def provenance(file) -> dict[str, Any]:
    """What fdiff recorded of a file's making; empty for a file of somebody else."""
    text = file.attrs.get(ATTRIBUTE)
    return {} if text is None else json.loads(text)


def place(data) -> Region | None:
    """Where an HDF5 dataset lies as one piece of values of fdiff's type; None where it does not."""
    offset = data.id.get_offset()
    if offset is None or data.dtype != np.dtype(STORED):
        return None
    return offset, data.id.get_storage_size()


def numbers(stored, what: str) -> np.ndarray:
    """Times or positions as an array of real numbers, in the type of the file where it is a float.

    Raises:
        ValueError: something else than an array of real numbers; ``what`` names it.
    """
    if not hasattr(stored, "dtype") or stored.dtype.kind not in "fiu":
        kind = getattr(stored, "dtype", "a group")
        raise ValueError(f"expected numbers for {what}, found {kind}")
    values = np.asarray(stored)
    return values if values.dtype.kind == "f" else values.astype(float)


def require_times(times: np.ndarray, count: int | None = None) -> None:
    """Refuse stored times that are not finite, or not ``count`` of them in a row.

    Raises:
        ValueError: what was found.
    """
    if times.ndim != 1 or not len(times):
        raise ValueError(f"expected stored times in a row, found an array of shape {times.shape}")
    if not np.isfinite(times).all():
        raise ValueError("the stored times are not all finite numbers")
    if count is not None and len(times) != count:
        raise ValueError(f"the samples have {count} frames, and {len(times)} times are stored")


def text_of(value) -> str:
    """Text of an HDF5 attribute, which may be bytes."""
    return value.decode() if isinstance(value, bytes) else str(value)
