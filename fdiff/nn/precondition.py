"""Denoisers around a network: the linear (Wiener) one plus a correction, or a plain prediction.

Both work on coefficients in the grid's basis and are called with ``lambda = ln(m / s)``, one value
a sample. ``m^2 + s^2 = 1`` for every process here, so ``lambda`` fixes both.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import final

import numpy as np
import torch
from torch import Tensor, nn

from fdiff import backends
from fdiff.backends.torch import cached
from fdiff.covariance import Covariance, CovarianceOperator
from fdiff.grid import Grid
from fdiff.nn.loss import mean_and_std, to_x0
from fdiff.nn.precision import products_in
from fdiff.nn.spectral import retained_modes
from fdiff.score.mean import mean_coefficients

# What a network may be asked for. The score, which grows without bound as t -> 0, is none of it.
LEARNED = ("x0", "noise", "velocity")

# Half log signal-to-noise ratios at which the posterior's trace is tabulated.
TABLE = np.arange(-16.0, 16.01, 0.05)
# Of the tabulated traces: the natural logarithm up to which float32 has room for more factors.
LARGEST_LOG = 60.0


def scales(half_log_snr: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """``(m, s)`` shaped to broadcast over ``(batch, channels, *modes)``."""
    shape = (-1,) + (1,) * (1 + dim)
    m, s = mean_and_std(half_log_snr)
    return m.reshape(shape), s.reshape(shape)


class Denoiser(nn.Module):
    """``E[X_0 | X_t]`` by a network; a subclass says what the network sees and what it predicts.

    ``network(x, lambda, condition=None)`` is any module that maps ``(batch, channels, *shape)`` to
    the same shape. ``mean`` and ``covariance`` are the data's, as `fdiff.GaussianScore` takes them;
    ``noise`` is the process's ``Q``.

    Inputs are divided by their pointwise standard deviation. With ``scale="limit"`` that is the
    limit's under refinement, one number for all grids. Where it is infinite (white noise),
    ``scale="grid"`` takes that of each grid: the input then keeps its size, but the data's share of
    it falls under refinement, and what was learned on one grid means something else on another.

    Inside, each field is measured in ``units``, the power of two nearest its standard deviation, so
    that squares of fields of any size have a place in float32. Dividing by a power of two is exact:
    it changes no bit of a result. What ends in ``_scaled`` or is called ``scaled`` is in these
    units, all else in those of the data.
    """

    # What the network's products are computed in while it trains, see `fdiff.nn.precision`.
    products: torch.dtype | None = None

    def __init__(
        self,
        network: nn.Module,
        noise: CovarianceOperator,
        mean,
        covariance: Covariance,
        grid: Grid,
        scale: str = "limit",
    ):
        super().__init__()
        self.network = network
        self.noise, self.mean, self.covariance = noise, mean, covariance
        self.grid = grid  # the finest one in training; numbers that no grid may change use it
        if scale not in ("limit", "grid"):
            raise ValueError(f'scale must be "limit" or "grid", got {scale!r}')
        self.scale = scale
        if scale == "limit" and not noise.is_trace_class(grid.dim):
            raise ValueError(
                f"{noise!r} is not trace class in {grid.dim}D, so that the network's input has no "
                "scale that all grids share; use e.g. BesselCovariance with power > dim / 2, or "
                'scale="grid" to see what happens without one'
            )
        self.units = _units(self.variances(grid)[0])  # one for all fields, or one each
        table = _posterior_table(noise, covariance, grid)
        # Logarithms of traces in the data's units, as long as float32 holds their exponentials.
        extreme = np.abs(table).max() > LARGEST_LOG
        squares = self.units[:, None] ** 2
        self._posterior = table - np.log(squares) if extreme else table
        self._posterior_units = np.ones(1) if extreme else self.units

    def scaled(self, c: Tensor, grid: Grid) -> Tensor:
        """Fields or coefficients ``(batch, channels, ...)`` of the data in ``units``."""
        return self._times(c, 1 / self.units, grid)

    def unscaled(self, c: Tensor, grid: Grid) -> Tensor:
        """The inverse of `scaled`."""
        return self._times(c, self.units, grid)

    @staticmethod
    def _times(c: Tensor, factors: np.ndarray, grid: Grid) -> Tensor:
        """``c`` times one factor for all channels, or one each."""
        if (factors == 1).all():
            return c
        return c * torch.as_tensor(factors, dtype=c.dtype, device=c.device).reshape(
            (-1,) + (1,) * grid.dim
        )

    def posterior_trace(self, half_log_snr: Tensor) -> Tensor:
        """``R^2 = sum_k p_k^2``, ``p_k^2 = c s^2 q / Sigma``: the linear model's expected loss.

        The same number on every grid, one for all channels or one each; shaped to broadcast over
        coefficients.
        """
        return self._times(self.posterior_trace_scaled(half_log_snr), self.units**2, self.grid)

    def posterior_trace_scaled(self, half_log_snr: Tensor) -> Tensor:
        """`posterior_trace` in ``units``."""
        lam = half_log_snr.reshape(-1).clamp(TABLE[0], TABLE[-1])
        place = (lam - TABLE[0]) / (TABLE[1] - TABLE[0])
        low = place.floor().clamp(max=len(TABLE) - 2).long()
        table = backends.of(place).constant(self._posterior, place)
        value = torch.lerp(table[:, low], table[:, low + 1], place - low)
        trace = value.exp().mT.reshape((len(lam), -1) + (1,) * self.grid.dim)
        return self._times(trace, 1 / self._posterior_units**2, self.grid)

    def posterior_variance(self, half_log_snr: Tensor, like: Tensor, grid: Grid) -> Tensor:
        """``p_k^2 = c s^2 q / Sigma`` per mode."""
        return self._times(
            self.posterior_variance_scaled(half_log_snr, like, grid), self.units**2, grid
        )

    def posterior_variance_scaled(self, half_log_snr: Tensor, like: Tensor, grid: Grid) -> Tensor:
        """`posterior_variance` in ``units``."""
        data, noise = self._spectra(grid, like)
        m, s = scales(half_log_snr, grid.dim)
        return s * s * data * noise / _positive(m * m * data + s * s * noise)

    def wiener(self, half_log_snr: Tensor, c: Tensor, grid: Grid) -> Tensor:
        """The best linear denoiser ``K c`` of centred coefficients, ``K = m c / Sigma``."""
        data, noise = self._spectra(grid, c)
        m, s = scales(half_log_snr, grid.dim)
        return m * data / _positive(m * m * data + s * s * noise) * c

    def denoise_coefficients(
        self, half_log_snr: Tensor, c: Tensor, grid: Grid, condition: Tensor | None = None
    ) -> Tensor:
        """``E[X_0 | X_t]`` from ``c``: ``(batch, channels, *basis.shape)``."""
        mu = mean_tensor(self.mean, grid, c.dtype, c.device)
        m, _ = scales(half_log_snr, grid.dim)
        return mu + self.denoise_centred(half_log_snr, c - m * mu, grid, condition)

    @final
    def denoise_centred(self, half_log_snr, c, grid, condition=None) -> Tensor:
        """`denoise_coefficients` for data of mean zero."""
        scaled = self.denoise_scaled(half_log_snr, self.scaled(c, grid), grid, condition)
        return self.unscaled(scaled, grid)

    def denoise_scaled(self, half_log_snr, c, grid, condition=None) -> Tensor:
        """`denoise_centred` in ``units``."""
        raise NotImplementedError

    def loss_weight(self, half_log_snr: Tensor) -> Tensor:
        """Weight of ``||D - x_0||_H^2``, in ``units``, in training; the linear model's loss is then
        about one."""
        return 1.0 / self.posterior_trace_scaled(half_log_snr)

    def forward(self, x: Tensor, half_log_snr: Tensor, condition: Tensor | None = None) -> Tensor:
        """`denoise_coefficients` from nodes to nodes, ``(batch, channels, *shape)``."""
        grid = self.grid.with_shape(tuple(x.shape[2:]))
        c = grid.basis.project(grid.basis.forward(x))
        return grid.basis.inverse(self.denoise_coefficients(half_log_snr, c, grid, condition))

    def _ask(self, inputs: Tensor, half_log_snr: Tensor, condition: Tensor | None) -> Tensor:
        with products_in(self.products, inputs.device):
            return self.network(inputs, half_log_snr, condition).to(inputs.dtype)

    def _spectra(self, grid: Grid, like: Tensor) -> tuple[Tensor, Tensor]:
        """Eigenvalues of data and noise in ``units``."""
        real = backends.of(like).real_dtype(like)
        units = tuple(self.units.tolist())
        data = _eigenvalue_tensor(self.covariance, units, grid, real, like.device)
        return data, _eigenvalue_tensor(self.noise, units, grid, real, like.device)

    def variances(self, grid: Grid) -> tuple[float | np.ndarray, float]:
        """Pointwise variances of data and noise by which inputs on ``grid`` are scaled; the data's
        are one a channel where each has its own spectrum."""
        limit = self.scale == "limit"
        return _variances(self.covariance, self.noise, self.grid if limit else grid, limit)

    def _input_scale(self, m: Tensor, s: Tensor, grid: Grid) -> Tensor:
        """``sigma(t)``: the pointwise standard deviation of ``X_t``, in ``units``."""
        data, noise = self._variances_scaled(grid, m)
        return torch.sqrt(m * m * data + s * s * noise)

    def _variances_scaled(self, grid: Grid, like: Tensor) -> tuple[Tensor, Tensor]:
        """`variances` in ``units``, of each channel or of all, to broadcast over coefficients."""
        data, noise = (
            torch.as_tensor(value / self.units**2, dtype=like.dtype, device=like.device)
            for value in self.variances(grid)
        )
        shape = (-1,) + (1,) * grid.dim
        return data.reshape(shape), noise.reshape(shape)


@final
class WienerDenoiser(Denoiser):
    """``D = W + T^-1[w_k T F(x / sigma, W / sigma_0, lambda)]``, ``W`` the Wiener denoiser.

    ``w_k = R min(1, reach p_k / R)`` (per unit volume): flat over the modes that carry the
    posterior's variance, falling with the posterior's standard deviation ``p_k`` beyond, so that
    the correction of a mode is bounded by ``reach`` times what is unknown of it, on every grid.
    ``F`` has ``2 channels`` inputs and ``channels`` outputs. With ``F = 0`` this is the exact
    denoiser of Gaussian data.

    The correction ends with the modes that the network mixes (``network.n_modes``): finer ones,
    which its layers cannot tell apart, keep the linear model's law and so the data's spectrum. Nor
    does the network see them in ``x``, where they are noise of which every grid holds another
    part; what they say about the data is in ``W``.
    """

    def __init__(
        self, network, noise, mean, covariance, grid, reach: float = 50.0, scale: str = "limit"
    ):
        super().__init__(network, noise, mean, covariance, grid, scale)
        if not reach > 0:
            raise ValueError(f"reach must be positive, got {reach}")
        self.reach = reach

    def denoise_scaled(self, half_log_snr, c, grid, condition=None) -> Tensor:
        data, noise = self._spectra(grid, c)
        m, s = scales(half_log_snr, grid.dim)
        marginal = _positive(m * m * data + s * s * noise)
        wiener = m * data / marginal * c
        posterior = s * torch.sqrt(data * noise / marginal)
        total = self.posterior_trace_scaled(half_log_snr).sqrt()
        weight = torch.minimum(total, self.reach * posterior) / math.sqrt(grid.volume)
        seen, n_modes = c, getattr(self.network, "n_modes", None)
        if n_modes is not None:
            band = _band(grid, tuple(n_modes), weight.dtype, c.device)
            seen, weight = c * band, weight * band
        data_std = self._variances_scaled(grid, s)[0].sqrt()
        both = [seen / self._input_scale(m, s, grid), wiener / data_std]
        inputs = torch.cat(both, 1)
        correction = self._ask(grid.basis.inverse(inputs), half_log_snr, condition)
        return wiener + weight * grid.basis.forward(correction)


@final
class PlainDenoiser(Denoiser):
    """The network predicts ``prediction`` ("noise", "x0" or "velocity") itself: the baseline.

    Input ``x / sigma``, output in units of the predicted quantity's standard deviation.
    """

    def __init__(
        self, network, noise, mean, covariance, grid, prediction: str = "noise", scale="limit"
    ):
        super().__init__(network, noise, mean, covariance, grid, scale)
        if prediction not in LEARNED:
            raise ValueError(f"prediction must be one of {LEARNED}, got {prediction!r}")
        self.prediction = prediction

    def denoise_scaled(self, half_log_snr, c, grid, condition=None) -> Tensor:
        m, s = scales(half_log_snr, grid.dim)
        inputs = grid.basis.inverse(c / self._input_scale(m, s, grid))
        output = grid.basis.forward(self._ask(inputs, half_log_snr, condition))
        value = self._unit(m, s, grid) * grid.basis.project(output)
        return to_x0(self.prediction, value, c, m, s)

    def loss_weight(self, half_log_snr: Tensor) -> Tensor:
        """``||prediction - target||_H^2`` in shares of the target's variance, as is usual."""
        m, s = scales(half_log_snr, self.grid.dim)
        slope = {"noise": m / s, "x0": torch.ones_like(s), "velocity": 1 / s}[self.prediction]
        return (slope / self._unit(m, s, self.grid)) ** 2 / self.grid.volume

    def _unit(self, m: Tensor, s: Tensor, grid: Grid) -> Tensor:
        """The pointwise standard deviation of what is predicted, in ``units``."""
        data, noise = self._variances_scaled(grid, m)
        data = data * torch.ones_like(m)
        variance = {"noise": noise + 0 * data, "x0": data, "velocity": m * m * noise + s * s * data}
        return torch.sqrt(variance[self.prediction])


@lru_cache(maxsize=64)
def _variances(
    data: Covariance, noise: CovarianceOperator, grid: Grid, limit: bool
) -> tuple[float | np.ndarray, float]:
    """Pointwise variances of both on the grid, or (``limit``) on ever finer ones."""
    of_data, of_noise = data.trace(grid), noise.trace(grid)
    if limit:
        of_data, of_noise = of_data + data.tail_trace(grid), of_noise + noise.tail_trace(grid)
    return of_data / grid.volume, of_noise / grid.volume


def _positive(variance: Tensor) -> Tensor:
    """The variance with zeros (modes that are neither data nor noise) replaced by one."""
    return torch.where(variance > 0, variance, torch.ones_like(variance))


@cached(maxsize=64)
def _band(grid: Grid, n_modes: tuple[int, ...], dtype, device) -> Tensor:
    """1 on the modes that a grid of ``n_modes`` nodes retains, else 0."""
    lines = []
    for axis, n in enumerate(n_modes):
        line = np.zeros(grid.basis.shape[axis])
        line[retained_modes(grid, axis, n)] = 1.0
        lines.append(line)
    band = math.prod(np.meshgrid(*lines, indexing="ij", sparse=True))
    return torch.tensor(band, dtype=dtype, device=device)


@cached(maxsize=64)
def _eigenvalue_tensor(
    operator: Covariance, units: tuple[float, ...], grid: Grid, dtype, device
) -> Tensor:
    """Eigenvalues for fields in ``units``: one for all of them, or one each."""
    values = operator.eigenvalues(grid)
    squares = np.square(units)
    scaled = values / (squares[0] if len(units) == 1 else squares.reshape(-1, *[1] * grid.dim))
    return torch.tensor(scaled, dtype=dtype, device=device)


def _units(variances: float | np.ndarray) -> np.ndarray:
    """The powers of two nearest the standard deviations; 1 where one is 0 or infinite."""
    std = np.sqrt(np.atleast_1d(np.asarray(variances, float)))
    usual = (std > 0) & np.isfinite(std)
    return np.exp2(np.rint(np.log2(std, where=usual, out=np.zeros_like(std))))


@cached(maxsize=64)
def mean_tensor(mean, grid: Grid, dtype, device) -> Tensor:
    return torch.tensor(mean_coefficients(mean, grid), dtype=dtype, device=device)


def _posterior_table(noise: CovarianceOperator, covariance: Covariance, grid: Grid) -> np.ndarray:
    """``ln sum_k c s^2 q / Sigma`` at the entries of `TABLE`, over a grid twice as fine; a line a
    channel where each has its own spectrum."""
    fine = grid.refine(2)
    kept = fine.basis.retained.ravel()
    weights, q = fine.basis.weights.ravel()[kept], noise.eigenvalues(fine).ravel()[kept]
    spectra = covariance.eigenvalues(fine).reshape(-1, kept.size)[:, kept]
    return np.log([_posterior_sums(c, q, weights) for c in spectra])


def _posterior_sums(c: np.ndarray, q: np.ndarray, weights: np.ndarray) -> np.ndarray:
    # Modes of equal eigenvalues are summed once: few distinct ones remain of a cube of modes.
    unique, place = np.unique(np.stack([c, q], -1), axis=0, return_inverse=True)
    count = np.bincount(place.ravel(), weights)
    c, q = unique.T
    sums = np.empty(len(TABLE))
    for i, value in enumerate(TABLE):
        m2, s2 = 1 / (1 + math.exp(-2 * value)), 1 / (1 + math.exp(2 * value))
        marginal = m2 * c + s2 * q
        sums[i] = (count * np.divide(c * s2 * q, marginal, out=0 * c, where=marginal > 0)).sum()
    if not (sums > 0).all():
        raise ValueError(
            "data and noise share no mode: nothing would be learned; give the noise a spectrum "
            "that covers the data's"
        )
    return sums
