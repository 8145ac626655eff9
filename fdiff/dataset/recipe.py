"""Recipes: everything that fixes a dataset, in a TOML file, checked key by key."""

from __future__ import annotations

import importlib.resources
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any, final

import numpy as np

from fdiff import noise, pde
from fdiff.dataset.formats import BY_CONTENT
from fdiff.dataset.recipe_keys import CONVERT, parse_times
from fdiff.dataset.records import digest as digest_of
from fdiff.described import named
from fdiff.files import expanded
from fdiff.grid import Grid
from fdiff.inputs import read_toml

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
        for key, convert in CONVERT.items():
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
