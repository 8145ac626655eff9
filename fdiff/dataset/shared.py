"""Samples that two files share, and fields that were trained on: by name, and by fingerprint.

Names (`Dataset.identities`) know a solution at every resolution and time; fingerprints know a field
in every copy. An identity that a file recorded by the name of another file alone says nothing where
fingerprints can be compared.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from fdiff.dataset.fingerprint import LOST, Fingerprints
from fdiff.dataset.formats import BY_CONTENT
from fdiff.dataset.reader import Dataset
from fdiff.described import Item
from fdiff.errors import FileError
from fdiff.inputs import parse_json

# Root attributes of a file of samples: the fingerprints of what its network was trained on.
_ABOUT = "fdiff_trained_on"
_ARRAYS = {"values": "fdiff_trained_on_values", "modes": "fdiff_trained_on_modes"}


def overlap(a: Path | str, b: Path | str, split: str | None = None) -> set[str]:
    """Identities of the samples of ``b`` (of its ``split``) that are in ``a`` too.

    Two samples are one where they have one identity, or the same fields (as
    `fdiff.dataset.fingerprint.Fingerprints` compares them) at the last time that both files store.
    Files of one time each are compared whatever the times are.
    """
    from fdiff.dataset import open as open_dataset

    with open_dataset(a) as first, open_dataset(b) as second:
        asked = list(second.identities(split))
        alike, compared = _alike(first, second, split)
        by_name = _named(second, asked, set(first.identities()), compared)
    return {name for name, same in zip(asked, by_name | alike) if same}


def trained_on(
    samples: Dataset, truth: Dataset, fields: Fingerprints, split: str | None = None
) -> tuple[int, bool]:
    """How many fields of ``truth`` the network of a file of samples was trained on, and whether
    fingerprints could tell (else it is by name only).

    ``fields``: the fingerprints of what is compared, from the usable samples of the split.
    """
    known = recorded(samples)
    told = known is not None and known.comparable(fields)
    alike = np.zeros(len(fields), bool)
    if known is not None and told:
        # Where the other program has another name for the field, any of the trained ones counts.
        asked = [n for n in fields.names if n in known.names] or known.names
        for name in asked:
            alike |= known.known(_renamed(fields, name), name)
    names = set(samples.provenance.get("trained_on", {}).get("identities", ()))
    by_name = _named(truth, _usable_identities(truth, split), names, told)
    return int((by_name | alike).sum()), told


def in_both(
    samples: Dataset,
    truth: Dataset,
    drawn: Fingerprints,
    fields: Fingerprints,
    split: str | None = None,
) -> int:
    """How many fields of ``truth`` are in the file of samples, of which ``drawn`` are compared."""
    names = set(samples.identities())
    told = drawn.comparable(fields)
    by_name = _named(truth, _usable_identities(truth, split), names, told)
    return int((by_name | drawn.known(fields)).sum())


def record(known: Fingerprints | None) -> dict[str, Any]:
    """Root attributes with which a file of samples says what its network was trained on."""
    if known is None:
        return {}
    arrays = {_ARRAYS[name]: array for name, array in known.arrays().items()}
    return {_ABOUT: json.dumps(known.about()), **arrays}


def recorded(samples: Dataset) -> Fingerprints | None:
    """The inverse of `record`; None for a file that does not have it.

    Raises:
        FileError: a part of it that is missing or of another kind.
    """
    text, file = samples.attribute(_ABOUT), str(samples.path)
    if text is None:
        return None
    if not isinstance(text, str):
        raise FileError(file, _ABOUT, "text", f"a value of type {type(text).__name__}", LOST)
    arrays = {name: samples.attribute(key) for name, key in _ARRAYS.items()}
    return Fingerprints.restored(arrays, Item(file, _ABOUT, parse_json(text, file, _ABOUT)))


def _named(file: Dataset, asked: list[str], known: set[str], compared: bool) -> np.ndarray:
    """Which of the samples ``asked`` have an identity among ``known`` that says something."""
    recipe = file.provenance.get("recipe", {})
    by_path = compared and recipe.get("initial", {}).get("name") == "file"
    return np.array(
        [name in known and not (by_path and not name.startswith(BY_CONTENT)) for name in asked],
        bool,
    )


def _usable_identities(file: Dataset, split: str | None) -> list[str]:
    usable = set(file.usable(split))
    named = zip(file.indices(split), file.identities(split))
    return [name for row, name in named if row in usable]


def _renamed(fields: Fingerprints, name: str) -> Fingerprints:
    if name in fields.names or len(fields.names) != 1:
        return fields
    return Fingerprints(fields.values, fields.modes, fields.grid, (name,))


def _alike(a: Dataset, b: Dataset, split: str | None) -> tuple[np.ndarray, bool]:
    """Which samples of ``b`` have the fields of one of ``a``, and whether that can be compared."""
    rows = list(b.indices(split))
    names = [name for name in a.field_names if name in b.field_names]
    times = _common_times(a, b)
    one_each = len(a.field_names) == len(b.field_names) == 1
    if times is None or not (names or one_each):
        return np.zeros(len(rows), bool), False
    (t, s) = times
    known = _fingerprints(a, names or list(a.field_names), t, list(range(len(a))))
    asked = _fingerprints(b, names or list(b.field_names), s, rows)
    return known.known(asked), known.comparable(asked)


def _common_times(a: Dataset, b: Dataset) -> tuple[float, float] | None:
    if len(a.times) == len(b.times) == 1:
        return float(a.times[0]), float(b.times[0])
    for time in reversed(a.times.tolist()):
        near = float(b.times[np.abs(b.times - time).argmin()])
        if abs(near - time) <= 1e-5 * max(1.0, abs(time)):
            return time, near
    return None


def _fingerprints(file: Dataset, names: list[str], time: float, rows: list[int]) -> Fingerprints:
    """Fingerprints of these samples, a piece of which is in memory at a time."""
    parts = []
    for begin in range(0, len(rows), 256):
        states = [file.values(row, names, time) for row in rows[begin : begin + 256]]
        parts.append(Fingerprints.of(np.stack(states), file.grid, names))
    return Fingerprints(
        np.concatenate([part.values for part in parts]), parts[0].modes, file.grid, tuple(names)
    )
