"""The Well's layout: all samples stacked, one array (sample, t, x, (y,) (z)) a field.

Ohana et al. (2024), https://arxiv.org/abs/2412.00568, and its documentation of the format. Theirs
has no name for a wall without flux that its loader takes: the type is WALL, and the true condition
stands in an attribute of our own.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, final

import numpy as np

from fdiff.dataset.formats import ATTRIBUTE, AXES, Region
from fdiff.dataset.layout import Layout, Piece, allocate

# Attributes of HDF5's portable format end at 64 kB; this many records stay far below.
_RECORDS_AN_ATTRIBUTE = 64
_TYPES = {"periodic": "PERIODIC", "neumann": "WALL", "dirichlet": "WALL"}


@final
class WellLayout(Layout):
    """One file of the `data/train`, `valid` or `test` folders."""

    def create(self, path: Path, progress: Callable[[int, int], None] | None = None) -> list[int]:
        import h5py

        r = self.recipe
        sides = tuple(reversed(r.grid.shape))
        with h5py.File(path, "w", alignment_threshold=1 << 16, alignment_interval=4096) as file:
            names = list(reversed(AXES[3 - r.grid.dim :]))
            self._describe(file)
            self._dimensions(file, names)
            self._boundaries(file, names)
            self._scalars(file)
            group = file.create_group("t0_fields")
            group.attrs["field_names"] = list(r.field_names)
            shape = (r.samples, len(r.stored_times), *sides)
            offsets = []
            for name in r.field_names:
                offsets.append(allocate(group, name, shape))
                group[name].attrs.update(
                    dim_varying=[True] * r.grid.dim, sample_varying=True, time_varying=True
                )
            for order in (1, 2):
                file.create_group(f"t{order}_fields").attrs["field_names"] = _no_names()
        if progress is not None:
            progress(r.samples, r.samples)
        return offsets

    def _describe(self, file) -> None:
        r = self.recipe
        constant = self._constants()
        file.attrs.update(
            dataset_name=r.name,
            grid_type="cartesian",
            n_spatial_dims=r.grid.dim,
            n_trajectories=r.samples,
            simulation_parameters=list(constant) or _no_names(),
            **constant,
        )

    def _constants(self) -> dict[str, float]:
        return {k: v for k, v in self.recipe.parameters.items() if not isinstance(v, Mapping)}

    def _dimensions(self, file, names: list[str]) -> None:
        r = self.recipe
        group = file.create_group("dimensions")
        group.attrs["spatial_dims"] = names
        group["time"] = r.stored_times.astype("<f4")
        group["time"].attrs.update(sample_varying=False, time_varying=True)
        for i, name in enumerate(names):
            group[name] = r.grid.points(r.grid.dim - 1 - i).astype("<f4")
            group[name].attrs.update(sample_varying=False, time_varying=False)

    def _boundaries(self, file, names: list[str]) -> None:
        r = self.recipe
        group = file.create_group("boundary_conditions")
        for i, name in enumerate(names):
            kind = r.grid.boundary[r.grid.dim - 1 - i]
            wall = group.create_group(f"{name}_{_TYPES[kind].lower()}")
            wall.attrs.update(
                associated_dims=[name],
                associated_fields=_no_names(),
                bc_type=_TYPES[kind],
                sample_varying=False,
                time_varying=False,
                fdiff_condition=kind,
            )
            mask = np.zeros(r.grid.shape[r.grid.dim - 1 - i], dtype=bool)
            mask[[0, -1]] = True
            wall["mask"] = mask

    def _scalars(self, file) -> None:
        r = self.recipe
        group = file.create_group("scalars")
        group.attrs["field_names"] = list(r.parameters)
        constant = self._constants()
        samples = range(r.first, r.first + r.samples)
        for name in r.parameters:
            if name in constant:
                group[name] = np.float32(constant[name])
            else:
                group[name] = np.array([r.parameters_of(i)[name] for i in samples], "<f4")
            group[name].attrs.update(sample_varying=name not in constant, time_varying=False)

    def regions(self, offsets: list[int], sample: int) -> list[Region]:
        size = self.sample_bytes // len(self.recipe.field_names)
        return [(offset + (sample - self.recipe.first) * size, size) for offset in offsets]

    def pieces(self, offsets: list[int], sample: int, data: np.ndarray) -> list[Piece]:
        # (t, (z,) (y,) x) to (t, x, (y,) (z))
        axes = (0, *reversed(range(1, data.ndim - 1)))
        places = self.regions(offsets[: data.shape[-1]], sample)
        return [
            (offset, np.ascontiguousarray(data[..., c].transpose(axes)))
            for c, (offset, _) in enumerate(places)
        ]

    def seal(self, file, records: Mapping[int, dict[str, Any]], root: dict[str, Any]) -> None:
        entries = list(records.values())
        for i in range(0, len(entries), _RECORDS_AN_ATTRIBUTE):
            part = json.dumps(entries[i : i + _RECORDS_AN_ATTRIBUTE])
            file.attrs[f"fdiff_records_{i:09d}"] = part
        file.attrs[ATTRIBUTE] = json.dumps(root)


def _no_names() -> np.ndarray:
    """An empty list of text."""
    import h5py

    return np.array([], dtype=h5py.string_dtype())
