"""Datasets on disk: files that are complete or absent, and readers that load on demand."""

from pathlib import Path

from fdiff.dataset.images import ImageFolder
from fdiff.dataset.reader import Dataset
from fdiff.dataset.shared import overlap
from fdiff.dataset.writer import write_fields


def open(path) -> Dataset:  # named as in `h5py` and `xarray`
    """A dataset for reading: an HDF5 file (`Dataset`) or an MNIST folder (`ImageFolder`)."""
    path = Path(path)
    if (path / "data").is_dir():
        raise ValueError(
            f"{path} holds The Well's folders: name a file, as {path}/data/train/*.hdf5"
        )
    return ImageFolder(path) if path.is_dir() else Dataset(path)


__all__ = ["Dataset", "ImageFolder", "open", "overlap", "write_fields"]
