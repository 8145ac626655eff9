"""What a training reports: to a callback after each step, and one record a validation."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import final


@final
@dataclass(frozen=True)
class Progress:
    """What a callback sees after each step."""

    step: int  # steps done
    total: int
    level: tuple[int, ...]
    loss: float
    rate: float  # learning rate
    seconds: float  # of this call to `train`
    speed: float  # steps a second, in this call
    remaining: float  # seconds, by the cost of the steps left


@dataclass
class Record:
    """One line of ``metrics.jsonl``."""

    step: int
    level: list[int]
    samples: int
    flops: float  # of the matrix products, see `fdiff.nn.trial.field_flops`
    seconds: float
    loss: float
    validation: dict[str, float] = field(default_factory=dict)


def read_records(path: Path) -> list[Record]:
    """The records of a ``metrics.jsonl``; none where there is no such file."""
    lines = path.read_text().splitlines() if path.is_file() else []
    return [Record(**json.loads(line)) for line in lines]
