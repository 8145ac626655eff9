"""Datasets on disk: files that are complete or absent, and readers that load on demand."""

from pathlib import Path

from fdiff.dataset.formats import Boundary
from fdiff.dataset.images import ImageFolder
from fdiff.dataset.reader import Dataset
from fdiff.dataset.shared import overlap
from fdiff.dataset.writer import write_fields


def open(path, boundary: Boundary | None = None) -> Dataset:  # named as in `h5py` and `xarray`
    """A dataset for reading: an HDF5 file (`Dataset`) or an MNIST folder (`ImageFolder`).

    ``boundary`` is for files of other programs, which may not state it or leave a choice: one kind
    for all axes ("periodic", "neumann" or "dirichlet"), one an axis in the order of the grid's axes
    ("neumann,periodic", or a sequence), or by name ("x=periodic,y=neumann", or a mapping).

    Raises:
        ValueError: a file that is no dataset, or does not say what its grid is.
    """
    path = Path(path)
    if (path / "data").is_dir():
        raise ValueError(
            f"{path} holds The Well's folders: name a file, as {path}/data/train/*.hdf5"
        )
    if path.is_dir():
        return ImageFolder(path, boundary=boundary)
    file = Dataset(path, boundary)
    try:
        file.times, file.grid  # noqa: B018  # what is not known of them is asked for now
    except ValueError:
        file.close()
        raise
    return file


__all__ = ["Boundary", "Dataset", "ImageFolder", "open", "overlap", "write_fields"]
