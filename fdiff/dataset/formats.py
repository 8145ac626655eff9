"""The two layouts as readers see them: samples in groups (PDEBench), or stacked (The Well)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

ATTRIBUTE = "fdiff"  # provenance, JSON text: at the root of the file, and of each sample
AXES = ("z", "y", "x")  # of the data, slowest first; a grid's axes have this order

# A place in a file: offset and size in bytes.
Region = tuple[int, int]


class PDEBenchView:
    """Root groups are samples; ``data`` [t, (z,) (y,) x, field], ``grid/x``, ..., ``grid/t``."""

    def __init__(self, file):
        self.file = file
        self.keys = sorted(file.keys())
        if not self.keys or not self._is_sample(self.keys[0]):
            raise ValueError("expected groups 0000, 0001, ... with a dataset 'data'")

    def _is_sample(self, key: str) -> bool:
        try:
            return "data" in self.file[key]
        except (KeyError, TypeError):
            return False

    def missing_part(self, row: int) -> str:
        """What is wrong where the sample is in another file that is not there, else ""."""
        import h5py

        link = self.file.get(self.keys[row], getlink=True)
        if not isinstance(link, h5py.ExternalLink):
            return ""
        part = Path(self.file.filename).parent / link.filename
        return "" if part.exists() else f"its shard {link.filename} is missing: make it again"

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one sample, [t, *grid.shape, field]."""
        return self.file[self.keys[0]]["data"].shape

    @property
    def names(self) -> tuple[str, ...]:
        return ("u", "v")[: self.shape[-1]]

    def axis(self, name: str) -> np.ndarray:
        """Points of the axis t, x, y or z."""
        return np.asarray(self.file[self.keys[0]]["grid"][name], dtype=float)

    def data(self, row: int):
        """The sample's values, to be indexed by time first."""
        return self.file[self.keys[row]]["data"]

    def record(self, row: int) -> dict[str, Any] | None:
        """What fdiff wrote of the sample; None for a file of somebody else."""
        text = self.file[self.keys[row]].attrs.get(ATTRIBUTE)
        return None if text is None else json.loads(text)

    def regions(self, row: int) -> tuple[Path, list[Region]]:
        """Where the sample's bytes are; no places where they are in chunks."""
        data = self.data(row)
        offset = data.id.get_offset()
        region = [] if offset is None else [(offset, data.id.get_storage_size())]
        return Path(data.file.filename), region


class WellView:
    """Fields ``t0_fields/u`` of shape (sample, t, x, (y,) (z)); the axes are turned to ours."""

    def __init__(self, file):
        self.file = file
        group = file["t0_fields"]
        self.names = tuple(_text(n) for n in group.attrs["field_names"])
        self.arrays = [group[name] for name in self.names]
        self.keys = [f"{i:04d}" for i in range(self.arrays[0].shape[0])]

    def missing_part(self, row: int) -> str:
        return ""

    @property
    def shape(self) -> tuple[int, ...]:
        _, times, *sides = self.arrays[0].shape
        return (times, *reversed(sides), len(self.arrays))

    def axis(self, name: str) -> np.ndarray:
        return np.asarray(self.file["dimensions"]["time" if name == "t" else name], dtype=float)

    def data(self, row: int) -> _Turned:
        return _Turned(self.arrays, row, self.shape)

    def record(self, row: int) -> dict[str, Any] | None:
        records = getattr(self, "_records", None)
        if records is None:
            texts = [v for k, v in sorted(self.file.attrs.items()) if k.startswith("fdiff_records")]
            records = self._records = [entry for text in texts for entry in json.loads(text)]
        return records[row] if records else None

    def regions(self, row: int) -> tuple[Path, list[Region]]:
        places = []
        for array in self.arrays:
            offset = array.id.get_offset()
            if offset is None:
                return Path(self.file.filename), []
            size = array.id.get_storage_size() // array.shape[0]
            places.append((offset + row * size, size))
        return Path(self.file.filename), places


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


def view(file) -> PDEBenchView | WellView:
    """The file's layout.

    Raises:
        ValueError: it has neither.
    """
    return WellView(file) if "t0_fields" in file else PDEBenchView(file)


def _text(value) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
