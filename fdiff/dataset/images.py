"""A folder of MNIST images as a dataset."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from fdiff.dataset.formats.boundaries import Boundary, asked_boundary
from fdiff.dataset.idx import find_images, read_pixels, shades
from fdiff.dataset.reader import Dataset
from fdiff.grid import Grid
from fdiff.inputs import follows

SIDE = 64  # the digits' 28 rows, resized as in arXiv 2303.04772
BLOCK = 4096  # images resized at a time: bounds the memory


class ImageView:
    """The images as `fdiff.dataset.formats` shows samples: (t, y, x, field), one of each."""

    names = ("image",)
    sides = ("y", "x")

    def __init__(self, pixels: np.ndarray, side: int):
        self.pixels = pixels
        self.shape = self.stored_shape = (1, side, side, 1)
        self.keys = [f"{i:05d}" for i in range(len(pixels))]

    def axis(self, name: str) -> np.ndarray:
        """Stored times, or cell centres."""
        side = self.shape[1]
        return np.zeros(1) if name == "t" else (np.arange(side) + 0.5) / side

    def data(self, row: int) -> np.ndarray:
        return resize(shades(self.pixels[row : row + 1]), self.shape[1])[..., None]

    def faults(self, row: int, channel: int, frames: int | slice) -> list[str]:
        """Every pixel has a value."""
        return []

    def record(self, row: int) -> None:
        """Nothing is recorded of an image's making."""


class ImageFolder(Dataset):
    """The images of an MNIST folder, resized to ``side``², on the unit square without flux.

    Digits are not periodic, hence the no-flux box. It reads like a `Dataset` of one field "image"
    at time 0. Without both of MNIST's own files, every tenth image is in the split "test": the file
    of test images has the cleaner digits first, so its end is of another law than the rest.

    arXiv 2303.04772 resizes to 64² too, then blurs with a Gaussian kernel of 7 pixels and standard
    deviation 0.1 pixels. That kernel's weights on the four nearest neighbours are 2e-22: it changes
    no value by more than 1e-21, and is left out.
    """

    holds_images = True

    def __init__(
        self,
        path: Path | str,
        side: int = SIDE,
        boundary: Boundary | None = None,
        follow_links: bool | None = None,
    ):
        self.path, self._follow = Path(path), follows(follow_links)
        if set(asked_boundary(boundary, ("y", "x")).values()) - {"neumann"}:
            raise ValueError(f"{path}: images are on the square without flux; got {boundary!r}")
        self._files = find_images(self.path, self._follow)
        self._side = side

    def close(self) -> None:
        """Nothing stays open."""

    @cached_property
    def view(self) -> ImageView:  # type: ignore[override]
        return ImageView(np.concatenate(self._parts), self._side)

    @cached_property
    def provenance(self) -> dict[str, Any]:
        return {}

    def attribute(self, name: str) -> None:
        """A folder has none."""

    @cached_property
    def config(self) -> dict[str, Any]:
        return {}

    @cached_property
    def grid(self) -> Grid:
        return Grid((self._side, self._side), 1.0, "neumann")

    @cached_property
    def _parts(self) -> list[np.ndarray]:
        parts = [read_pixels(path, self._follow) for path in self._files]
        for path, part in zip(self._files, parts):
            rows, columns = part.shape[1:]
            if rows != columns or part.shape[1:] != parts[0].shape[1:]:
                raise ValueError(
                    f"{path}: expected square images of one size in the whole folder, got "
                    f"{rows}×{columns}"
                )
        return parts

    def indices(self, split: str | None = None) -> Sequence[int]:
        """Positions of ``"train"``, ``"test"``, or of all (None); ascending."""
        n = len(self)
        if split not in (None, "train", "test"):
            raise ValueError(f'{self.path} has the splits "train" and "test", not {split!r}')
        if split is None:
            return range(n)
        if len(self._parts) > 1:
            border = len(self._parts[0])
            return range(border) if split == "train" else range(border, n)
        held_out = range((n - 1) % 10, n, 10)
        return held_out if split == "test" else [i for i in range(n) if i not in held_out]

    def frame(self, time: float | None = None) -> int:
        if time not in (None, 0, 0.0):
            raise ValueError(f"{self.path} holds images, which have no time; got {time!r}")
        return 0

    def fields(
        self,
        field: str | Sequence[str] | None = None,
        time: float | None = None,
        split: str | None = None,
    ) -> np.ndarray:
        """Images ``(samples, 1, side, side)``, float32 in [0, 1]."""
        for name in [field] if field is None or isinstance(field, str) else field:
            self.channel(name)
        self.frame(time)
        rows, side = self.indices(split), self._side
        out = np.empty((len(rows), 1, side, side), np.float32)
        for begin in range(0, len(rows), BLOCK):
            pixels = self.view.pixels[list(rows[begin : begin + BLOCK])]
            out[begin : begin + BLOCK, 0] = resize(shades(pixels), side)
        return out

    def parameters(
        self, names: str | Sequence[str], split: str | None = None
    ) -> dict[str, np.ndarray]:
        if names:
            raise ValueError(
                f"{self.path} holds images, which have no parameters: leave out --condition"
            )
        return {}

    def identities(self, split: str | None = None) -> Iterator[str]:
        """A checksum of each image's pixels."""
        yield from map(self.identity, self.indices(split))

    def identity(self, row: int) -> str:
        """The checksum of one image's pixels."""
        return "sha256:" + hashlib.sha256(shades(self.view.pixels[row]).tobytes()).hexdigest()


def resize(images: np.ndarray, side: int) -> np.ndarray:
    """Bilinear interpolation of ``(samples, n, n)`` at the cell centres of a ``side``² grid."""
    weights = [_bilinear(n, side).astype(images.dtype) for n in images.shape[1:]]
    # One product an image, so that its numbers do not depend on what it is read with.
    return np.matmul(np.matmul(weights[0], images), weights[1].T)


def _bilinear(n: int, side: int) -> np.ndarray:
    """Matrix (side, n) of linear interpolation between cell centres, constant beyond the last."""
    place = np.clip((np.arange(side) + 0.5) * n / side - 0.5, 0, n - 1)
    low = np.minimum(place.astype(int), max(n - 2, 0))
    out = np.zeros((side, n))
    out[np.arange(side), low] = 1 - (place - low)
    out[np.arange(side), np.minimum(low + 1, n - 1)] += place - low
    return out
