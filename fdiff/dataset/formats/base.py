"""What every layout gives to readers: samples [t, *grid.shape, field] on one grid."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np

from fdiff.dataset.formats.boundaries import Boundary, asked_boundary
from fdiff.dataset.formats.boxes import grid_of, recorded_grid
from fdiff.dataset.formats.common import Region, provenance
from fdiff.dataset.formats.nodes import Axis, Ends, read_axis
from fdiff.dataset.formats.turned import Turned
from fdiff.errors import FileError
from fdiff.grid import Grid


class View(ABC):
    """An open file as samples on a grid.

    fdiff's own files record their grid. In a file of somebody else the boundary of an axis is what
    ``boundary`` says, else what the file states; its box follows from the positions of the nodes.
    """

    keys: Sequence[str]  # names of the samples
    names: tuple[str, ...]  # of the fields

    def __init__(self, file, boundary: Boundary | None = None, follow_links: bool = False):
        self.file, self.boundary, self.follow_links = file, boundary, follow_links

    @property
    @abstractmethod
    def sides(self) -> tuple[str, ...]:
        """Names of the grid's axes, slowest first."""

    @property
    @abstractmethod
    def stored_shape(self) -> tuple[int, ...]:
        """Shape of one sample, [t, *nodes, field], before nodes are turned into the grid's."""

    @abstractmethod
    def axis(self, name: str) -> np.ndarray:
        """Stored times ("t"), or the positions of nodes along an axis, in the type of the file."""

    @abstractmethod
    def stated(self, side: str) -> tuple[str, str]:
        """The boundary of an axis by the file, and the file's word for it where that says less.

        Raises:
            ValueError: the file does not say.
        """

    @property
    def assumption(self) -> str:
        """What a file of somebody else is taken for that does not say it; "" where it does."""
        return ""

    @property
    def coordinates(self) -> str:
        """As which the positions were read in a file of somebody else that does not say it."""
        return ""

    @abstractmethod
    def raw(self, row: int) -> Any:
        """A sample in the stored nodes, to be indexed by time first or by Ellipsis."""

    @abstractmethod
    def faults(self, row: int, channel: int, frames: int | slice) -> list[str]:
        """What stands in a field of a sample in place of numbers that float32 holds, in words."""

    def record(self, row: int) -> dict[str, Any] | None:
        """What fdiff wrote of the sample; None for a file of somebody else.

        Raises:
            FileError: a record that is damaged, or of another sample.
        """
        known = self._record(row)
        if known is not None:
            number = self._root.get("first", 0) + row
            if known["sample"] != number:
                raise FileError(
                    self.file.filename, f"the record of sample {self.keys[row]}",
                    f"that of number {number}", f"that of number {known['sample']}",
                )  # fmt: skip
        return known

    @abstractmethod
    def _record(self, row: int) -> dict[str, Any] | None:
        """As `record`, of whichever sample."""

    @abstractmethod
    def regions(self, row: int) -> tuple[Path, list[Region]]:
        """Where the sample's bytes are; no places where they are in chunks or of another type."""

    @abstractmethod
    def pieces(self, row: int) -> list[np.ndarray]:
        """The sample's values in the pieces that have a checksum each, as fdiff stores them."""

    @abstractmethod
    def check(self, rows: Sequence[int]) -> None:
        """Refuse samples whose times, nodes or shape are not those of the first.

        Raises:
            ValueError: the first of them by name.
        """

    def parameters(self, row: int) -> Mapping[str, float]:
        """The numbers with which a sample was computed, by name."""
        return (self.record(row) or {}).get("parameters", {})

    @cached_property
    def recorded(self) -> dict[str, Any]:
        """The grid that fdiff recorded; empty in a file of somebody else."""
        return self._root.get("grid", {})

    @cached_property
    def _root(self) -> dict[str, Any]:
        return provenance(self.file)

    @cached_property
    def axes(self) -> tuple[Axis, ...]:
        """The grid's axes of a file of somebody else.

        Raises:
            ValueError: a boundary that is not known, or positions that are no grid's.
        """
        return tuple(
            read_axis(side, self.axis(side), self._kind(side), partial(self._ends, i))
            for i, side in enumerate(self.sides)
        )

    def _kind(self, side: str) -> str:
        asked = asked_boundary(self.boundary, self.sides)
        return asked[side] if side in asked else self.stated(side)[0]

    def _ends(self, axis: int) -> Ends:
        """The last frame of the first sample at both ends of an axis."""
        return Ends.of(self.raw(0)[self.stored_shape[0] - 1], axis)

    @property
    def notes(self) -> list[str]:
        """What a user should know of how a file of somebody else was read."""
        if self.recorded:
            return []
        asked = asked_boundary(self.boundary, self.sides)
        words = {side: self.stated(side)[1] for side in self.sides if side not in asked}
        assumed = self.assumption if words else ""
        walls = [f"{side} ({word})" for side, word in words.items() if word]
        notes = [axis.note for axis in self.axes if axis.note]
        if walls:
            notes.insert(
                0,
                f"the walls along {', '.join(walls)} are read as no-flux for all fields, unless "
                "--boundary (boundary=) says otherwise",
            )
        return [note for note in (assumed, self.coordinates) if note] + notes

    @cached_property
    def grid(self) -> Grid:
        if self.recorded:
            return recorded_grid(
                self.recorded, self.stored_shape[1:-1], self.boundary, self.sides
            )  # fmt: skip
        return grid_of(self.axes)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one sample, [t, *grid.shape, field]."""
        return (self.stored_shape[0], *self.grid.shape, self.stored_shape[-1])

    def data(self, row: int) -> Any:
        """A sample at the nodes of the grid, to be indexed by time first or by Ellipsis.

        Raises:
            ValueError: as `check`.
        """
        self.check([row])
        return self.raw(row) if self.recorded else Turned(self.raw(row), self.axes)
