"""Many trajectories at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from fdiff.grid import Grid
from fdiff.pde.initial_laws import GRFInitial, Initial
from fdiff.pde.integration import checked_times, trajectory
from fdiff.pde.systems import System


def ensemble(
    system: System,
    grid: Grid,
    size: int,
    times,
    seed: int = 0,
    first: int = 0,
    initial: Initial | None = None,
    tolerance: float = 1e-5,
    workers: int = 1,
    dtype="f4",
) -> np.ndarray:
    """Samples ``first .. first+size-1`` in memory: (size, times, fields, *grid.shape).

    The arrays do not depend on ``workers``; these are threads, since the kernels hold no lock.
    """
    law = initial or GRFInitial()
    times = checked_times(times)
    out = np.empty((size, len(times), *grid.shape, len(system.fields)), dtype)

    def run(i: int) -> None:
        y = law.draw(system, grid, seed, first + i)
        trajectory(system, y, grid, times, tolerance, out[i])

    with ThreadPoolExecutor(max(1, workers)) as pool:
        list(pool.map(run, range(size)))
    return np.moveaxis(out, -1, 2)
