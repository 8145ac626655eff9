"""The conventions of the paper's published code, under their own name, to reproduce its figures.

Hagemann, Mildenberger, Ruthotto, Steidl and Yang (2023), Multilevel Diffusion: infinite dimensional
score-based diffusion models for image generation, https://arxiv.org/abs/2303.04772; the code is
PaulLyonel/multilevelDiff. On ``n x n`` nodes of a periodic square, ``h = 1 / n``:

* **Noise** is ``u = A xi`` with ``xi`` iid ``N(0, 1)`` at the nodes, without the factor ``1 / h``
  that makes white noise of it: the law is ``N(0, h^2 |A|^2)`` in L2, whose values at the nodes
  shrink like ``h`` where ``A`` smooths (the standard prior, ``A = 1``, keeps them at 1 and shrinks
  in L2 alone). Each grid has its own law and its own draws.
* **Down-sampling** crops Fourier coefficients in "ortho" scaling: values are multiplied by the
  factor, a constant 1 becomes 2. Noise keeps its size under it, a function does not.
* **Mixture**: the means ``A f`` of two ramps are built on each grid in function values, so the fine
  problem, cropped, has means twice the coarse one's beside noise of nearly the coarse one's size.
* **Coordinates** given to the network are ``linspace(0, 1, n)``: the node ``j / n`` of the periodic
  square is told to lie at ``j / (n - 1)``.

Not kept: sums in float32 (they let the zero mode of the inverse Laplacian through at 66 of the
sizes 4 to 256; here it is set to 0), and the swapped side lengths (the square has one).

Every part gives fdiff's own objects, so processes, exact scores and samplers run on it::

    prior = fdiff.compat.bessel(shift=8.0, power=0.55)
    grid = fdiff.Grid((32, 32))
    prior.sample(grid, 16, seed=0)                      # as that code draws it
    process = fdiff.ForwardProcess(prior.covariance, fdiff.LinearSchedule())
    fdiff.compat.Mixture(prior).score(process.schedule, grid)   # a MixtureScore
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import final

import numpy as np

from fdiff import levels, noise
from fdiff.covariance import CovarianceOperator
from fdiff.grid import Grid
from fdiff.schedule import NoiseSchedule
from fdiff.score import Field, MixtureScore

# Second words of random keys: pixel noise, components, random multipliers. No other use has them.
_PIXELS, _COMPONENTS, _WEIGHTS = (kind << 48 for kind in (0xC0, 0xC1, 0xC2))


@final
@dataclass(frozen=True)
class Identity:
    """``a_k = 1``"""

    def multiplier(self, grid: Grid) -> np.ndarray:
        return np.ones(grid.basis.shape)


@final
@dataclass(frozen=True)
class StencilPower:
    """``a_k = scale (shift + lambda_k)^-power``, ``lambda_k = n^2 sum_i 4 sin^2(pi k_i / n)``.

    The five-point stencil's symbol on the unit square. Without shift ``a_0 = 0``.
    """

    scale: float
    shift: float  # >= 0
    power: float  # of the multiplier; the covariance has twice that

    def multiplier(self, grid: Grid) -> np.ndarray:
        n = grid.shape[0]
        lines = [4.0 * n * n * np.sin(math.pi * grid.basis.wavenumbers(i) / n) ** 2 for i in (0, 1)]
        symbol = self.shift + np.add.outer(*lines)
        if self.shift == 0.0:
            symbol[0, 0] = math.inf
        return self.scale * symbol**-self.power


@final
@dataclass(frozen=True)
class RandomModes:
    """``a_k = scale (u + i v)`` on low modes, else 0; ``u in [.2, 1]``, ``v in [0, .8]`` uniform.

    On ``-modes[0] <= k_1 < modes[0]``, ``0 <= k_2 < modes[1]``, the same numbers on every grid.
    They are complex and not symmetric in k: a real inverse transform sees their Hermitian part
    where ``k_2 = 0``, which is what `multiplier` gives. All other modes have no noise.
    """

    modes: tuple[int, int]
    scale: float
    seed: int

    def multiplier(self, grid: Grid) -> np.ndarray:
        rows, columns = self.modes
        out = np.zeros(grid.basis.shape, complex)
        if rows > out.shape[0] or columns > out.shape[1]:
            raise ValueError(
                f"a multiplier of {self.modes} modes needs a grid of at least "
                f"{max(rows, 2 * columns - 2)} nodes a side, got {grid.shape}"
            )
        u, v = _generator(self.seed, _WEIGHTS).random((2, 2, rows, columns))
        upper, lower = self.scale * (0.2 + 0.8 * (u + 1j * v))
        out[:rows, :columns] = upper
        # On fewer than 2 rows nodes the second block overwrites part of the first.
        out[-rows:, :columns] = lower
        return _hermitian(out, grid)


@final
@dataclass(frozen=True)
class Prior:
    """The filter ``A``, a sum of ``terms``, and the noise ``A xi``, ``xi`` iid ``N(0, 1)``."""

    terms: tuple[Identity | StencilPower | RandomModes, ...]

    def multiplier(self, grid: Grid) -> np.ndarray:
        """``a_k`` in the layout of ``grid.basis``, boundary modes included."""
        _check(grid)
        return np.sum([term.multiplier(grid) for term in self.terms], axis=0)

    def apply(self, u, grid: Grid) -> np.ndarray:
        """``A u`` of fields ``(..., *grid.shape)``: the square root, though called Q elsewhere."""
        spectrum = np.fft.rfft2(np.asarray(u, float)) * self.multiplier(grid)
        return np.fft.irfft2(spectrum, s=grid.shape)

    def sample(self, grid: Grid, size: int = 16, seed: int = 0, first: int = 0) -> np.ndarray:
        """Samples ``first .. first+size-1``, ``(size, *grid.shape)``.

        Keyed by (seed, sample) but drawn node by node: other functions on every grid.
        """
        nodes = [
            _generator(seed, _PIXELS + i).standard_normal(grid.shape)
            for i in range(first, first + size)
        ]
        return self.apply(np.reshape(nodes, (size, *grid.shape)), grid)

    def std(self, grid: Grid) -> float:
        """Standard deviation of a sample's value at a node, ``h (sum |a_k|^2)^(1/2)``."""
        squares = np.abs(self.multiplier(grid)) ** 2
        return math.sqrt(float((grid.basis.weights * squares).sum()) / grid.size)

    @property
    def covariance(self) -> CovarianceOperator:
        """The law of the noise on each grid, as an operator."""
        return GridNoise(self)


@final
@dataclass(frozen=True)
class GridNoise(CovarianceOperator):
    """``q_k = w |a_k|^2``, ``w`` the grid's cell volume: the law of a `Prior` on that grid.

    Exact on the retained modes; the boundary modes ``k_i = n / 2``, which that code keeps and no
    operator here has, carry at most ``1 - (1 - 1 / n)^2`` of the noise. The operators of different
    grids have no common limit but 0, so nothing lies beyond a grid: the tail is 0.

    ``cropped = r > 1`` is the law of noise of a grid ``r`` times finer after `downsample`:
    ``q_k = r^2 q_k(fine)``.
    """

    prior: Prior
    cropped: int = 1

    def spectrum(self, grid: Grid) -> np.ndarray:
        fine = grid.refine(self.cropped)
        q = fine.cell_volume * np.abs(self.prior.multiplier(fine)) ** 2
        return self.cropped**2 * levels.restrict(q, fine, grid) if self.cropped > 1 else q

    def tail_trace(self, grid: Grid) -> float:
        return 0.0

    def is_trace_class(self, dim: int) -> bool:
        return True


@final
@dataclass(frozen=True)
class Mixture:
    """Data ``A f_i + A xi``, i = 1, 2 with probability one half: ``f_1 = x_2``, ``f_2 = 1 - x_1``.

    The means are function values, alike on every grid; the noise is not.
    """

    prior: Prior

    def means(self, grid: Grid) -> np.ndarray:
        """``A f_i``, shape ``(2, *grid.shape)``, the ramps ``f_i`` sampled at ``j / n``."""
        _check(grid)
        ramp = np.arange(grid.shape[0]) / grid.shape[0]
        first = np.broadcast_to(ramp, grid.shape)
        return self.prior.apply(np.stack([first, 1.0 - first.T]), grid)

    def sample(self, grid: Grid, size: int = 16, seed: int = 0, first: int = 0) -> np.ndarray:
        """Samples ``first .. first+size-1``, ``(size, *grid.shape)``, keyed by (seed, sample)."""
        chosen = [
            int(_generator(seed, _COMPONENTS + i).integers(2)) for i in range(first, first + size)
        ]
        return self.means(grid)[chosen] + self.prior.sample(grid, size, seed, first)

    def std(self, grid: Grid) -> float:
        """Standard deviation of all values of all samples about their common mean."""
        means = self.means(grid)
        return math.sqrt(self.prior.std(grid) ** 2 + float(means.var()))

    def score(self, schedule: NoiseSchedule, grid: Grid, cropped: int = 1) -> MixtureScore:
        """The exact score on ``grid``; it belongs to this grid and to no other.

        ``cropped = r``: of the data of a grid ``r`` times finer after `downsample` to ``grid``,
        which is what the paper's training sees, noised by this grid's own prior.
        """
        from fdiff.process import ForwardProcess

        fine = grid.refine(cropped)
        means = self.means(fine)
        fields = downsample(means, cropped) if cropped > 1 else means
        process = ForwardProcess(self.prior.covariance, schedule)
        data = GridNoise(self.prior, cropped)
        return MixtureScore(process, [Field(field, grid) for field in fields], data)


def standard() -> Prior:
    """Independent values at the nodes, ``A = 1``."""
    return Prior((Identity(),))


def fno(modes: tuple[int, int] = (14, 7), scale: float = 1.0, seed: int = 0) -> Prior:
    """A random complex multiplier on the low modes; the others are without noise."""
    return Prior((RandomModes((modes[0], modes[1]), scale, seed),))


def inverse_laplacian(scale: float = 10.0, power: float = 0.55) -> Prior:
    """``A = scale (-Laplacian)^-power``, its zero mode removed."""
    return Prior((StencilPower(scale, 0.0, power),))


def bessel(shift: float = 100.0, power: float = 0.55) -> Prior:
    """``A = (shift - Laplacian)^-power``"""
    return Prior((StencilPower(1.0, shift, power),))


def combined(
    modes: tuple[int, int] = (14, 7),
    scale: float = 10.0,
    fno_scale: float = 0.5,
    power: float = 0.55,
    seed: int = 0,
) -> Prior:
    """The sum of the filters of `inverse_laplacian` and `fno`, on one and the same noise."""
    return Prior(
        (RandomModes((modes[0], modes[1]), fno_scale, seed), StencilPower(scale, 0.0, power))
    )  # fmt: skip


PRIORS = {
    "standard": standard,
    "fno": fno,
    "inverse_laplacian": inverse_laplacian,
    "bessel": bessel,
    "combined": combined,
}


def prior(name: str, **parameters) -> Prior:
    """A prior by its name in `PRIORS`; the parameters default to the mixture experiment's."""
    if name not in PRIORS:
        raise ValueError(f"a prior is one of {', '.join(PRIORS)}, got {name!r}")
    return PRIORS[name](**parameters)


def downsample(u, factor: int = 2) -> np.ndarray:
    """Crop of the "ortho" Fourier coefficients to ``1 / factor`` of the nodes a side.

    ``u``: ``(..., n, n)``. Multiplies the values of band-limited functions by ``factor``.
    """
    u = np.asarray(u, float)
    n = u.shape[-1]
    if u.ndim < 2 or u.shape[-2] != n or factor < 1 or n % (2 * factor):
        raise ValueError(
            f"need fields (..., n, n) with n divisible by twice the factor {factor}, got {u.shape}"
        )
    half = n // (2 * factor)
    kept = np.r_[:half, n - half : n]
    c = np.fft.fft2(u, norm="ortho")[..., kept[:, None], kept]
    return np.fft.ifft2(c, norm="ortho").real


def coordinates(grid: Grid) -> tuple[np.ndarray, np.ndarray]:
    """``linspace(0, 1, n)`` along each axis, both ends included, broadcasting to ``grid.shape``."""
    _check(grid)
    line = np.linspace(0.0, 1.0, grid.shape[0])
    return line[:, None], line[None, :]


def _check(grid: Grid) -> None:
    if grid.dim != 2 or grid.shape[0] != grid.shape[1] or set(grid.boundary) != {"periodic"}:
        raise ValueError(
            "the published code knows square periodic grids of two axes; got shape "
            f"{grid.shape}, boundary {grid.boundary}"
        )


def _hermitian(a: np.ndarray, grid: Grid) -> np.ndarray:
    """``a`` with its Hermitian part where the halved axis is its own mirror image."""
    n = grid.shape[0]
    mirrored = -np.arange(n) % n
    for column in {0, n // 2} if n % 2 == 0 else {0}:
        a[:, column] = (a[:, column] + a[mirrored, column].conj()) / 2
    return a


def _generator(seed: int, word: int) -> np.random.Generator:
    key = np.array([noise.checked_seed(seed), word], np.uint64)
    return np.random.Generator(np.random.Philox(key=key))
