"""Values of a description that stands in a file, checked one by one where they are read.

A description (``run.json``, the records in a dataset, a manifest) was written whole by a program: a
key that is missing or a value of another kind means damage, and no default takes its place. What is
wrong is said once, here, with the file, the item, what was expected and what was found.
"""

from __future__ import annotations

import dataclasses
import math
import numbers
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import MISSING, dataclass
from pathlib import Path
from typing import Any, final

from fdiff.errors import FileError
from fdiff.grid import BOUNDARIES


@final
@dataclass(frozen=True)
class Item:
    """A value, the file that holds it and the name under which it stands there."""

    file: str
    name: str  # "noise.shift"; "" for the whole description
    value: Any

    def refused(self, expected: str, advice: str = "") -> FileError:
        """The error that says what was expected in its place."""
        return FileError(self.file, self.name, expected, shown(self.value), advice)

    def below(self, key: str, value: Any) -> Item:
        return Item(self.file, f"{self.name}.{key}" if self.name else key, value)

    def table(self, needed: Sequence[str] = (), others: Sequence[str] | None = None) -> Table:
        """A table with the keys ``needed``, and no others than ``others`` (None: any).

        Raises:
            FileError: no table, a key that is missing or one that is not known.
        """
        if not isinstance(self.value, dict):
            raise self.refused("a table of keys")
        for key in needed:
            if key not in self.value:
                raise FileError(
                    self.file, self.below(key, None).name, "a value", "nothing",
                    "the description is damaged: restore the file",
                )  # fmt: skip
        for key in self.value:
            if others is not None and key not in needed and key not in others:
                known = ", ".join([*needed, *others])
                raise FileError(
                    self.file, self.name, f"no other keys than {known}", shown(str(key)),
                    "a newer version of fdiff may have written it",
                )  # fmt: skip
        return Table(self)

    def each(self, count: int | None = None) -> list[Item]:
        """The items of a list, of ``count`` of them where it is given."""
        if not isinstance(self.value, list | tuple):
            raise self.refused("a list" if count is None else f"a list of {count}")
        if count is not None and len(self.value) != count:
            raise FileError(self.file, self.name, f"a list of {count}", f"one of {len(self.value)}")
        return [Item(self.file, f"{self.name}[{i}]", one) for i, one in enumerate(self.value)]

    def number(self, above: float = -math.inf) -> float:
        """A finite number, greater than ``above``."""
        value = self.value
        if not finite(value) or value <= above:
            raise self.refused(
                "a finite number" if above == -math.inf else f"a finite number above {above:g}"
            )
        return float(value)

    def whole(self, least: int = 0, most: int = 2**63 - 1) -> int:
        """A whole number between two others."""
        value = self.value
        if not is_number(value, int) or not least <= value <= most:
            upper = "" if most == 2**63 - 1 else f" and <= {most}"
            raise self.refused(f"a whole number >= {least}{upper}")
        return value

    def text(self, *choices: str) -> str:
        """A text that is not empty, one of ``choices`` where there are any."""
        if not isinstance(self.value, str) or not self.value:
            raise self.refused(" or ".join(map(repr, choices)) or "a text")
        if choices and self.value not in choices:
            raise self.refused("one of " + ", ".join(map(repr, choices)))
        return self.value


class Table:
    """The items of a table by name."""

    def __init__(self, item: Item):
        self._item = item

    @property
    def values(self) -> dict[str, Any]:
        return self._item.value

    def __getitem__(self, key: str) -> Item:
        """The item of that key.

        Raises:
            FileError: there is none.
        """
        if key not in self._item.value:
            self._item.table([key])
        return self._item.below(key, self._item.value[key])

    def __contains__(self, key: str) -> bool:
        return key in self._item.value

    def items(self) -> list[tuple[str, Item]]:
        return [(key, self[key]) for key in self._item.value]

    def given(self, key: str) -> Item | None:
        """The item, None where it is absent or null."""
        return self[key] if self._item.value.get(key) is not None else None


def check_box(lengths: Item, boundary: Item, origin: Item, axes: int | None = None) -> None:
    """Raises FileError where these lists, one entry an axis, are not those of a `Grid`'s box.

    ``axes``: how many there are, where that is known from elsewhere.
    """
    sides = lengths.each(axes)
    if not 1 <= len(sides) <= 3:
        raise lengths.refused("1 to 3 side lengths")
    for length in sides:
        length.number(above=0)
    for kind in boundary.each(len(sides)):
        kind.text(*BOUNDARIES)
    for place in origin.each(len(sides)):
        place.number()


def constructed(kind: type, arguments: Mapping[str, Any], what: str) -> Any:
    """An object of a dataclass from the values of a table, which a user wrote.

    Values for fields of numbers and text are of that type, the numbers finite; the class says what
    else it expects.

    Raises:
        ValueError: a key that the class does not have, one that it needs, or a value of another
            type; the sentence begins with ``what``.
    """
    fields = {f.name: f for f in dataclasses.fields(kind) if f.init}
    for name in arguments:
        if name not in fields:
            known = ", ".join(fields) or "none"
            raise ValueError(f"{what}: there is no key {shown(str(name))}; the keys are {known}")
    for name, field in fields.items():
        if name not in arguments:
            if field.default is MISSING and field.default_factory is MISSING:
                raise ValueError(f"{what}: the key {name} is missing")
            continue
        value, wanted = arguments[name], str(field.type).partition(" | ")
        expected, fits = _TYPES.get(wanted[0], ("", lambda _: True))
        optional = value is None and wanted[2] == "None"
        if not (optional or fits(value) or (wanted[2] not in ("", "None"))):
            raise ValueError(f"{what}: {name}: expected {expected}, got {shown(value)}")
    return kind(**arguments)


def finite(value: Any) -> bool:
    """Whether a value is a finite real number, and no truth value."""
    # A whole number of hundreds of digits is no float.
    return is_number(value, numbers.Real) and bool(abs(value) <= 1e300)


def is_number(value: Any, kind: type) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)


_TYPES: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "float": ("a finite number", finite),
    "int": ("a whole number", lambda value: is_number(value, numbers.Integral) and finite(value)),
    "str": ("text", lambda value: isinstance(value, str)),
    "bool": ("true or false", lambda value: isinstance(value, bool)),
}


def shown(value: Any) -> str:
    """A value in a few words: long ones are cut."""
    if isinstance(value, str):
        return repr(value if len(value) <= 40 else value[:37] + "...")
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    if isinstance(value, int | float):
        return f"{value!r}" if abs(value) < 1e18 or value != value else f"{float_of(value):g}"
    if isinstance(value, dict):
        return f"a table of {len(value)} keys"
    if isinstance(value, list | tuple):
        return f"a list of {len(value)}"
    return f"a value of type {type(value).__name__}"


def float_of(value: int | float) -> float:
    """A number as a float, infinite where none is so large."""
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


@contextmanager
def named(file: Path | str) -> Iterator[None]:
    """Puts the file's name before a sentence of fdiff about one of its values."""
    try:
        yield
    except FileError:
        raise
    except ArithmeticError:
        found = "others that overflow"
        raise FileError(file, "", "numbers that can be computed with", found) from None
    except ValueError as error:
        if str(file) in str(error):
            raise
        said = str(error)
        raise FileError(file, "", "a sound description", said, message=f"{file}: {said}") from None
