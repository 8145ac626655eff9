"""Random initial states: sample ``i`` of ``seed`` is one state, whatever else is drawn."""

from __future__ import annotations

import hashlib
import json
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, final

import numpy as np

from fdiff import noise, words
from fdiff.described import constructed, named, shown
from fdiff.grid import Grid
from fdiff.pde.systems import System
from fdiff.words import counted

if TYPE_CHECKING:
    from fdiff.covariance import CovarianceOperator
    from fdiff.dataset import Dataset

# First of the keyed streams of uniform numbers for the places of spots; see `recipe` for others.
_SPOT_STREAM = 1000


class Initial(ABC):
    """A law of initial states."""

    name: str
    resolution_free = True  # the same function on every grid
    seeds_add = False  # sample i of seed S is sample 0 of seed S + i
    fields: tuple[str, ...] = ()  # where the law has names of its own
    from_path = False  # the states are read from a file or folder: its content is the law

    @property
    def available(self) -> int | None:
        """How many samples there are; None where there is no end."""
        return None

    def identity(self, sample: int) -> str | None:
        """What names a sample wherever it comes from; None where the recipe does."""
        return None

    def content(self, system: System, sample: int) -> str | None:
        """A digest of the values that a sample is made from; None where they are drawn."""
        return None

    def check(self, system: System, grid: Grid) -> None:  # noqa: B027  # most laws fit any grid
        """Raises ValueError where no state can be drawn for that system on that grid."""

    def kept_open(self) -> AbstractContextManager[None]:
        """Within it, what the states are read from is opened once and not for every sample."""
        return nullcontext()

    @abstractmethod
    def draw(self, system: System, grid: Grid, seed: int, sample: int) -> np.ndarray:
        """State (fields, *grid.shape), float64."""


@final
@dataclass(frozen=True)
class PDEBenchInitial(Initial):
    """Independent N(0, 1) in every cell, PDEBench's numbers bit for bit.

    Sample i of seed S comes from ``numpy.random.default_rng(S + i)``: one field after the other, in
    the order of the cells. A different function at every resolution; see `GRFInitial`.
    """

    name = "pdebench"
    resolution_free = False
    seeds_add = True

    def draw(self, system: System, grid: Grid, seed: int, sample: int) -> np.ndarray:
        generator = np.random.default_rng(seed + sample)
        return np.stack(
            [generator.standard_normal(grid.size).reshape(grid.shape) for _ in system.fields]
        )


@final
@dataclass(frozen=True)
class GRFInitial(Initial):
    """The Gaussian field whose coefficients are N(0, h_1 .. h_d), h_i = L_i / 128.

    Modes 0 <= k_i < 128 (or |k_i| < 64 on a periodic axis) in the basis of the box: at 128 cells an
    axis this is PDEBench's law, and the same function at every resolution.
    """

    cells: int = 128
    name = "grf"

    def draw(self, system: System, grid: Grid, seed: int, sample: int) -> np.ndarray:
        reference = grid.with_shape((self.cells,) * grid.dim)
        # Numbers are keyed by the wave vector: only what both grids have needs to be drawn.
        drawn = grid.with_shape(tuple(min(self.cells, n) for n in grid.shape))
        c = noise.white_coefficients(
            drawn, seed, noise.PDE_INITIAL, 1, sample, channels=len(system.fields)
        )[0]
        c *= np.sqrt(reference.cell_volume)
        if drawn != grid:
            from fdiff.levels import prolong

            c = prolong(c, drawn, grid)
        return np.ascontiguousarray(grid.basis.inverse(c))


@final
@dataclass(frozen=True)
class GaussianInitial(Initial):
    """Rest state plus a Gaussian field with any covariance operator, independent in each field.

    ``covariance`` is an operator of fdiff, or a table: ``{family = "bessel", scale = 1.0, shift =
    25.0, power = 2.0}``. The same function at every resolution.
    """

    covariance: CovarianceOperator | Mapping[str, Any]
    name = "gaussian"

    def __post_init__(self) -> None:
        if isinstance(self.covariance, Mapping):
            object.__setattr__(self, "covariance", covariance_from(self.covariance))

    def draw(self, system: System, grid: Grid, seed: int, sample: int) -> np.ndarray:
        root = np.sqrt(self.covariance.eigenvalues(grid))  # type: ignore[union-attr]
        c = noise.white_coefficients(
            grid, seed, noise.PDE_INITIAL, 1, sample, channels=len(system.fields), root=root
        )[0]
        rest = system.state("background").reshape(-1, *[1] * grid.dim)
        return rest + grid.basis.inverse(c)


@final
@dataclass(frozen=True)
class SpotsInitial(Initial):
    """Rest state with Gaussian spots of another state at random places.

    y = rest + (spot - rest) min(1, sum_j exp(-|x - x_j|^2 / (2 width^2))), distances around the
    circle on a periodic axis; ``width`` in units of the box's shortest side.
    """

    count: int = 20
    width: float = 0.02
    name = "spots"

    def __post_init__(self) -> None:
        if not (1 <= self.count <= 10_000 and self.width > 0):
            raise ValueError(f"spots need 1 <= count <= 10000 and width > 0, got {self}")

    def draw(self, system: System, grid: Grid, seed: int, sample: int) -> np.ndarray:
        width = self.width * min(grid.lengths)
        total = np.zeros(grid.shape)
        for j in range(self.count):
            square: Any = 0.0
            for axis, x in enumerate(grid.coordinates()):
                kind = _SPOT_STREAM + grid.dim * j + axis
                place = noise.uniforms(seed, noise.PDE_INITIAL, 1, sample, kind=kind)[0]
                length = grid.lengths[axis]
                distance = np.abs(x - grid.origin[axis] - place * length)
                if grid.boundary[axis] == "periodic":
                    distance = np.minimum(distance, length - distance)
                square = square + distance**2
            total += np.exp(-square / (2 * width**2))
        rest, spot = (
            system.state(kind).reshape(-1, *[1] * grid.dim) for kind in ("background", "spot")
        )
        return rest + (spot - rest) * np.minimum(total, 1.0)


@final
@dataclass(frozen=True)
class FileInitial(Initial):
    """The states of a dataset file at one time (its last by default), sample i from its sample i.

    On another grid of the same box the state is restricted or prolonged. Which law this is depends
    on the values in the file, not on its name. ``boundary`` is for a file of another program that
    does not state it, as `fdiff.dataset.open` takes it.
    """

    path: str
    time: float | None = None
    boundary: str | None = None
    name = "file"
    resolution_free = False
    from_path = True

    @property
    def available(self) -> int:
        with self._file() as file:
            return len(file)

    @contextmanager
    def kept_open(self) -> Iterator[None]:
        from fdiff.dataset import Dataset

        with Dataset(self.path, self.boundary) as file:
            file.grid  # noqa: B018  # what is wrong with it is said here and not by a thread
            # Threads take turns: a reader of samples keeps what it compares between calls.
            object.__setattr__(self, "_kept", (threading.Lock(), file))
            try:
                yield
            finally:
                object.__delattr__(self, "_kept")

    @contextmanager
    def _file(self) -> Iterator[Dataset]:
        """The open file: that of `kept_open`, or one for this time."""
        from fdiff.dataset import Dataset

        kept = getattr(self, "_kept", None)
        if kept is not None:
            lock, file = kept
            with lock:
                yield file
        else:
            with Dataset(self.path, self.boundary) as file:
                yield file

    def content(self, system: System, sample: int) -> str:
        """SHA-256 of the state's shape and values in float64, whatever type the file stores."""
        state, _ = self._state(system, sample)
        digest = hashlib.sha256(repr(state.shape).encode())
        digest.update((state + 0.0).astype("<f8").tobytes())  # + 0.0: one zero, without sign
        return digest.hexdigest()

    def draw(self, system: System, grid: Grid, seed: int, sample: int) -> np.ndarray:
        from fdiff import levels

        state, source = self._state(system, sample)
        self._check_box(system, source, grid)
        with named(self.path):
            return levels.resample_field(state, source, grid)

    def check(self, system: System, grid: Grid) -> None:
        with self._file() as file:
            self._check_box(system, file.grid, grid)
            file.frame(self.time)
            for name in system.fields:
                file.channel(name)

    def _check_box(self, system: System, source: Grid, grid: Grid) -> None:
        if not source.same_box(grid):
            raise ValueError(
                f"{self.path} lies on {words.box(source)}, {system.name} on {words.box(grid)}: "
                f"generate on its box (a recipe with {_keys(source, grid)}), or write the fields "
                "on this one"
            )

    def _state(self, system: System, sample: int) -> tuple[np.ndarray, Grid]:
        """One sample's state as the file has it, float64, and its grid."""
        with self._file() as file:
            if not sample < len(file):
                count = counted(len(file), "sample")
                raise ValueError(f"{self.path} has {count}, no number {sample}")
            return file.state(sample, system.fields, self.time).astype(np.float64), file.grid


def _keys(wanted: Grid, grid: Grid) -> str:
    """The keys of a recipe on ``grid`` that give it the box of ``wanted``."""
    kept = grid.dim == wanted.dim
    keys = {name: getattr(wanted, name) for name in ("lengths", "origin", "boundary")}
    changed = {k: v for k, v in keys.items() if not (kept and v == getattr(grid, k))}
    said = ", ".join(f"{key} = {json.dumps(values)}" for key, values in changed.items())
    return said if kept else f"a resolution of {counted(wanted.dim, 'axis', 'axes')}, {said}"


@final
@dataclass(frozen=True)
class ImagesInitial(Initial):
    """The images of an MNIST folder (IDX files), on the unit square; sample i is image i.

    Resized to 64² as in `fdiff.dataset.ImageFolder`; on another grid restricted or prolonged.
    """

    path: str
    name = "images"
    fields = ("image",)
    from_path = True

    @cached_property
    def _folder(self):
        from fdiff.dataset.images import ImageFolder

        try:
            return ImageFolder(self.path)
        except ValueError as error:
            raise ValueError(f"{error}; --initial images:FOLDER names another") from None

    @property
    def available(self) -> int:
        return len(self._folder)

    def identity(self, sample: int) -> str:
        return self._folder.identity(sample)

    def check(self, system: System, grid: Grid) -> None:
        if grid.dim != 2:
            raise ValueError(f"images have two axes, the grid has {grid.dim}")

    def draw(self, system: System, grid: Grid, seed: int, sample: int) -> np.ndarray:
        from fdiff import levels

        self.check(system, grid)
        pixels = self._folder.state(sample, ("image",)).astype(np.float64)
        return levels.resample_field(pixels, grid.with_shape(pixels.shape[1:]), grid)


def covariance_from(table: Mapping[str, Any]) -> CovarianceOperator:
    """A covariance operator from a family's name and its parameters."""
    from fdiff import covariance

    families = {
        "bessel": covariance.BesselCovariance,
        "matern": covariance.MaternCovariance,
        "laplace": covariance.LaplaceCovariance,
        "squared-exponential": covariance.SquaredExponentialCovariance,
    }
    if not isinstance(table, Mapping):
        raise ValueError(f"covariance: expected a table with a family, got {shown(table)}")
    arguments = {k: v for k, v in table.items() if k != "family"}
    family = table.get("family")
    if not isinstance(family, str) or family not in families:
        raise ValueError(f"covariance: family is one of {', '.join(families)}, got {shown(family)}")
    return constructed(families[family], arguments, f"covariance {family}")


def _laws() -> dict[str, type[Initial]]:
    from fdiff.pde.mixture import MixtureInitial

    laws = (
        GRFInitial, PDEBenchInitial, GaussianInitial, SpotsInitial, MixtureInitial, FileInitial,
        ImagesInitial,
    )  # fmt: skip
    return {law.name: law for law in laws}


def initial(name: str, **arguments) -> Initial:
    """The law of that name, with parameters other than its defaults."""
    laws = _laws()
    if name not in laws:
        raise ValueError(f"no initial law is named {shown(name)}; there are {', '.join(laws)}")
    return constructed(laws[name], arguments, name)
