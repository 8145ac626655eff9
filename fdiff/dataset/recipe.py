"""Recipes: everything that fixes a dataset, in a TOML file, checked key by key."""

from __future__ import annotations

import importlib.resources
import json
import math
import numbers
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any, final

import numpy as np

from fdiff import noise, pde
from fdiff.dataset.formats import BY_CONTENT
from fdiff.dataset.records import digest as digest_of
from fdiff.described import finite, named, shown
from fdiff.files import expanded
from fdiff.grid import BOUNDARIES, Grid
from fdiff.inputs import read_toml

FORMATS = ("pdebench", "well")
MAX_SAMPLES = 2**31
MOST_TIMES = 10_000_000
# First of the keyed streams from which a sample's own parameters are drawn.
_PARAMETER_STREAM = 1


@final
@dataclass(frozen=True)
class Recipe:
    """What a dataset file is made from; equal recipes make equal files.

    A parameter is a number, or a law from which every sample draws its own:
    ``{uniform = [low, high]}`` or ``{loguniform = [low, high]}``.
    """

    system: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    resolution: tuple[int, ...] = (128, 128)
    lengths: tuple[float, ...] = ()  # the system's box by default
    origin: tuple[float, ...] = ()
    boundary: tuple[str, ...] = ()
    times: str | tuple[float, ...] = ""  # start:stop:step, stop included, or a list
    initial: Mapping[str, Any] = field(default_factory=lambda: {"name": "grf"})
    method: str = "stabilised"
    forcing: Mapping[str, Any] = field(default_factory=dict)  # {step, covariance}: a Q-Wiener path
    tolerance: float = 1e-5
    samples: int = 100
    first: int = 0
    seed: int = 0
    format: str = "pdebench"
    splits: Mapping[str, float] = field(default_factory=dict)
    name: str = ""
    about: str = ""

    def __post_init__(self) -> None:
        for key, convert in _CONVERT.items():
            object.__setattr__(self, key, convert(key, getattr(self, key)))
        base = pde.system(self.system)
        unknown = sorted(set(self.parameters) - set(base.parameters))
        if unknown:
            raise ValueError(
                f"recipe key parameters.{unknown[0]}: {self.system} has parameters "
                f"{', '.join(base.parameters)}"
            )
        object.__setattr__(
            self, "parameters", {k: self.parameters.get(k, v) for k, v in base.parameters.items()}
        )
        dim = len(self.resolution)
        for key, default in (
            ("lengths", base.lengths), ("origin", base.origin), ("boundary", base.boundary),
        ):  # fmt: skip
            value = getattr(self, key) or (default,)
            if len(value) not in (1, dim):
                raise ValueError(
                    f"recipe key {key}: one value, or one per axis of resolution "
                    f"{list(self.resolution)}, got {list(value)}"
                )
            object.__setattr__(self, key, value * (dim if len(value) == 1 else 1))
        if not self.times:
            times = f"0:{base.end:g}:{base.end / 100:g}" if base.end else "0"
            object.__setattr__(self, "times", times)
        object.__setattr__(self, "name", self.name or self.system)
        self.stored_times  # noqa: B018  # raises here, where the key is known
        self.law  # noqa: B018
        self.grid  # noqa: B018
        if self.system == pde.NONE and self.stored_times.tolist() != [0.0]:
            raise ValueError(
                f"recipe key times: without an equation there is the time 0 only, "
                f"got {self.times!r}"
            )
        if self.law.fields and self.system != pde.NONE and self.law.fields != base.fields:
            raise ValueError(
                f"recipe key initial: the law {self.initial['name']} gives "
                f"{', '.join(self.law.fields)}, {self.system} has {', '.join(base.fields)}"
            )
        system = self.system_of(self.first)
        if system.rotation and self.method == "stabilised" and not self.forcing:
            raise ValueError(f'recipe key method: {self.system} needs method = "etdrk4"')

    @cached_property
    def grid(self) -> Grid:
        """Axes in the order of the data: (y, x), (z, y, x)."""
        return Grid(self.resolution, self.lengths, self.boundary, self.origin)

    @cached_property
    def stored_times(self) -> np.ndarray:
        times = parse_times(self.times) if isinstance(self.times, str) else np.array(self.times)
        try:
            return pde.checked_times(times)
        except ValueError as error:
            raise ValueError(f"recipe key times: {error}") from None

    @cached_property
    def law(self) -> pde.Initial:
        """The law of the initial states."""
        arguments = {k: v for k, v in self.initial.items() if k != "name"}
        try:
            return pde.initial(self.initial["name"], **arguments)
        except ValueError as error:
            raise ValueError(f"recipe key initial: {error}") from None

    @property
    def field_names(self) -> tuple[str, ...]:
        return self.law.fields or pde.system(self.system).fields

    def parameters_of(self, sample: int) -> dict[str, float]:
        """The parameters of one sample; drawn ones are keyed by (seed, sample, place)."""
        values = {}
        for place, (key, law) in enumerate(self.parameters.items()):
            if isinstance(law, Mapping):
                ((kind, (low, high)),) = law.items()
                u = noise.uniforms(
                    self.seed, noise.PDE_INITIAL, 1, sample, kind=_PARAMETER_STREAM + place
                )[0]
                law = low + (high - low) * u if kind == "uniform" else low * (high / low) ** u
            values[key] = float(law)
        return values

    def system_of(self, sample: int) -> pde.System:
        """The system with the parameters of one sample."""
        return pde.system(self.system).with_parameters(**self.parameters_of(sample))

    def as_dict(self) -> dict[str, Any]:
        """JSON values, every default written out."""
        return json.loads(json.dumps(asdict(self)))

    @cached_property
    def digest(self) -> str:
        """Names the recipe, apart from how many samples are asked for and where a source lies."""
        known = {k: v for k, v in self.as_dict().items() if k not in ("samples", "about")}
        if self.law.from_path:
            known["initial"].pop("path")
        return digest_of(known)

    @cached_property
    def function_digest(self) -> str:
        """Names the law of the solutions as functions, whatever the grid, times and tolerance."""
        keys = ("system", "parameters", "lengths", "origin", "boundary", "initial", "forcing")
        known = {k: v for k, v in self.as_dict().items() if k in keys}
        if not self.law.resolution_free:
            known["resolution"] = list(self.resolution)
        return digest_of(known)

    def identity(self, sample: int) -> str:
        """Equal for two samples that are the same solution: law, seed and index.

        A state that is read from a file takes the place of law, seed and index with its values.
        """
        known = self.law.identity(sample)
        if known is not None:
            return known
        content = self.law.content(pde.system(self.system), sample)
        if content is not None:
            return BY_CONTENT + self._solution_digest(content, sample)
        if self.law.seeds_add:
            return f"{self.function_digest}:{self.seed + sample}"
        return f"{self.function_digest}:{self.seed}:{sample}"

    def _solution_digest(self, content: str, sample: int) -> str:
        """Names one solution by the values that it starts from and all that acts on them."""
        keys = ("system", "resolution", "lengths", "origin", "boundary", "forcing")
        known = {k: v for k, v in self.as_dict().items() if k in keys}
        known |= {"initial": content, "parameters": self.parameters_of(sample)}
        if self.forcing:
            known |= {"seed": self.seed, "sample": sample}
        return digest_of(known)

    def differences(self, other: Recipe) -> list[str]:
        """``key is theirs, not ours`` for every key that fixes the samples.

        Where a file is that initial states are read from is none of them: see `source`.
        """
        ours, theirs = (_flat(recipe.as_dict()) for recipe in (self, other))
        free = ("samples", "about", *(("initial.path",) if self.law.from_path else ()))
        return [
            f"{key} is {_shown(theirs, key)}, not {_shown(ours, key)}"
            for key in dict.fromkeys([*ours, *theirs])
            if key not in free and _shown(ours, key) != _shown(theirs, key)
        ]

    def override(self, **values: Any) -> Recipe:
        """The recipe with other values; None leaves a key as it is."""
        values = {key: value for key, value in values.items() if value is not None}
        settings = values.pop("settings", {})
        if settings:
            values["parameters"] = {**self.parameters, **settings}
        return replace(self, **values)


def load(name: str | Path) -> Recipe:
    """The recipe of that name in `data_generation`, or from that TOML file."""
    path = expanded(name)
    if path.suffix != ".toml":
        path = folder() / f"{name}.toml"
        if not path.is_file():
            raise ValueError(
                f"no recipe is named {str(name)!r}; there are {', '.join(names())}, or give a "
                "file that ends in .toml"
            )
    with named(path):
        return from_dict(read_toml(path))


def from_dict(content: Mapping[str, Any]) -> Recipe:
    """A recipe from TOML or JSON values."""
    known = {f.name for f in fields(Recipe)}
    unknown = sorted(set(content) - known)
    if unknown:
        raise ValueError(f"recipe key {unknown[0]} is unknown; known: {', '.join(sorted(known))}")
    if "system" not in content:
        raise ValueError(
            f"recipe key system is missing; one of {', '.join(pde.names())}, or {pde.NONE}"
        )
    return Recipe(**content)


def folder() -> Path:
    """Where the recipes that come with the package lie: data found by name, not code imported."""
    return Path(str(importlib.resources.files("data_generation")))


def names() -> list[str]:
    """The recipes that come with the package."""
    return sorted(path.stem for path in folder().glob("*.toml"))


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


def _flat(values: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """Tables within tables by names like ``parameters.Du``."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            found |= _flat(value, f"{above}{key}.")
        else:
            found[above + key] = value
    return found


def _shown(values: Mapping[str, Any], key: str) -> str:
    return repr(values[key]) if key in values else "not set"


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


_CONVERT = {
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
