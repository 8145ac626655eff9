"""What bounds the generator of data: one stage of the integrator, a trajectory, and the disk.

A stage reads two states and writes one. Three times of the same run tell what holds it back: that
of the stage, that of a bare ``z = x + s y`` over the same bytes in the same place (memory traffic
alone), and that of the stage on a few rows that stay in the first cache (arithmetic alone). A
trajectory is at least its stages; a written one at least a plain write of its bytes with a flush.
"""

from __future__ import annotations

import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np

from benchmarks.measure import seconds
from fdiff_kernels import stencil
from fdiff_kernels.policy import kernel

# Sweeps a measurement: a millisecond, long beside a call and short beside a time slice.
_SWEEPS = 64
# Two pairs of fields of this many rows fit the first cache of 32 kB.
_FEW_ROWS = 4
# Numbers of a state that no cache holds.
_FAR = 1 << 22
_DISK_PIECE = 1 << 22


@kernel
def _stages(w, mix, diffusion, rates, p, buffer, count):
    a, b = 4, 5
    for _ in range(count):
        stencil.stage(w, a, b, 1.0, 1e-4, mix, diffusion, (False, False, False), rates, p, buffer)
        a, b = b, a


@kernel
def _triads(w, count):
    """w[b] = w[a] + s w[6] in turns; unsigned, so that the loop runs in vector registers."""
    y, size = w.reshape(-1), np.uint64(w[0].size)
    a, b, fixed = np.uint64(4), np.uint64(5), np.uint64(6) * size
    for _ in range(count):
        x, z = a * size, b * size
        for i in range(size):
            y[z + i] = y[x + i] + 1e-4 * y[fixed + i]
        a, b = b, a


@final
@dataclass(frozen=True)
class Stage:
    """Seconds of one stage of a system on a grid, and of what it cannot do without."""

    whole: float
    traffic: float  # two reads and one write of a state where it lies
    arithmetic: float  # the same number of cells, from the first cache
    far: float  # the traffic from beyond the caches
    bytes: int  # read and written

    def sentence(self) -> str:
        rate, far = (self.bytes / s / 1e9 for s in (self.traffic, self.far))
        return (
            f"a stage takes {self.whole * 1e6:.1f} us; its two reads and one write alone "
            f"{self.traffic * 1e6:.1f} us ({rate:.0f} GB/s where the states lie, {far:.0f} GB/s "
            f"beyond the caches), the same cells from the first cache {self.arithmetic * 1e6:.1f} "
            f"us: memory traffic is {self.traffic / self.whole:.0%} of it, and "
            + (
                "arithmetic is the bound"
                if self.arithmetic > self.traffic
                else "memory traffic is the bound"
            )
        )


def stage(system, grid) -> Stage:
    """Measures a stage of the explicit integrator in two dimensions."""
    rows = grid.shape[0]
    state = len(system.fields) * grid.size
    near, far = np.zeros((stencil.SLOTS, state)), np.zeros((stencil.SLOTS, _FAR))
    few = _SWEEPS * rows // _FEW_ROWS
    whole, small, traffic, distant = seconds(
        _sweeping(system, grid, rows, _SWEEPS),
        _sweeping(system, grid, _FEW_ROWS, few),
        lambda: _triads(near, _SWEEPS),
        lambda: _triads(far, 1),
        runs=31,
    )
    return Stage(
        whole / _SWEEPS,
        traffic / _SWEEPS,
        small / (few * _FEW_ROWS) * rows,
        distant / far.shape[1] * state,
        3 * 8 * state,
    )


def _sweeping(system, grid, rows: int, count: int):
    fields, cells = len(system.fields), grid.shape[-1]
    w = np.zeros((stencil.SLOTS, 1, rows, fields, cells))
    w[4] = 0.1 * np.random.default_rng(0).standard_normal(w[4].shape)
    diffusion = np.zeros((fields, 3))
    diffusion[:, 1:] = system.diffusivities[:, None] / np.square(grid.spacing)
    buffer, mix = np.empty((fields, cells)), np.zeros(stencil.SLOTS)
    rates = stencil.compile_rates(system.rates)
    return lambda: _stages(w, mix, diffusion, rates, system.values, buffer, count)


def disk(size: int, count: int, folder: Path | str | None = None) -> float:
    """Seconds to write and flush ``size`` bytes in sequence, as one of ``count`` in a file."""
    piece = np.random.default_rng(0).bytes(_DISK_PIECE)
    with tempfile.TemporaryDirectory(dir=folder) as place:
        start = time.perf_counter()
        with open(Path(place) / "plain", "wb", buffering=0) as file:
            left = size * count
            while left > 0:
                left -= file.write(piece[: min(left, _DISK_PIECE)])
            os.fsync(file.fileno())
        return (time.perf_counter() - start) / count
