"""Generating a dataset file: complete or absent, resumable at any moment, extendable.

While it is made, a file ``x.h5`` is called ``x.h5.partial``, with ``x.h5.partial.ledger`` beside
it: the empty layout is created first, workers write raw bytes at the datasets' offsets, and the
ledger gets a line with checksums for every finished sample. When all are in, provenance goes into
the attributes, the file is flushed to the disk and renamed. A kill leaves either the complete old
file or the pair, from which the same command goes on; a kill while attributes are written leaves
data whose places the ledger knows, and they are moved to a new layout.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextvars import copy_context
from pathlib import Path
from typing import Any

import numpy as np

import fdiff
from fdiff import pde
from fdiff.dataset import ledger as books
from fdiff.dataset import source
from fdiff.dataset.layout import Layout, PDEBenchLayout
from fdiff.dataset.ledger import Ledger, checksum, read_at, write_at
from fdiff.dataset.reader import provenance_of
from fdiff.dataset.recipe import Recipe, from_dict
from fdiff.dataset.statistics import file_statistics, sample_statistics
from fdiff.dataset.well import WellLayout
from fdiff.errors import UnreadableHere
from fdiff.files import not_through_a_link, open_to_write, require_room, system_errors
from fdiff.inputs import regular
from fdiff.pde import forcing

Update = Callable[[int, int], None]
# Bytes that HDF5 needs for itself, by sample: groups, axes, names; a little more than it takes.
_HEADER = 2048
_LAYOUTS = {"pdebench": PDEBenchLayout, "well": WellLayout}


def layout_of(recipe: Recipe, digits: int | None = None) -> Layout:
    return _LAYOUTS[recipe.format](recipe, digits)


def generate(
    recipe: Recipe,
    out: Path | str,
    workers: int = 1,
    force: bool = False,
    progress: Update | None = None,
    digits: int | None = None,
) -> dict[str, Any]:
    """Makes the file of the recipe, or what is missing of it; see the module.

    Returns ``{"status", "out", "samples", "kept", "failed"}``; status is "complete" where there was
    nothing to do, else "written". ``failed`` maps the index of a sample to the reason why its
    trajectory could not be continued; its data are NaN from there on.

    Raises:
        ValueError: something else is in the way, and ``force`` is not given; it is named.
        OSError: the disk is full, or the folder cannot be written to; what is valid stays.
    """
    out = Path(out)
    if workers < 1:
        raise ValueError(f"workers: a number >= 1, got {workers}")
    existing = None if force else existing_recipe(out)
    if existing is not None:
        check_same(existing, recipe, out)
        if existing.samples >= recipe.samples:
            return _confirm(out, existing, progress)
    check_available(recipe)
    out.parent.mkdir(parents=True, exist_ok=True)
    job = _Job(recipe, out, digits)
    try:
        job.prepare(force, existing)
        kept = len(job.ledger.records)
        job.run(workers, progress)
        job.seal()
    finally:
        job.close()
    return {
        "status": "written",
        "out": str(out),
        "samples": recipe.samples,
        "kept": kept,
        "failed": job.failed(),
    }


def existing_recipe(out: Path) -> Recipe | None:
    """The recipe of a file that `generate` made, None where there is no file.

    Raises:
        ValueError: something else has that name.
    """
    if not out.exists():
        return None
    if out.is_dir():
        raise ValueError(f"{out} is a folder: choose a file name for --out")
    try:
        known = provenance_of(out)
    except UnreadableHere:
        raise
    except ValueError as error:
        raise ValueError(f"{error}. It stands where --out would write: choose another") from None
    if known.get("kind") != "generated":
        raise ValueError(f"{out} was not made by `fdiff generate`: choose another --out")
    return from_dict(known["recipe"])


def made_here(path: Path) -> bool:
    """Whether `generate` made the file; a file that cannot be read was not."""
    try:
        return provenance_of(path).get("kind") == "generated"
    except ValueError:
        return False


def check_same(existing: Recipe, recipe: Recipe, out: Path) -> None:
    """Raises ValueError with what differs between a file and the recipe asked for.

    Initial states that are read from a file are part of the recipe by their values.
    """
    _check_recipe(existing, recipe, out)
    source.check(out, recipe)


def _check_recipe(existing: Recipe, recipe: Recipe, out: Path) -> None:
    differences = recipe.differences(existing)
    if differences:
        raise ValueError(
            f"{out} holds another dataset: {'; '.join(differences)}. Choose another --out"
        )


def check_available(recipe: Recipe) -> None:
    """Raises ValueError where the law has fewer samples than the recipe asks for, or none on its
    grid: said before anything is written."""
    count = recipe.law.available
    if count is not None and recipe.first + recipe.samples > count:
        raise ValueError(
            f"recipe key samples: {recipe.initial['path']} holds samples 0 to {count - 1}, the "
            f"recipe asks for {recipe.first} to {recipe.first + recipe.samples - 1}"
        )
    recipe.law.check(recipe.system_of(recipe.first), recipe.grid)


def _confirm(out: Path, recipe: Recipe, progress: Update | None) -> dict[str, Any]:
    from fdiff.dataset.verify import complaints, verify

    report = verify(out, progress)
    if said := complaints(out, report):
        raise ValueError("; ".join(said))
    return {
        "status": "complete",
        "out": str(out),
        "samples": recipe.samples,
        "kept": recipe.samples,
        "failed": report["failed"],
    }


class _Job:
    """One file in the making."""

    def __init__(self, recipe: Recipe, out: Path, digits: int | None):
        not_through_a_link(out)
        self.recipe, self.out = recipe, out
        self.layout = layout_of(recipe, digits)
        self.partial = out.with_name(out.name + ".partial")
        self.aside = out.with_name(out.name + ".partial.old")
        self.ledger = Ledger(out.with_name(out.name + ".partial.ledger"))
        self.descriptor = -1

    def prepare(self, force: bool, existing: Recipe | None) -> None:
        """Brings the pair into the state that its records are true and the layout is the recipe's.

        Samples are taken over from an interrupted run of this recipe and from a complete file.
        """
        begun = bool(self.ledger.header) and self._is_ours(self.partial)
        if begun and not force:
            _check_recipe(self.ledger.recipe, self.recipe, self.partial)
            source.check_records(self.partial, self.recipe, self.ledger.records.values())
        if force or not begun:
            self._start(self.partial)
            begun = False
        elif (
            self.ledger.sealing
            or self.ledger.recipe.samples != self.recipe.samples
            or not self._is_sound(self.partial)
        ):
            self._move_to_new_layout()
        self._open()
        if begun:
            self._drop_false_records()
        if existing is not None:
            self._take_over(self.out)

    def _is_ours(self, path: Path) -> bool:
        """Whether a file is there that has the places of which the ledger speaks."""
        if not path.exists() and not path.is_symlink():
            return False
        size = regular(path, follow_links=False).stat().st_size
        layout = layout_of(self.ledger.recipe, self.ledger.header["digits"])
        return self.ledger.fits(layout, size)

    def _is_sound(self, path: Path) -> bool:
        """Whether all bytes but the samples' are those of an empty layout of this recipe.

        Structure that was damaged meanwhile, or that another version of HDF5 wrote, is not kept.
        """
        fresh = self.out.with_name(self.out.name + ".partial.fresh")
        try:
            books.remove([fresh])
            offsets = self.layout.create(fresh)
            if offsets != self.ledger.header["offsets"]:
                return False
            r = self.recipe
            samples = range(r.first, r.first + r.samples)
            places = [place for i in samples for place in self.layout.regions(offsets, i)]
            return books.same_beside(path, fresh, places)
        finally:
            books.remove([fresh])

    def _start(self, path: Path) -> None:
        """An empty layout, with room on the disk for all of it, and an empty ledger."""
        try:
            books.remove([path])
            # HDF5 does not take a full disk well: it is to meet none.
            require_room(path, self.recipe.samples * (self.layout.sample_bytes + _HEADER))
            with system_errors(path):
                offsets = self.layout.create(path)
            self._reserve(path)
        except BaseException:
            books.remove([path])
            if path == self.partial:
                self.ledger.remove()
            raise
        self.ledger.start(self.recipe, self.layout.digits, offsets)

    def _reserve(self, path: Path) -> None:
        """A disk that is too small is to say so now, not after hours."""
        descriptor = os.open(path, os.O_RDWR)
        try:
            os.posix_fallocate(descriptor, 0, os.fstat(descriptor).st_size)
        finally:
            os.close(descriptor)

    def _move_to_new_layout(self) -> None:
        """Another number of samples, or metadata that a kill may have cut."""
        old_recipe, old = self.ledger.recipe, dict(self.ledger.records)
        layout = layout_of(old_recipe, self.ledger.header["digits"])
        offsets = self.ledger.header["offsets"]
        places = {i: (self.aside, layout.regions(offsets, i)) for i in old}
        os.replace(self.partial, self.aside)
        self._start(self.partial)
        self._open()
        self._copy(places, old)
        books.remove([self.aside])

    def _take_over(self, path: Path) -> None:
        from fdiff.dataset.verify import records_and_places

        records, places = records_and_places(path)
        self._copy(places, records)

    def _copy(self, places: dict[int, tuple[Path, list[tuple[int, int]]]], records) -> None:
        """Samples of other files whose bytes have their checksums."""
        wanted = range(self.recipe.first, self.recipe.first + self.recipe.samples)
        for i, record in records.items():
            if i not in wanted or i in self.ledger.records:
                continue
            path, regions = places[i]
            source = os.open(path, os.O_RDONLY)
            try:
                parts = [read_at(source, *region) for region in regions]
            finally:
                os.close(source)
            if [checksum(part) for part in parts] != record["checksum"]:
                continue
            for (offset, _), part in zip(self._regions(i), parts):
                write_at(self.descriptor, offset, part)
            self.ledger.add(record)

    def _drop_false_records(self) -> None:
        """After a power cut a record may be older than its data."""
        for i, record in list(self.ledger.records.items()):
            parts = [read_at(self.descriptor, *place) for place in self._regions(i)]
            if [checksum(part) for part in parts] != record["checksum"]:
                del self.ledger.records[i]

    def _regions(self, sample: int) -> list[tuple[int, int]]:
        return self.layout.regions(self.ledger.header["offsets"], sample)

    def _open(self) -> None:
        if self.descriptor < 0:
            self.descriptor = open_to_write(self.partial)

    def run(self, workers: int, progress: Update | None) -> None:
        """Computes and writes what is missing, a thread a worker; the kernels hold no lock."""
        r = self.recipe
        missing = [i for i in range(r.first, r.first + r.samples) if i not in self.ledger.records]
        memory = threading.local()

        def one(sample: int) -> dict[str, Any]:
            if not hasattr(memory, "data"):
                memory.data = buffer(r)
            record = simulate(r, sample, memory.data)
            pieces = self.layout.pieces(self.ledger.header["offsets"], sample, memory.data)
            record["checksum"] = [checksum(values) for _, values in pieces]
            for offset, values in pieces:
                write_at(self.descriptor, offset, values)
            return record

        sources = r.law.kept_open() if missing else contextlib.nullcontext()
        with sources, ThreadPoolExecutor(workers) as pool:
            waiting: set[Future] = set()
            try:
                for sample in missing:
                    if len(waiting) > 2 * workers:
                        waiting = self._collect(waiting, progress)
                    # What holds here, as that links are followed, is to hold in the thread.
                    waiting.add(pool.submit(copy_context().run, one, sample))
                while waiting:
                    waiting = self._collect(waiting, progress)
            except BaseException:
                pool.shutdown(wait=True, cancel_futures=True)
                raise

    def _collect(self, waiting: set[Future], progress: Update | None) -> set[Future]:
        done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
        for future in done:
            self.ledger.add(future.result())
            if progress is not None:
                progress(len(self.ledger.records), self.recipe.samples)
        return waiting

    def failed(self) -> dict[int, str]:
        """Index and reason of every trajectory that could not be continued."""
        return {i: r["failed"] for i, r in sorted(self.ledger.records.items()) if "failed" in r}

    def seal(self) -> None:
        """Provenance into the attributes, everything onto the disk, and the name."""
        import h5py

        os.fsync(self.descriptor)
        self._close_data()
        self.ledger.mark_sealing()
        records = dict(sorted(self.ledger.records.items()))
        attributes = {
            i: {k: v for k, v in record.items() if k != "statistics"}
            for i, record in records.items()
        }
        room = sum(len(json.dumps(record)) + _HEADER for record in attributes.values())
        require_room(self.partial, room)
        with system_errors(self.partial), h5py.File(self.partial, "r+") as file:
            self.layout.seal(file, attributes, root_attributes(self.recipe, records))
        books.flush_to_disk(self.partial)
        os.replace(self.partial, self.out)
        with contextlib.suppress(OSError):  # not every file system can flush a folder
            books.flush_to_disk(self.out.parent)
        self.ledger.remove()

    def _close_data(self) -> None:
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1

    def close(self) -> None:
        self._close_data()
        if not self.ledger.header:
            self.ledger.remove()
        self.ledger.close()


def buffer(recipe: Recipe) -> np.ndarray:
    """Room for one trajectory, [t, *grid.shape, field]."""
    shape = (len(recipe.stored_times), *recipe.grid.shape, len(recipe.field_names))
    return np.empty(shape, "<f4")


def simulate(recipe: Recipe, sample: int, data: np.ndarray) -> dict[str, Any]:
    """One trajectory into ``data``; returns its record, all but the checksums."""
    system = recipe.system_of(sample)
    record: dict[str, Any] = {
        "sample": sample,
        "seed": recipe.seed,
        "identity": recipe.identity(sample),
        "parameters": recipe.parameters_of(sample),
    }
    try:
        state = recipe.law.draw(system, recipe.grid, recipe.seed, sample)
        log = integrate(recipe, system, state, sample, data)
    except pde.DivergenceError as reason:
        data[recipe.stored_times > reason.time] = np.nan
        return record | {"failed": str(reason)}
    found = sample_statistics(data, recipe.grid)
    return record | log | {"tail_energy": found.pop("tail"), "statistics": found}


def integrate(recipe: Recipe, system, state: np.ndarray, sample: int, data: np.ndarray) -> dict:
    """The trajectory from ``state`` into ``data``; returns what the integrator says of it."""
    grid, times = recipe.grid, recipe.stored_times
    if recipe.forcing:
        spectrum = pde.covariance_from(recipe.forcing["covariance"]).eigenvalues(grid)
        draw = forcing.keyed(grid, len(system.fields), recipe.seed, sample)
        step = recipe.forcing["step"]
        return {"steps": forcing.trajectory(system, state, grid, times, step, spectrum, draw, data)}
    steps, rejected, evaluations, error = pde.trajectory(
        system, state, grid, times, recipe.tolerance, data, recipe.method
    )
    return {
        "steps": steps,
        "rejected": rejected,
        "evaluations": evaluations,
        "time_error": error,
    }


def root_attributes(recipe: Recipe, records: dict[int, dict[str, Any]]) -> dict[str, Any]:
    """What a file says of itself; nothing of it depends on how or when it was made."""
    grid = recipe.grid
    known = [record.get("statistics") for record in records.values()]
    return {
        "kind": "generated",
        "recipe": recipe.as_dict(),
        "recipe_digest": recipe.digest,
        "version": fdiff.__version__,
        "fields": list(recipe.field_names),
        "grid": {"lengths": grid.lengths, "boundary": grid.boundary, "origin": grid.origin},
        "seed": recipe.seed,
        "first": recipe.first,
        "splits": split_ranges(recipe),
        "failed": {str(i): r["failed"] for i, r in records.items() if "failed" in r},
        "statistics": file_statistics(known, recipe.field_names),
    }


def split_ranges(recipe: Recipe) -> dict[str, list[int]] | None:
    """Positions [begin, end) of each split; None leaves it to the reader's rule."""
    if not recipe.splits:
        return None
    ends = np.rint(np.cumsum(list(recipe.splits.values())) * recipe.samples).astype(int).tolist()
    return {name: [a, b] for name, a, b in zip(recipe.splits, [0, *ends[:-1]], ends)}
