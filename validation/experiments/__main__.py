"""``python -m validation.experiments [NAME...] [--quick | --full]``: see the package."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from validation.experiments import runner


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m validation.experiments",
        description="Runs the experiments and writes one report; exits 1 where a claim fails.",
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="experiments (default: all)")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--quick", action="store_true", help="a minute (the default)")
    form.add_argument("--full", action="store_true", help="up to two hours on two cores")
    parser.add_argument("--list", action="store_true", help="print the names and exit")
    parser.add_argument(
        "--data", type=Path, metavar="DIR", help="folder with MNIST's IDX files, .gz or raw"
    )
    parser.add_argument(
        "--report", type=Path, metavar="DIR", default=Path("report/experiments"),
        help="folder for the report; results kept in its work/ are used again (%(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--jobs", type=int, metavar="N", default=os.cpu_count() or 1,
        help="tasks at a time, one thread each (default: the number of cores)",
    )  # fmt: skip
    options = parser.parse_args(arguments)
    if options.list:
        print("\n".join(runner.names()))
        return 0
    mode = "full" if options.full else "quick"
    try:
        return runner.main(options.names, mode, options.report, options.data, options.jobs)
    except (ValueError, OSError) as error:
        print(f"experiments: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
