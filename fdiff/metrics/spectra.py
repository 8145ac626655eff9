"""Radial spectra: energy by shells ``j <= |k| < j + 1`` of the basis' integer wave numbers.

``k`` are the indices of Fourier, cosine or sine modes, so a cosine shell ``2j`` has the wave length
of a Fourier shell ``j``. A shell is complete where the grid retains all of its modes; only complete
shells are reported, and a shell means the same modes on every grid that has it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fdiff.grid import Grid
from fdiff.metrics.estimate import Estimate, bootstrap, bootstrap_estimate
from fdiff.metrics.fields import RealArray, Scale, as_fields, as_pair, blocks

EMPTY = 1e-10  # share of the energy below which a shell of the truth is no yardstick


@dataclass(frozen=True)
class Spectrum:
    """One number a shell, each in its 95 % interval."""

    shells: NDArray[np.int_]
    value: RealArray
    low: RealArray
    high: RealArray


def spectrum(u: Any, grid: Grid, seed: int = 0) -> Spectrum:
    """``E sum_{k in shell} |<u, e_k>|^2`` (summed over channels): energies, not densities."""
    table = shell_energies(as_fields(u, grid), grid)
    value, low, high = bootstrap(lambda e: e, [table], seed)
    return Spectrum(np.arange(len(value)), value, np.maximum(low, 0.0), high)


def spectrum_ratio(x: Any, y: Any, grid: Grid, seed: int = 0) -> Spectrum:
    """Relative error ``E_x / E_y - 1`` of the energy in each shell that the truth fills.

    Energies are those of ``u`` minus the truth's pooled mean, in the truth's units by channel.
    """
    x, y = as_pair(x, y, grid)
    scale = Scale.of(y)
    a, b = (shell_energies(scale.standardise(u), grid) for u in (x, y))
    return ratio_from_energies(a, b, seed)


def spectrum_error(x: Any, y: Any, grid: Grid, seed: int = 0) -> Estimate:
    """Mean of ``|E_x / E_y - 1|`` over the shells from 1 that the truth fills."""
    x, y = as_pair(x, y, grid)
    scale = Scale.of(y)
    a, b = (shell_energies(scale.standardise(u), grid) for u in (x, y))
    return error_from_energies(a, b, seed)


def ratio_from_energies(x: RealArray, y: RealArray, seed: int = 0) -> Spectrum:
    kept = filled_shells(y)
    value, low, high = bootstrap(lambda a, b: a / b - 1, [x[:, kept], y[:, kept]], seed)
    return Spectrum(np.flatnonzero(kept), value, low, high)


def error_from_energies(x: RealArray, y: RealArray, seed: int = 0) -> Estimate:
    kept = filled_shells(y)
    if kept[1:].any():
        kept[0] = False  # the zero mode alone: mean and standard deviation say more about it
    return bootstrap_estimate(
        lambda a, b: np.abs(a / b - 1).mean(axis=-1), [x[:, kept], y[:, kept]], seed, floor=0.0
    )


def largest_from_energies(x: RealArray, y: RealArray, shells: slice, seed: int = 0) -> Estimate:
    """``max |E_x / E_y - 1|`` over those of ``shells`` that the truth fills; 0 if it fills none."""
    kept = np.flatnonzero(filled_shells(y))
    kept = kept[(kept >= shells.start) & (kept < shells.stop)]
    if not len(kept):
        return Estimate(0.0, 0.0, 0.0)
    return bootstrap_estimate(
        lambda a, b: np.abs(a / b - 1).max(axis=-1), [x[:, kept], y[:, kept]], seed, floor=0.0
    )


def filled_shells(energies: RealArray) -> NDArray[np.bool_]:
    mean = energies.mean(axis=0)
    return mean > EMPTY * mean.sum()


def shell_energies(fields: RealArray, grid: Grid) -> RealArray:
    """Energy of each field in each complete shell: ``(samples, shells)``."""
    basis, shell = grid.basis, shell_index(grid)
    order = np.argsort(shell, axis=None, kind="stable")
    count = complete_shells(grid)
    order = order[shell.ravel()[order] < count]
    starts = np.searchsorted(shell.ravel()[order], np.arange(count))
    weights = np.broadcast_to(basis.weights, basis.shape).ravel()[order]
    rows = []
    for block in blocks(fields):
        power = np.abs(basis.forward(block).reshape(len(block), block.shape[1], -1)) ** 2
        power = power.sum(axis=1, dtype=np.float64)[:, order] * weights
        rows.append(np.add.reduceat(power, starts, axis=1))
    # reduceat gives an empty shell (0 on a Dirichlet axis) its neighbour's first mode.
    empty = np.diff(np.append(starts, len(order))) == 0
    return np.where(empty, 0.0, np.concatenate(rows))


def shell_index(grid: Grid) -> NDArray[np.int_]:
    """``floor |k|`` of each mode, in the basis' layout."""
    lines = [grid.basis.wavenumbers(axis) for axis in range(grid.dim)]
    squared = sum(k.astype(np.int64) ** 2 for k in np.meshgrid(*lines, indexing="ij"))
    # The root of an integer below 2^52 is exact at squares, so floor never slips a shell.
    return np.floor(np.sqrt(squared)).astype(np.int64)


def complete_shells(grid: Grid) -> int:
    """Number of shells whose modes are all retained: ``|k| < n/2`` periodic, ``k < n`` else."""
    return min(
        (n + 1) // 2 if boundary == "periodic" else n
        for n, boundary in zip(grid.shape, grid.boundary)
    )
