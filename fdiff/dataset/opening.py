"""Opening HDF5 files, and saying what is the matter with one that cannot be opened or unpacked.

A file is told apart by its first bytes and by what HDF5 and the system say. Nothing here advises to
replace a file: whether its bytes have changed is known only from a checksum, see `verify`.
"""

from __future__ import annotations

import errno
import importlib
import io
import re
import shlex
import zipfile
from pathlib import Path

from fdiff.dataset.links import storage_outside
from fdiff.errors import FileError, LinkRefused, UnreadableHere
from fdiff.files import system_errors
from fdiff.inputs import FOLLOW, regular

_HEAD = 4096  # bytes by which a file is recognised
_SIGNATURE = b"\x89HDF\r\n\x1a\n"
# HDF5 finds its signature at the beginning or after a user block of 512, 1024, ... bytes.
_PLACES = (0, 512, 1024, 2048)

_OTHER_KINDS = (
    (b"\x93NUMPY", "a NumPy array (.npy)"),
    (b"MATLAB 5.0 MAT-file", "a MATLAB file of version 5 to 7 (save it with -v7.3, or as HDF5)"),
    (b"CDF", "a netCDF file of the classic format (`nccopy -k netCDF-4` turns it into HDF5)"),
    (b"\x1f\x8b", "a gzip archive (unpack it with gunzip)"),
    (b"BZh", "a bzip2 archive (unpack it)"),
    (b"\xfd7zXZ\x00", "an xz archive (unpack it)"),
    (b"\x28\xb5\x2f\xfd", "a zstd archive (unpack it)"),
)
# A byte of gzip, HDF5's own filter, unpacks to at most 1032; what is small may be sparse.
_DENSEST, _SMALL = 1100, 1 << 26
WRITE = "fdiff.dataset.write_fields writes an array as a dataset"
_NEEDED = f"name an HDF5 file ({WRITE}; docs/other_files.md says what is read)"


def open_hdf5(path: Path, follow_links: bool = False):
    """The file, open for reading.

    Raises:
        LinkRefused: a symbolic link, and ``follow_links`` is not given.
        UnreadableHere: another process writes it, or its file system has no locks.
        ValueError: a file of another kind, an incomplete or a damaged one; the sentence says which.
        OSError: the system does not let it be read, as where permission is missing.
    """
    import h5py

    regular(path, follow_links)
    with open(path, "rb") as file:
        head = file.read(_HEAD)
    try:
        with system_errors(path):
            return h5py.File(path, "r")
    except OSError as error:
        raise _explained(path, head, error) from error


def refuse_run(path: Path) -> None:
    """Raises FileError where a path that is to hold data is the folder of a trained network."""
    if (path / "run.json").is_file():
        raise FileError(
            path, "", "data", "a run of `fdiff train`",
            f"`fdiff sample {shlex.quote(str(path))} --out FILE` draws fields from it",
            f"{path} is a run of `fdiff train`, not data: `fdiff sample {shlex.quote(str(path))} "
            "--out FILE` draws fields from it",
        )  # fmt: skip


def _explained(path: Path, head: bytes, error: OSError) -> Exception:
    said = str(error.__cause__ or error)
    if "unable to lock file" in said:
        if error.errno in (errno.EAGAIN, errno.EACCES):
            return UnreadableHere(
                f"{path} is open in another process that writes it: wait until that process has "
                "closed it; nothing is known to be wrong with the file"
            )
        return UnreadableHere(
            f"{path} lies on a file system that cannot lock files ({error.strerror}): set the "
            "environment variable HDF5_USE_FILE_LOCKING=FALSE to read it without a lock"
        )
    if "already open for write" in said:
        return UnreadableHere(
            f"{path} is marked as open for writing: a process writes it, or ended without closing "
            f"it. Where none does, `h5clear -s {path}` (of HDF5's tools) takes the mark away"
        )
    if error.errno is not None:
        return error
    lengths = re.search(r"truncated file: eof = (\d+).*stored_eof = (\d+)", said)
    if lengths:
        return ValueError(
            f"{path} is truncated: {lengths[1]} of {lengths[2]} bytes are there; wait where it is "
            "still being copied, else copy it again from where it came"
        )
    if any(head[place:].startswith(_SIGNATURE) for place in _PLACES):
        return ValueError(
            f"{path} begins like an HDF5 file, but its structure is truncated or damaged: copy it "
            "again from where it came"
        )
    return ValueError(f"{path} is no readable HDF5 file: {_kind(path, head)}")


def _kind(path: Path, head: bytes) -> str:
    """What a file is that is no HDF5 file."""
    if not head:
        return (
            "it is empty (0 bytes), so what was to write or copy it did not: write or copy it "
            f"again, or {_NEEDED}"
        )
    if not head.strip(b"\0"):
        return "it begins with zeros only, as a copy does that has not begun or did not arrive"
    if head.startswith(b"PK\x03\x04"):
        return _archive(path)
    for start, kind in _OTHER_KINDS:
        if head.startswith(start):
            return f"it is {kind}" + (f"; {WRITE}" if start == b"\x93NUMPY" else "")
    text = _text(head)
    if text is None:
        return f"it begins with the bytes {head[:8].hex(' ')}, which fdiff does not know: {_NEEDED}"
    if text.startswith("version https://git-lfs"):
        return "it is a pointer of Git LFS to the file (`git lfs pull` fetches it)"
    if text.lstrip().startswith("<"):
        return "it is a web page or XML, as a download leaves that was answered with an error"
    first = text.strip().splitlines()[0] if text.strip() else ""
    return f"it is text that begins {first[:40]!r}: {_NEEDED}"


def _archive(path: Path) -> str:
    try:
        names = zipfile.ZipFile(path).namelist()
    except (zipfile.BadZipFile, io.UnsupportedOperation):
        return "it is a zip archive that is cut short"
    if names and all(name.endswith(".npy") for name in names):
        return f"it holds NumPy arrays (.npz: {', '.join(n[:-4] for n in names[:4])}); {WRITE}"
    return "it is a zip archive (unpack it)"


def _text(head: bytes) -> str | None:
    """The bytes as text, None where they are none."""
    for cut in range(4):  # the last letter may have been cut
        try:
            text = head[: len(head) - cut].decode("utf-8")
        except UnicodeDecodeError:
            continue
        return text if all(c.isprintable() or c in "\t\n\r\f\ufeff" for c in text) else None
    return None


def readable(data, follow_links: bool = False):
    """The HDF5 dataset, where its values are in its own file and the file is large enough for them.

    Raises:
        LinkRefused: its values are in another file, and ``follow_links`` is not given.
        FileError: it declares more values than its file can hold.
    """
    if not hasattr(data, "id") or not hasattr(data.id, "get_create_plist"):
        raise FileError(data.file.filename, data.name, "an array", "a group", "it is damaged")
    outside = storage_outside(data.id)
    if outside and not follow_links:
        raise LinkRefused(
            data.file.filename, data.name.lstrip("/"), "values in the file itself",
            f"values in {outside}", f"copy them into the file, or {FOLLOW}",
        )  # fmt: skip
    size = data.nbytes if data.shape is not None else 0
    if not outside and size > _SMALL:
        there = min(data.id.get_storage_size(), Path(data.file.filename).stat().st_size)
        if size > _DENSEST * there:
            raise FileError(
                data.file.filename, data.name.lstrip("/"), "as many values as the file holds",
                f"a shape of {size:.3g} bytes of which {there} are there",
                "the file is damaged or was never finished",
            )  # fmt: skip
    return data


def unpackable(data):
    """The HDF5 dataset, where each filter that its stored chunks went through is installed.

    A chunk's mask says which filters it skipped, so an optional filter that no chunk needed is
    none that is missing. The package hdf5plugin is used where it is installed.

    Raises:
        UnreadableHere: a filter is missing; it is named.
    """
    import h5py

    properties = data.id.get_create_plist()
    filters = [properties.get_filter(i) for i in range(properties.get_nfilters())]
    for place, (code, _, _, name) in enumerate(filters):
        if h5py.h5z.filter_avail(code) or _from_plugins(code) or not _used(data, place):
            continue
        known = name.split(b"\0")[0].decode("utf-8", "replace")
        raise UnreadableHere(
            f"{data.file.filename}: the values of {data.name} are packed with the HDF5 filter "
            f"{code}{f' ({known})' if known else ''}, which is not installed here: `pip install "
            "hdf5plugin` brings the common ones, or unpack the file where it was made "
            "(`h5repack -f NONE`); the data are not known to be damaged"
        )
    return data


def _from_plugins(code: int) -> bool:
    """Whether hdf5plugin, which registers its filters when it is imported, has this one."""
    import h5py

    try:
        importlib.import_module("hdf5plugin")
    except ImportError:
        return False
    return bool(h5py.h5z.filter_avail(code))


def _used(data, place: int) -> bool:
    count = data.id.get_num_chunks()
    return any(not data.id.get_chunk_info(i).filter_mask >> place & 1 for i in range(count))
