"""How commands speak: progress and remarks on standard error, results on standard output."""

from __future__ import annotations

import codecs
import functools
import inspect
import json
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer

from fdiff.inputs import following_links

LINKS_HELP = "Follow symbolic links, and links out of HDF5 files."
BOUNDARY_HELP = (
    "Of other programs' data: periodic, neumann (no flux) or dirichlet; one kind, or one an axis "
    "(x=periodic,y=neumann)."
)


# Signs beyond ASCII that messages use, for terminals that have no others.
_PLAIN = {
    "×": "x", "–": "-", "—": "-", "…": "...", "≥": ">=", "≤": "<=", "±": "+-", "²": "^2", "³": "^3",
    "·": "*", "→": "->", "−": "-", "’": "'", "‘": "'", "“": '"', "”": '"', "•": "*", "█": "#",
    "─": "-", "━": "-", "│": "|", "┃": "|",
}  # fmt: skip


def _spelled_out(error: UnicodeError) -> tuple[str, int]:
    """What stands for signs that a terminal's encoding lacks; "?" for others."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    signs = error.object[error.start : error.end]
    return "".join(_PLAIN.get(sign, "?") for sign in signs), error.end


codecs.register_error("fdiff.plain", _spelled_out)


@contextmanager
def any_terminal() -> Iterator[None]:
    """Standard output and error spell out the signs that their encoding does not have."""
    before = []
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            before.append((stream, stream.errors))
            stream.reconfigure(errors="fdiff.plain")
    try:
        yield
    finally:
        for stream, errors in before:
            if not stream.closed:
                stream.reconfigure(errors=errors)


def reads_files(command):
    """Gives a command the option ``--follow-links``, which holds for all that it reads."""
    signature = inspect.signature(command, eval_str=True)
    option = Annotated[bool, typer.Option("--follow-links", help=LINKS_HELP)]

    @functools.wraps(command)
    def linked(*arguments, follow_links: bool = False, **options):
        with following_links(follow_links):
            return command(*arguments, **options)

    added = inspect.Parameter(
        "follow_links", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=option
    )
    parameters = [*signature.parameters.values(), added]
    wrapper: Any = linked
    wrapper.__signature__ = signature.replace(parameters=parameters)
    wrapper.__annotations__ = {p.name: p.annotation for p in parameters}
    return wrapper


def say(message: str) -> None:
    """A remark for the person at the terminal."""
    print(message, file=sys.stderr, flush=True)


@contextmanager
def spoken_warnings() -> Iterator[list[str]]:
    """Python's warnings as remarks, once each; the list holds those so far."""
    said: list[str] = []

    def show(message, *_, **__) -> None:
        if str(message) not in said:
            said.append(str(message))
            say(f"warning: {message}")

    with warnings.catch_warnings():
        warnings.showwarning = show
        yield said


def print_json(value) -> None:
    """One JSON value on standard output, for machines."""
    print(json.dumps(value, allow_nan=False))


def print_table(title: str, header: list[str], rows: list[list[str]]) -> None:
    """A table on standard output; the first column is left-aligned."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title, title_justify="left", header_style="bold", box=None)
    for i, name in enumerate(header):
        table.add_column(name, justify="left" if i == 0 else "right", no_wrap=True)
    for row in rows:
        table.add_row(*map(Text, row))  # plain text: brackets are no markup
    # A pipe has no width of its own: let no column be cut there.
    width = None if sys.stdout.isatty() else 160
    Console(width=width).print(table)


@contextmanager
def progress(description: str, unit: str = "") -> Iterator[Callable[[int, int], None]]:
    """A bar with speed and remaining time on standard error; call ``update(done, total)``.

    Where standard error is not a terminal, a line at the end only.
    """
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    console = Console(file=sys.stderr)
    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn(unit),
        TimeElapsedColumn(), TextColumn("elapsed,"), TimeRemainingColumn(), TextColumn("left"),
    )  # fmt: skip
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(description, total=None)

        def update(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        yield update
