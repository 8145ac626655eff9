"""Damage to descriptions: JSON, TOML, YAML and lines of JSON, as trees and as text."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .damage import BYTES, Damage, Damager

# In place of a value: what another program, a slip of the hand or malice may write there.
STRANGERS: tuple[Any, ...] = (
    None, True, False, -1, 0, 1, 2, 7, 0.5, -0.0, 1e308, -1e308, 1e-320, float("nan"),
    float("inf"), -float("inf"), 2**31, 2**63, 2**70, 10**9, "", "x", "../victim.h5", "nan",
    "\x00", "é" * 300, [], [0], [[]], [None], [1, "a"], {}, {"a": 1}, {"type": "object"},
)  # fmt: skip
Step = str | int


def places(tree: Any, above: tuple[Step, ...] = ()) -> list[tuple[Step, ...]]:
    """The ways to the values of a tree; of a long list of numbers only the first and the last."""
    found = [above] if above else []
    if isinstance(tree, dict):
        steps: list[Step] = list(tree)
    elif isinstance(tree, list):
        steps = [0, len(tree) - 1] if len(tree) > 4 else list(range(len(tree)))
    else:
        steps = []
    for step in steps:
        found += places(tree[step], (*above, step))
    return found


def mutated(tree: Any, chance: random.Random) -> tuple[Any, str, tuple[Step, ...], str]:
    """Another tree, what was done in words, where, and the kind of it."""
    tree = copy.deepcopy(tree)
    ways = places(tree)
    if not ways or chance.random() < 0.03:
        stranger = chance.choice(STRANGERS)
        return stranger, f"the whole became {stranger!r}", (), "replaced"
    way = chance.choice(ways)
    above = tree
    for step in way[:-1]:
        above = above[step]
    name, last = ".".join(map(str, way)), way[-1]
    kind = chance.choice(("removed", "removed", "replaced", "replaced", "replaced", "added", "deep",
                          "long", "repeated"))  # fmt: skip
    if kind == "removed":
        del above[last]
        return tree, f"{name} removed", way, kind
    if kind == "replaced":
        value = above[last]
        options = list(STRANGERS)
        if isinstance(value, int | float) and not isinstance(value, bool):
            options += [-value, value + 1, value * 1e6, str(value), [value]] * 2
        above[last] = chance.choice(options)
        return tree, f"{name} became {above[last]!r:.60}", way, kind
    if kind == "added":
        if isinstance(above[last], dict):
            above[last]["stranger"] = 1
        elif isinstance(above, dict):
            above["stranger"] = 1
        else:
            above.append(copy.deepcopy(above[last]))
        return tree, f"something added at {name}", way, kind
    if kind == "deep":
        value: Any = 0
        depth = chance.choice((3, 40, 300))
        for _ in range(depth):
            value = [value] if chance.random() < 0.5 else {"a": value}
        above[last] = value
        return tree, f"{name} became {depth} nested values", way, kind
    if kind == "long":
        above[last] = chance.choice(("x" * 200_000, [0.0] * 50_000))
        return tree, f"{name} became very long", way, kind
    if isinstance(above[last], list):
        above[last] = above[last] * 2
    elif isinstance(above, list):
        above.insert(0, copy.deepcopy(above[last]))
    else:
        above[last] = [copy.deepcopy(above[last])] * 2
    return tree, f"{name} repeated", way, kind


def as_json(path: Path, chance: random.Random) -> Damage:
    tree, what, way, kind = mutated(json.loads(path.read_text()), chance)
    path.write_text(json.dumps(tree, indent=1))
    # Every key of a run's description is needed; what the training data say of themselves is free.
    needed = (
        path.name == "run.json" and "training_data" not in way and isinstance(way[-1:] or 0, tuple)
    )
    named = needed and kind == "removed" and isinstance(way[-1], str)
    return Damage(what, forbidden=f"{way[-1]} is missing" if named else "")


def as_lines(path: Path, chance: random.Random) -> Damage:
    """One line of a file of JSON lines, or the order and number of its lines."""
    lines = path.read_text().splitlines()
    kind = chance.choice(("value", "value", "value", "order", "number", "blank"))
    place = chance.randrange(len(lines))
    if kind == "value":
        tree, what, _, _ = mutated(json.loads(lines[place]), chance)
        lines[place] = json.dumps(tree)
    elif kind == "order":
        lines, what = lines[::-1], "lines in the opposite order"
    elif kind == "number":
        lines, what = lines + lines, "every line twice"
    else:
        lines[place], what = "", "a line is blank"
    path.write_text("".join(f"{line}\n" for line in lines))
    return Damage(f"line {place}: {what}")


def as_toml(path: Path, chance: random.Random) -> Damage:
    import tomllib

    tree, what, _, _ = mutated(tomllib.loads(path.read_text()), chance)
    path.write_text(toml_text(tree))
    return Damage(what)


def toml_text(tree: Any) -> str:
    """TOML of a tree; what TOML does not know (null) becomes its own text."""
    if not isinstance(tree, dict):
        return f"{_toml_value(tree)}\n"
    return "".join(f"{json.dumps(str(k))} = {_toml_value(v)}\n" for k, v in tree.items())


def _toml_value(value: Any) -> str:
    if isinstance(value, dict):
        return (
            "{" + ", ".join(f"{json.dumps(k)} = {_toml_value(v)}" for k, v in value.items()) + "}"
        )
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml_value, value)) + "]"
    if isinstance(value, float):
        return repr(value)
    return json.dumps(value)


def as_yaml(path: Path, chance: random.Random) -> Damage:
    import yaml

    tree, what, _, _ = mutated(yaml.safe_load(path.read_text()), chance)
    path.write_text(yaml.safe_dump(tree))
    return Damage(what)


def deep_text(path: Path, chance: random.Random) -> Damage:
    depth = chance.choice((1000, 100_000))
    opening = chance.choice(("[", '{"a":', "a = ["))
    path.write_text(opening + "[" * depth)
    return Damage(f"{depth} opening brackets")


def long_number(path: Path, chance: random.Random) -> Damage:
    text = path.read_text()
    digits = [i for i, c in enumerate(text) if c.isdigit()] or [0]
    place = chance.choice(digits)
    path.write_text(text[:place] + "1" * 5000 + text[place:])
    return Damage("a number of five thousand digits")


def other_encoding(path: Path, chance: random.Random) -> Damage:
    text = path.read_text()
    kind = chance.choice(("utf-16", "utf-8-sig", "latin-1", "nul"))
    if kind == "nul":
        path.write_bytes(text.encode().replace(b"=", b"\0", 1).replace(b":", b"\0", 1))
    elif kind == "latin-1":
        path.write_bytes(b"\xe9" + text.encode())
    else:
        path.write_text(text, encoding=kind)
    return Damage(f"written as {kind}", keeps=kind in ("utf-16", "utf-8-sig"))


def twice(path: Path, chance: random.Random) -> Damage:
    path.write_text(path.read_text() * 2)
    return Damage("the text twice")


def huge(path: Path, chance: random.Random) -> Damage:
    with path.open("ab") as file:
        file.write(b" \n" * 10_000_000)
    return Damage("twenty megabytes of blanks at the end", keeps=True)


def _texts(structure: Callable[[Path, random.Random], Damage]) -> tuple[Damager, ...]:
    return (*[structure] * 12, *BYTES, deep_text, long_number, other_encoding, twice, huge)


JSON, LINES, TOML, YAML = map(_texts, (as_json, as_lines, as_toml, as_yaml))
