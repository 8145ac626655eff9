"""Advisory locks of the operating system, which end with the process that holds them."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, final

from fdiff.errors import InUseError
from fdiff.files import not_through_a_link
from fdiff.words import warn


def try_lock(file: IO) -> bool | None:
    """Take an open file for this process alone, until it is closed or the process ends.

    False where another process has it; None where the system or the file system has no locks.
    """
    if sys.platform == "win32":
        return None
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):  # the second on network file systems
        return False
    except OSError:
        return None
    return True


@final
@dataclass(frozen=True)
class Holder:
    """The process that has a lock, as the lock's file names it."""

    pid: int
    host: str
    since: str  # local time

    @staticmethod
    def here() -> Holder:
        return Holder(os.getpid(), socket.gethostname(), f"{datetime.now():%Y-%m-%d %H:%M:%S}")

    @staticmethod
    def read(path: Path) -> Holder | None:
        """The holder that a file names; None where it names none."""
        try:
            known = json.loads(path.read_text(encoding="utf-8"))
            return Holder(int(known["pid"]), str(known["host"]), str(known["since"]))
        except (OSError, ValueError, TypeError, KeyError):
            return None

    def ended(self) -> bool:
        """Whether the process is known to have ended."""
        # On Windows signal 0 would interrupt it instead of asking.
        if sys.platform == "win32" or self.host != socket.gethostname():
            return False
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            return False
        return False

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host} since {self.since}"


@contextmanager
def held(path: Path, what: str) -> Iterator[None]:
    """Keep every other process out of ``what`` while the block runs, by a lock on ``path``.

    The file names this process and goes at the end, with the folders that were made for it if
    nothing else is in them. What a killed process leaves behind locks nothing. Where there are no
    locks, what the file says decides, and a warning says so.

    Raises:
        InUseError: another process has the lock, or may have it.
    """
    made = [f for f in [path.parent, *path.parent.parents] if not f.exists()]
    path.parent.mkdir(parents=True, exist_ok=True)
    file, locked = _taken(path, what)
    try:
        yield
    finally:
        # While the lock is held, since the name may be another process's afterwards; without
        # locks after that, since Windows removes no open file.
        if not locked:
            file.close()
        with contextlib.suppress(OSError):
            path.unlink()
        file.close()
        for folder in made:
            with contextlib.suppress(OSError):
                folder.rmdir()


def _taken(path: Path, what: str) -> tuple[IO, bool]:
    """The open file, and whether it is locked."""
    while True:
        not_through_a_link(path)
        file, made = _opened(path)
        ours = try_lock(file)
        # The process that had the lock may have removed the file that was opened.
        if ours and not _names(path, file):
            file.close()
            continue
        break
    before = Holder.read(path)
    if ours is False:
        file.close()
        raise InUseError(
            f"{what} is in use by {before or 'another process'}: wait for it, or choose another "
            "folder"
        )
    if ours is None:
        if not made:
            _decide_without_locks(file, path, what, before)
        warn(f"there are no locks here, so that only {path} keeps other processes out of {what}")
    elif before is not None and before.host != socket.gethostname():
        warn(
            f"{path} was left by {before}, whose lock this machine may not see: if that process "
            f"still runs, end one of the two"
        )
    file.seek(0)
    file.truncate()
    file.write(json.dumps(asdict(Holder.here())))
    file.flush()
    return file, bool(ours)


def _opened(path: Path) -> tuple[IO, bool]:
    """The open file, and whether this process made it: of several at once only one does."""
    try:
        return open(path, "x+", encoding="utf-8"), True  # closed by `held`
    except FileExistsError:
        return open(path, "a+", encoding="utf-8"), False


def _decide_without_locks(file: IO, path: Path, what: str, before: Holder | None) -> None:
    """Raises InUseError unless the file that was there is of a process that has ended.

    A file that names no process may be one that another process has made just now.
    """
    if before is None or not before.ended():
        file.close()
        raise InUseError(
            f"{what} is in use by {before or 'another process'}, as {path} says; there are no "
            "locks here that would tell whether that process still runs: if it has ended, remove "
            "that file"
        )


def _names(path: Path, file: IO) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False
