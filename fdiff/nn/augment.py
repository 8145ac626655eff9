"""Symmetries of a box that leave the data's law unchanged, applied to fields at the nodes."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import torch
from torch import Tensor

from fdiff import noise
from fdiff.grid import Grid

# Kinds of keyed uniform numbers in training (`fdiff.noise.uniforms`).
LAMBDA, REFLECT, TRANSPOSE, SHIFT = 0, 1, 4, 5


def check_symmetries(symmetries: tuple[str, ...], grid: Grid) -> None:
    """Raise ValueError where the box does not have a symmetry that was asked for."""
    if "transpositions" in symmetries:
        sides = set(zip(grid.shape, grid.lengths, grid.boundary))
        if len(sides) > 1 or grid.dim == 1:
            raise ValueError(
                "transpositions need axes of equal nodes, length and boundary in 2 or 3 "
                f"dimensions, got shape {grid.shape}, lengths {grid.lengths}, {grid.boundary}"
            )
    if "translations" in symmetries and "periodic" not in grid.boundary:
        raise ValueError(f"translations need a periodic axis, got boundaries {grid.boundary}")


def transform(
    u: Tensor,
    grid: Grid,
    symmetries: tuple[str, ...],
    seed: int,
    first: int,
    steps: tuple[int, ...] | None = None,
) -> Tensor:
    """``u``: ``(batch, channels, *shape)``, each sample moved by a random element of the group.

    The element is keyed by (seed, sample). Translations are by whole fractions ``1 / steps`` of
    each side (nodes by default): with a divisor of every level's nodes, all levels see the same
    function.
    """
    size = len(u)

    def draw(kind: int) -> np.ndarray:
        return noise.uniforms(seed, noise.TRAINING, size, first, kind=kind)

    if "reflections" in symmetries:
        for axis in range(grid.dim):
            u = _where(draw(REFLECT + axis) <= 0.5, _reflected(u, grid, axis), u)
    if "transpositions" in symmetries:
        order = np.argsort(np.stack([draw(TRANSPOSE + 10 * i) for i in range(grid.dim)], 1), 1)
        u = torch.stack([x.permute(0, *(1 + axis for axis in o)) for x, o in zip(u, order)])
    if "translations" in symmetries:
        for axis in _periodic(grid):
            n = grid.shape[axis]
            parts = n if steps is None else steps[axis]
            shift = (draw(SHIFT + 10 * axis) * parts).astype(int) * (n // parts)
            u = torch.stack([x.roll(int(s), 1 + axis) for x, s in zip(u, shift)])
    return u


def symmetrised(values: np.ndarray, grid: Grid, symmetries: tuple[str, ...]) -> np.ndarray:
    """The mean of ``values``, ``([channels,] *shape)``, over the group."""
    lead = values.ndim - grid.dim
    if "reflections" in symmetries:
        for axis in range(grid.dim):
            batch = torch.from_numpy(values.reshape(1, -1, *grid.shape).copy())
            values = (values + _reflected(batch, grid, axis).numpy().reshape(values.shape)) / 2
    if "transpositions" in symmetries:
        orders = list(permutations(range(lead, values.ndim)))
        values = np.mean([values.transpose(*range(lead), *order) for order in orders], 0)
    if "translations" in symmetries:
        for axis in _periodic(grid):
            mean = values.mean(lead + axis, keepdims=True)
            values = np.broadcast_to(mean, values.shape)
    return values


def _periodic(grid: Grid) -> list[int]:
    return [axis for axis, kind in enumerate(grid.boundary) if kind == "periodic"]


def _reflected(u: Tensor, grid: Grid, axis: int) -> Tensor:
    """``u(-x)`` along an axis: about the box's middle, which on a periodic axis is a node's place
    on every grid."""
    u = u.flip(2 + axis)
    return u.roll(1, 2 + axis) if grid.boundary[axis] == "periodic" else u


def _where(chosen: np.ndarray, a: Tensor, b: Tensor) -> Tensor:
    mask = torch.from_numpy(chosen).to(a.device).reshape((-1,) + (1,) * (a.ndim - 1))
    return torch.where(mask, a, b)
