"""Checking a file against its own checksums, and making single samples again."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fdiff.dataset import source
from fdiff.dataset.formats import STORED, Region
from fdiff.dataset.ledger import checksum, flush_to_disk, read_at, write_at
from fdiff.dataset.reader import Dataset
from fdiff.dataset.recipe import Recipe, from_dict
from fdiff.errors import FileError, UnreadableHere, raised_here
from fdiff.files import open_to_write
from fdiff.words import by_number, counted

# The two reasons that a checksum gives; only of these is a sample known to have changed.
CHANGED = "its bytes have another checksum"
CHANGED_COPY = "its values have another checksum (the file is a copy that stores them otherwise)"


def verify(path: Path | str, progress=None) -> dict[str, Any]:
    """What is known of a dataset file: ``{"samples", "damaged", "unreadable", "failed", "unfit",
    "gaps", "unknown", "source"}``.

    ``damaged`` maps an index to what is wrong with its data; ``unreadable`` to why they cannot be
    read here, which is no damage; ``failed`` those recorded as failed; ``unknown`` counts samples
    without a checksum (another program's), which are only read. Of these, ``unfit`` maps an index
    to why fdiff cannot take them for fields, and ``gaps`` to what stands in place of numbers: NaN,
    missing, unwritten or infinite values. ``source`` is a sentence where the
    file that the initial fields were read from is gone or does not hold them any more, else "".

    Raises:
        ValueError: no dataset, or a file cut so short that its structure cannot be read.
        UnreadableHere: the file cannot be opened here.
    """
    path = Path(path)
    kinds = ("damaged", "unreadable", "failed", "unfit", "gaps")
    found: dict[str, dict[int, str]] = {kind: {} for kind in kinds}
    unknown = 0
    with Dataset(path) as file:
        expected = file.provenance.get("recipe", {}).get("samples", len(file))
        first = file.provenance.get("first", 0)
        if len(file) != expected:
            raise ValueError(f"{path} has {len(file)} of {expected} samples")
        if file.provenance.get("kind") == "generated":
            _check_recipe(file)
        file.times  # noqa: B018  # all samples share them, so that they are refused once
        for row in range(len(file)):
            try:
                known, gaps = _check(file, row)
            except _Unfit as error:
                found["unfit"][first + row] = str(error)
                unknown += 1
            except _Damage as error:
                found["damaged"][first + row] = str(error)
            except UnreadableHere as error:
                found["unreadable"][first + row] = str(error)
            except OSError as error:
                found["unreadable"][first + row] = f"{error.filename}: {error.strerror}"
            else:
                if known is not None and "failed" in known:
                    found["failed"][known["sample"]] = known["failed"]
                unknown += known is None
                if gaps:
                    found["gaps"][first + row] = gaps
            if progress is not None:
                progress(row + 1, expected)
        recipe = file.provenance.get("recipe")
        said = source.remarks(file, from_dict(recipe)) if recipe else ""
    return {"samples": expected, **found, "unknown": unknown, "source": said}


def complaints(path: Path | str, report: dict[str, Any]) -> list[str]:
    """Sentences for what is damaged, with how to repair it, and for what is unreadable here."""
    said, total = [], report["samples"]
    damaged, unreadable = report["damaged"], report["unreadable"]
    if damaged:
        listed = "; ".join(f"{i}: {why}" for i, why in list(damaged.items())[:5])
        said.append(f"{path} is damaged in {len(damaged)} of {total} samples ({listed})")
        changed = [i for i, why in damaged.items() if why == CHANGED]
        if changed:
            said.append(_how_to_repair(path, changed))
    if unfit := report["unfit"]:
        said.append(
            f"{len(unfit)} of {total} samples of {path} cannot be read as fields: {_reasons(unfit)}"
        )
    if unreadable:
        reasons = _reasons(unreadable)
        said.append(
            f"{len(unreadable)} of {total} samples of {path} cannot be read here, which says "
            f"nothing against them: {reasons}"
        )
    return said


def remarks(path: Path | str, report: dict[str, Any]) -> list[str]:
    """Sentences for what was found in samples that have no checksum."""
    said, gaps = [], report["gaps"]
    if gaps:
        listed = "; ".join(f"{i}: {what}" for i, what in list(gaps.items())[:5])
        hold, them = by_number(len(gaps), "holds", "hold"), by_number(len(gaps), "it", "them")
        said.append(
            f"{path}: {len(gaps)} of {report['samples']} samples {hold} values that are no numbers "
            f"of a field ({listed}): leave {them} out, or fill the gaps"
        )
    read = report["unknown"] - len(report["unfit"])
    if read:
        said.append(
            f"{path}: {counted(read, 'sample was', 'samples were')} read; without checksums "
            "nothing is known of their content"
        )
    return said


def _reasons(said: Mapping[Any, str]) -> str:
    """The sentences, once each where they differ by the names and numbers of samples only."""
    alike = {re.sub(r"\d+(\.\d+)?", "0", why): why for why in reversed(list(said.values()))}
    return "; ".join([*reversed(alike.values())][:5])


def _how_to_repair(path: Path | str, changed: list[int | str]) -> str:
    """The command for the first of the samples whose bytes have changed; of a folder, samples are
    named by their file."""
    place, _, sample = f"{changed[0]}".rpartition(":")
    file = Path(path) / place if place else Path(path)
    others = len(changed) - 1
    also = f", and likewise the {by_number(others, 'other', f'{others} others')}" if others else ""
    return (
        f"`fdiff regenerate {shlex.quote(str(file))} --sample {sample} --repair` computes sample "
        f"{sample} again and writes it in its place{also}"
    )


def _check_recipe(file: Dataset) -> None:
    """Raises FileError where a file has other times, nodes or fields than its recipe."""
    recipe = from_dict(file.provenance["recipe"])
    found = (*file.grid.shape, len(file.field_names))
    expected = (*recipe.grid.shape, len(recipe.field_names))
    if found != expected:
        raise FileError(file.path, "", f"nodes and fields {expected}", f"{found}", "it is damaged")
    if not np.array_equal(file.times, recipe.stored_times.astype(STORED)):
        raise FileError(file.path, "grid/t", "the times of its recipe", "others", "it is damaged")


class _Damage(ValueError):
    """What is wrong with a sample."""


class _Unfit(ValueError):
    """Why a sample of another program is none that fdiff reads; nothing says that it changed."""


def _check(file: Dataset, row: int) -> tuple[dict[str, Any] | None, str]:
    """The record of a sample whose data are as recorded; None where nothing is recorded of it, and
    then what it holds in place of numbers."""
    known: dict[str, Any] | None = {}
    try:
        known = file.view.record(row)
        file.view.check([row])
        if known is None:
            return None, _gaps(file, row)
        places = file.view.regions(row)
        found = [checksum(part) for part in _stored(file, row, *places)]
    except UnreadableHere:
        raise
    except MemoryError:
        raise
    except Exception as error:  # whatever h5py raises of a damaged structure
        if isinstance(error, OSError) and error.errno is not None:
            raise
        own = isinstance(error, ValueError) and raised_here(error)
        if own and known is None and not isinstance(error, FileError):
            raise _Unfit(str(error)) from None
        why = str(error) if own else "its part of the file's structure is damaged"
        raise _Damage(f"it cannot be read: {why}") from None
    if found != known["checksum"]:
        raise _Damage(CHANGED if places[1] else CHANGED_COPY)
    return known, ""


def _gaps(file: Dataset, row: int) -> str:
    """What a sample holds in place of numbers, by field; "" where it holds numbers only."""
    values = file.view.raw(row)[...]
    fits = np.abs(values) <= np.finfo(np.float32).max  # which NaN is not
    found = [
        f"{name} has values that are {' and '.join(file.view.faults(row, channel, slice(None)))}"
        for channel, name in enumerate(file.field_names)
        if not fits[..., channel].all()
    ]
    return ", ".join(found)


def _stored(file: Dataset, row: int, path: Path, regions: list[Region]) -> list:
    """The pieces of a sample that have a checksum each: its bytes, or its values where a copy
    stores them packed or in another type."""
    return _bytes(path, regions) if regions else file.view.pieces(row)


def _bytes(path: Path, regions: list[Region]) -> list[bytearray]:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return [read_at(descriptor, *region) for region in regions]
    finally:
        os.close(descriptor)


def records_and_places(
    path: Path,
) -> tuple[dict[int, dict[str, Any]], dict[int, tuple[Path, list[Region]]]]:
    """Each sample's record with its statistics, and where its bytes are: file, (offset, size)."""
    from fdiff.dataset.statistics import sample_statistics

    records, places = {}, {}
    with Dataset(path) as file:
        recipe = from_dict(file.provenance["recipe"])
        for row in range(len(file)):
            record = file.view.record(row)
            if record is None:
                continue
            if "failed" not in record:
                values = np.ascontiguousarray(file.view.data(row)[...], STORED)
                found = sample_statistics(values, recipe.grid)
                found.pop("tail")
                record["statistics"] = found
            records[record["sample"]] = record
            places[record["sample"]] = file.view.regions(row)
    return records, places


def regenerate(path: Path | str, sample: int, repair: bool = False) -> dict[str, Any]:
    """Computes one sample of a file again: ``{"data", "same", "recorded", "repaired"}``.

    ``same``: the file's bytes are these; ``recorded``: the file's checksum is theirs, so a
    difference means damage, not another machine. ``repair`` then writes them into the file.

    Raises:
        ValueError: not a file of `fdiff generate`, or no such sample.
        UnreadableHere: the file that its initial state was read from is not there.
    """
    from fdiff.dataset.factory import buffer, layout_of, simulate

    path = Path(path)
    with Dataset(path) as file:
        if file.provenance.get("kind") != "generated":
            raise ValueError(f"{path} was not made by `fdiff generate`: its recipe is unknown")
        with file.naming_the_file():
            _check_recipe(file)
            recipe = from_dict(file.provenance["recipe"])
            row = _row(file, recipe, sample)
            known, (stored, regions) = file.view.record(row), file.view.regions(row)
            if recipe.law.from_path and not Path(recipe.initial["path"]).exists():
                raise UnreadableHere(
                    f"sample {sample} of {path} starts from {recipe.initial['path']}, which is "
                    "not there: bring it back"
                )
            if known is not None and source.differs(recipe, known):
                raise ValueError(f"{path}: {source.changed_sentence(recipe, [sample])}")
            there = [bytes(part) for part in _stored(file, row, stored, regions)]
    data = buffer(recipe)
    simulate(recipe, sample, data)
    pieces = layout_of(recipe).pieces([0] * max(recipe.samples, data.shape[-1]), sample, data)
    parts = [values for _, values in pieces][: len(there)]
    same = there == [part.tobytes() for part in parts]
    recorded = known is not None and [checksum(part) for part in parts] == known["checksum"]
    repaired = repair and recorded and not same
    if repaired and not regions:
        raise ValueError(
            f"{path} is a copy that stores its samples packed or in another type: repair the "
            "original, and copy it again"
        )
    if repaired and stored.resolve() != path.resolve():
        raise FileError(
            path, f"sample {sample}", "values in the file itself", f"a link to {stored.name}",
            f"nothing is written through a link: `fdiff regenerate {stored} --sample {sample} "
            "--repair` repairs the shard",
        )  # fmt: skip
    if repaired:
        _write(stored, regions, parts)
    return {"data": data, "same": same, "recorded": recorded, "repaired": repaired}


def _write(path: Path, regions: list[Region], parts) -> None:
    descriptor = open_to_write(path)
    try:
        for (offset, _), part in zip(regions, parts):
            write_at(descriptor, offset, part)
    finally:
        os.close(descriptor)
    flush_to_disk(path)


def _row(file: Dataset, recipe: Recipe, sample: int) -> int:
    """Where a sample stands in the file, by its index in the recipe."""
    row = sample - recipe.first
    if not 0 <= row < len(file):
        last = recipe.first + len(file) - 1
        raise ValueError(f"{file.path} has samples {recipe.first} to {last}, not {sample}")
    return row
