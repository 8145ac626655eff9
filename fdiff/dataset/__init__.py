"""Datasets on disk: files that are complete or absent, and readers that load on demand."""

from pathlib import Path

from fdiff.dataset.images import ImageFolder
from fdiff.dataset.reader import Dataset, overlap
from fdiff.dataset.writer import write_fields


def open(path) -> Dataset | ImageFolder:  # named as in `h5py` and `xarray`
    """A dataset for reading: an HDF5 file (`Dataset`) or an MNIST folder (`ImageFolder`)."""
    return ImageFolder(path) if Path(path).is_dir() else Dataset(path)


__all__ = ["Dataset", "ImageFolder", "open", "overlap", "write_fields"]
