"""PDEBench's layout as readers see it: every sample is a group of its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from fdiff.dataset.formats.common import ATTRIBUTE, STORED, Region, place
from fdiff.dataset.groups import open_sample, sample_names
from fdiff.dataset.opening import unpackable


class PDEBenchView:
    """Root groups are samples; ``data`` [t, (z,) (y,) x, field], ``grid/x``, ..., ``grid/t``."""

    def __init__(self, file):
        self.file = file
        self.keys = sample_names(file, ours=ATTRIBUTE in file.attrs)
        open_sample(file, self.keys[0])  # what all samples share is read from the first

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one sample, [t, *grid.shape, field]."""
        return self._values(0).shape

    @property
    def names(self) -> tuple[str, ...]:
        return ("u", "v")[: self.shape[-1]]

    def axis(self, name: str) -> np.ndarray:
        """Points of the axis t, x, y or z."""
        group = open_sample(self.file, self.keys[0])
        points = group.get(f"grid/{name}")
        if points is None:
            what = "the stored times" if name == "t" else f"the nodes along {name}"
            raise ValueError(
                f"{self.file.filename}: the group {self.keys[0]} has no grid/{name}, which holds "
                f"{what}: add it to the file"
            )
        return np.asarray(points, dtype=float)

    def data(self, row: int):
        """The sample's values, to be indexed by time first."""
        return unpackable(self._values(row))

    def _values(self, row: int):
        """The HDF5 dataset of a sample, which may be packed."""
        group = open_sample(self.file, self.keys[row])
        values = group.get("data") if hasattr(group, "get") else None
        if values is None:
            raise ValueError(
                f"{self.file.filename}: the group {self.keys[row]} has no dataset 'data'"
            )
        return values

    def record(self, row: int) -> dict[str, Any] | None:
        """What fdiff wrote of the sample; None for a file of somebody else."""
        text = open_sample(self.file, self.keys[row]).attrs.get(ATTRIBUTE)
        return None if text is None else json.loads(text)

    def regions(self, row: int) -> tuple[Path, list[Region]]:
        """Where the sample's bytes are; no places where they are in chunks or of another type."""
        data = self._values(row)
        region = place(data)
        return Path(data.file.filename), [] if region is None else [region]

    def pieces(self, row: int) -> list[np.ndarray]:
        """The sample's values in the pieces that have a checksum each, as fdiff stores them."""
        return [np.ascontiguousarray(self.data(row)[...], STORED)]
