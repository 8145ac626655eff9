"""Files that are complete or absent."""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fdiff.errors import LinkRefused


@contextmanager
def whole(path: Path | str, ending: str = ".partial") -> Iterator[Path]:
    """A temporary name to write under; flushed to the disk and renamed to ``path`` at the end.

    Where writing fails, nothing is left behind, and a file that was there before stays. ``ending``
    of the temporary name: one of its own where several processes may write the same file.

    Raises:
        LinkRefused: ``path`` is a symbolic link; it would be replaced, or what it leads to.
    """
    path = Path(path)
    not_through_a_link(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ending)
    if partial.is_symlink():  # the name is ours, and what is written must not go elsewhere
        partial.unlink()
    try:
        yield partial
        with open(partial, "rb+") as file:
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def not_through_a_link(path: Path) -> None:
    """Raises LinkRefused where ``path``, which is to be written, is a symbolic link."""
    if path.is_symlink():
        raise LinkRefused(
            path, "", "a file of its own, or none", f"a symbolic link to {os.readlink(path)}",
            "nothing is written through a link: name another file, or the one that it leads to",
        )  # fmt: skip


def open_to_write(path: Path) -> int:
    """A descriptor for reading and writing a file that is there, and is no symbolic link.

    Raises:
        LinkRefused: a symbolic link.
        OSError: no such file, or no permission.
    """
    not_through_a_link(path)
    # A link that takes the place of the file just now is not followed either.
    return os.open(path, os.O_RDWR | getattr(os, "O_NOFOLLOW", 0))


def require_room(path: Path | str, size: int) -> None:
    """Raises the OSError of a full disk where ``size`` bytes do not fit beside ``path``."""
    if shutil.disk_usage(Path(path).parent).free < size:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))


@contextmanager
def system_errors(path: Path | str) -> Iterator[None]:
    """What the system said to HDF5, which tells it in the text of a RuntimeError, as an OSError."""
    try:
        yield
    except (RuntimeError, OSError) as error:
        said = re.search(r"errno = (\d+)", str(error))
        if said is None or getattr(error, "errno", None) is not None:
            raise
        number = int(said[1])
        raise OSError(number, os.strerror(number), str(path)) from error


def expanded(path: Path | str) -> Path:
    """``~`` and ``~user`` as the home they mean; unchanged where there is none."""
    return Path(os.path.expanduser(path))


def write_bytes(path: Path | str, content: bytes) -> Path:
    """Writes a file whole or not at all."""
    with whole(path) as partial:
        partial.write_bytes(content)
    return Path(path)


def write_text(path: Path | str, text: str) -> Path:
    """Writes a text file (UTF-8) whole or not at all."""
    return write_bytes(path, text.encode())
