"""PDEBench's layout as readers see it: every sample is a group of its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from fdiff.dataset.formats.common import ATTRIBUTE, Region


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
