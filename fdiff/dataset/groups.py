"""Which root groups of a file in PDEBench's layout are samples, and why one cannot be read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fdiff.dataset.opening import WRITE, open_hdf5
from fdiff.errors import UnreadableHere
from fdiff.words import by_number, warn


def sample_names(file, ours: bool) -> list[str]:
    """Names of the root groups that are samples, in the order of their text.

    Where groups are named by numbers, these are the samples; else all groups with a dataset
    ``data`` are. Other root entries are left out with a warning that names them: people keep
    statistics or notes beside the samples, and these do not make the samples unreadable. ``ours``:
    fdiff wrote the file, so that a numbered group is a sample without a look into it.

    Raises:
        ValueError: no samples, or a numbered group without data.
    """
    names = sorted(file)
    numbered = [name for name in names if _is_number(name)]
    found = numbered or [name for name in names if _has_data(file, name)]
    if not found:
        raise ValueError(
            f"{file.filename} has no samples: expected root groups such as 0000, 0001, ... with a "
            f"dataset 'data' each, found {some_names(names) or 'nothing'}; {WRITE} in this layout, "
            "and docs/other_files.md says which others are read"
        )
    if not ours:
        here = [name for name in numbered if _link(file, name) is None]
        empty = [name for name in here if not _has_data(file, name)]
        if empty:
            raise ValueError(
                f"{file.filename}: the group {some_names(empty)} has no dataset 'data', which a "
                "sample has: add it, or remove the group"
            )
    others = sorted(set(names).difference(found))
    if others:
        warn(
            f"{file.filename}: {some_names(others)} at the root of the file "
            f"{by_number(len(others), 'is no sample and is', 'are no samples and are')} left out"
        )
    return found


def open_sample(file, name: str, follow_links: bool = False):
    """The group of a sample. Where it lies in another file, that is the one beside this file: HDF5
    itself would also look in the working folder, and first where HDF5_EXT_PREFIX points.

    Raises:
        UnreadableHere, OSError: it lies in another file (a shard) that is missing or cannot be
            opened; missing ones are named, all of them.
        ValueError: the file's structure is damaged.
    """
    linked = _link(file, name)
    if linked is not None:
        return _open_linked(file, *linked, follow_links)
    try:
        return file[name]
    except (KeyError, OSError, RuntimeError) as error:
        raise ValueError(
            f"{file.filename}: the group {name} cannot be opened: the file's structure is damaged"
        ) from error


def _open_linked(file, part: Path, inside: str, follow_links: bool):
    if not part.exists():
        raise UnreadableHere(missing_parts(file))
    # A group keeps the file open that it was opened through.
    shard = open_hdf5(part, follow_links)
    try:
        return shard[inside]
    except (KeyError, OSError, RuntimeError):
        raise UnreadableHere(
            f"{file.filename}: its shard {part.name} has no sample {inside.lstrip('/')}: it "
            "belongs to another dataset, so put the shards of this one beside it"
        ) from None


def missing_parts(file) -> str:
    """Which of the files that a file of links points to are not there."""
    places = [place for name in file if (place := _link(file, name)) is not None]
    parts = dict.fromkeys(part for part, _ in places)
    missing = [part.name for part in parts if not part.exists()]
    what = "shard" if len(missing) == 1 else f"{len(missing)} shards"
    of = f" ({len(parts)} in all)" if len(missing) < len(parts) else ""
    return (
        f"{file.filename} holds links to its samples, and its {what} {some_names(missing)}{of} "
        f"{'is' if len(missing) == 1 else 'are'} missing: put the shards into the same folder"
    )


def some_names(names: Sequence[str]) -> str:
    """The names, or the first and the last of many."""
    return ", ".join(names if len(names) < 9 else [*names[:5], "...", *names[-2:]])


def _is_number(name: str) -> bool:
    return name.isascii() and name.isdecimal()


def _link(file, name: str) -> tuple[Path, str] | None:
    """File and place to which an external link points; None where it is no such link."""
    import h5py

    try:
        link = file.get(name, getlink=True)
    except (KeyError, OSError, RuntimeError):  # a damaged table of links
        return None
    if not isinstance(link, h5py.ExternalLink):
        return None
    return Path(file.filename).parent / link.filename, link.path


def _has_data(file, name: str) -> bool:
    if _link(file, name) is not None:
        return True  # what is wrong with another file is said where it is read
    try:
        return file.id.links.exists(name.encode() + b"/data")
    except (RuntimeError, KeyError, OSError):  # it is no group
        return False
