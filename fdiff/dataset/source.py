"""Whether the file or folder that initial states were read from still holds these states.

Each sample's identity is made from the values that it starts from, so the comparison reads one
state a sample. Where an identity was recorded by the name of the file alone, the stored state at
time 0 tells, if there is one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from fdiff.dataset.formats import BY_CONTENT
from fdiff.dataset.reader import Dataset
from fdiff.dataset.recipe import Recipe
from fdiff.errors import UnreadableHere
from fdiff.words import by_number, counted

# How the identity begins of a sample that is known by its values; see also `ImageFolder.identity`.
_BY_VALUES = (BY_CONTENT, "sha256:")
_ANOTHER = ", or choose another --out"


def remarks(file: Dataset, recipe: Recipe) -> str:
    """A sentence where the source is gone or changed, or nothing is known of it; else "".

    A source that cannot be read says nothing against the samples that started from it.
    """
    if not recipe.law.from_path:
        return ""
    start = f"its initial fields come from {recipe.initial['path']}"
    if not Path(recipe.initial["path"]).exists():
        return f"{start}, which is not there, so whether its content is unchanged is not known"
    with ExitStack() as opened:
        try:
            opened.enter_context(recipe.law.kept_open())
        except (ValueError, OSError) as error:
            return f"{start}, so whether its content is unchanged is not known: {error}"
        changed, unknown = _compared(file, recipe)
    if changed:
        return changed_sentence(recipe, changed)
    if unknown:
        record = by_number(unknown, "records", "record")
        return (
            f"{start}; {unknown} of its samples {record} neither those fields' content nor the "
            "state at time 0, so whether the content is unchanged is not known"
        )
    return ""


def changed_sentence(recipe: Recipe, samples: list[int], advice: str = "") -> str:
    """What to say of samples that do not start from what the source holds.

    ``advice``: what else may be done than to bring the source back.
    """
    which = f"sample {samples[0]}"
    if others := len(samples) - 1:
        which += f" and {counted(others, 'other')}"
    return (
        f"its initial fields come from {recipe.initial['path']}, whose content is not the one "
        f"recorded ({which} started from other values): bring the former file back{advice}"
    )


def obstacle(recipe: Recipe, record: Mapping[str, Any]) -> str:
    """Why a sample's initial state cannot be had from its source as it is now; "" where it can."""
    if not recipe.law.from_path:
        return ""
    path = recipe.initial["path"]
    start = f"sample {record['sample']} starts from {path}"
    if not Path(path).exists():
        return f"{start}, which is not there"
    try:
        found = differs(recipe, record)
    except (ValueError, OSError) as error:
        return f"{start}, which cannot be read: {error}"
    if found is None:
        return f"{start}, and whether its content is the one recorded is not known"
    return f"{start}, whose content is not the one recorded" if found else ""


def check(path: Path, recipe: Recipe) -> None:
    """Raises ValueError where samples of a file did not start from what the source now holds.

    A source that is not there, and samples that cannot be read here, are not compared.
    """
    if not (recipe.law.from_path and Path(recipe.initial["path"]).exists()):
        return
    try:
        with Dataset(path) as file, recipe.law.kept_open():
            changed, _ = _compared(file, recipe)
    except UnreadableHere:
        return
    if changed:
        raise ValueError(f"{path}: {changed_sentence(recipe, changed, _ANOTHER)}")


def check_records(path: Path, recipe: Recipe, records: Iterable[Mapping[str, Any]]) -> None:
    """As `check`, by the records alone."""
    if not recipe.law.from_path:
        return
    with recipe.law.kept_open():
        changed = [r["sample"] for r in records if differs(recipe, r)]
    if changed:
        raise ValueError(f"{path}: {changed_sentence(recipe, changed, _ANOTHER)}")


def differs(recipe: Recipe, record: Mapping[str, Any]) -> bool | None:
    """Whether a sample started from other values than the source has; None where it is unknown."""
    if not recipe.law.from_path:
        return False
    identity = record["identity"]
    if not identity.startswith(_BY_VALUES):
        return None
    available = recipe.law.available
    if available is not None and record["sample"] >= available:
        return True
    return identity != recipe.identity(record["sample"])


def _compared(file: Dataset, recipe: Recipe) -> tuple[list[int], int]:
    """Samples that started from other values, and the number of those of which nothing is known."""
    changed, unknown = [], 0
    for row in range(len(file)):
        try:
            record = file.view.record(row)
            found = None if record is None else differs(recipe, record)
            if record is not None and found is None:
                found = _starts_elsewhere(file, row, recipe, record["sample"])
        except UnreadableHere:
            continue
        if found is None:
            unknown += 1
        elif found and record is not None:
            changed.append(record["sample"])
    return changed, unknown


def _starts_elsewhere(file: Dataset, row: int, recipe: Recipe, sample: int) -> bool | None:
    """Whether the state at time 0 is another than the source's; None where it is not stored."""
    if recipe.stored_times[0] != 0:
        return None
    available = recipe.law.available
    if available is not None and sample >= available:
        return True
    state = recipe.law.draw(recipe.system_of(sample), recipe.grid, recipe.seed, sample)
    stored = np.moveaxis(np.asarray(file.view.data(row)[0]), -1, 0)
    # A restriction may round otherwise on another machine.
    tolerance = 1e-5 * np.abs(state).max()
    return not np.allclose(stored, state, rtol=0, atol=tolerance, equal_nan=True)
