"""Datasets on disk: files that are complete or absent, and readers that load on demand."""

from pathlib import Path

from fdiff.dataset.formats import Boundary
from fdiff.dataset.images import ImageFolder
from fdiff.dataset.opening import refuse_run
from fdiff.dataset.reader import Dataset
from fdiff.dataset.shared import overlap
from fdiff.dataset.writer import write_fields


def open(  # named as in `h5py` and `xarray`
    path, boundary: Boundary | None = None, follow_links: bool | None = None
) -> Dataset:
    """A dataset for reading: an HDF5 file (`Dataset`) or an MNIST folder (`ImageFolder`).

    ``boundary`` is for files of other programs, which may not state it or leave a choice: one kind
    for all axes ("periodic", "neumann" or "dirichlet"), one an axis in the order of the grid's axes
    ("neumann,periodic", or a sequence), or by name ("x=periodic,y=neumann", or a mapping).

    ``follow_links``: whether links out of the file, and symbolic links in its place, are followed;
    None: as within `fdiff.inputs.following_links`, else not. The shards that a whole file names in
    its own record are read in any case, where they lie beside it.

    Raises:
        LinkRefused: a link that leads to another file.
        ValueError: a file that is no dataset, or does not say what its grid is.
    """
    path = Path(path)
    if (path / "data").is_dir():
        raise ValueError(
            f"{path} holds The Well's folders: name a file, as {path}/data/train/*.hdf5"
        )
    refuse_run(path)
    if path.is_dir():
        return ImageFolder(path, boundary=boundary, follow_links=follow_links)
    file = Dataset(path, boundary, follow_links)
    try:
        # What is not known of them is asked for now, and what is damaged is said.
        file.times, file.grid, file.field_names  # noqa: B018
    except ValueError:
        file.close()
        raise
    return file


__all__ = ["Boundary", "Dataset", "ImageFolder", "open", "overlap", "write_fields"]
