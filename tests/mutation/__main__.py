"""Plant errors by name and print who sees them: ``python -m tests.mutation NAME...``"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tests.mutation import catalogue
from tests.mutation.planted import Planted
from tests.mutation.runner import Copy, Unplantable


def main(arguments: list[str] | None = None) -> int:
    """Exit status: 0 where every error is seen."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("names", nargs="*", help="errors of the catalogue; without, all are listed")
    parser.add_argument("--all", action="store_true", help="plant every error in turn")
    parser.add_argument("--tests", help="another selection of tests than the error's own")
    parser.add_argument(
        "--validation", nargs="?", const="*", metavar="SCRIPT",
        help="run the quick validation instead: all of it, or one script",
    )  # fmt: skip
    given = parser.parse_args(arguments)
    errors = {error.name: error for error in catalogue.ERRORS}
    unknown = [name for name in given.names if name not in errors]
    if unknown:
        print(f"no planted error is named {', '.join(unknown)}", file=sys.stderr)
        return 2
    chosen = list(errors.values()) if given.all else [errors[name] for name in given.names]
    if not chosen:
        for error in errors.values():
            print(f"{error.name:42s} {error.kind:13s} {error.file}")
        return 0
    unseen = 0
    with tempfile.TemporaryDirectory() as folder, Copy(Path(folder)) as copy:
        for error in chosen:
            unseen += not shown(copy, error, given.tests, given.validation)
    return min(unseen, 1)


def shown(copy: Copy, error: Planted, tests: str | None, script: str | None) -> bool:
    """Plants the error, prints who saw it, and says whether anybody did."""
    try:
        with copy.planted(error) as machine_code:
            if script is None:
                found = copy.tests(tests or error.tests, machine_code)
            else:
                found = copy.validation(script.replace("*", ""), machine_code)
    except Unplantable as reason:
        print(reason)
        return False
    words = {"failed": "seen", "passed": "NOT SEEN"}.get(found.verdict, "broken")
    print(f"{error.name:42s} {words}", flush=True)
    for line in found.failures[:3]:
        print(f"    {line[:150]}")
    if found.verdict == "broken":
        print(found.output[-2000:])
    return found.verdict == "failed"


if __name__ == "__main__":
    sys.exit(main())
