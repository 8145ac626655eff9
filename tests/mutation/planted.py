"""What a planted error is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

KINDS = {
    "geometry": "axes, side lengths or boundaries exchanged",
    "use": "a part that is right alone, used wrongly",
    "components": "fields in another order than asked for",
    "independence": "random numbers used twice, or a key that lacks a part",
    "time": "an index or an end of a time grid off by one",
    "weights": "a factor of a mode, a cell or a variance left out or doubled",
    "statistics": "an estimate or an interval of another quantity than it says",
    "precision": "float32 where float64 is needed",
}


@final
@dataclass(frozen=True)
class Planted:
    """One error: ``old`` stands exactly once in ``file`` and is replaced by ``new``.

    ``tests`` is a selection in pytest's words (files and node ids) of which at least one test
    fails on the copy with the error, and none without it. ``changes_law`` marks an error that
    changes a law which validation measures: a covariance, a score, the law of a sampler or of a
    path. ``claims`` names the script of validation whose quick form sees it.
    """

    name: str
    kind: str  # of KINDS
    why: str  # what is wrong, and why somebody would write it
    file: str  # relative to the root of the repository
    old: str
    new: str
    tests: str
    changes_law: bool = False
    claims: str = ""  # script of validation; empty where none sees it
    survived: bool = False  # the tests that stood here before this catalogue passed with it
