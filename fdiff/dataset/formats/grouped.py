"""PDEBench's layout as readers see it: every sample is a group of its own."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from fdiff.dataset.formats import pdebench
from fdiff.dataset.formats.base import View
from fdiff.dataset.formats.boundaries import Boundary
from fdiff.dataset.formats.common import (
    ATTRIBUTE,
    AXES,
    STORED,
    Region,
    numbers,
    place,
    require_times,
)
from fdiff.dataset.formats.nodes import may_be_one_period
from fdiff.dataset.formats.turned import Filled
from fdiff.dataset.groups import open_sample, sample_names
from fdiff.dataset.links import storage_outside
from fdiff.dataset.opening import readable, unpackable
from fdiff.dataset.records import sample_record
from fdiff.errors import FileError


class PDEBenchView(View):
    """Root groups are samples; ``data`` [t, (z,) (y,) x, field], ``grid/x``, ..., ``grid/t``.

    Raises:
        ValueError: no samples, or those of a data set of PDEBench's that has another order of axes.
    """

    def __init__(self, file, boundary: Boundary | None = None, follow_links: bool = False):
        super().__init__(file, boundary, follow_links)
        self.own = ATTRIBUTE in file.attrs
        self.keys = sample_names(file, ours=self.own)
        self._group(0)  # what all samples share is read from the first
        self._checked = bytearray(len(self.keys))
        if not self.own:
            pdebench.refuse_unread(self._values(0).shape, self._settings)

    @cached_property
    def stored_shape(self) -> tuple[int, ...]:
        return self._values(0).shape

    @property
    def sides(self) -> tuple[str, ...]:
        return AXES[5 - len(self.stored_shape) :]

    @property
    def names(self) -> tuple[str, ...]:  # type: ignore[override]
        return ("u", "v")[: self.stored_shape[-1]]

    @property
    def config(self) -> dict[str, Any]:
        """PDEBench's attribute ``config`` of the first sample; empty without one."""
        text = self._group(0).attrs.get("config")
        return pdebench.read_config(text, self.file.filename, self.keys[0])

    @cached_property
    def _settings(self) -> dict[str, Any]:
        """PDEBench's attribute ``config`` of the first sample, its table ``sim`` and its name."""
        group = self._group(0)
        config, root = group.attrs.get("config"), self.file.attrs
        return pdebench.settings(config, root, self.keys[0], self.file.filename)

    def _group(self, row: int):
        return open_sample(self.file, self.keys[row], self.follow_links)

    def stated(self, side: str) -> tuple[str, str]:
        pdebench.require_reaction_diffusion(self.stored_shape, self._settings)
        if self.assumption and may_be_one_period(side, self.axis(side)):
            x = self.axis(side)
            raise ValueError(
                f"nothing in the file says what the boundary is, and its nodes along {side}, "
                f"{x[0]:g} to {x[-1]:g}, may be those of one period or lie on both walls: say with "
                "--boundary (boundary=) whether it is periodic, neumann or dirichlet"
            )
        return "neumann", ""

    @cached_property
    def assumption(self) -> str:
        if pdebench.wrote(self._settings, self.keys, [self.axis(side) for side in self.sides]):
            return ""
        return (
            "nothing in the file says what it is, so it was taken for PDEBench's two-dimensional "
            "reaction-diffusion, with fields u and v and no-flux walls; --boundary (boundary=) "
            "says otherwise"
        )

    def axis(self, name: str) -> np.ndarray:
        values = self._points(0, name)
        if name == "t":
            require_times(values, self.stored_shape[0], self.own)
        return values

    def _points(self, row: int, name: str) -> np.ndarray:
        """Stored times ("t") or positions of a sample."""
        group = self._group(row)
        points = group.get(f"grid/{name}")
        if points is None:
            what = "the stored times" if name == "t" else f"the nodes along {name}"
            raise ValueError(
                f"{self.file.filename}: the group {self.keys[row]} has no grid/{name}, which holds "
                f"{what}: add it to the file"
            )
        what = f"grid/{name} of the group {self.keys[row]}"
        return numbers(points, what, self.follow_links)

    def raw(self, row: int) -> Filled:
        return Filled(self._values(row), f"sample {self.keys[row]}", self.follow_links)

    def faults(self, row: int, channel: int, frames: int | slice) -> list[str]:
        return self.raw(row).faults((frames, ..., channel))

    def check(self, rows: Sequence[int]) -> None:
        for row in rows:
            if row and not self._checked[row]:
                if not self._same(row):
                    self._compare(row)
                self._checked[row] = True

    def _same(self, row: int) -> bool:
        """Whether a sample has the first one's times, nodes and shape.

        By HDF5's lower functions, which take a fifth of the time: a file has thousands of samples.
        """
        from h5py import h5d, h5g, h5l, h5s

        key = self.keys[row].encode()
        try:
            linked = self.file.id.links.get_info(key).type == h5l.TYPE_EXTERNAL
            group = self._group(row).id if linked else h5g.open(self.file.id, key)
            data = h5d.open(group, b"data")
            if data.shape != self.stored_shape or storage_outside(data):
                return False
            for place, known, found in self._buffers:
                points = h5d.open(group, place)
                if points.shape != known.shape or storage_outside(points):
                    return False
                points.read(h5s.ALL, h5s.ALL, found)
                if not (found == known).all():
                    return False
        except (KeyError, OSError, RuntimeError):
            return False
        return True

    def _compare(self, row: int) -> None:
        """A dataset has one time axis and one grid: those of the first sample."""
        shape = self._values(row).shape
        if shape != self.stored_shape:
            raise ValueError(
                f"sample {self.keys[row]} has shape {shape}, sample {self.keys[0]} has "
                f"{self.stored_shape}, and a dataset has one for all: split the file by them"
            )
        for name in ("t", *self.sides):
            if name not in self._reference:
                continue
            known, found = self._reference[name], self._points(row, name)
            if known.shape != found.shape or not np.array_equal(known, found):
                what = "times" if name == "t" else f"nodes along {name}"
                raise ValueError(
                    f"sample {self.keys[row]} has the {what} {_some(found)}, sample "
                    f"{self.keys[0]} has {_some(known)}, and a dataset has one set for all: split "
                    "the file by them"
                )

    @cached_property
    def _reference(self) -> dict[str, np.ndarray]:
        """Times and positions of the first sample."""
        group = self._group(0).get("grid", {})
        return {name: self._points(0, name) for name in ("t", *self.sides) if name in group}

    @cached_property
    def _buffers(self) -> list[tuple[bytes, np.ndarray, np.ndarray]]:
        """Place, values and room for those of another sample, for each of `_reference`."""
        return [
            (f"grid/{name}".encode(), known, np.empty_like(known))
            for name, known in self._reference.items()
        ]

    def _values(self, row: int):
        """The HDF5 dataset of a sample, which may be packed."""
        group = self._group(row)
        values = group.get("data") if hasattr(group, "get") else None
        if values is None:
            raise ValueError(
                f"{self.file.filename}: the group {self.keys[row]} has no dataset 'data'"
            )
        if not hasattr(values, "dtype") or not values.shape or 0 in values.shape:
            found = getattr(values, "shape", "a group")
            raise FileError(
                self.file.filename, f"{self.keys[row]}/data", "an array of values",
                f"one of shape {found}" if isinstance(found, tuple) else "something else",
            )  # fmt: skip
        return readable(values, self.follow_links)

    def _record(self, row: int) -> dict[str, Any] | None:
        text = self._group(row).attrs.get(ATTRIBUTE)
        return sample_record(text, self.file.filename, self.keys[row])

    def regions(self, row: int) -> tuple[Path, list[Region]]:
        data = self._values(row)
        region = place(data)
        return Path(data.file.filename), [] if region is None else [region]

    def pieces(self, row: int) -> list[np.ndarray]:
        data = self.raw(row).array  # which has refused what are no real numbers
        return [np.ascontiguousarray(unpackable(data)[...], STORED)]


def _some(values: np.ndarray) -> str:
    shown = [f"{v:g}" for v in values.ravel()]
    return ", ".join(shown if len(shown) < 6 else [*shown[:2], "...", shown[-1]])
