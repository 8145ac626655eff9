"""Runs tests and validation in forked children, so that others' libraries are imported once.

Started by `runner` with a copy of the repository as the working directory. Nothing of fdiff is
imported before the fork: every child sees the files as they are then. A line of JSON on stdin,
``{"what": "tests" or "validation", "arguments": [...], "machine_code": folder, "output": file,
"limit": seconds}``, is answered by the child's exit status, or "late".
"""

import importlib
import json
import os
import signal
import sys
import time
from pathlib import Path

FOREIGN = (
    "numba", "h5py", "pytest", "hypothesis", "yaml", "scipy.fft", "scipy.stats", "scipy.optimize",
    "scipy.integrate", "scipy.interpolate", "torch",
)  # fmt: skip


def run(what: str, arguments: list[str], machine_code: str) -> int:
    """In the child: prove that the copy is what runs, then run."""
    import numba

    numba.config.CACHE_DIR = machine_code
    copy = Path.cwd().resolve()
    import fdiff
    import fdiff_kernels

    for package in (fdiff, fdiff_kernels):
        place = Path(package.__file__ or "").resolve()
        if not place.is_relative_to(copy):
            print(f"{place} is not in the copy {copy}")
            return 70
    if what == "tests":
        import pytest

        return int(pytest.main(arguments))
    from validation import runner

    return runner.main(arguments, quick=True, report=None)


def child(order: dict) -> None:
    """Never returns."""
    status = 71
    try:
        os.setsid()  # with its own children it can be ended as a group
        output = os.open(order["output"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(output, 1)
        os.dup2(output, 2)
        status = run(order["what"], order["arguments"], order["machine_code"])
    except BaseException:
        import traceback

        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def waited(pid: int, limit: float) -> str:
    """The exit status, or "late" after ``limit`` seconds."""
    end = time.monotonic() + limit
    while time.monotonic() < end:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            return str(os.waitstatus_to_exitcode(status))
        time.sleep(0.05)
    os.killpg(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return "late"


def main() -> None:
    for name in FOREIGN:
        try:
            importlib.import_module(name)
        except ModuleNotFoundError:  # an extra that is not installed: its tests skip
            continue
    sys.path[0] = str(Path.cwd())  # in place of this file's folder
    for line in sys.stdin:
        order = json.loads(line)
        pid = os.fork()
        if pid == 0:
            child(order)
        print(waited(pid, order["limit"]), flush=True)


if __name__ == "__main__":
    main()
