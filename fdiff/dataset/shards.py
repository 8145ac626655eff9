"""A dataset in parts: one complete file each, and a master file of links to their samples.

Part i of n holds its share of the samples under their names in the whole. Parts share nothing, so
they can be made anywhere and in any order; whoever finds all of them complete writes the master.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from fdiff.dataset import factory, source
from fdiff.dataset.formats import ATTRIBUTE
from fdiff.dataset.reader import Dataset, provenance_of
from fdiff.dataset.recipe import Recipe, from_dict
from fdiff.files import system_errors, whole
from fdiff.words import counted

# A file and the recipe of its samples.
Part = tuple[Path, Recipe]


def parse(text: str) -> tuple[int, int]:
    """``"i/n"`` as (i, n), 0 <= i < n; counting from 1 to n is understood as well."""
    part, _, whole = text.partition("/")
    try:
        i, n = int(part), int(whole)
    except ValueError:
        raise ValueError(f"--shards takes i/n, such as 0/4, got {text!r}") from None
    if not 0 <= i <= n or n < 1:
        raise ValueError(f"--shards i/n needs 0 <= i < n (or 1 <= i <= n), got {text!r}")
    return i % n, n


def parts(recipe: Recipe, out: Path, n: int) -> tuple[list[Part], list[Part]]:
    """File and recipe of the parts that ``out`` has already, and of the n that it needs still.

    Where more samples are asked for, the parts that are there stay what they are, and n others hold
    the rest. Raises ValueError where n parts are too many.
    """
    known = _linked(out)
    there = sum(part.samples for _, part in known)
    if there >= recipe.samples:
        return known, []
    rest = replace(recipe, first=recipe.first + there, samples=recipe.samples - there)
    stem = f"{out.stem}.from-{rest.first}" if there else out.stem
    return known, afresh(rest, out.with_name(stem + out.suffix), n)


def _linked(out: Path) -> list[Part]:
    """The parts of a master file; none where there is no master."""
    if not out.exists():
        return []
    provenance = provenance_of(out)
    whole_recipe = from_dict(provenance["recipe"])
    return [
        (out.with_name(name), replace(whole_recipe, first=first, samples=samples))
        for name, first, samples in provenance.get("parts", ())
    ]


def part_recipe(recipe: Recipe, i: int, n: int) -> Recipe:
    """The share of part i: consecutive samples, as equal as can be."""
    if n > recipe.samples:
        do = counted(recipe.samples, "sample does", "samples do")
        raise ValueError(f"{do} not fill {n} shards")
    begin, end = (recipe.samples * j // n for j in (i, i + 1))
    return replace(recipe, first=recipe.first + begin, samples=end - begin)


def generate(
    recipe: Recipe,
    out: Path | str,
    i: int,
    n: int,
    workers: int = 1,
    force: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Makes part i of the n that ``out`` needs, and ``out`` itself when all are complete.

    Where it needs none, part i is verified; see `factory.generate`.
    """
    if recipe.format != "pdebench":
        raise ValueError("shards are written in PDEBench's layout: --format pdebench")
    out = Path(out)
    existing = None if force else factory.existing_recipe(out)
    if existing is not None:
        factory.check_same(existing, recipe, out)
    known, needed = parts(recipe, out, n) if existing else ([], afresh(recipe, out, n))
    if existing and not known and existing.samples >= recipe.samples:
        return factory.generate(recipe, out, workers, force, progress)  # one whole file
    path, part = (needed or known)[i if needed else i % len(known)]
    digits = factory.layout_of(recipe).digits
    done = factory.generate(part, path, workers, force, progress, digits)
    if needed:
        join(recipe, out, [*known, *needed])
    return done


def afresh(recipe: Recipe, out: Path, n: int) -> list[Part]:
    """n parts, whatever is there."""
    paths = (out.with_name(f"{out.stem}.{i}-of-{n}{out.suffix}") for i in range(n))
    return [(path, part_recipe(recipe, i, n)) for i, path in enumerate(paths)]


def join(recipe: Recipe, out: Path, members: list[Part]) -> bool:
    """Writes ``out`` if all parts exist and belong to the recipe; whether they do.

    Raises:
        ValueError: initial states were read from a file that changed between the parts.
    """
    for path, part in members:
        found = factory.existing_recipe(path)
        if found is None or found.digest != part.digest or found.samples < part.samples:
            return False
    for path, part in members:
        source.check(path, part)
    _write_master(recipe, out, members)
    return True


def _write_master(recipe: Recipe, out: Path, members: list[Part]) -> None:
    """A file of external links, so that the parts read as one; they must stay beside it."""
    import h5py

    layout = factory.layout_of(recipe)
    known = []
    # A name of its own: two jobs may get here at once, and either result will do.
    own = f".{os.getpid()}.partial"
    with whole(out, own) as partial, system_errors(out), h5py.File(partial, "w") as file:
        for path, part in members:
            with Dataset(path) as shard:
                known.append(shard.provenance)
                for offset, key in enumerate(shard.view.keys[: part.samples]):
                    target = h5py.ExternalLink(path.name, f"/{key}")
                    file[layout.key(part.first + offset)] = target
        root = factory.root_attributes(recipe, {})
        root["failed"] = {k: v for p in known for k, v in p["failed"].items()}
        root["statistics"] = merged([p["statistics"] for p in known if p["statistics"]])
        root["parts"] = [[path.name, part.first, part.samples] for path, part in members]
        file.attrs[ATTRIBUTE] = json.dumps(root)


def merged(statistics: list[dict[str, Any]]) -> dict[str, Any]:
    """Statistics of the whole from those of the parts."""
    result = {}
    for name in statistics[0] if statistics else ():
        parts = [s[name] for s in statistics]
        weights = np.array([p["count"] for p in parts], float)
        share = weights / weights.sum()
        mean = float(share @ [p["mean"] for p in parts])
        square = float(share @ [p["std"] ** 2 + p["mean"] ** 2 for p in parts])
        result[name] = {
            "mean": mean,
            "std": float(np.sqrt(max(square - mean**2, 0.0))),
            "spectrum": (share @ np.array([p["spectrum"] for p in parts])).tolist(),
            "count": int(weights.sum()),
        }
    return result
