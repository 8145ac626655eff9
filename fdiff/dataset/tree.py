"""A dataset as The Well's folders: ``data/{train,valid,test}/NAME.hdf5`` and ``stats.yaml``.

Every split is a file of `factory`, so it is complete or absent and goes on after a kill; the
statistics are of the training split, and are written whole when all splits are complete.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from fdiff.dataset import factory
from fdiff.dataset.ledger import flush_to_disk
from fdiff.dataset.normalisation import normalisation
from fdiff.dataset.recipe import Recipe

SPLITS = ("train", "valid", "test")
# The Well's own division, for a recipe that has none.
_SHARES = {"train": 0.8, "valid": 0.1, "test": 0.1}
_FILE_ENDINGS = (".h5", ".hdf5")


def wanted(recipe: Recipe, out: Path | str) -> bool:
    """Whether ``out`` means folders: The Well's format, and not the name of an HDF5 file."""
    return recipe.format == "well" and Path(out).suffix.lower() not in _FILE_ENDINGS


def parts(recipe: Recipe, out: Path | str) -> dict[Path, Recipe]:
    """The file of each split and its recipe: consecutive samples, the training split first.

    Raises:
        ValueError: splits that The Well does not have, an empty one, or a single stored time.
    """
    if not recipe.splits:
        recipe = replace(recipe, splits=_SHARES)
    if unknown := sorted(set(recipe.splits) - set(SPLITS)):
        raise ValueError(
            f"recipe key splits.{unknown[0]}: The Well's folders are {', '.join(SPLITS)}"
        )
    if len(recipe.stored_times) < 2:
        raise ValueError("recipe key times: stats.yaml needs differences between stored times")
    ranges = factory.split_ranges(recipe)
    found = {}
    for split in SPLITS:
        begin, end = ranges.get(split, (0, 0))
        if begin == end and (split == "train" or recipe.splits.get(split)):
            raise ValueError(
                f"{recipe.samples} samples leave the split {split!r} empty: ask for more, or give "
                "the recipe other splits"
            )
        if begin < end:
            path = Path(out) / "data" / split / f"{Path(recipe.name).name}.hdf5"
            found[path] = replace(
                recipe, first=recipe.first + begin, samples=end - begin, splits={split: 1.0}
            )
    return found


def generate(
    recipe: Recipe,
    out: Path | str,
    workers: int = 1,
    force: bool = False,
    progress: factory.Update | None = None,
) -> dict[str, Any]:
    """Makes the folders of the recipe, or what is missing of them; returns as `factory.generate`.

    Raises:
        ValueError: something else is in the way, or another number of samples, which would move
            samples from one split to another.
        OSError: as `factory.generate`.
    """
    out = Path(out)
    files = parts(recipe, out)
    statistics = out / "stats.yaml"
    _check_folders(files, out)
    if force:
        statistics.unlink(missing_ok=True)
    else:
        _check_recipes(files)
    done: list[dict[str, Any]] = []
    for path, part in files.items():
        before = sum(d["samples"] for d in done)
        update = None if progress is None else _shifted(progress, before, recipe.samples)
        done.append(factory.generate(part, path, workers, force, update))
    written = _write_statistics(next(iter(files)), statistics)
    complete = not written and all(d["status"] == "complete" for d in done)
    return {
        "status": "complete" if complete else "written",
        "out": str(out),
        "samples": recipe.samples,
        "kept": sum(d["kept"] for d in done),
        "failed": {i: reason for d in done for i, reason in d["failed"].items()},
    }


def _shifted(progress: factory.Update, before: int, total: int) -> Callable[[int, int], None]:
    return lambda count, _: progress(before + count, total)


def _check_folders(files: dict[Path, Recipe], out: Path) -> None:
    """Readers take every file of a folder for a part of the split: there is to be no other."""
    if out.exists() and not out.is_dir():
        raise ValueError(f"{out} is a file: choose another --out for The Well's folders")
    for folder in (out / "data" / split for split in SPLITS):
        for path in sorted([*folder.glob("*.h5"), *folder.glob("*.hdf5")]):
            if path not in files:
                raise ValueError(
                    f"{path} would be read as a part of this dataset: remove it, or choose "
                    "another --out"
                )


def _check_recipes(files: dict[Path, Recipe]) -> None:
    """Before anything is computed: what is there belongs to these splits of this recipe."""
    for path, part in files.items():
        existing = factory.existing_recipe(path)
        if existing is None:
            continue
        factory.check_same(existing, replace(part, first=existing.first), path)
        there, asked = _range(existing), _range(part)
        if there != asked:
            raise ValueError(
                f"{path} holds samples {there}, not {asked}: other samples, or another number of "
                "them, move some to other splits. Choose another --out, or --force to replace it"
            )


def _range(recipe: Recipe) -> str:
    return f"{recipe.first} to {recipe.first + recipe.samples - 1}"


def _write_statistics(training: Path, path: Path) -> bool:
    """Whether the file had to be written.

    Raises:
        ValueError: a file is there that says something else.
    """
    import yaml

    text = yaml.safe_dump(normalisation(training))
    if path.exists():
        if path.read_bytes() != text.encode():
            raise ValueError(
                f"{path} does not hold the statistics of {training}: remove it, and the same "
                "command writes it again"
            )
        return False
    partial = path.with_name(path.name + ".partial")
    try:
        with open(partial, "w", encoding="utf-8") as file:
            file.write(text)
        flush_to_disk(partial)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
    flush_to_disk(path.parent)
    return True
