"""A box with a grid on it, and the basis in which fdiff's operators are diagonal."""

from __future__ import annotations

import functools
import math
import numbers
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, final

import numpy as np

from fdiff import backends
from fdiff.cache import cached_arrays

BOUNDARIES = ("periodic", "neumann", "dirichlet")
# Coordinates in files are float32, or text of six digits: of a box's sides no more is known.
_BOX_PRECISION = 2e-5


@final
@dataclass(frozen=True)
class Grid:
    """The box ``prod_i [origin_i, origin_i + lengths_i]`` with ``shape_i`` nodes per axis.

    Nodes: ``origin + j h`` on a periodic axis, ``origin + (j + 1/2) h`` (cell centres) on a
    Neumann or Dirichlet axis, ``h = lengths / shape``. ``lengths``, ``boundary`` and ``origin``
    take one value for all axes or one per axis; they are stored as tuples.

    Arrays of fields have shape ``(..., *grid.shape)`` and hold function values.

    Raises:
        ValueError: dimension outside 1..3, an axis without nodes, a length that is not positive,
            an unknown boundary, or a tuple whose length is not the dimension.
    """

    shape: tuple[int, ...]
    lengths: tuple[float, ...] = 1.0  # type: ignore[assignment]  # scalars are spread over the axes
    boundary: tuple[str, ...] = "periodic"  # type: ignore[assignment]
    origin: tuple[float, ...] = 0.0  # type: ignore[assignment]

    if TYPE_CHECKING:  # what may be given; the fields above are what is stored

        def __init__(
            self,
            shape: int | Sequence[int],
            lengths: float | Sequence[float] = 1.0,
            boundary: str | Sequence[str] = "periodic",
            origin: float | Sequence[float] = 0.0,
        ) -> None: ...

    def __post_init__(self) -> None:
        shape: tuple = _one_or_many(self.shape)
        if not 1 <= len(shape) <= 3:
            raise ValueError(f"a grid has 1 to 3 axes, got shape {shape}")
        if any(n != int(n) or n < 1 for n in shape):
            raise ValueError(f"every axis needs a whole number of nodes >= 1, got shape {shape}")
        set_field = object.__setattr__  # the class is frozen for everybody else
        set_field(self, "shape", tuple(int(n) for n in shape))
        for name, convert in (("lengths", float), ("boundary", str), ("origin", float)):
            value = getattr(self, name)
            values = _one_or_many(value)
            values = values * len(shape) if isinstance(value, _SCALARS) else values
            if len(values) != len(shape):
                raise ValueError(
                    f"{name} needs one value, or one per axis of shape {shape}; got {value!r}"
                )
            set_field(self, name, tuple(convert(v) for v in values))
        if not all(0 < length < math.inf for length in self.lengths):
            raise ValueError(f"side lengths must be positive and finite, got {self.lengths}")
        if not all(map(math.isfinite, self.origin)):
            raise ValueError(f"origin must be finite, got {self.origin}")
        unknown = set(self.boundary) - set(BOUNDARIES)
        if unknown:
            raise ValueError(f"boundary must be one of {BOUNDARIES}, got {sorted(unknown)}")

    @property
    def dim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of nodes."""
        return math.prod(self.shape)

    @property
    def volume(self) -> float:
        """``|D|``, the product of the side lengths."""
        return math.prod(self.lengths)

    @property
    def spacing(self) -> tuple[float, ...]:
        return tuple(length / n for length, n in zip(self.lengths, self.shape))

    @property
    def cell_volume(self) -> float:
        """The quadrature weight ``w = prod_i h_i``: ``<u, v> = w sum_j u_j v_j``."""
        return math.prod(self.spacing)

    def points(self, axis: int) -> np.ndarray:
        """Coordinates of the nodes along ``axis``, shape ``(shape[axis],)``."""
        shift = 0.0 if self.boundary[axis] == "periodic" else 0.5
        return self.origin[axis] + (np.arange(self.shape[axis]) + shift) * self.spacing[axis]

    def coordinates(self) -> tuple[np.ndarray, ...]:
        """One array per axis that broadcasts to ``shape``: ``f(*grid.coordinates())``."""
        return tuple(np.meshgrid(*map(self.points, range(self.dim)), indexing="ij", sparse=True))

    def with_shape(self, shape: tuple[int, ...] | int) -> Grid:
        """The same box with another number of nodes."""
        return Grid(shape, self.lengths, self.boundary, self.origin)

    def refine(self, factor: int = 2) -> Grid:
        """``factor`` times as many nodes on every axis."""
        return self.with_shape(tuple(factor * n for n in self.shape))

    def coarsen(self, factor: int = 2) -> Grid:
        """``factor`` times fewer nodes on every axis; ``factor`` must divide each."""
        if any(n % factor for n in self.shape):
            raise ValueError(f"{factor} does not divide every side of {self.shape}")
        return self.with_shape(tuple(n // factor for n in self.shape))

    def same_box(self, other: Grid) -> bool:
        """Whether both grids look at functions on the same domain with the same boundary.

        Sides and corners are compared to 2e-5 of the side (corners far from 0 also to float32's
        precision of the corner), since two files with different numbers of float32 coordinates
        give one box with different round-off.
        """
        if self.boundary != other.boundary:
            return False
        for a, b, p, q in zip(self.lengths, other.lengths, self.origin, other.origin):
            side = _BOX_PRECISION * max(a, b)
            corner = side + 4 * float(np.finfo(np.float32).eps) * max(abs(p), abs(q))
            if abs(a - b) > side or abs(p - q) > corner:
                return False
        return True

    def same_nodes(self, other: Grid) -> bool:
        """Whether both grids have the same nodes of the same box, as `same_box` compares boxes."""
        return self.shape == other.shape and self.same_box(other)

    @cached_property
    def basis(self) -> Basis:
        return Basis(self)

    def __reduce__(self):
        # A pickle holds what defines the grid, not the arrays that its basis has made so far.
        return Grid, (self.shape, self.lengths, self.boundary, self.origin)


@final
@dataclass(frozen=True)
class Basis:
    """Eigenfunctions ``e_k`` of the Laplacian on a grid's box, and the transform to them.

    Per axis of length ``L`` with ``N`` nodes (tensor products in several dimensions):

    * periodic: ``e^{2 pi i k x / L} / sqrt(L)``, retained ``|k| < N/2``, ``mu = (2 pi k / L)^2``;
    * Neumann: ``sqrt((2 - [k=0]) / L) cos(pi k x / L)``, ``0 <= k < N``, ``mu = (pi k / L)^2``;
    * Dirichlet: ``sqrt(2 / L) sin(pi k x / L)``, ``1 <= k < N``, ``mu = (pi k / L)^2``.

    Coefficients ``c_k = <u, e_k>`` are real where no axis is periodic; otherwise complex, with the
    last periodic axis halved (``rfft``) and the other periodic axes in FFT order. A Dirichlet axis
    starts at ``k = 1``. The boundary modes (periodic ``k = N/2``, Dirichlet ``k = N``) are part of
    the layout, so that the transform is invertible, but they are not retained: on the grid they
    are patterns of +1 and -1, not restrictions of an ``e_k``, and operators set them to zero.
    """

    grid: Grid

    def __reduce__(self):
        return Basis, (self.grid,)

    @cached_property
    def shape(self) -> tuple[int, ...]:
        """Shape of an array of coefficients."""
        return tuple(len(self.wavenumbers(axis)) for axis in range(self.grid.dim))

    @cached_property
    def halved_axis(self) -> int | None:
        """The last periodic axis, of which only ``k >= 0`` is stored; None without one."""
        periodic = [i for i, kind in enumerate(self.grid.boundary) if kind == "periodic"]
        return periodic[-1] if periodic else None

    @property
    def is_complex(self) -> bool:
        return self.halved_axis is not None

    def wavenumbers(self, axis: int) -> np.ndarray:
        """Whole numbers ``k`` along ``axis``, the boundary mode (as ``+N/2`` or ``N``) included."""
        n = self.grid.shape[axis]
        if self.grid.boundary[axis] == "dirichlet":
            return np.arange(1, n + 1)
        if self.grid.boundary[axis] == "neumann":
            return np.arange(n)
        if axis == self.halved_axis:
            return np.arange(n // 2 + 1)
        k = np.arange(n)
        return np.where(k > n // 2, k - n, k)

    def frequencies(self, axis: int) -> np.ndarray:
        """Angular frequencies ``kappa`` along ``axis``, in units of 1/length.

        ``2 pi k / L`` on a periodic axis, ``pi k / L`` on the others, in the order of
        `wavenumbers`; ``mu_k`` is the sum of their squares over the axes.
        """
        turn = 2.0 if self.grid.boundary[axis] == "periodic" else 1.0
        return turn * math.pi / self.grid.lengths[axis] * self.wavenumbers(axis)

    # Full arrays live in caches bounded by bytes, not on the object: a grid is a key of many
    # caches, and would keep its arrays alive with them.
    @property
    def laplacian(self) -> np.ndarray:
        """``mu_k >= 0``, the exact eigenvalues of ``-Laplacian``, in units of 1/length^2."""
        return _laplacian(self.grid)

    def axis_laplacian(self, axis: int) -> np.ndarray:
        """The contribution ``mu_{k_i}`` of one axis, shape ``(basis.shape[axis],)``."""
        return self.frequencies(axis) ** 2

    @property
    def retained(self) -> np.ndarray:
        """True on the modes that are restrictions of an ``e_k``, False on boundary modes."""
        return _retained(self.grid)

    def axis_retained(self, axis: int) -> np.ndarray:
        k, n = self.wavenumbers(axis), self.grid.shape[axis]
        return 2 * np.abs(k) < n if self.grid.boundary[axis] == "periodic" else k < n

    @property
    def weights(self) -> np.ndarray:
        """``omega_k``: how many modes a stored coefficient stands for (1 or 2).

        ``<u, v> = sum_k omega_k Re(conj(a_k) b_k)``.
        """
        return _weights(self.grid)

    def forward(self, u, threads: int = 1):
        """Coefficients ``c_k = <u, e_k>`` of ``u``: ``(..., *grid.shape)``, numpy or torch.

        Orthonormal up to the quadrature weight: ``sum omega |c|^2 = w sum u^2``. float32 stays
        float32; other dtypes are computed in float64. ``threads`` is used by FFTW only.
        """
        return backends.of(u).forward(u, self.grid, threads)

    def inverse(self, c, threads: int = 1, *, overwrite: bool = False):
        """Function values ``(..., *grid.shape)`` of the coefficients ``c``: ``(..., *shape)``.

        With ``overwrite`` the values of ``c`` may be lost, which saves memory on large grids.
        """
        return backends.of(c).inverse(c, self.grid, threads, overwrite)

    def project(self, c):
        """``Pi_n``: the coefficients with the modes that are not retained set to zero."""
        return c * backends.of(c).constant(self.retained, c)

    def inner(self, a, b):
        """``<u, v>`` of two arrays of coefficients, summed over the modes; leading axes stay."""
        products = backends.of(a).real_product(a, b)
        weighted = products * backends.of(a).constant(self.weights, products)
        return weighted.sum(tuple(range(-self.grid.dim, 0)))


_SCALARS = (str, numbers.Number)


def _one_or_many(value: Any) -> tuple:
    """A number or a word as a tuple of one, a sequence as a tuple."""
    return (value,) if isinstance(value, _SCALARS) else tuple(value)


@cached_arrays
def _laplacian(grid: Grid) -> np.ndarray:
    return _outer(np.add, [grid.basis.axis_laplacian(axis) for axis in range(grid.dim)])


@cached_arrays
def _retained(grid: Grid) -> np.ndarray:
    return _outer(np.logical_and, [grid.basis.axis_retained(axis) for axis in range(grid.dim)])


@cached_arrays
def _weights(grid: Grid) -> np.ndarray:
    weights = np.ones(grid.basis.shape)
    axis = grid.basis.halved_axis
    if axis is not None:
        k = grid.basis.wavenumbers(axis)
        line = np.where((k == 0) | (2 * k == grid.shape[axis]), 1.0, 2.0)
        weights *= line.reshape([-1 if i == axis else 1 for i in range(grid.dim)])
    return weights


def _outer(combine, lines: list[np.ndarray]) -> np.ndarray:
    """``combine`` over the axes of one-dimensional arrays, as a full, read-only array."""
    parts = np.meshgrid(*lines, indexing="ij", sparse=True)
    out = np.ascontiguousarray(functools.reduce(combine, parts))
    out.setflags(write=False)
    return out
