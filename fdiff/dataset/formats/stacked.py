"""The Well's layout as readers see it: the samples are stacked, one array a field.

Its format: https://polymathic-ai.org/the_well/data_format
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, final

import numpy as np

from fdiff.dataset.formats.base import View
from fdiff.dataset.formats.boundaries import Boundary, stated_boundary
from fdiff.dataset.formats.common import (
    ATTRIBUTE,
    AXES,
    STORED,
    Region,
    numbers,
    place,
    require_times,
    text_of,
    texts_of,
)
from fdiff.dataset.formats.components import Component, components_of, flag
from fdiff.dataset.records import sample_records
from fdiff.described import shown
from fdiff.errors import FileError

_GROUPS = ("t0_fields", "t1_fields", "t2_fields")


class WellView(View):
    """Fields ``t0_fields/u`` of shape (sample, t, x, (y,) (z)), and so on; the axes are turned.

    Files of fdiff have their grid recorded. Those of somebody else state the boundary of each axis
    in ``boundary_conditions``, unless ``boundary`` does.

    Raises:
        ValueError: a grid that is not Cartesian, or arrays that do not fit together.
    """

    def __init__(self, file, boundary: Boundary | None = None, follow_links: bool = False):
        super().__init__(file, boundary, follow_links)
        self._axes: dict[str, np.ndarray] = {}  # every sample asks for all of them
        self.own = ATTRIBUTE in file.attrs
        kind = text_of(file.attrs.get("grid_type", "cartesian"))
        if kind.lower() != "cartesian":
            raise ValueError(
                f"the file has grid_type {kind!r}: fdiff's fields live on boxes with "
                "Cartesian coordinates, whose eigenfunctions are sines and cosines; interpolate "
                "them to such a box first"
            )
        self.stored_sides = self._stored_sides()
        self.components = [c for name in _GROUPS if name in file for c in self._components(name)]
        if not self.components:
            raise ValueError(f"the file has no fields in {', '.join(_GROUPS)}")
        self.names = tuple(c.name for c in self.components)
        double = [name for i, name in enumerate(self.names) if name in self.names[:i]]
        if double:
            raise ValueError(f"the file has two fields of the name {double[0]}: rename one")
        declared = _declared(file)
        samples = self._count("samples", {c.name: c.samples for c in self.components}, declared)
        self.keys = [f"{i:04d}" for i in range(samples)]

    def _stored_sides(self) -> tuple[str, ...]:
        """Names of the spatial axes in the order of the arrays."""
        group = self.file.get("dimensions")
        if group is None:
            raise ValueError("the file has no group 'dimensions', which holds its nodes")
        if "spatial_dims" in group.attrs:
            return tuple(texts_of(group.attrs["spatial_dims"], "spatial_dims"))
        return tuple(name for name in reversed(AXES) if name in group)

    def _components(self, group: str) -> list[Component]:
        names = texts_of(self.file[group].attrs.get("field_names", []), f"field_names of {group}")
        if not self.own:  # a field that is not listed is a field all the same
            names += sorted(set(self.file[group]).difference(names))
        sizes = tuple(self.axis(side).size for side in self.stored_sides)
        found = []
        for name in names:
            if name not in self.file[group]:
                raise ValueError(f"the file lists a field {group}/{name} and has none")
            place = f"{group}/{name}"
            found += components_of(
                self.file[group][name], name, int(group[1]), sizes, self.stored_sides, place,
                self.follow_links,
            )  # fmt: skip
        return found

    def _count(self, what: str, counts: Mapping[str, int | None], declared: int) -> int:
        """Samples or stored times, in which all fields that vary by them must agree."""
        known = {name: n for name, n in counts.items() if n is not None}
        if len(set(known.values())) > 1:
            listed = ", ".join(f"{n} in {name}" for name, n in known.items())
            raise ValueError(f"the fields have different numbers of {what}: {listed}")
        return next(iter(known.values()), declared)

    @property
    def sides(self) -> tuple[str, ...]:
        """Names of the grid's axes, slowest first: z, y, x where these are the names."""
        if set(self.stored_sides) <= set(AXES):
            return tuple(name for name in AXES if name in self.stored_sides)
        return tuple(reversed(self.stored_sides))

    @property
    def _order(self) -> tuple[int, ...]:
        """Which axis of the arrays each axis of the grid is."""
        return tuple(self.stored_sides.index(name) for name in self.sides)

    @cached_property
    def stored_shape(self) -> tuple[int, ...]:
        sizes = [self.components[0].sizes[i] for i in self._order]
        declared = len(self.axis("t"))
        times = self._count("times", {c.name: c.times for c in self.components}, declared)
        if times != declared:
            raise ValueError(f"the fields have {times} times, dimensions/time has {declared}")
        return (times, *sizes, len(self.components))

    def axis(self, name: str) -> np.ndarray:
        """Stored times ("t"), or positions along an axis, which all samples must share.

        Raises:
            ValueError: samples with different ones.
        """
        if name not in self._axes:
            values = self._axes[name] = self._shared(name)
            values.setflags(write=False)
        return self._axes[name]

    def _shared(self, name: str) -> np.ndarray:
        place = "time" if name == "t" else name
        if place not in self.file["dimensions"]:
            raise ValueError(f"the file has no dimensions/{place}, which holds its positions")
        stored = self.file["dimensions"][place]
        values = numbers(stored, f"dimensions/{place}", self.follow_links)
        if values.ndim > 1 and len(values):
            other = np.flatnonzero((values != values[0]).reshape(len(values), -1).any(axis=1))
            if len(other):
                what = "times" if name == "t" else f"positions along {name}"
                raise ValueError(
                    f"sample {other[0]:04d} has other {what} than sample "
                    "0000, and a dataset has one for all: split the file by them"
                )
            values = values[0]
        if name == "t":
            require_times(values, ours=self.own)
        return values

    def stated(self, side: str) -> tuple[str, str]:
        stated = stated_boundary(self.file.get("boundary_conditions"), side)
        if stated is None:
            raise ValueError(
                f"no entry of boundary_conditions is about axis {side}: say with --boundary "
                "(boundary=) whether it is periodic, neumann or dirichlet"
            )
        return stated

    @property
    def coordinates(self) -> str:
        if "grid_type" in self.file.attrs:
            return ""
        return "the file has no grid_type, and its positions were read as Cartesian coordinates"

    def raw(self, row: int) -> _Stacked:
        return _Stacked(self.components, row, self.stored_shape, self._order)

    def check(self, rows: Sequence[int]) -> None:
        """Times and positions are looked at together, see `axis`."""
        for name in ("t", *self.sides):
            self.axis(name)

    def faults(self, row: int, channel: int, frames: int | slice) -> list[str]:
        component = self.components[channel]
        return component.array.faults(component.key(row, frames))

    def _record(self, row: int) -> dict[str, Any] | None:
        return self._records[row] if self._records else None

    @cached_property
    def _records(self) -> list[dict[str, Any]]:
        """The records of all samples; none in a file of somebody else."""
        names = [k for k in self.file.attrs if isinstance(k, str) and k.startswith("fdiff_records")]
        texts = [self.file.attrs[name] for name in sorted(names)]
        return sample_records(texts, self.file.filename, len(self.keys))

    def parameters(self, row: int) -> Mapping[str, float]:
        """The numbers with which a sample was computed, by name: those of ``scalars``.

        Scalars that change in time are none.
        """
        if self.record(row) is not None:
            return super().parameters(row)
        return {
            name: float(values[row] if values.ndim else values)
            for name, values in self._scalars.items()
        }

    @cached_property
    def _scalars(self) -> dict[str, np.ndarray]:
        group = self.file.get("scalars", {})
        found = {}
        for name in group:
            if flag(group[name], "time_varying", False):
                continue
            values = numbers(group[name], f"scalars/{name}", self.follow_links)
            if values.size == 1:
                found[name] = values.reshape(())
            elif values.shape == (len(self.keys),):
                found[name] = values
        return found

    def regions(self, row: int) -> tuple[Path, list[Region]]:
        places = []
        for component in self.components:
            region = place(component.array.array)
            if region is None:
                return Path(self.file.filename), []
            size = region[1] // component.array.shape[0]
            places.append((region[0] + row * size, size))
        return Path(self.file.filename), places

    def pieces(self, row: int) -> list[np.ndarray]:
        """As `PDEBenchView.pieces`: one array a field."""
        every, times = slice(None), self.stored_shape[0]
        return [np.ascontiguousarray(c.read(row, every, times), STORED) for c in self.components]


def _declared(file) -> int:
    """The number of samples of a file whose fields are the same in all of them."""
    count = file.attrs.get("n_trajectories", 1)
    # Each sample is named, so that a number without a bound is not to be believed.
    most = Path(file.filename).stat().st_size
    if not isinstance(count, int | np.integer) or isinstance(count, bool) or not 1 <= count <= most:
        raise FileError(
            file.filename, "n_trajectories", f"a whole number from 1 to {most}", shown(count)
        )
    return int(count)


@final
class _Stacked:
    """One sample of The Well's arrays, indexed like PDEBench's: [t, (z,) (y,) x, field].

    ``order``: which axis of the arrays each axis of the grid is.
    """

    def __init__(
        self, components: Sequence[Component], row: int, shape: tuple[int, ...],
        order: tuple[int, ...],
    ):  # fmt: skip
        self.components, self.row, self.shape, self.order = components, row, shape, order
        self.dtype = np.result_type(*(c.array.dtype for c in components))

    def __getitem__(self, frame) -> np.ndarray:
        whole = frame is Ellipsis
        frames = slice(None) if whole else frame
        values = [c.read(self.row, frames, self.shape[0]) for c in self.components]
        axes = ((0,) if whole else ()) + tuple(whole + i for i in self.order)
        return np.stack([v.transpose(axes) for v in values], axis=-1)
