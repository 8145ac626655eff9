"""Which values of an HDF5 array were ever written: where none was, HDF5 reads its fill value.

HDF5 allocates an array in chunks chunk by chunk, and one in a piece when the first value comes. A
program that ended early, or left out a frame, leaves chunks that are not there. Within a chunk
nothing tells a value from the fill value that it began with.
"""

from __future__ import annotations

import math
from typing import final

import numpy as np


@final
class Written:
    """Whether the places of an array have values; ``complete`` where all have."""

    def __init__(self, array):
        self.shape, self.chunks, self._table = array.shape, array.shape, None
        if not array.shape or 0 in array.shape:
            return
        from h5py import h5d

        layout = array.id.get_create_plist().get_layout()
        if layout == h5d.CHUNKED:
            self.chunks = array.chunks
            self._table = _chunks_there(array)
        elif layout == h5d.CONTIGUOUS and not array.external and not array.id.get_storage_size():
            self._table = np.zeros((1,) * array.ndim, bool)

    @property
    def complete(self) -> bool:
        return self._table is None

    def missing(self, key) -> np.ndarray:
        """Whether each value of ``array[key]`` was never written, an array of truth values.

        ``key``: whole numbers, slices and an Ellipsis, as h5py takes them.
        """
        parts = key if isinstance(key, tuple) else (key,)
        place = next((i for i, part in enumerate(parts) if part is Ellipsis), len(parts))
        rest = parts[place + 1 :]
        middle = (slice(None),) * (len(self.shape) - place - len(rest))
        chosen = [
            np.arange(n)[part] // chunk
            for n, chunk, part in zip(self.shape, self.chunks, (*parts[:place], *middle, *rest))
        ]
        shape = tuple(one.size for one in chosen if one.ndim)
        if self._table is None:
            return np.zeros(shape, bool)
        return ~self._table[np.ix_(*map(np.atleast_1d, chosen))].reshape(shape)


def _chunks_there(array) -> np.ndarray | None:
    """Whether each chunk is allocated, an array of truth values; None where all are."""
    counts = tuple(-(-n // chunk) for n, chunk in zip(array.shape, array.chunks))
    if array.id.get_num_chunks() == math.prod(counts):
        return None
    there = np.zeros(counts, bool)

    def note(info) -> None:
        there[tuple(at // chunk for at, chunk in zip(info.chunk_offset, array.chunks))] = True

    if hasattr(array.id, "chunk_iter"):  # from HDF5 1.12.3 on
        array.id.chunk_iter(note)
    else:
        for i in range(array.id.get_num_chunks()):
            note(array.id.get_chunk_info(i))
    return there
