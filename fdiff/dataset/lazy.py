"""A field of all samples as one array that xarray reads piece by piece."""

from __future__ import annotations

from typing import final

import numpy as np

from fdiff.dataset.formats import View


@final
class StackedField:
    """(sample, time, *grid.shape) of one field; reads the samples and times that are asked for."""

    def __init__(self, view: View, channel: int):
        self.view, self.channel = view, channel
        self.shape = (len(view.keys), *view.shape[:-1])
        self.dtype = np.dtype(np.float32)

    def read(self, key: tuple) -> np.ndarray:
        """Values at whole numbers and slices, one an axis."""
        rows, frames, *places = key
        chosen = np.arange(self.shape[0])[rows]
        times = np.arange(self.shape[1])[frames]
        if np.ndim(chosen) == 0:
            return self._sample(int(chosen), times, tuple(places))
        return self._stacked([self._sample(int(row), times, tuple(places)) for row in chosen])

    def _sample(self, row: int, times, places: tuple) -> np.ndarray:
        data = self.view.data(row)
        if np.ndim(times) == 0:
            return np.asarray(data[int(times)][..., self.channel])[places]
        return self._stacked([data[int(t)][..., self.channel][places] for t in times])

    def _stacked(self, parts: list[np.ndarray]) -> np.ndarray:
        return np.stack(parts) if parts else np.empty((0,) * len(self.shape), self.dtype)


def lazily_indexed(field: StackedField):
    """The field as xarray's lazy array; its base class is xarray's own, which may be absent."""
    from xarray.backends import BackendArray
    from xarray.core import indexing

    class LazyField(BackendArray):
        shape, dtype = field.shape, field.dtype

        def __getitem__(self, key: indexing.ExplicitIndexer) -> np.ndarray:
            support = indexing.IndexingSupport.BASIC
            return indexing.explicit_indexing_adapter(key, self.shape, support, field.read)

    return indexing.LazilyIndexedArray(LazyField())
