"""Fields on the levels of training: checked, restricted, and put into an order by the seed."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from fdiff import levels, noise
from fdiff.covariance import CovarianceOperator
from fdiff.grid import Grid
from fdiff.values import real_values, require_finite

# Ranges of values that training takes, and the largest ratio of two fields' ranges.
SMALLEST, LARGEST, MOST_UNEQUAL = 1e-30, 1e30, 1e19
PIECE = 256  # fields restricted at a time: bounds the memory in float64


def level_grids(grid: Grid, sizes: tuple[int, ...]) -> tuple[Grid, ...]:
    """Grids whose longest axis has ``sizes`` nodes, the others in the proportion of ``grid``."""
    longest = max(grid.shape)
    shapes: list[int | tuple[int, ...]] = []
    for n in sizes:
        if n > longest:
            raise ValueError(
                f"level {n} is finer than the data, which have {grid.shape}: use levels up to "
                f"{longest}, or make the data on a finer grid"
            )
        shape = tuple(side * n / longest for side in grid.shape)
        if any(side != int(side) for side in shape):
            raise ValueError(f"level {n} does not divide the shape {grid.shape} evenly")
        shapes.append(tuple(int(side) for side in shape))
    return levels.Hierarchy(grid, shapes).grids


def checked_fields(fields, grid: Grid, split: str) -> np.ndarray:
    """``fields`` where they fit the grid, there are any and all are finite; else ValueError."""
    fields = real_values(fields, f"{split} fields")
    if fields.ndim != 2 + grid.dim or fields.shape[2:] != grid.shape:
        raise ValueError(
            f"{split} fields must have shape (samples, channels, *{grid.shape}), got {fields.shape}"
        )
    if len(fields) == 0:
        raise ValueError(f"the {split} split is empty: choose another split, or make more data")
    if len(fields) == 1 and split == "training":
        raise ValueError("one training field has no spread about its mean: give at least two")
    require_finite(fields, f"{split} fields")
    return fields


def check_sizes(fields: np.ndarray, names: Sequence[str]) -> None:
    """Refuse fields whose values lie where float32 has no room for their squares and products.

    ``fields``: ``(samples, channels, ...)``; the range of the values of each channel is what
    counts. Fields that do not vary, or are not numbers, are for other checks to refuse.

    Raises:
        ValueError: a channel that is too small or too large, or two of very different sizes, which
            one noise for all cannot serve in float32.
    """
    if fields.ndim < 2 or not fields.size:
        return
    axes = (0, *range(2, fields.ndim))
    spread = fields.max(axes).astype(float) - fields.min(axes).astype(float)
    for name, size in zip(names, spread):
        if np.isfinite(size) and size > 0 and not SMALLEST <= size <= LARGEST:
            raise ValueError(
                f"the values of field {name} range over {size:.1e}; networks compute in float32, "
                f"which has room for {SMALLEST:.0e} to {LARGEST:.0e}: multiply the field by a "
                "constant"
            )
    low, high = int(np.argmin(spread)), int(np.argmax(spread))
    if 0 < spread[low] < spread[high] / MOST_UNEQUAL and np.isfinite(spread[high]):
        raise ValueError(
            f"the values of field {names[high]} range over {spread[high]:.1e}, those of field "
            f"{names[low]} over {spread[low]:.1e}; all fields get one noise, beside which float32 "
            "does not hold the smaller one: multiply one of them by a constant, or train them apart"
        )


def restricted(fields: np.ndarray, grid: Grid, target: Grid) -> np.ndarray:
    """``fields`` restricted to ``target``, float32."""
    if target == grid:
        return np.asarray(fields, np.float32)
    pieces = [
        levels.restrict_field(np.asarray(fields[begin : begin + PIECE], float), grid, target)
        for begin in range(0, len(fields), PIECE)
    ]
    return np.concatenate(pieces).astype(np.float32)


def noise_tensor(
    operator: CovarianceOperator,
    grid: Grid,
    size: int,
    channels: int,
    seed: int,
    first: int,
    device,
) -> Tensor:
    """Coefficients of the noise that training adds to the fields number ``first ..``."""
    root = operator.multiplier(grid, 0.5)
    z = noise.white_coefficients(
        grid, seed, noise.PERTURBATION, size, first, channels, root=root, dtype=np.float32
    )
    return torch.from_numpy(z).to(device)


def coefficient_type(grid: Grid) -> torch.dtype:
    """The dtype of coefficients in training: complex64 where an axis is periodic, else float32."""
    return torch.complex64 if grid.basis.is_complex else torch.float32


def data_order(seed: int, count: int, first: int, size: int) -> np.ndarray:
    """Indices of the fields number ``first ..``: every pass over the data in a new order."""
    places = np.arange(first, first + size)
    return np.array([_permutation(seed, count, int(i) // count)[int(i) % count] for i in places])


@lru_cache(maxsize=4)
def _permutation(seed: int, count: int, epoch: int) -> np.ndarray:
    key = np.array([seed, (noise.TRAINING << 48) + epoch], np.uint64)
    return np.random.Generator(np.random.Philox(key=key)).permutation(count)
