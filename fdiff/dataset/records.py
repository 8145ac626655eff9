"""What fdiff records in a dataset, checked where it is read: of the whole file and of each sample.

Files of somebody else have no such records. A record that is there was written whole; what is
missing from it or of another kind is damage, and is named.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from fdiff.described import Item, Table, check_box, is_number
from fdiff.errors import FileError
from fdiff.inputs import parse_json

# Of every file of `fdiff generate`; keys that came later are not needed.
_GENERATED = ("recipe", "recipe_digest", "fields", "grid", "seed", "first", "splits", "failed")


def root_record(text: Any, file: Path | str) -> dict[str, Any]:
    """The record of a file's making, from the text of its attribute; empty where there is none.

    Raises:
        FileError: no JSON, or an item that is missing or of another kind.
    """
    if text is None:
        return {}
    item = _parsed(text, file, "the attribute fdiff")
    table = item.table()
    generated = table.given("kind") is not None and table["kind"].value == "generated"
    if generated:
        item.table(_GENERATED)
        recipe = table["recipe"].table(["system", "samples", "first"])
        samples = recipe["samples"].whole(1)
        recipe["first"].whole()
        if table["recipe_digest"].text() not in _digests(recipe.values):
            raise FileError(
                item.file, "recipe", f"that of the digest {table['recipe_digest'].value}",
                "another", "the record is damaged: restore the file",
            )  # fmt: skip
    if fields := table.given("fields"):
        names = [name.text() for name in fields.each()]
        if not names or len(set(names)) < len(names):
            raise fields.refused("different names of fields")
    if grid := table.given("grid"):
        _grid(grid)
        for side in ("lengths", "boundary", "origin") if generated else ():
            if recipe[side].value != grid.table()[side].value:
                raise FileError(item.file, f"{grid.name}.{side}", "that of the recipe", "another")
    if first := table.given("first"):
        first.whole()
    if splits := table.given("splits"):
        _splits(splits, samples if generated else None)
    if failed := table.given("failed"):
        for index, reason in failed.table().items():
            if not (index.isascii() and index.isdecimal()):
                raise failed.refused("numbers of samples")
            reason.text()
    if parts := table.given("parts"):
        for part in parts.each():
            name, first, count = part.each(3)
            _beside(name)
            first.whole()
            count.whole(1)
    trained = table.given("trained_on")
    identities = trained.table().given("identities") if trained else None
    for identity in identities.each() if identities else ():
        identity.text()
    return table.values


def digest(value: Any) -> str:
    """A name for JSON values."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def _digests(recipe: dict[str, Any]) -> set[str]:
    """The digests by which a recipe, as it stands in a file, may be named there: `Recipe.digest`,
    with and without the place of a file that its law reads."""
    known = {key: value for key, value in recipe.items() if key not in ("samples", "about")}
    found = {digest(known)}
    initial = known.get("initial")
    if isinstance(initial, dict) and "path" in initial:
        known["initial"] = {key: value for key, value in initial.items() if key != "path"}
        found.add(digest(known))
    return found


def _parsed(text: Any, file: Path | str, name: str) -> Item:
    if isinstance(text, bytes):
        text = text.decode("utf-8", "replace")
    if not isinstance(text, str):
        raise FileError(file, name, "text", f"a value of type {type(text).__name__}")
    return Item(str(file), name, parse_json(text, file, name, finite=False))


def _grid(item: Item) -> None:
    parts = item.table(["lengths", "boundary", "origin"])
    check_box(parts["lengths"], parts["boundary"], parts["origin"])


def _splits(item: Item, samples: int | None) -> None:
    """Positions [begin, end) that no two splits share."""
    ends = []
    for name, split in item.table().items():
        begin, end = (place.whole() for place in split.each(2))
        if begin > end or (samples is not None and end > samples):
            raise split.refused("[begin, end) within the samples")
        ends.append((begin, end, name))
    for (_, end, name), (begin, after, other) in zip(sorted(ends), sorted(ends)[1:]):
        if begin < end and begin < after:
            raise FileError(
                item.file, item.name, "splits without common samples", f"{name} and {other}"
            )


def _beside(item: Item) -> None:
    """The name of a file in the same folder."""
    name = item.text()
    if name != Path(name).name or name in (".", "..") or "\0" in name or "\\" in name:
        raise item.refused("the name of a file in the same folder")


def sample_record(text: Any, file: Path | str, key: str) -> dict[str, Any] | None:
    """The record of a sample, from the text of its attribute; None where there is none.

    Raises:
        FileError: as `root_record`.
    """
    if text is None:
        return None
    table = _parsed(text, file, f"the record of sample {key}").table()
    check_record(table)
    return table.values


def sample_records(texts: list[Any], file: Path | str, count: int) -> list[dict[str, Any]]:
    """The records of all samples from the texts of attributes that hold lists of them; none where
    there are no texts.

    Raises:
        FileError: as `root_record`; or another number of them than there are samples.
    """
    found = []
    for text in texts:
        for item in _parsed(text, file, "the attributes fdiff_records").each():
            check_record(item.table())
            found.append(item.value)
    if found and len(found) != count:
        raise FileError(file, "the attributes fdiff_records", f"{count} records", f"{len(found)}")
    return found


def check_record(table: Table) -> None:
    """Raises FileError where the record of a sample is not whole."""
    table["sample"].whole()
    table["identity"].text()
    for name, value in table["parameters"].table().items():
        if not name:
            raise table["parameters"].refused("names of parameters")
        value.number()
    sums = table["checksum"].each()
    for one in sums:
        one.whole(0, 2**32 - 1)
    if not sums:
        raise table["checksum"].refused("a checksum for each piece")
    if failed := table.given("failed"):
        failed.text()
    for name in ("steps", "rejected", "evaluations"):
        if count := table.given(name):
            count.whole()
    for name in ("time_error", "tail_energy"):
        if share := table.given(name):
            _real(share)
    if statistics := table.given("statistics"):
        _statistics(statistics)


def _statistics(item: Item) -> None:
    parts = item.table(["mean", "square", "spectrum"])
    means = parts["mean"].each()
    for number in (*means, *parts["square"].each(len(means))):
        _real(number)
    lines = [line.each() for line in parts["spectrum"].each(len(means))]
    for line in lines:
        if len(line) != len(lines[0]):
            raise parts["spectrum"].refused("lines of one length")
        for number in line:
            _real(number)


def _real(item: Item) -> None:
    """A number that may have overflown."""
    if not is_number(item.value, float) and not is_number(item.value, int):
        raise item.refused("a number")
