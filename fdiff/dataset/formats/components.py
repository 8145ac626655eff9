"""The scalar fields that The Well's arrays hold: scalars, components of vectors and of tensors.

Scalars are in ``t0_fields``, vectors in ``t1_fields``, tensors in ``t2_fields``. An array has the
axes (sample, t, x, (y,) (z)) and, for vectors and tensors, one or two more for the components. A
field that does not vary by sample, in time, or along an axis says so and lacks that axis.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import final

import numpy as np

from fdiff.dataset.formats.turned import Filled


@final
@dataclass(frozen=True)
class Component:
    """One scalar field of an array, on all nodes, whether it varies along an axis or not."""

    name: str
    array: Filled
    sizes: tuple[int, ...]  # nodes along the stored axes
    samples: int | None  # None where all samples share it
    times: int | None  # None where it is constant in time
    stored: tuple[bool, ...]  # for each axis, whether the array has it
    index: tuple[int, ...]  # of the component in the last axes of the array

    def key(self, row: int, frames: int | slice) -> tuple[int | slice, ...]:
        """Where one sample is in the array, at a time or at a slice of them."""
        place: list[int | slice] = [] if self.samples is None else [row]
        place += [] if self.times is None else [frames]
        place += [slice(None)] * sum(self.stored)
        return (*place, *self.index)

    def read(self, row: int, frames: int | slice, times: int) -> np.ndarray:
        """Values ``([t,] *sizes)`` of one sample at a time, or at a slice of the ``times``."""
        values = self.array[self.key(row, frames)]
        timed = isinstance(frames, slice)
        if timed and self.times is None:
            values = values[None]
        for axis, there in enumerate(self.stored):
            if not there:
                values = np.expand_dims(values, axis + timed)
        lead = (len(range(*frames.indices(times))),) if isinstance(frames, slice) else ()
        return np.broadcast_to(values, (*lead, *self.sizes))


def components_of(
    array,
    name: str,
    order: int,
    sizes: tuple[int, ...],
    sides: Sequence[str],
    place: str,
    follow_links: bool = False,
) -> list[Component]:
    """The components of a stored field of tensor ``order`` 0, 1 or 2 on ``sizes`` nodes.

    Those of a vector are ``name_x``, those of a tensor ``name_xy``, by the names of the axes;
    numbers take their place where there are more or fewer components than axes. ``place`` names
    the array in messages.

    Raises:
        ValueError: a shape that does not fit the nodes and the array's own attributes.
    """
    values = Filled(array, place, follow_links)
    by_sample, by_time = flag(array, "sample_varying", True), flag(array, "time_varying", True)
    lead = by_sample + by_time
    told = np.atleast_1d(array.attrs.get("dim_varying", [True] * len(sizes)))
    if told.dtype.kind not in "biu":
        raise ValueError(f"{place}: expected true or false for each axis in dim_varying")
    varying = tuple(bool(v) for v in told)
    for tail in ((0,), (1,), (2, 1))[order]:
        for stored in dict.fromkeys((varying, (True,) * len(sizes))):
            if _fits(array.shape, lead, stored, varying, sizes, tail):
                return [
                    Component(
                        f"{name}_{label}" if label else name,
                        values,
                        sizes,
                        array.shape[0] if by_sample else None,
                        array.shape[lead - 1] if by_time else None,
                        stored,
                        index,
                    )
                    for label, index in _labels(array.shape[array.ndim - tail :], order, sides)
                ]
    expected = [f"{n} along {side}" for side, n, v in zip(sides, sizes, varying) if v]
    raise ValueError(
        f"{place} has shape {array.shape}, which does not fit: by its attributes it "
        f"{'varies' if by_sample else 'does not vary'} by sample and "
        f"{'varies' if by_time else 'does not vary'} in time, and it has "
        f"{', '.join(expected) or 'no axes'}"
        + ("" if order == 0 else f" and components of a {('vector', 'tensor')[order - 1]}")
    )


def flag(item, name: str, default: bool) -> bool:
    """An attribute of The Well that is true or false."""
    value = np.asarray(item.attrs.get(name, default))
    if value.dtype.kind not in "biu":
        raise ValueError(f"{item.name.lstrip('/')}: expected true or false in {name}")
    return bool(np.all(value))


def _fits(shape, lead: int, stored, varying, sizes, tail: int) -> bool:
    body = shape[lead : len(shape) - tail]
    if len(stored) != len(sizes) or len(varying) != len(sizes) or len(shape) < lead + tail:
        return False
    wanted = [(n, v) for n, v, there in zip(sizes, varying, stored) if there]
    return len(body) == len(wanted) and all(
        m == n or (m == 1 and not v) for m, (n, v) in zip(body, wanted)
    )


def _labels(shape: tuple[int, ...], order: int, sides: Sequence[str]):
    """Name and index of each component of an array whose last axes have that shape."""
    if order == 0:
        return [("", ())]
    side = math.isqrt(shape[0]) if order == 2 and len(shape) == 1 else shape[0]
    known = sides if side == len(sides) else [str(i) for i in range(max(shape))]
    if math.prod(shape) == len(known) ** order:
        joint = "" if all(len(name) == 1 for name in known) else "_"
        names = [joint.join(parts) for parts in product(known, repeat=order)]
    else:
        names = [str(i) for i in range(math.prod(shape))]
    return list(zip(names, product(*(range(n) for n in shape))))
