"""``python -m benchmarks [NAME...] [--json]``: fdiff beside its peers.

A module of this folder with a function ``rows()`` (a generator of dictionaries as `measure.row`
makes them) and a table ``BARS`` (row name: bar) is part of the suite. ``NAME`` is a module or a
row. A module that cannot run gives no row and a sentence on standard error. The exit status is 0
only if every row asked for was measured and passed.
"""

from __future__ import annotations

import argparse
import importlib
import json
import pkgutil
import sys
from collections.abc import Iterator
from types import ModuleType

import benchmarks


def suites() -> dict[str, ModuleType]:
    """Modules with rows, by name."""
    names = [module.name for module in pkgutil.iter_modules(benchmarks.__path__)]
    modules = {
        name: importlib.import_module(f"benchmarks.{name}")
        for name in names
        if not name.startswith("_")
    }
    return {name: module for name, module in modules.items() if hasattr(module, "rows")}


def chosen(names: list[str], modules: dict[str, ModuleType]) -> dict[str, set[str]]:
    """The rows to measure, by module."""
    known = {name: set(module.BARS) for name, module in modules.items()}
    if not names:
        return known
    out: dict[str, set[str]] = {}
    for name in names:
        homes = [module for module, rows in known.items() if name == module or name in rows]
        if not homes:
            everything = sorted(known) + sorted(row for rows in known.values() for row in rows)
            raise ValueError(f"no benchmark is called {name!r}; there are {', '.join(everything)}")
        for home in homes:
            out.setdefault(home, set()).update(known[home] if name == home else {name})
    return out


def measured(module: ModuleType, wanted: set[str]) -> Iterator[dict]:
    try:
        for row in module.rows():
            if row["name"] in wanted:
                wanted = wanted - {row["name"]}
                yield row
            if not wanted:
                return
    except (ImportError, OSError, RuntimeError, ValueError) as error:
        print(f"benchmarks: {module.__name__} stopped: {error}", file=sys.stderr)
    if wanted:
        print(f"benchmarks: not measured: {', '.join(sorted(wanted))}", file=sys.stderr)


def line(row: dict) -> str:
    sign = ">=" if row["better"] == "higher" else "<="
    return (
        f"{row['name']:24s} {row['ours']:12.4g} {row['peer']:12.4g} {row['unit']:10s} "
        f"{row['ratio']:10.3g} {sign} {row['bar']:<8g} {'pass' if row['passed'] else 'FAIL'}"
    )


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__.split("\n")[0]
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="module or row; default: all")
    parser.add_argument("--json", action="store_true", help="one JSON array on standard output")
    options = parser.parse_args(arguments)
    modules = suites()
    try:
        selection = chosen(options.names, modules)
    except ValueError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 2
    rows = []
    if not options.json:
        print(f"{'row':24s} {'ours':>12s} {'peer':>12s} {'unit':10s} {'ratio':>10s}    bar")
    for name, wanted in selection.items():
        for row in measured(modules[name], set(wanted)):
            rows.append(row)
            if not options.json:
                print(line(row), flush=True)
    if options.json:
        print(json.dumps(rows, indent=1))
    asked = sum(len(wanted) for wanted in selection.values())
    return 0 if len(rows) == asked and all(row["passed"] for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
