"""The Well's layout as readers see it: the samples are stacked, one array a field."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from fdiff.dataset.formats.common import STORED, Region, place
from fdiff.dataset.opening import unpackable


class WellView:
    """Fields ``t0_fields/u`` of shape (sample, t, x, (y,) (z)); the axes are turned to ours."""

    def __init__(self, file):
        self.file = file
        group = file["t0_fields"]
        self.names = tuple(_text(n) for n in group.attrs["field_names"])
        self.arrays = [group[name] for name in self.names]
        self.keys = [f"{i:04d}" for i in range(self.arrays[0].shape[0])]

    @property
    def shape(self) -> tuple[int, ...]:
        _, times, *sides = self.arrays[0].shape
        return (times, *reversed(sides), len(self.arrays))

    def axis(self, name: str) -> np.ndarray:
        return np.asarray(self.file["dimensions"]["time" if name == "t" else name], dtype=float)

    def data(self, row: int) -> _Turned:
        return _Turned([unpackable(array) for array in self.arrays], row, self.shape)

    def record(self, row: int) -> dict[str, Any] | None:
        records = getattr(self, "_records", None)
        if records is None:
            texts = [v for k, v in sorted(self.file.attrs.items()) if k.startswith("fdiff_records")]
            records = self._records = [entry for text in texts for entry in json.loads(text)]
        return records[row] if records else None

    def regions(self, row: int) -> tuple[Path, list[Region]]:
        places = []
        for array in self.arrays:
            region = place(array)
            if region is None:
                return Path(self.file.filename), []
            size = region[1] // array.shape[0]
            places.append((region[0] + row * size, size))
        return Path(self.file.filename), places

    def pieces(self, row: int) -> list[np.ndarray]:
        """As `PDEBenchView.pieces`: one array a field."""
        return [np.ascontiguousarray(unpackable(array)[row], STORED) for array in self.arrays]


class _Turned:
    """One sample of The Well's arrays, indexed like PDEBench's: [t, (z,) (y,) x, field]."""

    def __init__(self, arrays, row: int, shape: tuple[int, ...]):
        self.arrays, self.row, self.shape = arrays, row, shape

    def __getitem__(self, frame) -> np.ndarray:
        whole = frame is Ellipsis
        values = [array[self.row] if whole else array[self.row, frame] for array in self.arrays]
        sides = values[0].ndim - whole
        axes = tuple(reversed(range(whole, whole + sides)))
        return np.stack([v.transpose(((0,) if whole else ()) + axes) for v in values], axis=-1)


def _text(value) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
