"""A dataset as The Well's folders: ``data/{train,valid,test}/NAME.hdf5`` and ``stats.yaml``.

Every split is a file of `factory`, so it is complete or absent and goes on after a kill; the
statistics are of the training split, and are written whole when all splits are complete. Then comes
``manifest.json``, our own: the recipe and the samples of every file.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from fdiff.dataset import factory
from fdiff.dataset.normalisation import normalisation
from fdiff.dataset.opening import refuse_run
from fdiff.dataset.recipe import Recipe
from fdiff.described import Item
from fdiff.files import write_text
from fdiff.inputs import read_json
from fdiff.words import counted

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
        raise ValueError(
            "recipe key times: give at least two times, as --times 0,5 does, or an --out that ends "
            "in .hdf5: The Well's stats.yaml beside the folders describes how fields differ from "
            "one stored time to the next"
        )
    ranges = factory.split_ranges(recipe) or {}
    found = {}
    for split in SPLITS:
        begin, end = ranges.get(split, (0, 0))
        if begin == end and (split == "train" or recipe.splits.get(split)):
            leave = counted(recipe.samples, "sample leaves", "samples leave")
            raise ValueError(
                f"{leave} the split {split!r} empty: ask for more, or give the recipe other splits"
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
    statistics, manifest = out / "stats.yaml", out / "manifest.json"
    _check_folders(files, out)
    if force:
        manifest.unlink(missing_ok=True)
        statistics.unlink(missing_ok=True)
    else:
        _check_recipes(files)
    done: list[dict[str, Any]] = []
    for path, part in files.items():
        before = sum(d["samples"] for d in done)
        update = None if progress is None else _shifted(progress, before, recipe.samples)
        done.append(factory.generate(part, path, workers, force, update))
    training = next(iter(files))
    written = _write(statistics, _statistics(training), f"the statistics of {training}")
    written |= _write(manifest, _manifest(recipe, files, out), "the recipe and the files")
    complete = not written and all(d["status"] == "complete" for d in done)
    return {
        "status": "complete" if complete else "written",
        "out": str(out),
        "samples": recipe.samples,
        "kept": sum(d["kept"] for d in done),
        "failed": {i: reason for d in done for i, reason in d["failed"].items()},
    }


def _shifted(
    progress: factory.Update, before: int, total: int | None
) -> Callable[[int, int], None]:
    """Counts on from ``before``; without a total, as far as it is known."""
    return lambda count, size: progress(before + count, total or before + size)


def _check_folders(files: dict[Path, Recipe], out: Path) -> None:
    """Readers take every file of a folder for a part of the split: there is to be no other."""
    if out.exists() and not out.is_dir():
        raise ValueError(f"{out} is a file: choose another --out for The Well's folders")
    for folder in (out / "data" / split for split in SPLITS):
        for path in _data_files(folder):
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
                "them, move some to other splits. Choose another --out"
            )


def _range(recipe: Recipe) -> str:
    return f"{recipe.first} to {recipe.first + recipe.samples - 1}"


def _statistics(training: Path) -> str:
    import yaml

    return yaml.safe_dump(normalisation(training))


def _manifest(recipe: Recipe, files: dict[Path, Recipe], out: Path) -> str:
    known = {
        path.relative_to(out).as_posix(): {"first": part.first, "samples": part.samples}
        for path, part in files.items()
    }
    return json.dumps({"recipe": recipe.as_dict(), "files": known}, indent=1) + "\n"


def _write(path: Path, text: str, what: str) -> bool:
    """Whether the file had to be written.

    Raises:
        ValueError: a file is there that says something else.
    """
    if path.exists() or path.is_symlink():
        if not _is(path, text):
            raise ValueError(
                f"{path} does not hold {what}: remove it, and the same command writes it again"
            )
        return False
    write_text(path, text)
    return True


def verify(out: Path | str, progress: factory.Update | None = None) -> dict[str, Any]:
    """`fdiff.dataset.verify.verify` of every file; samples are named ``data/train/NAME.hdf5:3``.

    With ``"problems"``: a file, the statistics or the manifest that are missing, unfinished or
    wrong. Folders of somebody else have neither checksums nor a manifest; their files are read.

    Raises:
        ValueError: no such folders.
    """
    from fdiff.dataset.verify import verify as verify_file

    out = Path(out)
    refuse_run(out)
    files = all_files(out)
    if not files:
        raise ValueError(
            f"{out} holds no data/train/*.hdf5: expected a dataset file, or The Well's folders"
        )
    report: dict[str, Any] = {
        "samples": 0, "damaged": {}, "unreadable": {}, "failed": {}, "unfit": {}, "gaps": {},
        "unknown": 0, "source": "",
    }  # fmt: skip
    problems = _missing(out, files)
    for path in files:
        name, update = path.relative_to(out).as_posix(), None
        if progress is not None:
            update = _shifted(progress, report["samples"], None)
        try:
            found = verify_file(path, update)
        except ValueError as error:
            problems.append(str(error))
            continue
        report["source"] = report["source"] or found["source"]
        for key in ("samples", "unknown"):
            report[key] += found[key]
        for key in ("damaged", "unreadable", "failed", "unfit", "gaps"):
            report[key] |= {f"{name}:{i}": reason for i, reason in found[key].items()}
    return {**report, "problems": problems}


def _missing(out: Path, files: list[Path]) -> list[str]:
    """What the manifest says and the folders do not have, and whether the statistics are right."""
    problems = [f"{path} is unfinished: generate again" for path in out.rglob("*.partial")]
    ours = [path for path in files if factory.made_here(path)]
    if not ours:
        return problems
    manifest, statistics = out / "manifest.json", out / "stats.yaml"
    try:
        known = Item(str(manifest), "", read_json(manifest)).table()["files"].table().values
    except (OSError, ValueError):
        return [*problems, f"{manifest} is missing or damaged: generate again"]
    names = {path.relative_to(out).as_posix() for path in files}
    problems += [f"{out / name} is missing: generate again" for name in known if name not in names]
    problems += [f"{out / name} does not belong there" for name in sorted(names - set(known))]
    if files[0] in ours and not _is(statistics, _statistics(files[0])):
        problems.append(f"{statistics} is missing, or is not of {files[0]}: generate again")
    return problems


def _is(path: Path, text: str) -> bool:
    content = text.encode()
    same_size = path.is_file() and path.stat().st_size == len(content)
    return same_size and path.read_bytes() == content


def all_files(out: Path) -> list[Path]:
    """The data files of The Well's folders in the order of the splits."""
    return [path for split in SPLITS for path in _data_files(out / "data" / split)]


def _data_files(folder: Path) -> list[Path]:
    return sorted(path for ending in _FILE_ENDINGS for path in folder.glob(f"*{ending}"))
