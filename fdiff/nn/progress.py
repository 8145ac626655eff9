"""What a training reports: to a callback after each step, and one record a validation."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import final

from fdiff.described import Item
from fdiff.inputs import MOST_JSON, parse_json, read_text


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
    """The records of a ``metrics.jsonl``; none where there is no such file.

    Raises:
        FileError: a line that is no record; the item is its number.
    """
    if not path.exists() and not path.is_symlink():
        return []
    lines = read_text(path, MOST_JSON).splitlines()
    return [_record(line, path, f"line {i}") for i, line in enumerate(lines, 1)]


def _record(line: str, path: Path, place: str) -> Record:
    names = [field.name for field in fields(Record)]
    table = Item(str(path), place, parse_json(line, path, place)).table(names, ())
    for side in table["level"].each():
        side.whole(1)
    for name in ("step", "samples"):
        table[name].whole()
    for name in ("flops", "seconds", "loss"):
        table[name].number()
    for _, loss in table["validation"].table().items():
        loss.number()
    return Record(**{name: table[name].value for name in names})
