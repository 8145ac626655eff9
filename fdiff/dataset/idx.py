"""IDX files (MNIST and its relatives), gzipped or raw, read with checks.

The format: two zero bytes, a type code (8: unsigned byte), the number of axes, each length as a
big-endian 32-bit number, then the values in C order. http://yann.lecun.com/exdb/mnist
"""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path

import numpy as np

UNSIGNED_BYTE = 8
MOST_VALUES = 2**31  # a header that promises more is damaged


def read_idx(path: Path | str) -> np.ndarray:
    """The array of an IDX file of unsigned bytes; ``.gz`` or not is told from its first bytes.

    Raises:
        ValueError: not an IDX file, another type of values, or fewer or more values than the
            header says.
    """
    path = Path(path)
    raw = path.read_bytes()
    if raw[:2] == b"\x1f\x8b":
        try:
            raw = gzip.decompress(raw)
        except (EOFError, OSError, zlib.error) as error:
            raise ValueError(f"{path} is a damaged gzip file ({error}): fetch it again") from error
    if len(raw) < 4 or raw[:2] != b"\x00\x00":
        raise ValueError(f"{path} is no IDX file: it must begin with two zero bytes")
    code, axes = raw[2], raw[3]
    if code != UNSIGNED_BYTE:
        raise ValueError(f"{path}: expected unsigned bytes (type 0x08), got type {code:#04x}")
    start = 4 + 4 * axes
    if not 1 <= axes <= 4 or len(raw) < start:
        raise ValueError(f"{path}: a header of {axes} axes in a file of {len(raw)} bytes")
    shape = tuple(int.from_bytes(raw[i : i + 4], "big") for i in range(4, start, 4))
    expected, found = math.prod(shape), len(raw) - start
    if expected != found or expected > MOST_VALUES:
        state = "truncated" if found < expected else "longer than its header says"
        raise ValueError(f"{path} is {state}: {shape} needs {expected} bytes, it has {found}")
    return np.frombuffer(raw, np.uint8, offset=start).reshape(shape)


def read_pixels(path: Path | str) -> np.ndarray:
    """Bytes ``(samples, rows, columns)``, the first row at the bottom.

    An image's rows run downward; fdiff's first axis runs upward, so rows are reversed.
    """
    pixels = read_idx(path)
    if pixels.ndim != 3 or pixels.size == 0:
        raise ValueError(f"{path}: expected images (samples, rows, columns), got {pixels.shape}")
    return pixels[:, ::-1]


def read_images(path: Path | str) -> np.ndarray:
    """Images ``(samples, rows, columns)`` in [0, 1], float32, the first row at the bottom."""
    return shades(read_pixels(path))


def shades(pixels: np.ndarray) -> np.ndarray:
    """Bytes as numbers in [0, 1], float32."""
    return pixels.astype(np.float32) / 255.0


def find_images(folder: Path | str) -> list[Path]:
    """The image files of an MNIST folder: ``*images*idx3*``, training files first.

    Raises:
        ValueError: no such file in the folder.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ValueError(f"{folder} is no folder: name the one that holds MNIST's images")
    found = {path.name.removesuffix(".gz"): path for path in sorted(folder.glob("*images*idx3*"))}
    if not found:
        raise ValueError(
            f"{folder} holds no MNIST images: expected files like train-images-idx3-ubyte(.gz)"
        )
    return sorted(found.values(), key=lambda path: (not path.name.startswith("train"), path.name))
