"""Verdicts on claims, and their records in JSON and CSV."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from pathlib import Path
from typing import Any


class Verdict(StrEnum):
    PASS = "PASS"
    FAIL = "FAIL"
    INCONCLUSIVE = "INCONCLUSIVE"


def verdict_of(low: float, high: float, least: float, most: float) -> Verdict:
    """PASS if ``[low, high]`` lies in ``[least, most]``, FAIL if outside, else INCONCLUSIVE.

    Not a number fails.
    """
    if least <= low and high <= most:
        return Verdict.PASS
    if least <= high and low <= most:
        return Verdict.INCONCLUSIVE
    return Verdict.FAIL


@dataclass(frozen=True)
class Record:
    """What a claim declares and what was observed, in its 95 % interval; NaN where nothing was."""

    claim: str
    source: str
    declared: float
    observed: float
    low: float
    high: float
    verdict: Verdict
    seconds: float
    reason: str = ""

    def as_dict(self) -> dict[str, Any]:
        """The record as JSON values; NaN and infinities, which JSON does not know, become null."""
        return {
            key: None if isinstance(value, float) and not math.isfinite(value) else value
            for key, value in asdict(self).items()
        }


def to_json(records: Sequence[Record]) -> str:
    return json.dumps([record.as_dict() for record in records], indent=1, allow_nan=False) + "\n"


def to_csv(records: Sequence[Record]) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, [field.name for field in fields(Record)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(record) for record in records)
    return out.getvalue()


def write_json(records: Sequence[Record], path: Path | str) -> Path:
    """The file is written whole or not at all."""
    from fdiff.files import write_text

    return write_text(path, to_json(records))


def write_csv(records: Sequence[Record], path: Path | str) -> Path:
    """The file is written whole or not at all."""
    from fdiff.files import write_text

    return write_text(path, to_csv(records))
