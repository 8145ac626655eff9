"""Checking a file against its own checksums, and making single samples again."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from fdiff.dataset.ledger import checksum, flush_to_disk, read_at, write_at
from fdiff.dataset.reader import ATTRIBUTE, Dataset
from fdiff.dataset.recipe import Recipe, from_dict


def verify(path: Path | str, progress=None) -> dict[str, Any]:
    """``{"samples", "damaged", "failed", "unknown"}`` of a file in PDEBench's layout.

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
        for row, key in enumerate(file.keys):
            reason, known = _check(file, key)
            index = known.get("sample", row)
            if reason:
                damaged[index] = reason
            if "failed" in known:
                failed[index] = known["failed"]
            unknown += not known
            if progress is not None:
                progress(row + 1, expected)
    return {"samples": expected, "damaged": damaged, "failed": failed, "unknown": unknown}


def _check(file: Dataset, key: str) -> tuple[str, dict[str, Any]]:
    """What is wrong with a sample ("" if nothing), and its record."""
    try:
        group = file.group(key)
        known = json.loads(group.attrs.get(ATTRIBUTE, "{}"))
        values = group["data"][...]
    except (OSError, KeyError, ValueError) as error:
        return f"it cannot be read: {error}", {}
    if known and [checksum(np.ascontiguousarray(values))] != known["checksum"]:
        return "its bytes have another checksum", known
    return "", known


def records_and_places(
    path: Path,
) -> tuple[dict[int, dict[str, Any]], dict[int, tuple[Path, list[tuple[int, int]]]]]:
    """By sample its record, with the statistics, and where its bytes are: file, (offset, size)."""
    from fdiff.dataset.factory import buffer
    from fdiff.dataset.statistics import sample_statistics

    records, places = {}, {}
    with Dataset(path) as file:
        recipe = from_dict(file.provenance["recipe"])
        shape = buffer(recipe).shape
        for key in file.keys:
            group = file.group(key)
            record = json.loads(group.attrs[ATTRIBUTE])
            data = group["data"]
            if data.shape != shape or data.id.get_offset() is None:
                continue
            if "failed" not in record:
                found = sample_statistics(data[...], recipe.grid)
                found.pop("tail")
                record["statistics"] = found
            records[record["sample"]] = record
            region = (data.id.get_offset(), data.id.get_storage_size())
            places[record["sample"]] = (Path(data.file.filename), [region])
    return records, places


def regenerate(path: Path | str, sample: int, repair: bool = False) -> dict[str, Any]:
    """Computes one sample of a file again: ``{"data", "same", "recorded", "repaired"}``.

    ``same``: the file's bytes are these; ``recorded``: the file's checksum is theirs, so a
    difference means damage, not another machine. ``repair`` then writes them into the file.

    Raises:
        ValueError: not a file of `fdiff generate`, or no such sample.
    """
    from fdiff.dataset.factory import buffer, simulate

    path = Path(path)
    with Dataset(path) as file:
        if file.provenance.get("kind") != "generated":
            raise ValueError(f"{path} was not made by `fdiff generate`: its recipe is unknown")
        recipe = from_dict(file.provenance["recipe"])
        key = sample_key(file, recipe, sample)
        group = file.group(key)
        known = json.loads(group.attrs[ATTRIBUTE])
        offset, stored = group["data"].id.get_offset(), Path(group.file.filename)
        data = buffer(recipe)
        simulate(recipe, sample, data)
        size = data.nbytes
    descriptor = os.open(stored, os.O_RDWR if repair else os.O_RDONLY)
    try:
        same = bytes(read_at(descriptor, offset, size)) == data.tobytes()
        recorded = [checksum(data)] == known["checksum"]
        if repair and recorded and not same:
            write_at(descriptor, offset, data)
    finally:
        os.close(descriptor)
    if repair and recorded and not same:
        flush_to_disk(stored)
    return {
        "data": data,
        "same": same,
        "recorded": recorded,
        "repaired": repair and recorded and not same,
    }


def sample_key(file: Dataset, recipe: Recipe, sample: int) -> str:
    """The group of a sample, by its index in the recipe."""
    row = sample - recipe.first
    if not 0 <= row < len(file):
        last = recipe.first + len(file) - 1
        raise ValueError(f"{file.path} has samples {recipe.first} to {last}, not {sample}")
    return file.keys[row]
