"""A folder of MNIST images as a dataset."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from fdiff.dataset.idx import find_images, read_images
from fdiff.grid import Grid

SIDE = 64  # the digits' 28 rows, resized as in arXiv 2303.04772


class ImageFolder:
    """The images of an MNIST folder, resized to ``SIDE``², on the unit square without flux.

    Digits are not periodic, hence the no-flux box. It reads like a `Dataset` of one field "image"
    at time 0. Without both of MNIST's own files, the last tenth is the split "test".
    """

    field_names = ("image",)
    times = np.zeros(1)

    def __init__(self, path: Path | str):
        self.path = Path(path)
        self._files = find_images(self.path)
        self.grid = Grid((SIDE, SIDE), 1.0, "neumann")
        self.provenance: dict[str, Any] = {}

    def __enter__(self) -> ImageFolder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Nothing stays open."""

    def __len__(self) -> int:
        return len(self._pixels)

    @cached_property
    def _pixels(self) -> np.ndarray:
        return np.concatenate([read_images(path) for path in self._files])

    def indices(self, split: str | None = None) -> range:
        """Positions of ``"train"``, ``"test"``, or of all (None)."""
        n = len(self)
        both = len(self._files) > 1
        border = len(read_images(self._files[0])) if both else n - max(1, n // 10)
        ranges = {None: range(n), "train": range(border), "test": range(border, n)}
        if split not in ranges:
            raise ValueError(f'{self.path} has the splits "train" and "test", not {split!r}')
        return ranges[split]

    def fields(
        self, field: str | None = None, time: float | None = None, split: str | None = None
    ) -> np.ndarray:
        """Images ``(samples, 1, 64, 64)``, float32 in [0, 1]."""
        if field not in (None, "image"):
            raise ValueError(f'{self.path} has the field "image", not {field!r}')
        if time not in (None, 0, 0.0):
            raise ValueError(f"{self.path} holds images, which have no time; got {time!r}")
        chosen = self._pixels[self.indices(split).start : self.indices(split).stop]
        return resize(chosen, SIDE)[:, None]

    def identities(self, split: str | None = None) -> Iterator[str]:
        """A checksum of each image's pixels."""
        for row in self.indices(split):
            yield "sha256:" + hashlib.sha256(self._pixels[row].tobytes()).hexdigest()


def resize(images: np.ndarray, side: int) -> np.ndarray:
    """Bilinear interpolation of ``(samples, n, n)`` at the cell centres of a ``side``² grid."""
    weights = [_bilinear(n, side).astype(images.dtype) for n in images.shape[1:]]
    return np.einsum("ai,nij,bj->nab", weights[0], images, weights[1], optimize=True)


def _bilinear(n: int, side: int) -> np.ndarray:
    """Matrix (side, n) of linear interpolation between cell centres, constant beyond the last."""
    place = np.clip((np.arange(side) + 0.5) * n / side - 0.5, 0, n - 1)
    low = np.minimum(place.astype(int), max(n - 2, 0))
    out = np.zeros((side, n))
    out[np.arange(side), low] = 1 - (place - low)
    out[np.arange(side), np.minimum(low + 1, n - 1)] += place - low
    return out
