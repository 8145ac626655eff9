"""``python -m validation [NAME...] [--quick] [--report DIR]``: is the theory's rate there?"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from validation import runner


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m validation",
        description="Runs the validation scripts and prints one table; exits 1 unless all pass.",
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="scripts to run (default: all)")
    parser.add_argument("--quick", action="store_true", help="fewer steps, grids and runs")
    parser.add_argument("--list", action="store_true", help="print the scripts' names and exit")
    parser.add_argument(
        "--report", type=Path, metavar="DIR", default=Path("report/validation"),
        help="folder for report.html, records.json and records.csv (default: %(default)s)",
    )  # fmt: skip
    options = parser.parse_args(arguments)
    if options.list:
        print("\n".join(runner.names()))
        return 0
    try:
        return runner.main(options.names, options.quick, options.report)
    except (ValueError, OSError) as error:
        return runner.fail(str(error))


if __name__ == "__main__":
    sys.exit(main())
