"""What an experiment yields beside claims: text, tables and pictures, in reading order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fdiff.convergence import Verdict, verdict_of
from fdiff.metrics.estimate import Estimate, student
from validation.claim import Claim


@dataclass(frozen=True)
class Text:
    paragraph: str


@dataclass(frozen=True)
class Table:
    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[object]]

    def markdown(self) -> str:
        lines = [self.header, ["---"] + ["---:"] * (len(self.header) - 1), *self.rows]
        body = "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)
        return f"**{self.title}**\n\n{body}\n"


@dataclass(frozen=True)
class Picture:
    """``make`` draws a matplotlib figure; ``name`` is its file's."""

    name: str
    make: Callable[[], Any]
    caption: str


def within(claim: str, source: str, estimate: Estimate, least: float, most: float) -> Claim:
    """The interval lies in ``[least, most]``; the bound next to the estimate counts as declared."""
    declared = most if abs(estimate.value - most) <= abs(estimate.value - least) else least
    verdict = verdict_of(estimate.low, estimate.high, least, most)
    return Claim(claim, source, declared, estimate.value, estimate.low, estimate.high, verdict)


def smaller(claim: str, source: str, first: Sequence[float], second: Sequence[float]) -> Claim:
    """Over paired runs, ``first`` is smaller than ``second``: the ratio of the two is below one.

    PASS where the whole 95 % interval of the geometric mean ratio is below one, FAIL where it is
    above, else INCONCLUSIVE. Both must be positive.
    """
    ratio = ratio_of(first, second)
    verdict, reason = verdict_of(ratio.low, ratio.high, 0.0, 1.0), f"{len(first)} runs"
    if len(first) < 2:
        verdict, reason = Verdict.INCONCLUSIVE, "one run has no interval"
    return Claim(claim, source, 1.0, ratio.value, ratio.low, ratio.high, verdict, reason)


def ratio_of(first: Sequence[float], second: Sequence[float]) -> Estimate:
    """Geometric mean over paired runs of ``first / second``, with Student's interval of its log."""
    logs = student(np.log(np.asarray(first, float) / np.asarray(second, float)))
    return Estimate(*map(float, np.exp([logs.value, logs.low, logs.high])))


def observed(claim: str, source: str, estimate: Estimate) -> Claim:
    """A number on record, with its interval, of which nothing is claimed but that it is finite."""
    nan = float("nan")
    return Claim(
        claim, source, nan, estimate.value, estimate.low, estimate.high, Verdict.PASS, "on record"
    )


def shown(values: Sequence[float] | Estimate, digits: int = 3) -> str:
    """``mean ± half the 95 % interval`` over runs, for a table; the mean alone where all agree."""
    estimate = values if isinstance(values, Estimate) else student(values)
    half = (estimate.high - estimate.low) / 2
    mean = rounded(estimate.value, digits)
    return mean if half <= 1e-9 * abs(estimate.value) else f"{mean} ± {rounded(half, 1)}"


def rounded(value: float, digits: int) -> str:
    """Significant digits without an exponent where five places hold them."""
    return f"{float(f'{value:.{digits}g}'):g}"
