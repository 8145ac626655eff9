"""Which fields of two sets are the same functions, by their coarsest coefficients.

The fingerprint of a field ``u`` on the box ``D`` is ``(c_k / sqrt(|D|))`` for the 32 retained modes
``k`` of least frequency ``mu_k``, in float32: 128 bytes a field, twice that in a complex basis. It
does not depend on how the values are stored, on the order of the samples, nor on the grid as far as
that holds the same modes, so copies in another type or layout, parts and restrictions have it too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from fdiff.described import Item, check_box, named
from fdiff.errors import FileError
from fdiff.grid import Grid

COUNT = 32  # modes of a fingerprint
LOST = "restore the file; it says what the network was trained on"
TOLERANCE = 1e-4  # relative distance up to which two fingerprints are of one field
_LEAST = 4  # real numbers beside the mean that both fingerprints need to have
_ROUNDING = 4 * float(np.finfo(np.float32).eps)
# The share of a field's norm that the fingerprint must hold: less is round-off of float32.
_TELLING = 1e-6
_PIECE = 256  # fields transformed at a time: bounds the memory in float64


@final
@dataclass(frozen=True, eq=False)
class Fingerprints:
    """Fingerprints of samples with one or more named fields each; NaN for a field without one.

    ``values`` (samples, fields, modes, 1 or 2), float32; the last axis holds real and imaginary
    part. ``modes`` (modes, dim): the wave numbers.
    """

    values: np.ndarray
    modes: np.ndarray
    grid: Grid
    names: tuple[str, ...]

    @classmethod
    def of(cls, fields: np.ndarray, grid: Grid, names: Sequence[str]) -> Fingerprints:
        """The fingerprints of ``fields``, an array (samples, fields, *grid.shape).

        A field that is constant to round-off (or zero), or whose energy is all beyond the coarsest
        modes, has no fingerprint: it says nothing of where it comes from.
        """
        modes, places = _coarsest(grid)
        moving = modes.any(axis=1)
        values = np.empty((*fields.shape[:2], len(modes), 1 + grid.basis.is_complex), np.float32)
        for begin in range(0, len(fields), _PIECE):
            u = np.asarray(fields[begin : begin + _PIECE], float)
            c = grid.basis.forward(u)[(..., *places)] / np.sqrt(grid.volume)
            parts = np.stack([c.real, c.imag], -1) if grid.basis.is_complex else c[..., None]
            norm = np.sqrt(np.mean(u**2, axis=tuple(range(2, u.ndim))))
            told = np.sqrt(np.sum(parts[..., moving, :] ** 2, axis=(-1, -2)))
            parts[~(told > _TELLING * norm)] = np.nan
            values[begin : begin + _PIECE] = parts
        return cls(values, modes, grid, tuple(names))

    def __len__(self) -> int:
        return len(self.values)

    def arrays(self) -> dict[str, np.ndarray]:
        """What a file stores as arrays; the rest is `about`."""
        return {"values": self.values, "modes": self.modes.astype(np.int32)}

    def about(self) -> dict[str, Any]:
        """JSON values: the grid and the names of the fields."""
        grid = self.grid
        return {
            "grid": [list(part) for part in (grid.shape, grid.lengths, grid.boundary, grid.origin)],
            "names": list(self.names),
        }

    @classmethod
    def restored(cls, arrays: Mapping[str, Any], about: Item) -> Fingerprints:
        """The inverse of `arrays` and `about`, from a file.

        Raises:
            FileError: an item or array that is missing or of another kind.
        """
        parts = about.table(["grid", "names"], ())
        names = tuple(name.text() for name in parts["names"].each())
        shape, lengths, boundary, origin = parts["grid"].each(4)
        sides = tuple(side.whole(1) for side in shape.each())
        check_box(lengths, boundary, origin, len(sides))
        with named(about.file):
            grid = Grid(sides, *map(tuple, (lengths.value, boundary.value, origin.value)))
        values = _stored(arrays, "values", "f", (None, len(names), None, None), about.file)
        modes = _stored(arrays, "modes", "iu", (values.shape[2], grid.dim), about.file)
        return cls(values.astype(np.float32, copy=False), modes, grid, names)

    def comparable(self, other: Fingerprints) -> bool:
        """Whether both are of one box, and of grids with enough common modes to tell fields."""
        if not self.grid.same_box(other.grid):
            return False
        mine, _ = _common(self.modes, other.modes)
        return int(self.modes[mine].any(axis=1).sum()) * self.values.shape[-1] >= _LEAST

    def same(self, other: Fingerprints) -> bool:
        """Whether both are of the same samples in the same order, as `known` compares fields."""
        if self.values.shape[:2] != other.values.shape[:2] or not self.grid.same_box(other.grid):
            return False
        mine, theirs = _common(self.modes, other.modes)
        a, b = self.values[:, :, mine].astype(float), other.values[:, :, theirs].astype(float)
        moving = self.modes[mine].any(axis=1)
        norm = np.sqrt((a**2).sum(axis=(-1, -2)))
        told = np.sqrt((a[:, :, moving] ** 2).sum(axis=(-1, -2)))
        near = np.sqrt(((a - b) ** 2).sum(axis=(-1, -2))) <= TOLERANCE * told + _ROUNDING * norm
        return bool((near | (np.isnan(norm) & np.isnan(b).any(axis=(-1, -2)))).all())

    def known(self, other: Fingerprints, field: str | None = None) -> np.ndarray:
        """Which samples of ``other`` are among these, shape (len(other),).

        Two fields are the same where the distance of their fingerprints is at most 1e-4 of what
        tells a field: the norm of its moving part (without the mean), or that of its difference
        from the mean of all these fields where that is less; and round-off of float32. A sample is
        known where a sample here has all its fields, of those that both sets name and that have a
        fingerprint; ``field``: that one only. Sets of one field each are compared whatever it is
        called, and nothing is known where `comparable` is false.
        """
        pairs = _pairs(self.names, other.names, field)
        if not (len(self) and len(other) and pairs and self.comparable(other)):
            return np.zeros(len(other), bool)
        mine, theirs = _common(self.modes, other.modes)
        moving = np.repeat(self.modes[mine].any(axis=1), self.values.shape[-1])
        found: list[set[int] | None] = [None] * len(other)
        for a, b in pairs:
            ours = self.values[:, a][:, mine].reshape(len(self), -1).astype(float)
            asked = other.values[:, b][:, theirs].reshape(len(other), -1).astype(float)
            for i, near in _neighbours(ours, asked, moving).items():
                earlier = found[i]
                found[i] = near if earlier is None else earlier & near
        return np.array([bool(near) for near in found])


def _stored(
    arrays: Mapping[str, Any], name: str, kinds: str, shape: tuple[int | None, ...], file: str
) -> np.ndarray:
    """An array of that shape (None: any length) and one of those kinds; else FileError."""
    array = arrays.get(name)
    if (
        isinstance(array, np.ndarray)
        and array.dtype.kind in kinds
        and len(array.shape) == len(shape)
        and all(n in (None, m) for m, n in zip(array.shape, shape))
    ):
        return array
    wanted = ", ".join("any" if n is None else str(n) for n in shape)
    found = f"{array.dtype} of shape {array.shape}" if isinstance(array, np.ndarray) else "none"
    raise FileError(file, name, f"an array of shape ({wanted})", found, LOST)


def _coarsest(grid: Grid) -> tuple[np.ndarray, tuple[np.ndarray, ...]]:
    """Wave numbers (modes, dim) of the coarsest retained modes, and their places in an array of
    coefficients; of modes of one frequency the order is that of the wave numbers."""
    basis, axes = grid.basis, range(grid.dim)
    # No mode beyond the 32nd of an axis can be among the 32 coarsest.
    wanted = [
        np.flatnonzero(basis.axis_retained(i) & (np.abs(basis.wavenumbers(i)) <= COUNT))
        for i in axes
    ]
    places = [part.ravel() for part in np.meshgrid(*wanted, indexing="ij")]
    modes = np.stack([basis.wavenumbers(i)[place] for i, place in zip(axes, places)], axis=1)
    frequency = sum(basis.axis_laplacian(i)[place] for i, place in zip(axes, places))
    lines = [basis.axis_laplacian(i) for i in axes]
    least = min(float(line[line > 0].min(initial=np.inf)) for line in lines)
    # Rounded, so that modes whose frequencies differ by round-off only are ordered by number.
    rounded = np.round(np.asarray(frequency) / least, 4)
    order = np.lexsort((*reversed(modes.T), rounded))[:COUNT]
    return modes[order], tuple(place[order] for place in places)


def _common(a: np.ndarray, b: np.ndarray) -> tuple[list[int], list[int]]:
    """Places of the modes that both lists have."""
    there = {tuple(mode): j for j, mode in enumerate(b.tolist())}
    pairs = [(i, there[tuple(m)]) for i, m in enumerate(a.tolist()) if tuple(m) in there]
    return [i for i, _ in pairs], [j for _, j in pairs]


def _pairs(a: Sequence[str], b: Sequence[str], field: str | None) -> list[tuple[int, int]]:
    """Places of the fields to compare."""
    if len(a) == len(b) == 1:
        return [(0, 0)]
    names = [name for name in a if name in b and field in (None, name)]
    return [(list(a).index(name), list(b).index(name)) for name in names]


def _neighbours(ours: np.ndarray, asked: np.ndarray, moving: np.ndarray) -> dict[int, set[int]]:
    """Rows of ``ours`` within reach of each row of ``asked`` that is not NaN."""
    rows = np.flatnonzero(np.isfinite(ours).all(axis=1))
    ours = ours[rows]
    found: dict[int, set[int]] = {int(i): set() for i in np.flatnonzero(np.isfinite(asked).all(1))}
    if not len(rows):
        return found
    centre = ours.mean(axis=0) if len(ours) > 1 else np.zeros(ours.shape[1])
    norm = np.linalg.norm(asked, axis=1)
    spread = np.linalg.norm((asked - centre)[:, moving], axis=1)
    reach = TOLERANCE * np.minimum(spread, np.linalg.norm(asked[:, moving], axis=1))
    reach += _ROUNDING * norm
    # Sorted along the number that varies most: only few rows are near in that one.
    axis = int(ours.var(axis=0).argmax())
    order = np.argsort(ours[:, axis], kind="stable")
    line = ours[order, axis]
    for i in found:
        low = np.searchsorted(line, asked[i, axis] - reach[i], "left")
        high = np.searchsorted(line, asked[i, axis] + reach[i], "right")
        near = order[low:high]
        distance = np.linalg.norm(ours[near] - asked[i], axis=1)
        found[i] = set(rows[near[distance <= reach[i]]].tolist())
    return found
