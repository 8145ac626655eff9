"""What is finished of a file that is being written: one line of JSON a sample, beside the file."""

from __future__ import annotations

import contextlib
import json
import os
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from fdiff.dataset.layout import Layout
from fdiff.dataset.recipe import Recipe, from_dict
from fdiff.dataset.records import check_record
from fdiff.described import Item, Table
from fdiff.errors import InUseError
from fdiff.inputs import parse_json, regular
from fdiff.locks import try_lock
from fdiff.words import warn

_LONGEST = 1 << 24  # bytes of a line
_PIECE = 1 << 20  # bytes compared at a time


class Ledger:
    """Appends records and reads them back after a kill; holds a lock while it is open.

    The first line is the header: recipe, number of digits, offsets. A last line that was cut is
    ignored, as is everything from a line on that is no record. A record counts only if the bytes it
    names have its checksums, so it does not matter which of data and record reached the disk first.

    Raises:
        InUseError: another process holds the lock.
        LinkRefused, FileError: something that is no file has the name.
    """

    def __init__(self, path: Path):
        self.path = path
        if path.exists() or path.is_symlink():
            regular(path, follow_links=False)
        self._file = open(path, "a+", encoding="utf-8")  # noqa: SIM115  # closed by `close`
        written, ours = path.name.removesuffix(".partial.ledger"), try_lock(self._file)
        if ours is False:
            self._file.close()
            raise InUseError(
                f"another process is writing {written}: wait for it, or choose another --out"
            )
        if ours is None:
            warn(
                f"there are no locks here: another process that writes {written} would not be seen"
            )
        self.header: dict[str, Any] = {}
        self.records: dict[int, dict[str, Any]] = {}
        self.sealing = False
        self._read()

    def _read(self) -> None:
        good = 0
        with open(self.path, "rb") as file:
            while line := file.readline(_LONGEST):
                try:
                    entry = Item(
                        str(self.path), "", parse_json(line.decode(), self.path, finite=False)
                    )
                    self._take(entry.table())
                except ValueError:
                    break
                good += len(line)
        # What follows a cut line would be read as its end.
        self._file.truncate(good)

    def _take(self, entry: Table) -> None:
        """Remembers what a line says; ValueError where it says nothing that was written here."""
        if "recipe" in entry:
            from_dict(entry["recipe"].table().values)
            entry["digits"].whole(1, 20)
            for offset in entry["offsets"].each():
                offset.whole()
            self.header = entry.values
        elif "sealing" in entry:
            self.sealing = True
        else:
            check_record(entry)
            self.records[entry["sample"].whole()] = entry.values

    def fits(self, layout: Layout, size: int) -> bool:
        """Whether the header's places for the samples of its recipe are within ``size`` bytes."""
        offsets, recipe = self.header["offsets"], layout.recipe
        count = len(recipe.field_names) if recipe.format == "well" else recipe.samples
        if len(set(offsets)) != len(offsets) or len(offsets) != count:
            return False
        ends = (recipe.first, recipe.first + recipe.samples - 1)
        places = offsets if recipe.format == "pdebench" else []
        regions = [(offset, layout.sample_bytes) for offset in places]
        regions += [region for sample in ends for region in layout.regions(offsets, sample)]
        return all(offset + bytes_ <= size for offset, bytes_ in regions)

    @property
    def recipe(self) -> Recipe:
        return from_dict(self.header["recipe"])

    def start(self, recipe: Recipe, digits: int, offsets: list[int]) -> None:
        """Forgets everything and writes a header."""
        self._file.truncate(0)
        self.records, self.sealing = {}, False
        self.header = {"recipe": recipe.as_dict(), "digits": digits, "offsets": offsets}
        self._append(self.header)

    def add(self, record: dict[str, Any]) -> None:
        self.records[record["sample"]] = record
        self._append(record)

    def mark_sealing(self) -> None:
        """Record that the file's metadata are about to be written; see `factory`."""
        self._append({"sealing": True})
        os.fsync(self._file.fileno())
        self.sealing = True

    def _append(self, entry: dict[str, Any]) -> None:
        # One write a line: the kernel appends it whole, or a kill cuts it, which `_read` sees.
        self._file.write(json.dumps(entry) + "\n")
        self._file.flush()

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)
        self.close()

    def close(self) -> None:
        self._file.close()


def checksum(values) -> int:
    """CRC-32 of an array's bytes."""
    return zlib.crc32(values)


def write_at(descriptor: int, offset: int, values) -> None:
    """All bytes of the array at that place of the file."""
    view = memoryview(values).cast("B")
    while view:
        written = os.pwrite(descriptor, view, offset)
        view, offset = view[written:], offset + written


def read_at(descriptor: int, offset: int, size: int) -> bytearray:
    """Bytes of the file; fewer where it ends."""
    out = bytearray(size)
    view, done = memoryview(out), 0
    while done < size:
        got = os.preadv(descriptor, [view[done:]], offset + done)
        if got == 0:
            return out[:done]
        done += got
    return out


def same_beside(a: Path, b: Path, regions: Iterable[tuple[int, int]]) -> bool:
    """Whether two files are equal outside of these (offset, size)."""
    size = a.stat().st_size
    if size != b.stat().st_size:
        return False
    begin = 0
    with open(a, "rb") as one, open(b, "rb") as other:
        for offset, length in (*sorted(regions), (size, 0)):
            while begin < offset:
                count = min(offset - begin, _PIECE)
                one.seek(begin)
                other.seek(begin)
                if one.read(count) != other.read(count):
                    return False
                begin += count
            begin = offset + length
    return True


def remove(paths: Iterable[Path]) -> None:
    for path in paths:
        with contextlib.suppress(FileNotFoundError):
            path.unlink()


def flush_to_disk(path: Path) -> None:
    """Waits until a file, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
