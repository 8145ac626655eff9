"""Writing fields of one time in PDEBench's layout, whole or not at all."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fdiff.dataset.formats import ATTRIBUTE, AXES, STORED
from fdiff.files import system_errors, whole
from fdiff.grid import Grid
from fdiff.values import real_values, require_finite


def write_fields(
    path: Path | str,
    fields: np.ndarray,
    grid: Grid,
    names: Sequence[str],
    time: float,
    provenance: dict[str, Any],
    attributes: Mapping[str, Any] | None = None,
) -> Path:
    """Writes ``fields`` ``(samples, channels, *grid.shape)`` as a dataset of one stored time.

    ``provenance`` (JSON values) goes into the root attribute, with the grid and the names;
    ``attributes`` are more of them, text or arrays. The file
    appears under its name only when it is complete and on the disk.

    Raises:
        TypeError: complex numbers, or none.
        ValueError: shapes that do not fit, or values that are masked, NaN, infinite or beyond
            float32.
        OSError: the disk is full, or the folder cannot be written to; nothing is left behind.
    """
    import h5py

    path = Path(path)
    fields = real_values(fields, "the fields to write")
    expected = (len(names), *grid.shape)
    if fields.ndim != grid.dim + 2 or fields.shape[1:] != expected:
        raise ValueError(f"expected fields (samples, {expected}), got shape {fields.shape}")
    if not math.isfinite(time):
        raise ValueError(f"the time of the fields must be a finite number, got {time}")
    with np.errstate(over="ignore"):  # what float32 cannot hold is named with the rest
        require_finite(fields.astype(STORED), "fields to write (as float32)")
    # From version 1.8 of the format on, an attribute may exceed 64 kB, as a list of what was
    # trained on does.
    with (
        whole(path) as partial,
        system_errors(path),
        h5py.File(partial, "w", libver=("v108", "v110")) as file,
    ):
        file.attrs[ATTRIBUTE] = json.dumps(
            {
                **provenance,
                "fields": list(names),
                "grid": {
                    "lengths": grid.lengths,
                    "boundary": grid.boundary,
                    "origin": grid.origin,
                },
            }
        )
        file.attrs.update(attributes or {})
        width = max(4, len(str(len(fields) - 1)))
        for i, field in enumerate(fields):
            group = file.create_group(f"{i:0{width}d}")
            group.create_dataset("data", data=np.moveaxis(field, 0, -1)[None], dtype="f4")
            _write_grid(group, grid, time)
    return path


def _write_grid(group, grid: Grid, time: float) -> None:
    for axis, name in enumerate(AXES[3 - grid.dim :]):
        group.create_dataset(f"grid/{name}", data=grid.points(axis), dtype="f4")
    group.create_dataset("grid/t", data=[time], dtype="f4")
