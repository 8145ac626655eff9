"""Names and types that all formats share."""

from __future__ import annotations

ATTRIBUTE = "fdiff"  # provenance, JSON text: at the root of the file, and of each sample
AXES = ("z", "y", "x")  # of the data, slowest first; a grid's axes have this order

# A place in a file: offset and size in bytes.
Region = tuple[int, int]
