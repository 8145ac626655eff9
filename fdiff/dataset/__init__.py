"""Datasets on disk: files that are complete or absent, and readers that load on demand."""

from fdiff.dataset.reader import Dataset, overlap
from fdiff.dataset.writer import write_fields


def open(path) -> Dataset:  # named as in `h5py` and `xarray`: fdiff.dataset.open(...)
    """A dataset for reading; see `Dataset`."""
    return Dataset(path)


__all__ = ["Dataset", "open", "overlap", "write_fields"]
