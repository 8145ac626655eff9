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

from fdiff.dataset import factory
from fdiff.dataset.reader import ATTRIBUTE, Dataset
from fdiff.dataset.recipe import Recipe
from fdiff.files import whole


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


def part_path(out: Path, i: int, n: int) -> Path:
    return out.with_name(f"{out.stem}.{i}-of-{n}{out.suffix}")


def part_recipe(recipe: Recipe, i: int, n: int) -> Recipe:
    """The share of part i: consecutive samples, as equal as can be."""
    if n > recipe.samples:
        raise ValueError(f"{recipe.samples} samples do not fill {n} shards")
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
    """Makes part i, and the master ``out`` if all parts are complete; see `factory.generate`."""
    if recipe.format != "pdebench":
        raise ValueError("shards are written in PDEBench's layout: --format pdebench")
    out = Path(out)
    existing = None if force else factory.existing_recipe(out)
    if existing is not None:
        factory.check_same(existing, recipe, out)
    digits = factory.layout_of(recipe).digits
    done = factory.generate(
        part_recipe(recipe, i, n), part_path(out, i, n), workers, force, progress, digits
    )
    if complete(recipe, out, n):
        write_master(recipe, out, n)
    return done


def complete(recipe: Recipe, out: Path, n: int) -> bool:
    """Whether all parts exist and belong to the recipe."""
    for i in range(n):
        path, part = part_path(out, i, n), part_recipe(recipe, i, n)
        found = factory.existing_recipe(path)
        if found is None or found.digest != part.digest or found.samples < part.samples:
            return False
    return True


def write_master(recipe: Recipe, out: Path, n: int) -> None:
    """A file of external links, so that the parts read as one; they must stay beside it."""
    import h5py

    layout = factory.layout_of(recipe)
    known = []
    # A name of its own: two jobs may get here at once, and either result will do.
    with whole(out, f".{os.getpid()}.partial") as partial, h5py.File(partial, "w") as file:
        for i in range(n):
            path, part = part_path(out, i, n), part_recipe(recipe, i, n)
            for sample in range(part.first, part.first + part.samples):
                key = layout.key(sample)
                file[key] = h5py.ExternalLink(path.name, f"/{key}")
            with Dataset(path) as shard:
                known.append(shard.provenance)
        root = factory.root_attributes(recipe, {})
        root["failed"] = {k: v for p in known for k, v in p["failed"].items()}
        root["statistics"] = merged([p["statistics"] for p in known if p["statistics"]])
        root["shards"] = n
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
