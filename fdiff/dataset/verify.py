"""Checking a file against its own checksums, and making single samples again."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from fdiff.dataset.formats import Region
from fdiff.dataset.ledger import checksum, flush_to_disk, read_at, write_at
from fdiff.dataset.reader import Dataset
from fdiff.dataset.recipe import Recipe, from_dict


def verify(path: Path | str, progress=None) -> dict[str, Any]:
    """``{"samples", "damaged", "failed", "unknown"}`` of a dataset file.

    ``damaged`` maps an index to what is wrong with its data; ``failed`` those recorded as failed;
    ``unknown`` counts samples without a checksum (another program's), which are only read.

    Raises:
        ValueError: no dataset, or a file cut so short that its structure cannot be read.
    """
    path = Path(path)
    damaged: dict[int, str] = {}
    failed: dict[int, str] = {}
    unknown = 0
    with Dataset(path) as file:
        expected = file.provenance.get("recipe", {}).get("samples", len(file))
        if len(file) != expected:
            raise ValueError(f"{path} has {len(file)} of {expected} samples")
        for row in range(len(file)):
            reason, known = _check(file, row)
            index = known.get("sample", row)
            if reason:
                damaged[index] = reason
            if "failed" in known:
                failed[index] = known["failed"]
            unknown += not known and not reason
            if progress is not None:
                progress(row + 1, expected)
    return {"samples": expected, "damaged": damaged, "failed": failed, "unknown": unknown}


def _check(file: Dataset, row: int) -> tuple[str, dict[str, Any]]:
    """What is wrong with a sample ("" if nothing), and its record."""
    try:
        known = file.view.record(row)
        if known is None:
            file.view.data(row)[...]
            return "", {}
        found = [checksum(part) for part in _bytes(*file.view.regions(row))]
    except (OSError, KeyError, ValueError) as error:
        return file.view.missing_part(row) or f"it cannot be read: {error}", {}
    return ("" if found == known["checksum"] else "its bytes have another checksum"), known


def _bytes(path: Path, regions: list[Region]) -> list[bytearray]:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return [read_at(descriptor, *region) for region in regions]
    finally:
        os.close(descriptor)


def records_and_places(
    path: Path,
) -> tuple[dict[int, dict[str, Any]], dict[int, tuple[Path, list[Region]]]]:
    """By sample its record, with the statistics, and where its bytes are: file, (offset, size)."""
    from fdiff.dataset.statistics import sample_statistics

    records, places = {}, {}
    with Dataset(path) as file:
        recipe = from_dict(file.provenance["recipe"])
        for row in range(len(file)):
            record = file.view.record(row)
            if record is None:
                continue
            if "failed" not in record:
                found = sample_statistics(file.view.data(row)[...], recipe.grid)
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
    """
    from fdiff.dataset.factory import buffer, layout_of, simulate

    path = Path(path)
    with Dataset(path) as file:
        if file.provenance.get("kind") != "generated":
            raise ValueError(f"{path} was not made by `fdiff generate`: its recipe is unknown")
        recipe = from_dict(file.provenance["recipe"])
        row = _row(file, recipe, sample)
        known, (stored, regions) = file.view.record(row), file.view.regions(row)
    data = buffer(recipe)
    simulate(recipe, sample, data)
    pieces = layout_of(recipe).pieces([0] * max(recipe.samples, data.shape[-1]), sample, data)
    parts = [values for _, values in pieces][: len(regions)]
    same = all(bytes(a) == b.tobytes() for a, b in zip(_bytes(stored, regions), parts))
    recorded = known is not None and [checksum(part) for part in parts] == known["checksum"]
    repaired = repair and recorded and not same
    if repaired:
        _write(stored, regions, parts)
    return {"data": data, "same": same, "recorded": recorded, "repaired": repaired}


def _write(path: Path, regions: list[Region], parts) -> None:
    descriptor = os.open(path, os.O_RDWR)
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
