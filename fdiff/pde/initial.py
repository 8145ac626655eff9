"""Random initial states: sample ``i`` of ``seed`` is one state, whatever else is drawn."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import final

import numpy as np

from fdiff import noise
from fdiff.grid import Grid
from fdiff.pde.system import System


class Initial(ABC):
    """A law of initial states."""

    name: str
    resolution_free = True  # the same function on every grid
    seeds_add = False  # sample i of seed S is sample 0 of seed S + i

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


_LAWS = {law.name: law for law in (GRFInitial, PDEBenchInitial)}


def initial(name: str, **arguments) -> Initial:
    """The law of that name, with parameters other than its defaults."""
    if name not in _LAWS:
        raise ValueError(f"no initial law is named {name!r}; there are {', '.join(_LAWS)}")
    return _LAWS[name](**arguments)
