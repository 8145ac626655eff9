"""Looking at a file in a process of its own, which damage may end without ending this one.

HDF5 believes what a file says of its own structure; some damage makes it read where nothing is, and
the system then ends the process. A child meets that, and this process says so.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fdiff.errors import FileError, UnreadableHere
from fdiff.inputs import following_links, follows

PATIENCE = 30.0  # seconds of the processor without a byte that is read
# Signals by which a process ends itself; others come from outside.
_CRASHES = ("SIGSEGV", "SIGBUS", "SIGABRT", "SIGFPE", "SIGILL")


def examine(path: Path | str, progress: Callable[[int, int], None] | None = None) -> Examined:
    """What `fdiff.dataset.verify.verify`, or `fdiff.dataset.tree.verify` of a folder, says of a
    dataset: the report, its complaints, and what it says of trajectories that are not resolved.

    Raises:
        FileError: the file's damage ends HDF5 itself, or HDF5 does not come to an end with it.
        UnreadableHere: the process was ended from outside, as where memory runs out.
        ValueError, OSError: as these functions.
    """
    path = Path(path)
    # Forked where that is possible: a new interpreter takes half a second.
    methods = multiprocessing.get_all_start_methods()
    context: Any = multiprocessing.get_context("fork" if "fork" in methods else "spawn")
    ours, theirs = context.Pipe(duplex=False)
    child = context.Process(target=_child, args=(path, follows(), theirs))
    child.start()
    theirs.close()
    try:
        return _heard(ours, child, path, progress)
    finally:
        ours.close()
        if child.is_alive():
            child.kill()
        child.join()


# The report, the complaints, and what is said of trajectories that are not resolved.
Examined = tuple[dict[str, Any], list[str], Any]


def _heard(pipe, child, path: Path, progress) -> Examined:
    watch: _Watch | None = _Watch(child.pid)
    while True:
        try:
            if not pipe.poll(1.0):
                if watch is not None and watch.goes_round():
                    raise FileError(
                        path, "", "a file that HDF5 can read",
                        "damage in which HDF5 goes round without an end",
                        "restore the file from where it came",
                    )  # fmt: skip
                continue
            kind, *content = pipe.recv()
        except EOFError:
            child.join()
            raise _why_it_ended(path, child.exitcode) from None
        if kind == "read":
            watch = None  # what comes now computes, and reads nothing
        elif kind == "progress":
            watch = _Watch(child.pid)
            if progress is not None:
                progress(*content)
        elif kind == "error":
            raise content[0]
        else:
            return content[0]


class _Watch:
    """Whether a process computes for `PATIENCE` seconds without reading a byte.

    A slow disk and a busy machine do not count: it is the time of the processor. Nothing is known
    where the system does not tell.
    """

    def __init__(self, pid: int):
        self.pid = pid
        self.read, self.seconds = self._now()

    def goes_round(self) -> bool:
        read, seconds = self._now()
        if read != self.read:
            self.read, self.seconds = read, seconds
        return seconds - self.seconds > PATIENCE

    def _now(self) -> tuple[int, float]:
        """Bytes that were read, and seconds of the processor."""
        place = Path("/proc") / str(self.pid)
        try:
            read = int((place / "io").read_text().split()[1])
            ticks = (place / "stat").read_text().rpartition(")")[2].split()[11:13]
            return read, sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")
        except (OSError, ValueError, IndexError):
            return 0, 0.0


def _why_it_ended(path: Path, code: int) -> ValueError:
    """The error for a process that ended without a word, by its exit status."""
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}" if code < 0 else f"status {code}"
    if code < 0 and name not in _CRASHES:
        return UnreadableHere(
            f"{path} was not read to its end: the process that read it was ended by {name}, as "
            "where memory runs out; nothing is known to be wrong with the file"
        )
    return FileError(
        path, "", "a file that HDF5 can read", f"damage that ends HDF5 itself ({name})",
        "restore the file from where it came",
    )  # fmt: skip


def _child(path: Path, follow: bool, pipe) -> None:
    # A bar that is drawn by a thread of the parent has put streams of its own into their place.
    sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__

    def update(done: int, total: int) -> None:
        pipe.send(("progress", done, total))

    try:
        with following_links(follow):
            result = _examined(path, update, lambda: pipe.send(("read",)))
        pipe.send(("result", result))
    except BaseException as error:
        pipe.send(("error", error))
    finally:
        pipe.close()


def _examined(path: Path, progress, is_read: Callable[[], None]) -> Examined:
    from fdiff.dataset import resolved, tree
    from fdiff.dataset import verify as files

    report = (tree.verify if path.is_dir() else files.verify)(path, progress)
    problems = [*files.complaints(path, report), *report.get("problems", ())]
    is_read()
    # Records are readable where the samples are.
    return report, problems, None if problems else resolved.of_dataset(path)
