"""Links in an HDF5 file that lead out of it, which are followed only to its own shards.

A file from elsewhere may hold external links, values in external storage and virtual datasets; each
names another file that is opened, read or written in the name of whoever opens the first. Only the
whole file that `fdiff generate --shards` writes has such links: its own record names its shards,
which lie beside it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from fdiff.errors import LinkRefused
from fdiff.inputs import FOLLOW, regular

_ASK = f"copy the data into the file, or {FOLLOW}"


def check_links(file, parts: Iterable[Sequence[Any]], follow: bool) -> None:
    """Checks every link of an open file, but soft ones, which stay within it.

    ``parts``: (name, first, samples) of the shards that the file's own record names.

    Raises:
        LinkRefused: a link to another file that is no shard beside this one, or in a shard; not
            where ``follow``.
    """
    if follow:
        return
    own, shards = Path(file.filename), {part[0] for part in parts}
    met = set()
    for name in _external(file):
        link = file.get(name, getlink=True)
        target = getattr(link, "filename", "another place")
        inside = getattr(link, "path", "").strip("/")
        numbered = name.isdecimal() and inside.isdecimal() and int(name) == int(inside)
        if not numbered or target not in shards:
            raise LinkRefused(own, name, "values in the file itself", f"a link to {target}", _ASK)
        met.add(target)
    for target in sorted(met):
        _check_shard(own.with_name(target))


def _check_shard(path: Path) -> None:
    """A shard is a file of its own, without links of its own; one that is missing is said later."""
    import h5py

    if not path.exists() and not path.is_symlink():
        return
    regular(path, follow_links=False)
    try:
        with h5py.File(path, "r") as file:
            for name in _external(file):
                raise LinkRefused(path, name, "values in the shard itself", "a link", _ASK)
    except OSError:
        return  # what is wrong with it is said where it is read


def _external(file) -> list[str]:
    """Names of the links that are neither hard nor soft, in all groups of the file."""
    from h5py import h5l

    found: list[str] = []

    def look(name: bytes, info) -> None:
        if info.type not in (h5l.TYPE_HARD, h5l.TYPE_SOFT):
            found.append(name.decode("utf-8", "surrogateescape"))

    try:
        file.id.links.visit(look, info=True)
    except (RuntimeError, KeyError, OSError):
        # A damaged group hides what follows it; what is found by name all the same is looked at.
        for name in file:
            _look_into(file, name, look)
    return found


def _look_into(file, name: str, look) -> None:
    from h5py import h5g, h5l

    try:
        info = file.id.links.get_info(name.encode("utf-8", "surrogateescape"))
        look(name.encode("utf-8", "surrogateescape"), info)
        if info.type == h5l.TYPE_HARD:
            group = h5g.open(file.id, name.encode("utf-8", "surrogateescape"))
            for inner in (b"data", b"grid"):
                if group.links.exists(inner):
                    look(f"{name}/{inner.decode()}".encode(), group.links.get_info(inner))
    except (RuntimeError, KeyError, OSError, ValueError):
        return


def storage_outside(identifier) -> str:
    """The file in which a dataset (its low-level object) has its values, "" where it is its own."""
    from h5py import h5d

    properties = identifier.get_create_plist()
    if properties.get_layout() == h5d.VIRTUAL:
        names = {properties.get_virtual_filename(i) for i in range(properties.get_virtual_count())}
        return ", ".join(sorted(names - {"."})) or "another dataset"
    if properties.get_external_count():
        return properties.get_external(0)[0].decode("utf-8", "replace")
    return ""
