"""Options in tables: read from plain values, checked, and refused where they would do nothing.

A kind of options is a dataclass with a method ``idle(values)``, which says which of them have no
effect beside the others.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from fdiff.described import shown

# Options without effect beside the others: by name, the value as which each one acts, and why.
Idle = dict[str, tuple[Any, str]]


def plain(value: Any) -> Any:
    """Tables and tuples within tables as TOML and JSON take them: tuples become lists."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, tuple) else value


def tables_of(changes: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Values by table from keys as ``training__seed``."""
    tables: dict[str, dict[str, Any]] = {}
    for key, value in changes.items():
        part, name = key.split("__")
        tables.setdefault(part, {})[name] = value
    return tables


def defaults_of(kind) -> dict[str, Any]:
    """The default of each option, by name."""
    return {f.name: f.default for f in dataclasses.fields(kind)}


def _idle_given(kind, values: Mapping[str, Any]) -> Idle:
    """The options without effect that have another value than their default."""
    defaults = defaults_of(kind)
    return {
        name: (value, why)
        for name, (value, why) in kind.idle(values).items()
        if values[name] not in (value, defaults[name])
    }


def refuse_idle(table: str, part) -> None:
    """Raises ValueError where an option that has no effect was given a value of its own."""
    for name, (_, why) in _idle_given(type(part), vars(part)).items():
        given = getattr(part, name)
        raise ValueError(f"{table}.{name} = {given!r} would have no effect: {why}")


def check_finite(table: str, part) -> None:
    """Raises ValueError where a number among the options is infinite or NaN."""
    for name, value in vars(part).items():
        numbers = value if isinstance(value, tuple) else (value,)
        if any(isinstance(n, float) and not math.isfinite(n) for n in numbers):
            raise ValueError(f"{table}.{name} must be finite, got {value}")


def options_from(kind, table_name: str, table: dict[str, Any], recorded: bool):
    """The options of a table; those that it does not have take their defaults.

    ``recorded``: by a run, where options without effect become what they acted as.

    Raises:
        ValueError: no table, an unknown key, or a value of another type than the default's.
    """
    if not isinstance(table, dict):
        raise ValueError(f"[{table_name}] must be a table of keys, got {shown(table)}")
    fields = {f.name: f for f in dataclasses.fields(kind)}
    check_keys(f"key of [{table_name}]", table, fields)
    default = kind()
    values = {}
    for name, value in table.items():
        values[name] = _typed(f"{table_name}.{name}", value, getattr(default, name))
    if recorded:
        idle = _idle_given(kind, vars(default) | values)
        values |= {name: value for name, (value, _) in idle.items()}
    return kind(**values)


def _typed(name: str, value, default):
    if name == "network.n_modes":
        value = tuple(value) if isinstance(value, list) else value
        whole = value if isinstance(value, tuple) else (value,)
        if not all(type(v) is int for v in whole):
            raise ValueError(f"{name} must be a whole number or a list of them, got {shown(value)}")
        return value
    if isinstance(default, tuple):
        if not isinstance(value, list | tuple):
            raise ValueError(f"{name} must be a list, got {shown(value)}")
        example = default[0] if default else ""
        return tuple(_typed(name, item, example) for item in value)
    if isinstance(default, float) and type(value) is int:
        value = float(value)
    if type(value) is not type(default):
        raise ValueError(f"{name} must be of type {type(default).__name__}, got {shown(value)}")
    return value


def check_at_least(least: int, **values: float) -> None:
    """Raises ValueError where a value is less; its name has ``__`` for the dot after the table."""
    for name, value in values.items():
        if not value >= least:
            key = name.replace("__", ".")
            raise ValueError(f"{key} must be at least {least}, got {value}")


def check_keys(what: str, got, known) -> None:
    """Raises ValueError with the first of ``got`` that is not ``known``."""
    unknown = sorted(set(got) - set(known))
    if unknown:
        raise ValueError(f"unknown {what}: {unknown[0]!r}; known are {', '.join(known)}")
