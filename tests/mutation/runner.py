"""Plants errors in a copy of the repository and runs tests or validation there.

The copy keeps its place for the whole session, so that what Numba compiles in it can be used
again. No cache may serve the right code for the wrong one: byte code is tied to the text of its
source (Python's usual one to size and whole seconds), and an error in a file with compiled kernels
gets an empty folder for Numba's machine code (Numba compares the file of a function, not those of
the functions that it inlines).
"""

from __future__ import annotations

import compileall
import json
import os
import py_compile
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import final

from tests.mutation.planted import Planted

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("fdiff", "fdiff_kernels", "data_generation", "validation", "tests", "pyproject.toml")
LIMIT = 300  # seconds a child may take
OPTIONS = ["-x", "-q", "-p", "no:cacheprovider", "--tb=line", "-rf"]
MARKERS = ["-m", "not slow and not mutation"]


class Unplantable(ValueError):
    """The text of a planted error does not stand in its file exactly once."""


@final
@dataclass(frozen=True)
class Outcome:
    """What a child said: ``passed``, ``failed``, or anything else as ``broken``."""

    verdict: str
    output: str

    @property
    def failures(self) -> list[str]:
        """The lines that name what failed."""
        lines = self.output.splitlines()
        return [x for x in lines if re.search(r"^FAILED |  (FAIL|INCONCLUSIVE)$", x)]


def patched(text: str, error: Planted) -> str:
    """``text`` with the error in it.

    Raises:
        Unplantable: ``old`` does not occur exactly once, or ``new`` is the same text.
    """
    count = text.count(error.old)
    if count != 1 or error.old == error.new:
        raise Unplantable(
            f"the planted error {error.name!r} replaces a text that occurs {count} times in "
            f"{error.file}, and must occur once: the code has changed, so bring the catalogue's "
            f"text up to date. The text is {error.old!r}"
        )
    return text.replace(error.old, error.new)


class Copy:
    """A copy of the repository's packages in a folder of its own, and what was seen green there.

    Used as a context, it ends its process at the end.
    """

    def __init__(self, folder: Path):
        self.folder, self.root = folder, folder / "copy"
        self.machine_code = folder / "machine_code"
        ignored = shutil.ignore_patterns("__pycache__", "*.nbi", "*.nbc", ".hypothesis")
        for part in PARTS:
            source, target = ROOT / part, self.root / part
            if source.is_dir():
                shutil.copytree(source, target, ignore=ignored)
            else:
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(source, target)
        # Reference data that tests look for beside a checkout.
        if (ROOT.parent / "shared").exists():
            (folder / "shared").symlink_to(ROOT.parent / "shared")
        by_text = py_compile.PycInvalidationMode.CHECKED_HASH
        for package in ("fdiff", "fdiff_kernels", "validation"):
            compileall.compile_dir(self.root / package, quiet=1, invalidation_mode=by_text)
        self._green: dict[tuple[str, str], Outcome] = {}
        environment = os.environ | {
            "PYTHONPATH": str(self.root),
            "PYTHONDONTWRITEBYTECODE": "1",
            "NUMBA_CACHE_DIR": str(self.machine_code),
            "CI": "1",  # Hypothesis takes the same examples each time
            "OMP_NUM_THREADS": "1",
        }
        self._nursery = subprocess.Popen(
            [sys.executable, str(self.root / "tests/mutation/nursery.py")], cwd=self.root,
            env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def __enter__(self) -> Copy:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._nursery.stdin is not None
        self._nursery.stdin.close()
        self._nursery.wait()

    @contextmanager
    def planted(self, error: Planted) -> Iterator[Path]:
        """The error in the copy; gives the folder of machine code to use with it."""
        path = self.root / error.file
        right = path.read_text()
        path.write_text(patched(right, error))
        compiled = "policy import" in right
        folder = Path(tempfile.mkdtemp(dir=self.folder)) if compiled else self.machine_code
        try:
            yield folder
        finally:
            path.write_text(right)
            if compiled:
                shutil.rmtree(folder)

    def tests(self, selection: str, machine_code: Path | None = None) -> Outcome:
        """A pytest selection, up to the first failure."""
        return self._run("tests", [*OPTIONS, *MARKERS, *selection.split()], machine_code)

    def validation(self, script: str, machine_code: Path | None = None) -> Outcome:
        """The quick form of scripts of validation, all of them where none is named."""
        return self._run("validation", script.split(), machine_code)

    def green(self, what: str, selection: str) -> Outcome:
        """``tests`` or ``validation`` without an error; run once in a session."""
        key = what, selection
        if key not in self._green:
            self._green[key] = getattr(self, what)(selection)
        return self._green[key]

    def _run(self, what: str, arguments: list[str], machine_code: Path | None) -> Outcome:
        output = self.folder / "output.txt"
        order = {
            "what": what,
            "arguments": arguments,
            "machine_code": str(machine_code or self.machine_code),
            "output": str(output),
            "limit": LIMIT,
        }
        assert self._nursery.stdin is not None
        assert self._nursery.stdout is not None
        self._nursery.stdin.write(json.dumps(order) + "\n")
        self._nursery.stdin.flush()
        status = self._nursery.stdout.readline().strip()
        said = output.read_text() if output.exists() else ""
        output.unlink(missing_ok=True)
        found = Outcome("passed", said)
        if status != "0":
            # Whatever else ends with 1, an import that fails or a selection that is empty, is no
            # test that saw the error.
            seen = status == "1" and found.failures
            found = Outcome("failed" if seen else "broken", f"{said}\nexit status: {status}")
        return found
