"""Reading datasets: ours, PDEBench's, The Well's and `fdiff sample`'s, in one way.

What PDEBench does not record (boundary, field names, provenance) stands in the root attribute
``fdiff``, JSON text. What a file without it is, `fdiff.dataset.formats` tells from its content.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from fdiff import words
from fdiff.dataset.formats import Boundary, PDEBenchView, WellView, provenance, view
from fdiff.dataset.links import check_links
from fdiff.dataset.opening import open_hdf5
from fdiff.errors import FileError, UnreadableHere, raised_here
from fdiff.grid import Grid
from fdiff.inputs import follows

_DAMAGED = "the file is truncated or damaged; `fdiff verify` says where"
# Of HDF5's cache of names and places; room for some hundred samples and the way to them.
_METADATA_BYTES = 1 << 20


class Dataset:
    """A file of samples, read on demand; close it, or use it in a ``with`` block.

    The grid's axes are those of the data: ``(y, x)`` in two dimensions. ``boundary`` is for files
    that do not record theirs, as `fdiff.dataset.open` takes it.
    """

    holds_images = False  # whether `fdiff.nn.Config.for_images` has the defaults for these data

    def __init__(
        self,
        path: Path | str,
        boundary: Boundary | None = None,
        follow_links: bool | None = None,
    ):
        self.path, follow = Path(path), follows(follow_links)
        if self.path.is_dir():
            raise ValueError(f"{self.path} is a folder: name a dataset file in it")
        if not self.path.is_file():
            if self.path.with_name(self.path.name + ".partial").exists():
                raise FileNotFoundError(
                    f"{self.path} is unfinished: the command that began it goes on with it"
                )
            raise FileNotFoundError(f"{self.path}: no such file; `fdiff generate` makes datasets")
        self._file = open_hdf5(self.path, follow)
        try:
            _bound_cache(self._file)
            check_links(self._file, self.provenance.get("parts") or (), follow)
            self.view = view(self._file, boundary, follow)
            self._check_count()
        except Exception as error:  # whatever h5py raises of a damaged structure
            self._file.close()
            raise _explained(self.path, error) from None

    def _check_count(self) -> None:
        """A file of fdiff has the samples that its recipe says: others would be in other splits."""
        if self.provenance.get("kind") == "generated":
            expected = self.provenance["recipe"]["samples"]
            if len(self) != expected:
                raise FileError(
                    self.path, "", f"{expected} samples", f"{len(self)}", "the file is damaged",
                    f"{self.path} has {len(self)} of {expected} samples: it is damaged",
                )  # fmt: skip

    def __enter__(self) -> Dataset:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._file.close()

    def __len__(self) -> int:
        return len(self.view.keys)

    @cached_property
    def provenance(self) -> dict[str, Any]:
        """What fdiff recorded of the file's making; empty for a file of somebody else."""
        return provenance(self._file)

    def attribute(self, name: str) -> Any:
        """A root attribute of the file, None where it does not have it."""
        return self._file.attrs.get(name)

    @cached_property
    def config(self) -> dict[str, Any]:
        """PDEBench's attribute ``config`` of the first sample."""
        return self.view.config if isinstance(self.view, PDEBenchView) else {}

    @cached_property
    def times(self) -> np.ndarray:
        """Stored times."""
        with self.naming_the_file():
            return np.asarray(self.view.axis("t"), float)

    @cached_property
    def field_names(self) -> tuple[str, ...]:
        with self.naming_the_file():
            count = self.view.stored_shape[-1]
        named = self.provenance.get("fields")
        if named is not None and len(named) != count:
            raise FileError(
                self.path, "fields", f"{count} names, as there are values", f"{len(named)}"
            )
        if (
            named is not None
            and isinstance(self.view, WellView)
            and tuple(named) != self.view.names
        ):
            raise FileError(
                self.path, "fields", ", ".join(self.view.names), ", ".join(named), _DAMAGED
            )
        named = self.view.names if named is None else named
        return tuple(named) if len(named) == count else tuple(f"field{i}" for i in range(count))

    @cached_property
    def grid(self) -> Grid:
        """The grid of all samples; a warning says what the file left to its reader.

        Raises:
            ValueError: a file that does not say what the boundary is, or whose nodes are no grid's.
        """
        with self.naming_the_file():
            grid, notes = self.view.grid, self.view.notes
        if notes:
            words.warn(f"{self.path}: {'; '.join(notes)}")
        return grid

    def indices(self, split: str | None = None) -> Sequence[int]:
        """Positions of a split: ``"train"``, ``"test"`` or all (None).

        As recorded; otherwise PDEBench's rule, the last tenth (at least one) is the test set.
        """
        n = len(self)
        if split is None:
            return range(n)
        splits = self.provenance.get("splits")
        if splits is None:
            test = max(1, n // 10)
            splits = {"train": [0, n - test], "test": [n - test, n]}
        if split not in splits:
            raise ValueError(f"{self.path} has splits {sorted(splits)}, not {split!r}")
        begin, end = splits[split]
        if begin >= min(end, n):
            raise ValueError(
                f"the split {split!r} of {self.path} is empty; it has {words.counted(n, 'sample')}"
            )
        return range(begin, min(end, n))

    def frame(self, time: float | None = None) -> int:
        """Position of ``time`` among the stored times; None means the last.

        Raises:
            ValueError: the time is not stored (to a relative 1e-5, since times are f4).
        """
        if time is None:
            return len(self.times) - 1
        i = int(np.abs(self.times - time).argmin())
        if abs(self.times[i] - time) > 1e-5 * max(1.0, abs(time)):
            raise ValueError(
                f"{self.path} has no time {time:g}; it has {_some(self.times)}: choose one, or "
                "generate with --times"
            )
        return i

    def channel(self, field: str | None = None) -> int:
        """Position of a field among the stored ones; None means the first."""
        if field is None:
            return 0
        if field not in self.field_names:
            raise ValueError(f"{self.path} has fields {', '.join(self.field_names)}, not {field!r}")
        return self.field_names.index(field)

    def fields(
        self,
        field: str | Sequence[str] | None = None,
        time: float | None = None,
        split: str | None = None,
    ) -> np.ndarray:
        """Function values ``(samples, channels, *grid.shape)``, float32, one time, one split.

        ``field``: a name, several, or None for the first.

        Raises:
            ValueError: samples with other times or nodes than the first, or values that are
                missing, NaN or infinite; the first of them is named.
        """
        names = [field] if field is None or isinstance(field, str) else list(field)
        channels = [self.channel(name) for name in names]
        frame, rows = self.frame(time), self.usable(split)
        with self.naming_the_file():
            self.view.check(rows)
        out = np.empty((len(rows), len(channels), *self.grid.shape), np.float32)
        for i, row in enumerate(rows):
            with np.errstate(over="ignore"):  # what float32 cannot hold is named below
                out[i] = self._frame(row, frame, channels)
            self._require_finite(out[i], row, frame, channels)
        return out

    def state(self, row: int, fields: Sequence[str], time: float | None = None) -> np.ndarray:
        """One sample's fields at one time, (fields, *grid.shape).

        Raises:
            ValueError: as `fields`.
        """
        values = self.values(row, fields, time)
        channels = [self.channel(name) for name in fields]
        self._require_finite(values, row, self.frame(time), channels)
        return values

    def values(self, row: int, fields: Sequence[str], time: float | None = None) -> np.ndarray:
        """As `state`, with NaN where a value is missing or its trajectory has failed."""
        return self._frame(row, self.frame(time), [self.channel(name) for name in fields])

    def trajectory(self, row: int) -> np.ndarray:
        """All fields of one sample at all times, [t, *grid.shape, field], as the file has them.

        Values that the file marks as missing or never got are NaN, as are those of a failed
        trajectory.
        """
        with self.naming_the_file():
            return np.asarray(self._sample(row)[...])

    def _frame(self, row: int, frame: int, channels: list[int]) -> np.ndarray:
        with self.naming_the_file():
            return np.moveaxis(self._sample(row)[frame][..., channels], -1, 0)

    def _require_finite(
        self, values: np.ndarray, row: int, frame: int, channels: list[int]
    ) -> None:
        for channel, field in zip(channels, values):
            if not np.isfinite(field).all():
                found = self.view.faults(row, channel, frame) or ["not finite"]
                raise ValueError(
                    f"{self.path}: sample {self.view.keys[row]}, field "
                    f"{self.field_names[channel]}, time {self.times[frame]:g} holds values that "
                    f"are {' and '.join(found)}: leave this sample out, or fill the gaps"
                )

    def usable(self, split: str | None) -> list[int]:
        """Positions of a split without the trajectories that are recorded as failed."""
        failed = {self._position(int(i)) for i in self.provenance.get("failed", {})}
        rows = list(self.indices(split))
        usable = [row for row in rows if row not in failed]
        if len(usable) < len(rows):
            failures = len(rows) - len(usable)
            words.warn(
                f"{failures} of {len(rows)} samples of {self.path} "
                f"{words.by_number(failures, 'is', 'are')} recorded as failed and left out"
            )
        return usable

    def _position(self, index: int) -> int:
        """Where the sample of that index stands in the file."""
        return index - self.provenance.get("first", 0)

    @contextmanager
    def naming_the_file(self) -> Iterator[None]:
        """Errors that the layout raises get the file's name."""
        try:
            yield
        except MemoryError:
            raise
        except Exception as error:  # whatever h5py raises of a damaged structure
            raise _explained(self.path, error) from None

    def _sample(self, row: int):
        with self.naming_the_file():
            return self.view.data(row)

    def to_xarray(self):
        """An ``xarray.Dataset`` with a variable a field, (sample, time, (z,) (y,) x), by name.

        Nothing is loaded before it is used; close this object only after that.
        """
        import xarray

        from fdiff.dataset.lazy import StackedField, lazily_indexed

        sides = self.view.sides
        dims = ("sample", "time", *sides)
        coordinates = {name: self.grid.points(axis) for axis, name in enumerate(sides)}
        coordinates |= {"time": self.times, "sample": self._names}
        variables = {
            name: xarray.Variable(dims, lazily_indexed(StackedField(self.view, c)))
            for c, name in enumerate(self.field_names)
        }
        provenance = {"fdiff": json.dumps(self.provenance)} if self.provenance else {}
        return xarray.Dataset(variables, coordinates, provenance)

    @property
    def _names(self) -> list[int] | list[str]:
        """What the file calls its samples: numbers, or names where one is no number."""
        keys = self.view.keys
        return [int(k) for k in keys] if all(k.isdecimal() for k in keys) else list(keys)

    def parameters(
        self, names: str | Sequence[str], split: str | None = None
    ) -> dict[str, np.ndarray]:
        """The parameters of these names, or of one, with which the samples of a split were
        computed, in the order of `fields`.

        Raises:
            ValueError: a parameter that the file does not record of every sample.
        """
        out = {}
        with self.naming_the_file():
            records = [self.view.parameters(row) for row in self.usable(split)]
        for name in [names] if isinstance(names, str) else names:
            if not all(name in record for record in records):
                known = sorted(set.intersection(*map(set, records))) if records else []
                raise ValueError(
                    f"{self.path} does not record {name!r} of every sample; it records "
                    f"{', '.join(known) or 'no parameters'}"
                )
            out[name] = np.array([record[name] for record in records], float)
        return out

    def identities(self, split: str | None = None) -> Iterator[str]:
        """One name a sample: equal for two samples that are the same solution.

        Law, seed and index where fdiff generated it, at any resolution; else a checksum.
        """
        for row in self.indices(split):
            with self.naming_the_file():
                own = self.view.record(row)
            if own is not None:
                yield own["identity"]
            else:
                values = np.ascontiguousarray(self.trajectory(row))
                yield "sha256:" + hashlib.sha256(values.tobytes()).hexdigest()


def _bound_cache(file) -> None:
    """Keeps HDF5's own memory constant: by default it remembers 5 kB of each sample it opened."""
    config = file.id.get_mdc_config()
    config.set_initial_size = True
    config.initial_size = config.min_size = config.max_size = _METADATA_BYTES
    file.id.set_mdc_config(config)


def _explained(path: Path, error: Exception) -> Exception:
    """The error with the file's name, where it does not have it yet; what another library says
    of bytes that it does not understand is left out."""
    if isinstance(error, OSError) and error.errno is not None:
        return error
    if not (isinstance(error, ValueError) and raised_here(error)):
        return FileError(path, "", "a readable structure", "a damaged one", _DAMAGED)
    said = str(error)
    if isinstance(error, FileError) or str(path) in said:
        return error
    kind = UnreadableHere if isinstance(error, UnreadableHere) else ValueError
    return kind(f"{path}: {said}")


def provenance_of(path: Path | str) -> dict[str, Any]:
    """`Dataset.provenance` of a file without a look at its samples, some of which may be missing.

    Raises:
        ValueError, OSError: as `fdiff.dataset.opening.open_hdf5`.
    """
    path = Path(path)
    with open_hdf5(path, follows()) as file:
        try:
            return provenance(file)
        except MemoryError:
            raise
        except Exception as error:  # whatever h5py raises of a damaged structure
            raise _explained(path, error) from None


def _some(values: np.ndarray) -> str:
    shown = [f"{v:g}" for v in values]
    return ", ".join(shown if len(shown) < 9 else [*shown[:3], "...", *shown[-2:]])
