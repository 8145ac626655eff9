"""Mean and covariance spectrum of data: by shells, with a tail beyond the data's grid."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import final

import numpy as np

from fdiff.covariance import ChannelCovariance, CovarianceOperator
from fdiff.errors import SpectrumWarning
from fdiff.grid import Grid
from fdiff.score.mean import Field
from fdiff.shells import axis_shells, shell_index
from fdiff.words import warn

# Beyond this many modes a tail's trace is summed along shells, not modes.
TAIL_REFINEMENT = 4
# Sum of squares of residuals of log c, up to which a fit meets its points.
EXACT_FIT = 1e-20


@final
@dataclass(frozen=True)
class ShellSpectrum(CovarianceOperator):
    """``c_k`` as a function of the frequency ``kappa = sqrt(mu_k)``, log-linear between shells.

    Beyond the last shell ``log c = intercept + slope kappa`` (``tail = "exponential"``, smooth
    data) or ``intercept + slope log kappa`` (``"power"``, rough data), never above the last shell.
    """

    kappa: tuple[float, ...]  # increasing, in units of 1/length
    values: tuple[float, ...]  # > 0, in units of u^2 length^dim
    tail: str  # "exponential" or "power"
    slope: float  # < 0, or < -dim for a power law, where the trace is finite
    intercept: float

    def __post_init__(self) -> None:
        if len(self.kappa) != len(self.values) or len(self.kappa) < 2:
            raise ValueError("a shell spectrum needs at least two shells, one value each")
        if not all(0 < value < math.inf for value in self.values):
            raise ValueError("a shell spectrum's values must be positive and finite")

    def spectrum(self, grid: Grid) -> np.ndarray:
        return self.at(np.sqrt(grid.basis.laplacian))

    def at(self, kappa: np.ndarray) -> np.ndarray:
        """``c`` at frequencies ``kappa``."""
        inside = np.exp(np.interp(kappa, self.kappa, np.log(self.values)))
        place = np.maximum(kappa, self.kappa[-1])
        if self.tail == "power":
            place = np.log(place)
        return np.minimum(
            inside,
            np.where(kappa > self.kappa[-1], np.exp(self.intercept + self.slope * place), np.inf),
        )

    def tail_trace(self, grid: Grid) -> float:
        """The modes of a grid `TAIL_REFINEMENT` times finer; a power law's integral beyond."""
        return _tail_trace(self, grid)

    def is_trace_class(self, dim: int) -> bool:
        return self.slope < (0 if self.tail == "exponential" else -dim)

    @property
    def exponent(self) -> float:
        """``d log c / d log kappa`` of the tail where it begins; trace class needs ``< -dim``."""
        return self.slope * (self.kappa[-1] if self.tail == "exponential" else 1.0)


@lru_cache(maxsize=64)
def _tail_trace(operator: ShellSpectrum, grid: Grid) -> float:
    if not operator.is_trace_class(grid.dim):
        return math.inf
    fine = grid.refine(TAIL_REFINEMENT if grid.dim < 3 else 2)
    finest, total = operator.trace(fine), operator.trace(grid)
    if operator.tail == "exponential":
        return finest - total
    # Successive refinements of a power law add a geometric series.
    ratio = float(fine.shape[0] / grid.shape[0]) ** (operator.slope + grid.dim)
    return (finest - total) / (1 - ratio)


def estimate_spectrum(
    coefficients: np.ndarray, grid: Grid, name: str = "the data"
) -> ShellSpectrum:
    """Mean of ``|c_k|^2`` over the samples (and channels) and each shell of `fdiff.shells`.

    ``coefficients``: ``(samples, [channels,] *basis.shape)``, the mean removed; ``name`` is what a
    warning calls them. Shells up to the highest frequency of an axis are used, and a tail is fitted
    to the last of them. Towards the corners of the grid's box of modes the tail holds too.

    Where that tail begins too flat for a finite trace, or has more variance beyond the grid than
    there is on it (a noise floor, rough fields), it is no measurement. Then all shells up to the
    corners are used, so that the variance on the grid is kept, and beyond the last one the spectrum
    falls like ``kappa^-(2 dim + 2)``.

    Warns:
        SpectrumWarning: in that case.
    """
    count = max(axis_shells(grid))
    places, values = _shell_means(coefficients, grid, count)
    found = ShellSpectrum(_floats(places), _floats(values), *_fit_tail(places, values))
    if found.exponent < -grid.dim and found.tail_trace(grid) <= found.trace(grid):
        return found
    places, values = _shell_means(coefficients, grid, int(shell_index(grid).max()) + 1)
    slope = -2.0 * grid.dim - 2.0
    intercept = float(np.log(values[-1]) - slope * np.log(places[-1]))
    warn(
        f"at the end of the grid {grid.shape} the spectrum of {name} goes like "
        f"frequency^{found.exponent:.1f}, which does not say how it goes on (noise in the data, or "
        "too coarse a grid). Samples on this grid keep that spectrum; on finer grids it is taken "
        f"to fall like frequency^{slope:.0f}",
        SpectrumWarning,
    )
    return ShellSpectrum(_floats(places), _floats(values), "power", slope, intercept)


def _shell_means(coefficients: np.ndarray, grid: Grid, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean frequency and mean ``|c_k|^2 > 0`` of those of the first ``count`` shells with modes."""
    basis = grid.basis
    lead = tuple(range(coefficients.ndim - grid.dim))
    power = (np.abs(coefficients) ** 2).mean(lead, dtype=float)
    kappa, shell = np.sqrt(basis.laplacian), shell_index(grid)
    weight = np.where(basis.retained & (shell < count), basis.weights, 0.0).ravel()
    index = np.minimum(shell, count).ravel()
    modes = np.bincount(index, weight, count + 1)[:count]
    mean_power = np.bincount(index, weight * power.ravel(), count + 1)[:count]
    mean_kappa = np.bincount(index, weight * kappa.ravel(), count + 1)[:count]
    full = modes > 0
    if full.sum() < 2:
        raise ValueError(f"a grid of shape {grid.shape} has too few modes for a spectrum")
    values, places = (array[full] / modes[full] for array in (mean_power, mean_kappa))
    if not values.max() > 0:
        raise ValueError("the data do not vary: every sample equals the mean")
    return places, np.maximum(values, 1e-14 * values.max())


def _floats(values: np.ndarray) -> tuple[float, ...]:
    return tuple(map(float, values))


def estimate_spectra(
    coefficients: np.ndarray, grid: Grid, names: Sequence[str] | None = None
) -> ShellSpectrum | ChannelCovariance:
    """`estimate_spectrum` of each channel; ``coefficients``: ``(samples, channels, *basis.shape)``.

    Raises:
        ValueError: a channel does not vary.
    """
    found = []
    for channel in range(coefficients.shape[1]):
        name = f"channel {channel}" if names is None else f"field {names[channel]}"
        try:
            found.append(estimate_spectrum(coefficients[:, channel], grid, name))
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
    return found[0] if len(found) == 1 else ChannelCovariance(tuple(found))


def _fit_tail(kappa: np.ndarray, values: np.ndarray) -> tuple[str, float, float]:
    """The better of ``log c`` linear in ``kappa`` and in ``log kappa`` over the last shells.

    Two shells fit both: then it is the first.
    """
    positive = np.flatnonzero(kappa > 0)
    last = positive[-max(3, int(0.4 * len(positive))) :]
    fits = []
    for tail, place in (("exponential", kappa[last]), ("power", np.log(kappa[last]))):
        design = np.stack([np.ones_like(place), place], 1)
        (intercept, slope), *_ = np.linalg.lstsq(design, np.log(values[last]), rcond=None)
        residual = np.log(values[last]) - intercept - slope * place
        fits.append((float(residual @ residual), tail, float(slope), float(intercept)))
    # Rounding must not choose between two fits that meet all points.
    _, tail, slope, intercept = min(fits, key=lambda fit: max(fit[0], EXACT_FIT))
    return tail, slope, intercept


def estimate_mean(coefficients: np.ndarray, grid: Grid) -> Field:
    """The mean function, each shell shrunk by what sampling error explains of it.

    James and Stein's positive part by shells: a shell of ``d`` modes whose mean has square norm
    ``M`` and expected sampling error ``E`` keeps the factor ``max(0, 1 - E / M)``; where the mean
    is no larger than its error, nothing is left of it. The constant is always kept.
    """
    basis = grid.basis
    count = len(coefficients)
    mean = coefficients.mean(0)
    error = coefficients.var(0) / count
    kappa = np.sqrt(basis.laplacian)
    positive = kappa[kappa > 0]
    index = np.ceil(kappa / (positive.min() if positive.size else 1.0) - 1e-9).astype(int)
    channels = mean.ndim - grid.dim
    flat = index.ravel()
    out = np.zeros_like(mean)
    for place in np.ndindex(*mean.shape[:channels]):
        weight = (basis.weights * basis.retained).ravel()
        square = np.bincount(flat, weight * np.abs(mean[place]).ravel() ** 2)
        expected = np.bincount(flat, weight * error[place].ravel())
        # Two standard errors of a chi-square of d modes: noise alone must not survive.
        modes = np.maximum(np.bincount(flat, weight), 1.0)
        slack = 1 + 2 * np.sqrt(2 / modes)
        with np.errstate(divide="ignore", invalid="ignore"):
            keep = np.maximum(0.0, 1.0 - slack * expected / square)
        keep = np.where(square > 0, keep, 0.0)
        keep[0] = 1.0
        out[place] = mean[place] * keep[index]
    return Field(basis.inverse(out), grid)
