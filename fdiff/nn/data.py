"""A torch dataset over fdiff's files: lazy, by field, frame and resolution, safe with workers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import final

import numpy as np
import torch

from fdiff import dataset
from fdiff.grid import Grid
from fdiff.inputs import follows
from fdiff.levels import restrict_field


@final
class TrajectoryDataset(torch.utils.data.Dataset):
    """Items are fields (channels, *grid.shape), float32, one sample at one time.

    ``fields``: names, or None for all. ``times``: stored times to use, or None for all; item
    ``i`` is sample ``i // len(times)`` at time ``i % len(times)``. ``split`` as in
    `fdiff.dataset.Dataset.indices`. ``resolution``: nodes per axis, by restriction. ``boundary``
    and ``follow_links`` as in `fdiff.dataset.open`. Trajectories that are recorded as failed are
    left out.

    Nothing is loaded before it is asked for, and every process opens the file for itself, so a
    `DataLoader` may have workers however it starts them.
    """

    def __init__(
        self,
        path: Path | str,
        fields: str | Sequence[str] | None = None,
        times: float | Sequence[float] | None = None,
        split: str | None = None,
        resolution: int | tuple[int, ...] | None = None,
        boundary: dataset.Boundary | None = None,
        follow_links: bool | None = None,
    ):
        self.path, self.boundary = Path(path), boundary
        self._follow = follows(follow_links)
        with dataset.open(path, boundary, self._follow) as file:
            names = file.field_names if fields is None else fields
            self.fields = (names,) if isinstance(names, str) else tuple(names)
            for name in self.fields:
                file.channel(name)
            self.times = tuple(np.atleast_1d(file.times if times is None else times).tolist())
            self.frames = [file.frame(time) for time in self.times]
            self.rows = file.usable(split)
            self.native: Grid = file.grid
        shape = (resolution,) * self.native.dim if isinstance(resolution, int) else resolution
        self.grid = self.native if shape is None else self.native.with_shape(shape)
        if any(n > m for n, m in zip(self.grid.shape, self.native.shape)):
            raise ValueError(
                f"{path} has fields on {self.native.shape}; a resolution is at most that, got "
                f"{self.grid.shape}"
            )
        self._file: dataset.Dataset | None = None

    def __len__(self) -> int:
        return len(self.rows) * len(self.frames)

    def __getitem__(self, index: int) -> torch.Tensor:
        if not -len(self) <= index < len(self):
            raise IndexError(f"item {index} of {len(self)}")
        sample, frame = divmod(index % len(self), len(self.frames))
        if self._file is None:
            self._file = dataset.open(self.path, self.boundary, self._follow)
        values = self._file.state(self.rows[sample], self.fields, self.times[frame])
        values = np.ascontiguousarray(values, dtype=np.float32)
        if self.grid != self.native:
            values = restrict_field(values, self.native, self.grid)
        return torch.from_numpy(values)

    def __getstate__(self) -> dict:
        # An open file does not travel to a worker: it opens its own.
        return {**self.__dict__, "_file": None}
