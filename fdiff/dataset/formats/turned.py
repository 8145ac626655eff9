"""One sample of other people's files, with its nodes turned into those of the grid."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any, final

import numpy as np

from fdiff.dataset.formats.nodes import Axis
from fdiff.dataset.formats.written import Written
from fdiff.dataset.opening import readable, unpackable


@final
class Turned:
    """``data`` [t, ..., field] at the nodes of ``axes``; indexed by one time, or by Ellipsis."""

    def __init__(self, data: Any, axes: Sequence[Axis]):
        self.data, self.axes = data, axes
        self.dtype = data.dtype
        self.shape = (data.shape[0], *(axis.nodes for axis in axes), data.shape[-1])

    def __getitem__(self, frame) -> np.ndarray:
        values = np.asarray(self.data[frame])
        for i, axis in enumerate(self.axes, start=int(frame is Ellipsis)):
            if axis.turn is not None:
                values = axis.turn(values, i)
        return values


@final
class Filled:
    """An HDF5 array of a field; values that it marks as missing, and values that were never
    written, are read as NaN.

    ``_FillValue`` and ``missing_value`` are the attributes by which netCDF marks them.

    Raises:
        ValueError: an array that does not hold real numbers as they are: complex, whole or packed
            ones, truth values, text.
    """

    def __init__(self, array, name: str, follow_links: bool = False):
        if not hasattr(array, "dtype") or array.shape is None:  # a group, or no values
            raise ValueError(f"{name} is no array of values")
        readable(array, follow_links)
        self.array, self.shape, self.dtype = array, array.shape, array.dtype
        kind = array.dtype.kind
        if kind != "f":
            what, remedy = _KINDS.get(kind, (f"values of type {array.dtype}", _AS_FLOATS))
            raise ValueError(f"{name} holds {what}, where a field has real numbers: {remedy}")
        self.missing: list[np.ndarray] = []
        if len(array.attrs):
            packed = [key for key in ("scale_factor", "add_offset") if key in array.attrs]
            if packed:
                raise ValueError(f"{name} is packed ({', '.join(packed)}): {_AS_FLOATS}")
            keys = [key for key in ("_FillValue", "missing_value") if key in array.attrs]
            with np.errstate(over="ignore"):
                self.missing = [
                    _mark(array.attrs[key], name, key).astype(array.dtype) for key in keys
                ]

    @cached_property
    def _written(self) -> Written:
        return Written(unpackable(self.array))

    def __getitem__(self, key) -> np.ndarray:
        complete, values = self._written.complete, np.asarray(self.array[key])
        if not complete:
            values = np.where(self._written.missing(key), np.nan, values).astype(self.dtype)
        for mark in self.missing:
            values = np.where(np.isin(values, mark), np.nan, values).astype(self.dtype)
        return values

    def faults(self, key) -> list[str]:
        """What stands at ``key`` in place of numbers that float32 holds, in words; [] for none."""
        gone, values = self._written.missing(key), np.asarray(self.array[key])
        found = []
        if gone.any():
            found.append(f"unwritten (HDF5 reads {float(self.array.fillvalue):g} in their place)")
        values = values[~gone]
        marks = [mark for row in self.missing for mark in np.atleast_1d(row)]
        there = dict.fromkeys(f"{float(mark):g}" for mark in marks if (values == mark).any())
        if there:
            found.append(f"missing ({', '.join(there)})")
        values = values[~np.isin(values, marks)] if marks else values
        size = np.abs(values)
        largest = np.finfo(np.float32).max
        kinds = {
            "NaN": np.isnan(size), "infinite": np.isinf(size),
            "beyond float32": np.isfinite(size) & (size > largest),
        }  # fmt: skip
        return found + [kind for kind, where in kinds.items() if where.any()]


def _mark(value, name: str, key: str) -> np.ndarray:
    found = np.asarray(value) if isinstance(value, np.ndarray | np.number) else None
    if found is None or found.dtype.kind not in "fiu":
        raise ValueError(f"{name}: expected a number in the attribute {key}")
    return found.astype(float)


_AS_FLOATS = "write the numbers themselves as float32"
# Whole numbers in a file of fields are packed values, labels or masks more often than quantities,
# and nothing tells which.
_KINDS = {
    "c": ("complex numbers", "write real and imaginary part as two fields"),
    "i": ("whole numbers", f"if they are quantities and no labels, {_AS_FLOATS}"),
    "u": ("whole numbers", f"if they are quantities and no labels, {_AS_FLOATS}"),
    "b": ("truth values", f"if they are a field all the same, {_AS_FLOATS}"),
}
