"""Finds the validation scripts, runs them, prints the table, writes the report."""

from __future__ import annotations

import importlib
import math
import pkgutil
import sys
import time
import traceback
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType

import validation
from fdiff.convergence import Record, Verdict, write_csv, write_json
from fdiff.report import Report
from validation.claim import Claim

FRAME = {"__main__", "claim", "problem", "runner", "experiments"}  # of the package, not claims
WIDTHS = (58, 10, 10, 24, 12)


def names() -> list[str]:
    """All scripts, in alphabetical order."""
    return sorted(m.name for m in pkgutil.iter_modules(validation.__path__) if m.name not in FRAME)


def load(wanted: Iterable[str]) -> list[ModuleType]:
    """The scripts named, or all; ValueError names those that do not exist."""
    known, chosen = names(), list(wanted)
    unknown = [name for name in chosen if name not in known]
    if unknown:
        raise ValueError(f"unknown: {', '.join(unknown)}; known: {', '.join(known)}")
    return [importlib.import_module(f"validation.{name}") for name in chosen or known]


def run(module: ModuleType, quick: bool) -> Iterator[tuple[Claim, Record]]:
    """Claims of one script as they come, timed; an exception is a failed claim, not the end."""
    claims = iter(module.run(quick))
    while True:
        start = time.perf_counter()
        try:
            claim = next(claims)
        except StopIteration:
            return
        except Exception as error:
            traceback.print_exc()
            nan = float("nan")
            text = f"{type(error).__name__}: {error}"
            name = module.__name__.removeprefix("validation.")
            claim = Claim(name, "", nan, nan, nan, nan, Verdict.FAIL, text)
        yield claim, record_of(claim, time.perf_counter() - start)


def record_of(claim: Claim, seconds: float) -> Record:
    return Record(
        claim.claim, claim.source, claim.declared, claim.observed, claim.low, claim.high,
        claim.verdict, round(seconds, 3), claim.reason,
    )  # fmt: skip


def main(wanted: Iterable[str], quick: bool, report: Path | None) -> int:
    """Exit status: 0 only if every claim passes."""
    modules = load(wanted)
    page = Report("fdiff validation" + (", quick" if quick else ""))
    page_figures: list[tuple[str, Claim]] = []
    records: list[Record] = []
    print(line("claim", "declared", "observed", "95 % interval", "verdict"))
    print("-" * (sum(WIDTHS) + 2 * (len(WIDTHS) - 1)))
    for module in modules:
        for claim, record in run(module, quick):
            records.append(record)
            print(line(*cells(record)), flush=True)
            if record.verdict is not Verdict.PASS:
                print(f"    {record.reason}", flush=True)
            if claim.figure is not None:
                page_figures.append((module.__name__.removeprefix("validation."), claim))
    print(summary(records))
    if report is not None:
        write_report(page, modules, records, page_figures, report)
        print(f"report: {report / 'report.html'}")
    return 0 if records and all(r.verdict is Verdict.PASS for r in records) else 1


def line(*parts: str) -> str:
    shown = [f"{parts[0]:<{WIDTHS[0]}}"]
    shown += [f"{part:>{width}}" for part, width in zip(parts[1:], WIDTHS[1:])]
    return "  ".join(shown).rstrip()


def cells(record: Record) -> tuple[str, ...]:
    interval = f"[{number(record.low)}, {number(record.high)}]"
    return (
        record.claim, number(record.declared), number(record.observed), interval, record.verdict,
    )  # fmt: skip


def number(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.4g}"


def summary(records: list[Record]) -> str:
    counts = {verdict: sum(r.verdict is verdict for r in records) for verdict in Verdict}
    seconds = sum(r.seconds for r in records)
    parts = ", ".join(f"{count} {verdict}" for verdict, count in counts.items())
    return f"{len(records)} claims in {seconds:.0f} s: {parts}"


def write_report(
    page: Report,
    modules: list[ModuleType],
    records: list[Record],
    figures: list[tuple[str, Claim]],
    folder: Path,
) -> None:
    """``records.json``, ``records.csv`` and ``report.html`` in ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(records, folder / "records.json")
    write_csv(records, folder / "records.csv")
    page.text(summary(records))
    header = ("claim", "declared", "observed", "95 % interval", "verdict", "source", "s")
    page.table(header, [(*cells(r), r.source, f"{r.seconds:.1f}") for r in records])
    for module in modules:
        name = module.__name__.removeprefix("validation.")
        page.heading(name.replace("_", " "))
        page.text(" ".join((module.__doc__ or "").split()))
        for owner, claim in figures:
            if owner == name and claim.figure is not None:
                page.figure(claim.figure(), claim.claim)
    page.write(folder / "report.html")


def fail(message: str) -> int:
    print(f"validation: {message}", file=sys.stderr)
    return 2
