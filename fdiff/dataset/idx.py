"""IDX files (MNIST and its relatives), gzipped or raw, read with checks.

The format: two zero bytes, a type code (8: unsigned byte), the number of axes, each length as a
big-endian 32-bit number, then the values in C order. http://yann.lecun.com/exdb/mnist
"""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np

from fdiff.errors import FileError
from fdiff.inputs import not_a_link, regular

UNSIGNED_BYTE = 8
_SMALL = 4096  # bytes of headers and of packing
MOST_VALUES = 2**31  # a header that promises more is damaged


def read_idx(path: Path | str, follow_links: bool | None = None) -> np.ndarray:
    """The array of an IDX file of unsigned bytes; ``.gz`` or not is told from its first bytes.

    No more is unpacked than the header declares, and one byte to see that there is no more.

    Raises:
        LinkRefused, FileError: see `fdiff.inputs.regular`.
        ValueError: not an IDX file, another type of values, or fewer or more values than the
            header says.
    """
    path = regular(path, follow_links)
    with open(path, "rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    # A byte of gzip unpacks to at most 1032; see https://zlib.net/zlib_tech.html.
    most = path.stat().st_size * (1032 if packed else 1)
    try:
        with gzip.open(path) if packed else open(path, "rb") as file:
            shape = _header(path, cast(BinaryIO, file), most)
            expected = math.prod(shape)
            # Packing adds little; zeros after the end would all be read in search of more.
            if path.stat().st_size > 2 * expected + _SMALL:
                raise ValueError(f"{path} is longer than its header says: {shape}")
            raw = file.read(expected + 1)
    except (EOFError, OSError, zlib.error) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise FileError(
            path, "", "a whole gzip file", "a damaged gzip file", "fetch it again"
        ) from None
    if len(raw) != expected:
        state = "truncated" if len(raw) < expected else "longer than its header says"
        found = f"{len(raw)}" if len(raw) < expected else "more"
        raise ValueError(f"{path} is {state}: {shape} needs {expected} bytes, it has {found}")
    return np.frombuffer(raw, np.uint8).reshape(shape)


def _header(path: Path, file: BinaryIO, most: int) -> tuple[int, ...]:
    """The lengths of the axes; ``most`` is what the file can hold at all."""
    start = file.read(4)
    if len(start) < 4 or start[:2] != b"\x00\x00":
        raise ValueError(f"{path} is no IDX file: it must begin with two zero bytes")
    code, axes = start[2], start[3]
    if code != UNSIGNED_BYTE:
        raise ValueError(f"{path}: expected unsigned bytes (type 0x08), got type {code:#04x}")
    lengths = file.read(4 * axes) if 1 <= axes <= 4 else b""
    if not lengths or len(lengths) < 4 * axes:
        raise ValueError(f"{path}: a header of {axes} axes in a file of another length")
    shape = tuple(int.from_bytes(lengths[i : i + 4], "big") for i in range(0, 4 * axes, 4))
    if math.prod(shape) > min(most, MOST_VALUES):
        raise ValueError(
            f"{path} is truncated, or its header is damaged: {shape} needs {math.prod(shape)} "
            f"bytes, which {path.stat().st_size} bytes cannot hold"
        )
    return shape


def read_pixels(path: Path | str, follow_links: bool | None = None) -> np.ndarray:
    """Bytes ``(samples, rows, columns)``, the first row at the bottom.

    An image's rows run downward; fdiff's first axis runs upward, so rows are reversed.
    """
    pixels = read_idx(path, follow_links)
    if pixels.ndim != 3 or pixels.size == 0:
        raise ValueError(f"{path}: expected images (samples, rows, columns), got {pixels.shape}")
    return pixels[:, ::-1]


def read_images(path: Path | str) -> np.ndarray:
    """Images ``(samples, rows, columns)`` in [0, 1], float32, the first row at the bottom."""
    return shades(read_pixels(path))


def shades(pixels: np.ndarray) -> np.ndarray:
    """Bytes as numbers in [0, 1], float32."""
    return pixels.astype(np.float32) / 255.0


def find_images(folder: Path | str, follow_links: bool | None = None) -> list[Path]:
    """The image files of an MNIST folder: ``*images*idx3*``, training files first.

    Raises:
        LinkRefused: the folder is a symbolic link.
        ValueError: no such file in the folder.
    """
    folder = Path(folder)
    not_a_link(folder, follow_links)
    if not folder.is_dir():
        raise ValueError(f"{folder} is no folder: name the one that holds MNIST's images")
    found = {path.name.removesuffix(".gz"): path for path in sorted(folder.glob("*images*idx3*"))}
    if not found:
        raise ValueError(
            f"{folder} holds no MNIST images: expected files like train-images-idx3-ubyte(.gz)"
        )
    return sorted(found.values(), key=lambda path: (not path.name.startswith("train"), path.name))
