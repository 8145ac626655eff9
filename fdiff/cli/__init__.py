"""The command line: parses, builds objects, calls. Each command imports what it needs."""

from __future__ import annotations

import errno
import functools
import importlib
import os
import pkgutil
import sys
from collections.abc import Callable
from pathlib import Path

from fdiff.cli.output import any_terminal, spoken_warnings
from fdiff.files import expanded

EXTRAS = {
    "typer": "cli", "rich": "cli", "tomli_w": "cli", "torch": "torch", "safetensors": "torch",
    "matplotlib": "plot", "distributed": "dask", "xarray": "xarray", "tensorboard": "tensorboard",
}  # fmt: skip
# What the same command does after Ctrl-C, by command; the others leave nothing behind.
AFTER_INTERRUPT = {
    "demo": "the same command goes on where this one stopped",
    "generate": "the same command goes on with the trajectories that are finished",
    "train": "the same command with --resume goes on from the last checkpoint, or from the start "
    "where there is none",
}
BEGINS_AGAIN = "the same command begins again"


class Interrupted(BaseException):
    """Ctrl-C in a command; says what to do. Typer would take a KeyboardInterrupt for itself."""


def main(arguments: list[str] | None = None) -> int:
    """Runs one command; the exit status is 0 only on success.

    What a user can cause (bad input, a missing file, a full disk) ends in one sentence on standard
    error. ``FDIFF_TRACEBACK=1`` shows where it came from. Ctrl-C ends in a sentence and status 130.
    """
    with any_terminal():
        return _main(arguments)


def _main(arguments: list[str] | None) -> int:
    try:
        import typer  # noqa: F401  # the commands need it; here only to say so in good time
    except ModuleNotFoundError:
        print('fdiff: the command line needs its extra: pip install "fdiff[cli]"', file=sys.stderr)
        return 1
    try:
        with spoken_warnings():
            build()(args=arguments, prog_name="fdiff")
    except SystemExit as end:
        if end.code == 130:  # interrupted before a command began
            print(f"fdiff: interrupted; {BEGINS_AGAIN}", file=sys.stderr)
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except (Interrupted, KeyboardInterrupt) as interrupt:
        print(f"fdiff: interrupted; {str(interrupt) or BEGINS_AGAIN}", file=sys.stderr)
        return 130
    except (ValueError, ArithmeticError, OSError, ImportError, MemoryError, TypeError) as error:
        if os.environ.get("FDIFF_TRACEBACK"):
            raise
        print(f"fdiff: {explain(error)}", file=sys.stderr)
        return 1
    return 0


def build():
    """The typer application with the command of every module in this package."""
    import typer

    app = typer.Typer(
        name="fdiff",
        help="Generative diffusion in function space: data, training, samples, reports.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )

    @app.callback()
    def root() -> None:
        """Generative diffusion in function space: data, training, samples, reports."""

    for module in sorted(info.name for info in pkgutil.iter_modules(__path__)):
        register = getattr(importlib.import_module(f"{__name__}.{module}"), "register", None)
        if register is not None:
            register(app)
    for command in app.registered_commands:
        assert command.callback is not None
        command.callback = _prepared(command.name or command.callback.__name__, command.callback)
    return app


def _prepared(name: str, command: Callable) -> Callable:
    """A command as all of them are to run: ``~`` in a path is the home, which shells do not replace
    in ``--out=~/x``; a warning is one line; Ctrl-C says what the same command does next."""

    @functools.wraps(command)
    def run(**given):
        given = {k: expanded(v) if isinstance(v, Path) else v for k, v in given.items()}
        try:
            with spoken_warnings():
                return command(**given)
        except KeyboardInterrupt:
            raise Interrupted(AFTER_INTERRUPT.get(name, BEGINS_AGAIN)) from None

    return run


def explain(error: BaseException) -> str:
    """One sentence: what went wrong and what to do."""
    if isinstance(error, ModuleNotFoundError) and error.name in EXTRAS:
        extra = EXTRAS[error.name]
        return f'this command needs {error.name}: pip install "fdiff[{extra}]"'
    if isinstance(error, MemoryError):
        return "not enough memory; ask for fewer samples at a time or a lower resolution"
    if isinstance(error, OSError) and error.errno is not None:
        place = f" {error.filename}" if error.filename else ""
        advice = {
            errno.ENOSPC: "the disk is full; free some space and run the same command again",
            errno.EDQUOT: "the disk quota is used up; free some space and run it again",
            errno.EACCES: "no permission; choose a folder that you may write to",
            errno.EROFS: "the file system is read-only; choose another folder",
            errno.ENOENT: "no such file or folder",
            errno.EEXIST: "a file of that name is in the way",
            errno.ENOTDIR: "that is a file; a folder is needed",
            errno.EFBIG: "files of that size are not allowed here",
            errno.EISDIR: "that is a folder; a file is needed",
        }.get(error.errno, error.strerror or str(error))
        return f"cannot use{place}: {advice}" if place else advice
    return str(error) or type(error).__name__
