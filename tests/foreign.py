"""Files as other programs write them: The Well's layout and PDEBench's, with given properties."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import h5py
import numpy as np


def well(
    path: Path,
    fields: Mapping[str, np.ndarray],
    positions: Mapping[str, np.ndarray],
    boundary: Mapping[str, str | tuple[str, str] | None],
    *,
    times=(0.0, 1.0),
    order: Mapping[str, int] | None = None,
    attributes: Mapping[str, Mapping] | None = None,
    scalars: Mapping[str, np.ndarray] | None = None,
    grid_type: str = "cartesian",
    position_type: str = "f4",
) -> Path:
    """A file in The Well's layout.

    ``fields``: arrays by name, (sample, time, *positions[, components]) unless ``attributes`` of a
    name say that it does not vary; ``order``: tensor order by name, 0 by default. ``boundary``: one
    type an axis, or one for each end, or None for no entry.
    """
    samples = len(next(iter(fields.values())))
    with h5py.File(path, "w") as file:
        file.attrs.update(
            dataset_name="test", grid_type=grid_type, n_spatial_dims=len(positions),
            n_trajectories=samples, simulation_parameters=list(scalars or []) or _nothing(),
        )  # fmt: skip
        dims = file.create_group("dimensions")
        dims.attrs["spatial_dims"] = list(positions)
        dims["time"] = np.asarray(times, "f4")
        dims["time"].attrs.update(sample_varying=np.ndim(times) > 1, time_varying=True)
        for name, x in positions.items():
            dims[name] = np.asarray(x, position_type)
            dims[name].attrs.update(sample_varying=False, time_varying=False)
        walls = file.create_group("boundary_conditions")
        for name, kind in boundary.items():
            n = len(positions[name])
            ends = {kind: [0, n - 1]} if isinstance(kind, str) else _ends(kind, n)
            for type_, places in ends.items():
                entry = walls.create_group(f"{name}_{type_.lower()}")
                entry.attrs.update(
                    associated_dims=[name], associated_fields=_nothing(), bc_type=type_,
                    sample_varying=False, time_varying=False,
                )  # fmt: skip
                mask = np.zeros(n, bool)
                mask[places] = True
                entry["mask"] = mask
        table = file.create_group("scalars")
        table.attrs["field_names"] = list(scalars or []) or _nothing()
        for name, values in (scalars or {}).items():
            table[name] = np.asarray(values, "f4")
            table[name].attrs.update(sample_varying=np.ndim(values) > 0, time_varying=False)
        for rank in range(3):
            group = file.create_group(f"t{rank}_fields")
            names = [name for name in fields if (order or {}).get(name, 0) == rank]
            group.attrs["field_names"] = names or _nothing()
            for name in names:
                group[name] = fields[name]
                group[name].attrs.update(
                    {"dim_varying": [True] * len(positions), "sample_varying": True,
                     "time_varying": True} | dict((attributes or {}).get(name, {}))
                )  # fmt: skip
    return path


def groups(path: Path, data, positions: Mapping[str, np.ndarray], times, config: str = "") -> Path:
    """A file of groups 0000, 0001, ... as PDEBench writes them.

    ``data``: one array [t, ..., field] a sample; ``times``: for all, or a list of one a sample.
    """
    with h5py.File(path, "w") as file:
        for i, values in enumerate(data):
            file[f"{i:04d}/data"] = values
            file[f"{i:04d}/grid/t"] = np.asarray(times[i] if np.ndim(times) > 1 else times, "f4")
            for name, x in positions.items():
                file[f"{i:04d}/grid/{name}"] = np.asarray(x, "f4")
            if config:
                file[f"{i:04d}"].attrs["config"] = config
    return path


def centres(n: int, length: float = 1.0, start: float = 0.0) -> np.ndarray:
    return start + (np.arange(n) + 0.5) * length / n


def smooth(shape, seed=0, dtype="f4") -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def _ends(kinds, n: int) -> dict[str, list[int]]:
    return {} if kinds is None else {kinds[0]: [0], kinds[1]: [n - 1]}


def _nothing() -> np.ndarray:
    return np.array([], dtype=h5py.string_dtype())
