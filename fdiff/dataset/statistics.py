"""What a dataset knows of itself: per sample while it is written, per file by adding up."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from fdiff.grid import Grid
from fdiff.shells import shell_index

FLOOR = 0.01  # L2 norm of a field, in that of the largest, below which its own size is not used


def sample_statistics(data: np.ndarray, grid: Grid) -> dict[str, Any]:
    """Statistics of one trajectory [t, *grid.shape, field].

    By field these are the mean and the mean square over all stored times and, at the last one, the
    energy by shell of the frequency (`fdiff.shells`); of all fields, the largest spatial tail.

    The tail is the energy's share in modes beyond two thirds of the grid's range on some axis, the
    largest of the fields: where it is large, the grid is too coarse (`fdiff.dataset.resolved`).
    A field smaller than `FLOOR` times the largest is measured against that, as in the control of
    the time step: what is left of one that vanished is round-off, whose spectrum is flat.
    """
    from fdiff_kernels.moments import moments

    fields = data.shape[-1]
    mean, square = moments(np.ascontiguousarray(data).reshape(-1), fields) * fields / data.size
    c = grid.basis.forward(np.ascontiguousarray(np.moveaxis(data[-1], -1, 0), np.float64))
    energy = (np.abs(c) ** 2 * grid.basis.weights).reshape(len(c), -1)
    shells, tail = shell_index(grid).ravel(), tail_modes(grid)
    spectrum = [np.bincount(shells, weights=e).tolist() for e in energy]
    total = energy.sum(axis=1)
    floor = FLOOR**2 * total.max() or 1.0
    fine = energy[:, tail].sum(axis=1)
    return {
        "mean": mean.tolist(),
        "square": square.tolist(),
        "spectrum": spectrum,
        "tail": _rounded(np.max(fine / np.maximum(total, floor))),
    }


def _rounded(value: float) -> float:
    """Seven digits: what is left of a sum whatever its order."""
    return float(f"{value:.7g}")


def tail_modes(grid: Grid) -> np.ndarray:
    """Flat over modes: whether the mode counts to the tail, beyond two thirds of some axis."""
    tail = np.zeros(grid.basis.shape, dtype=bool)
    for axis in range(grid.dim):
        k = grid.basis.wavenumbers(axis).astype(float)
        line = [-1 if i == axis else 1 for i in range(grid.dim)]
        reach = grid.shape[axis] / (2 if grid.boundary[axis] == "periodic" else 1)
        tail |= (np.abs(k) > 2 / 3 * reach).reshape(line)
    return tail.ravel()


def file_statistics(
    samples: Iterable[dict[str, Any] | None], names: tuple[str, ...]
) -> dict[str, Any]:
    """Mean, std and mean spectrum of each field over the samples that did not fail."""
    known = [s for s in samples if s is not None]
    if not known:
        return {}
    mean = np.mean([s["mean"] for s in known], axis=0)
    square = np.mean([s["square"] for s in known], axis=0)
    spectrum = np.mean([s["spectrum"] for s in known], axis=0)
    return {
        name: {
            "mean": _rounded(mean[c]),
            "std": _rounded(np.sqrt(max(square[c] - mean[c] ** 2, 0.0))),
            "spectrum": [_rounded(e) for e in spectrum[c]],
            "count": len(known),
        }
        for c, name in enumerate(names)
    }
