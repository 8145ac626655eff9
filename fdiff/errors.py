"""The errors and warnings that a user may want to catch by name, whatever part raises them."""

from __future__ import annotations

from pathlib import Path


class DivergenceError(ArithmeticError):
    """A computation whose state became infinite or not a number; the message says where and why.

    `fdiff.sample` and the integrators of `fdiff.pde` raise it. ``time`` is the last time at which
    the state was finite, in the units of the process or of the equation.
    """

    def __init__(self, message: str, time: float):
        super().__init__(message)
        self.time = time

    def __reduce__(self):
        # Else an error from another process, as of dask, could not be read there.
        return type(self), (str(self), self.time)


class UnreadableHere(ValueError):
    """A file that cannot be read here, though nothing is known to be wrong with it.

    Another process has it open, a part of it lies elsewhere, or its values are packed by a filter
    that is not installed. Nothing in the file needs to be replaced or repaired.
    """


class InUseError(ValueError):
    """Another process writes where this one was to; the message names it."""


class InitialLawWarning(UserWarning):
    """A sampler starts from N(0, Q) where the process has not forgotten its data.

    The samples then have another law than the data's, however many steps are taken; the message
    says by how much.
    """


class SpectrumWarning(UserWarning):
    """The data do not tell how their spectrum goes on beyond the grid; the message says what is
    taken instead."""


class TraceClassWarning(UserWarning):
    """Samples of a covariance operator have no limit in L2 under refinement."""


class FileError(ValueError):
    """A file, or an item of its description, that fdiff cannot use as it is.

    Attributes: ``file``, ``item`` (the place in it, "" for the whole), ``expected`` and ``found``
    in words, and ``advice``, what may be done about it ("" where there is nothing).
    """

    def __init__(
        self,
        file: Path | str,
        item: str,
        expected: str,
        found: str,
        advice: str = "",
        message: str = "",  # in place of the sentence that is made of the others
    ) -> None:
        self.file, self.item = str(file), item
        self.expected, self.found, self.advice = expected, found, advice
        place = f"{file}: {item}" if item else f"{file}"
        sentence = f"{place}: expected {expected}, found {found}"
        super().__init__(message or sentence + (f"; {advice}" if advice else ""))

    def __reduce__(self):
        parts = (self.file, self.item, self.expected, self.found, self.advice, str(self))
        return type(self), parts


def raised_here(error: BaseException) -> bool:
    """Whether fdiff raised an error, not a library that it calls: then its words are for users."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    name = trace.tb_frame.f_globals.get("__name__", "") if trace else "fdiff"
    return name.split(".")[0] == "fdiff" and not isinstance(error, UnicodeError)


class LinkRefused(FileError):
    """A link that leads to another file where nobody asked to follow it."""


class UnknownVersion(FileError):
    """A file in a format that this version of fdiff does not know."""
