"""Files created empty at full size, so that workers write raw bytes at known places.

Copying data through the HDF5 library costs more than computing them, and a file whose metadata are
open while data are written does not survive a kill. Here the library allocates every dataset
contiguously, without fill, and closes the file; the places of the data are then plain offsets.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, final

import numpy as np

from fdiff.dataset.formats import ATTRIBUTE, AXES, Region
from fdiff.dataset.recipe import Recipe

# Data begin at pages of memory: writes then need not read a page first.
_PAGE = 4096

# One piece of a sample: where it goes, and the array that goes there.
Piece = tuple[int, np.ndarray]


class Layout(ABC):
    """A file that is created at full size and filled through offsets."""

    def __init__(self, recipe: Recipe, digits: int | None = None):
        self.recipe = recipe
        last = recipe.first + recipe.samples - 1
        self.digits = digits or max(4, len(str(last)))

    def key(self, sample: int) -> str:
        """The sample's name."""
        return f"{sample:0{self.digits}d}"

    @property
    def sample_bytes(self) -> int:
        """Bytes of one sample's data."""
        r = self.recipe
        return 4 * len(r.stored_times) * r.grid.size * len(r.field_names)

    @abstractmethod
    def create(self, path: Path, progress: Callable[[int, int], None] | None = None) -> list[int]:
        """The file without data; returns the offsets that the other methods need."""

    @abstractmethod
    def pieces(self, offsets: list[int], sample: int, data: np.ndarray) -> list[Piece]:
        """Where the parts of ``data`` [t, *grid.shape, field] of a sample go."""

    @abstractmethod
    def regions(self, offsets: list[int], sample: int) -> list[Region]:
        """(offset, bytes) of the parts of a sample."""

    @abstractmethod
    def seal(self, file, records: Mapping[int, dict[str, Any]], root: dict[str, Any]) -> None:
        """Writes what is known after the run into attributes of the open file."""


@final
class PDEBenchLayout(Layout):
    """Root groups are samples, named by index; ``data`` f4 [t, (z,) (y,) x, field]."""

    def create(self, path: Path, progress: Callable[[int, int], None] | None = None) -> list[int]:
        import h5py

        r = self.recipe
        shape = (len(r.stored_times), *r.grid.shape, len(r.field_names))
        axes = [
            (f"grid/{name}", r.grid.points(axis).astype("<f4"))
            for axis, name in enumerate(AXES[3 - r.grid.dim :])
        ]
        axes.append(("grid/t", r.stored_times.astype("<f4")))
        offsets = []
        with h5py.File(path, "w", alignment_threshold=1 << 16, alignment_interval=_PAGE) as file:
            for i in range(r.samples):
                sample = r.first + i
                group = file.create_group(self.key(sample))
                offsets.append(allocate(group, "data", shape))
                for name, values in axes:
                    group[name] = values
                group.attrs["config"] = config_text(r, sample)
                if progress is not None:
                    progress(i + 1, r.samples)
        return offsets

    def pieces(self, offsets: list[int], sample: int, data: np.ndarray) -> list[Piece]:
        return [(offsets[sample - self.recipe.first], data)]

    def regions(self, offsets: list[int], sample: int) -> list[Region]:
        return [(offsets[sample - self.recipe.first], self.sample_bytes)]

    def seal(self, file, records: Mapping[int, dict[str, Any]], root: dict[str, Any]) -> None:
        for sample, record in records.items():
            file[self.key(sample)].attrs[ATTRIBUTE] = json.dumps(record)
        file.attrs[ATTRIBUTE] = json.dumps(root)


def allocate(group, name: str, shape: tuple[int, ...]) -> int:
    """A contiguous little-endian f4 dataset, allocated but not filled; its offset in the file."""
    from h5py import h5d, h5p, h5s, h5t

    properties = h5p.create(h5p.DATASET_CREATE)
    properties.set_layout(h5d.CONTIGUOUS)
    properties.set_alloc_time(h5d.ALLOC_TIME_EARLY)
    properties.set_fill_time(h5d.FILL_TIME_NEVER)
    properties.set_obj_track_times(False)  # equal recipes make equal bytes, whenever
    space = h5s.create_simple(shape)
    dataset = h5d.create(group.id, name.encode(), h5t.IEEE_F32LE, space, properties)
    return dataset.get_offset()


def config_text(recipe: Recipe, sample: int) -> str:
    """PDEBench's attribute ``config`` of a sample: its own keys in its own order."""
    import yaml

    grid, times = recipe.grid, recipe.stored_times
    sim: dict[str, Any] = dict(recipe.parameters_of(sample))
    sim["t"] = int(times[-1]) if times[-1] == int(times[-1]) else float(times[-1])
    sim["tdim"] = len(times)
    sides = {"x": ("left", "right"), "y": ("bottom", "top"), "z": ("front", "back")}
    for axis in reversed(range(grid.dim)):
        name = AXES[3 - grid.dim + axis]
        low, high = sides[name]
        sim[f"{name}_{low}"] = grid.origin[axis]
        sim[f"{name}_{high}"] = grid.origin[axis] + grid.lengths[axis]
        sim[f"{name}dim"] = grid.shape[axis]
    sim["n"] = 1
    if recipe.law.seeds_add:
        sim["seed"] = recipe.seed + sample
    else:
        sim |= {"seed": recipe.seed, "sample": sample, "initial": recipe.initial["name"]}
    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)  # libyaml's, where there is one
    return yaml.dump({"sim": sim, "name": recipe.name}, Dumper=dumper, sort_keys=False)
