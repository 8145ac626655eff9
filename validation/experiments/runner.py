"""Finds the experiments, runs them, prints their records, writes one report."""

from __future__ import annotations

import importlib
import pkgutil
import platform
import time
import traceback
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType

import validation.experiments as package
from fdiff.convergence import Record, Verdict, write_csv, write_json
from fdiff.files import write_bytes, write_text
from fdiff.report import Report
from validation.claim import Claim
from validation.experiments import setting as settings
from validation.experiments.outcome import Picture, Table, Text
from validation.experiments.workspace import Workspace
from validation.runner import cells, line, record_of, summary

HEADER = ("claim", "declared", "observed", "95 % interval", "verdict")


class Skipped(Exception):
    """An experiment cannot run here; the message says why and what would let it."""


def names() -> list[str]:
    """All experiments: the modules that have a TOML file."""
    modules = sorted(m.name for m in pkgutil.iter_modules(package.__path__))
    return [name for name in modules if (settings.HERE / f"{name}.toml").is_file()]


def load(wanted: Iterable[str]) -> list[ModuleType]:
    """The experiments named, or all; ValueError names those that do not exist."""
    known, chosen = names(), list(wanted)
    unknown = [name for name in chosen if name not in known]
    if unknown:
        raise ValueError(f"unknown: {', '.join(unknown)}; known: {', '.join(known)}")
    return [importlib.import_module(f"{package.__name__}.{name}") for name in chosen or known]


def main(
    wanted: Iterable[str], mode: str, report: Path, data: Path | None = None, jobs: int = 1
) -> int:
    """Exit status: 0 unless a claim fails. What is inconclusive says so in the table."""
    sections = []
    print(line(*HEADER))
    for module in load(wanted):
        name = module.__name__.rpartition(".")[2]
        setting = settings.load(name, mode, data)
        section = Section(name, module.__doc__ or "", setting.seeds)
        # Kept results belong to this setting and to this code, no other.
        sources = [Path(module.__file__ or ""), *Path(package.__path__[0]).glob("*.py")]
        sources += Path(importlib.import_module("fdiff").__path__[0]).rglob("*.py")
        work = Workspace(report / "work" / f"{name}-{mode}-{setting.digest(*sources)}", jobs)
        print(f"{name} ({mode})", flush=True)
        section.fill(module.run(setting, work))
        sections.append(section)
        # After each, so that an interrupted run leaves a report of what it finished.
        write(sections, mode, report)
    records = [record for section in sections for record in section.records]
    print(summary(records))
    print(f"report: {report / 'report.html'}")
    return int(any(r.verdict is Verdict.FAIL for r in records))


class Section:
    """What one experiment gave."""

    def __init__(self, name: str, doc: str, seeds: range):
        self.name, self.doc, self.seeds = name, " ".join(doc.split()), seeds
        self.items: list[Text | Table | Picture] = []
        self.records: list[Record] = []
        self.seconds = 0.0

    def fill(self, items: Iterator[Claim | Text | Table | Picture]) -> None:
        """An exception is a failed record, a `Skipped` a sentence; neither is the end."""
        start = last = time.perf_counter()
        try:
            for item in items:
                if isinstance(item, Claim):
                    self._record(item, time.perf_counter() - last)
                    last = time.perf_counter()
                else:
                    self.items.append(item)
        except Skipped as reason:
            self.items.append(Text(f"Skipped: {reason}"))
            print(f"  skipped: {reason}", flush=True)
        except Exception as error:
            traceback.print_exc()
            nan, text = float("nan"), f"{type(error).__name__}: {error}"
            claim = Claim(self.name, "", nan, nan, nan, nan, Verdict.FAIL, text)
            self._record(claim, time.perf_counter() - last)
        self.seconds = time.perf_counter() - start

    def _record(self, claim: Claim, seconds: float) -> None:
        record = record_of(claim, seconds)
        self.records.append(record)
        print(line(*cells(record)), flush=True)
        if record.verdict is not Verdict.PASS:
            print(f"    {record.reason}", flush=True)

    def title(self) -> str:
        return self.name.replace("_", " ").capitalize()

    def claims(self) -> Table:
        return Table("Records", HEADER, [cells(record) for record in self.records])

    def remark(self) -> str:
        minutes = f"{self.seconds / 60:.1f} min"
        return f"{minutes}, seeds {', '.join(map(str, self.seeds))}."


def write(sections: list[Section], mode: str, folder: Path) -> None:
    """``report.html``, ``experiments.md`` with its ``figures/``, ``records.json`` and ``.csv``."""
    folder.mkdir(parents=True, exist_ok=True)
    records = [record for section in sections for record in section.records]
    write_json(records, folder / "records.json")
    write_csv(records, folder / "records.csv")
    page, parts = Report(f"fdiff experiments, {mode}"), [f"# Experiments ({mode})\n"]
    where = f"{machine()}. {summary(records)}."
    page.text(where)
    parts.append(where + "\n")
    for section in sections:
        page.heading(section.title())
        page.text(f"{section.doc} ({section.remark()})")
        parts.append(f"## {section.title()}\n\n{section.doc}\n\n{section.remark()}\n")
        for item in section.items:
            if isinstance(item, Text):
                page.text(item.paragraph)
                parts.append(item.paragraph + "\n")
            elif isinstance(item, Table):
                page.text(item.title)
                page.table(item.header, item.rows)
                parts.append(item.markdown())
            else:
                file = f"figures/{section.name}_{item.name}.png"
                figure = item.make()
                write_bytes(folder / file, png(figure))
                page.figure(figure, item.caption)
                parts.append(f"![{item.caption}]({file})\n\n*{item.caption}*\n")
        page.table(HEADER, section.claims().rows)
        parts.append(section.claims().markdown())
    page.write(folder / "report.html")
    write_text(folder / "experiments.md", "\n".join(parts))


def png(figure) -> bytes:
    import io

    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, bbox_inches="tight")
    return buffer.getvalue()


def machine() -> str:
    """What the times belong to."""
    import os

    import torch

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    return f"{platform.machine()}, {cores} cores, {gpu}, torch {torch.__version__}"
