"""The values of a recipe's keys: what each one may be, and as what it is kept."""

from __future__ import annotations

import math
import numbers
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fdiff import pde
from fdiff.described import finite, shown
from fdiff.grid import BOUNDARIES

FORMATS = ("pdebench", "well")
MAX_SAMPLES = 2**31
MOST_TIMES = 10_000_000


def parse_times(text: str) -> np.ndarray:
    """``"2.5"``, ``"0.5,2.5"`` or ``"0:5:0.05"`` (the end included)."""
    try:
        if ":" not in text:
            return np.array([float(part) for part in text.split(",")])
        start, stop, step = (float(part) for part in text.split(":"))
        count = (stop - start) / step
        if not math.isfinite(count):
            raise ValueError
    except (ValueError, ZeroDivisionError):
        raise ValueError(
            f"recipe key times: expected a number, numbers with commas, or start:stop:step, "
            f"got {shown(text)}"
        ) from None
    if count < 0 or abs(count - round(count)) > 1e-6 * max(1.0, count):
        raise ValueError(f"recipe key times: the step does not divide the range in {shown(text)}")
    if count > MOST_TIMES:
        raise ValueError(f"recipe key times: at most {MOST_TIMES} stored times, got {count:.3g}")
    return np.linspace(start, stop, round(count) + 1)


def _text(key: str, value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"recipe key {key}: expected text, got {shown(value)}")
    return value


def _row(key: str, value: Any) -> tuple:
    if isinstance(value, str) or not isinstance(value, Sequence | np.ndarray):
        raise ValueError(f"recipe key {key}: expected a list, got {shown(value)}")
    return tuple(value)


def _table(key: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise ValueError(f"recipe key {key}: expected a table of keys, got {shown(value)}")
    return dict(value)


def _choice(*allowed: str):
    def convert(key: str, value: Any) -> str:
        if not isinstance(value, str) or value not in allowed:
            raise ValueError(f"recipe key {key}: one of {', '.join(allowed)}, got {shown(value)}")
        return value

    return convert


def _whole(low: int, high: int):
    def convert(key: str, value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, numbers.Integral):
            raise ValueError(f"recipe key {key}: expected a whole number, got {shown(value)}")
        whole = int(value)
        if not low <= whole <= high:
            raise ValueError(f"recipe key {key}: between {low} and {high}, got {shown(whole)}")
        return whole

    return convert


def _real(key: str, value: Any) -> float:
    if not finite(value):
        raise ValueError(f"recipe key {key}: expected a finite number, got {shown(value)}")
    return float(value)


def _open_unit(key: str, value: Any) -> float:
    value = _real(key, value)
    if not 1e-13 <= value <= 0.1:
        raise ValueError(f"recipe key {key}: between 1e-13 and 0.1, got {shown(value)}")
    return value


def _shape(key: str, value: Any) -> tuple[int, ...]:
    value = (value, value) if isinstance(value, numbers.Integral) else _row(key, value)
    if not 1 <= len(value) <= 3:
        raise ValueError(f"recipe key {key}: one to three axes, got {len(value)}")
    return tuple(_whole(1, 32768)(key, n) for n in value)


def _axes(convert):
    def many(key: str, value: Any) -> tuple:
        values = (value,) if isinstance(value, str | numbers.Real) else _row(key, value)
        return tuple(convert(key, v) for v in values)

    return many


def _length(key: str, value: Any) -> float:
    value = _real(key, value)
    if value <= 0:
        raise ValueError(f"recipe key {key}: a length is > 0, got {shown(value)}")
    return value


def _times(key: str, value: Any) -> str | tuple[float, ...]:
    if isinstance(value, numbers.Real):
        value = (value,)
    return value if isinstance(value, str) else tuple(_real(key, v) for v in _row(key, value))


def _initial(key: str, value: Any) -> dict[str, Any]:
    if isinstance(value, str):
        name, _, path = value.partition(":")
        value = {"name": name, "path": path} if path else {"name": value}
    value = _table(key, value)
    if not isinstance(value.get("name"), str):
        raise ValueError(f"recipe key {key}: expected a name, or a table with a name")
    if isinstance(value.get("path"), str):
        value["path"] = os.path.expanduser(value["path"])
    return value


def _forcing(key: str, value: Any) -> dict[str, Any]:
    value = _table(key, value)
    if not value:
        return value
    if set(value) != {"step", "covariance"}:
        raise ValueError(f"recipe key {key}: keys step and covariance, got {sorted(value)}")
    try:
        pde.covariance_from(value["covariance"])
    except ValueError as error:
        raise ValueError(f"recipe key {key}.covariance: {error}") from None
    return {"step": _length(f"{key}.step", value["step"]), "covariance": dict(value["covariance"])}


def _parameters(key: str, value: Any) -> dict[str, Any]:
    return {name: _parameter(f"{key}.{name}", law) for name, law in _table(key, value).items()}


def _parameter(key: str, law: Any) -> Any:
    if not isinstance(law, Mapping):
        return _real(key, law)
    if len(law) != 1 or next(iter(law)) not in ("uniform", "loguniform"):
        raise ValueError(
            f"recipe key {key}: a number, {{uniform = [low, high]}} or {{loguniform = [low, high]}}"
        )
    kind, bounds = next(iter(law.items()))
    bounds = [_real(key, v) for v in _row(key, bounds)]
    if len(bounds) != 2:
        raise ValueError(f"recipe key {key}: two bounds, low and high, got {bounds}")
    low, high = bounds
    if not low < high or (kind == "loguniform" and low <= 0):
        raise ValueError(f"recipe key {key}: low < high (and > 0 if loguniform), got {bounds}")
    return {kind: [low, high]}


def _splits(key: str, value: Any) -> dict[str, float]:
    value = {name: _real(f"{key}.{name}", share) for name, share in _table(key, value).items()}
    if value and (min(value.values()) < 0 or abs(sum(value.values()) - 1.0) > 1e-9):
        raise ValueError(f"recipe key {key}: shares >= 0 that add up to 1, got {value}")
    return value


# By key, a function of its name and value that returns what is kept, or raises ValueError.
CONVERT = {
    "system": _text,
    "parameters": _parameters,
    "resolution": _shape,
    "lengths": _axes(_length),
    "origin": _axes(_real),
    "boundary": _axes(_choice(*BOUNDARIES)),
    "times": _times,
    "initial": _initial,
    "method": _choice(*pde.METHODS),
    "forcing": _forcing,
    "tolerance": _open_unit,
    "samples": _whole(1, MAX_SAMPLES),
    "first": _whole(0, MAX_SAMPLES),
    "seed": _whole(0, 2**64 - 1),
    "format": _choice(*FORMATS),
    "splits": _splits,
    "name": _text,
    "about": _text,
}
