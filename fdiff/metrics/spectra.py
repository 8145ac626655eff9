"""Radial spectra: energy by the shells of the frequency that `fdiff.shells` defines.

All modes of the grid are counted, up to its highest frequency, so that the energies of a field add
up to its square norm. A shell below `fdiff.shells.complete_shells` holds the same modes on every
grid that has it; the last ones, towards the corners of the grid's box of modes, hold those of their
modes that the grid has. Sets are compared on one grid, where both see the same modes.

The relative error of a shell is ``E_x / E_y - 1``. Where the truth has less than the share `EMPTY`
of its energy in a shell, that share takes the place of ``E_y`` in the denominator: energy that the
truth does not have is then an error, as large as it is in units of ``EMPTY`` of all energy. Shells
that both sets leave empty do not count.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fdiff.grid import Grid
from fdiff.metrics.estimate import Estimate, bootstrap, bootstrap_estimate
from fdiff.metrics.fields import RealArray, Scale, as_fields, as_pair, blocks
from fdiff.shells import shell_index

EMPTY = 1e-10  # share of the truth's energy below which a shell is empty


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
    """Relative error ``E_x / E_y - 1`` of the energy in each shell that is not empty in both sets.

    Energies are those of ``u`` minus the truth's pooled mean, in the truth's units by channel.
    """
    x, y = as_pair(x, y, grid)
    scale = Scale.of(y)
    a, b = (shell_energies(scale.standardise(u), grid) for u in (x, y))
    return ratio_from_energies(a, b, seed)


def spectrum_error(x: Any, y: Any, grid: Grid, seed: int = 0) -> Estimate:
    """Mean of ``|E_x / E_y - 1|`` over the shells from 1 that are not empty in both sets."""
    x, y = as_pair(x, y, grid)
    scale = Scale.of(y)
    a, b = (shell_energies(scale.standardise(u), grid) for u in (x, y))
    return error_from_energies(a, b, seed)


def ratio_from_energies(x: RealArray, y: RealArray, seed: int = 0) -> Spectrum:
    kept, error = _relative_errors(x, y)
    value, low, high = bootstrap(error, [x[:, kept], y[:, kept]], seed)
    return Spectrum(kept, value, low, high)


def error_from_energies(x: RealArray, y: RealArray, seed: int = 0) -> Estimate:
    # The zero mode alone is left out: mean and standard deviation say more about it.
    return _summary(x, y, slice(1, None), np.mean, seed)


def largest_from_energies(x: RealArray, y: RealArray, shells: slice, seed: int = 0) -> Estimate:
    """``max |E_x / E_y - 1|`` over those of ``shells`` that are not empty in both; else 0."""
    return _summary(x, y, shells, np.max, seed)


def _summary(x: RealArray, y: RealArray, shells: slice, over: Callable, seed: int) -> Estimate:
    kept, error = _relative_errors(x, y, shells)
    if not len(kept):
        return Estimate(0.0, 0.0, 0.0)
    return bootstrap_estimate(
        lambda a, b: over(np.abs(error(a, b)), axis=-1), [x[:, kept], y[:, kept]], seed, floor=0.0
    )


def _relative_errors(
    x: RealArray, y: RealArray, shells: slice = slice(None)
) -> tuple[NDArray[np.int_], Callable[[RealArray, RealArray], RealArray]]:
    """The shells that are not empty in both sets, and the relative error of mean energies there."""
    floor = EMPTY * float(y.mean(axis=0).sum())
    a, b = x.mean(axis=0), y.mean(axis=0)
    kept = np.flatnonzero((a > floor) | (b > floor))
    kept = kept[np.isin(kept, np.arange(len(b))[shells])]
    filled = b[kept] > floor

    def error(a: RealArray, b: RealArray) -> RealArray:
        return np.where(filled, a / np.where(filled, b, 1.0) - 1, (a - b) / floor)

    return kept, error


def shell_energies(fields: RealArray, grid: Grid) -> RealArray:
    """Energy of each field in each shell: ``(samples, shells)``; a row adds up to ``||u||^2``."""
    basis, shell = grid.basis, shell_index(grid)
    order = np.argsort(shell, axis=None, kind="stable")
    count = int(shell.max()) + 1
    starts = np.searchsorted(shell.ravel()[order], np.arange(count))
    weights = np.broadcast_to(basis.weights, basis.shape).ravel()[order]
    rows = []
    for block in blocks(fields):
        power = np.abs(basis.forward(block).reshape(len(block), block.shape[1], -1)) ** 2
        power = power.sum(axis=1, dtype=np.float64)[:, order] * weights
        rows.append(np.add.reduceat(power, starts, axis=1))
    # reduceat gives a shell without modes (0 on a Dirichlet axis) its neighbour's first mode.
    empty = np.diff(np.append(starts, len(order))) == 0
    return np.where(empty, 0.0, np.concatenate(rows))
