"""Names and types that all formats share."""

from __future__ import annotations

import numpy as np

ATTRIBUTE = "fdiff"  # provenance, JSON text: at the root of the file, and of each sample
AXES = ("z", "y", "x")  # of the data, slowest first; a grid's axes have this order

# The identity of a solution begins so where it starts from values of a file.
BY_CONTENT = "content:"
STORED = "<f4"  # the type of the values that fdiff writes

# A place in a file: offset and size in bytes.
Region = tuple[int, int]


def place(data) -> Region | None:
    """Where an HDF5 dataset lies as one piece of values of fdiff's type; None where it does not."""
    offset = data.id.get_offset()
    if offset is None or data.dtype != np.dtype(STORED):
        return None
    return offset, data.id.get_storage_size()


def text_of(value) -> str:
    """Text of an HDF5 attribute, which may be bytes."""
    return value.decode() if isinstance(value, bytes) else str(value)
