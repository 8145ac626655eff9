"""Noise schedules of ``dX = -a(t)/2 X dt + sqrt(a(t)) dW``.

With ``B(t) = int_0^t a``: mean factor ``m = e^(-B/2)``, standard deviation ``s = sqrt(1 - e^-B)``
and half log signal-to-noise ratio ``lambda = ln(m / s)``, decreasing from ``+oo`` at ``t = 0``.
Every method takes a float, a numpy array or a tensor and gives back the same kind.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import numpy as np

from fdiff import backends


class NoiseSchedule(ABC):
    """The rate ``a(t) >= 0`` on ``[0, T]`` and its integral ``B``."""

    T: float  # horizon: the process runs on [0, T], in units of t

    @abstractmethod
    def a(self, t):
        """Rate, in units of 1 / t."""

    @abstractmethod
    def B(self, t):
        """``int_0^t a(r) dr``."""

    @abstractmethod
    def time_of(self, B):
        """The time at which the integral is ``B``: the inverse of `B`."""

    @final
    def mean_factor(self, t):
        """``m(t) = e^(-B/2)``: ``E[X_t | X_0] = m X_0``."""
        return _math(t).exp(-0.5 * self.B(t))

    @final
    def std(self, t):
        """``s(t)``: ``X_t | X_0 ~ N(m X_0, s^2 Q)``."""
        # expm1, since 1 - e^-B loses all digits as t -> 0.
        return _math(t).sqrt(-_math(t).expm1(-self.B(t)))

    @final
    def half_log_snr(self, t):
        """``lambda(t) = ln(m / s)``; ``+oo`` at ``t = 0``."""
        B = self.B(t)
        if not hasattr(B, "shape") or B.shape == ():
            return math.inf if B == 0 else _log_ratio(B)
        return _log_ratio(B)

    @final
    def time(self, half_log_snr):
        """``t(lambda)``, the inverse of `half_log_snr`."""
        xp = _math(half_log_snr)
        if xp is _Floats:
            return self.time_of(float(np.logaddexp(0.0, -2.0 * half_log_snr)))
        return self.time_of(xp.logaddexp(xp.zeros_like(half_log_snr), -2.0 * half_log_snr))


def _log_ratio(B):
    xp = _math(B)
    return -0.5 * B - 0.5 * xp.log(-xp.expm1(-B))


class _Floats:
    """Scalars stay Python floats, so that a time means the same number in every backend."""

    exp, log, expm1, log1p, sqrt = math.exp, math.log, math.expm1, math.log1p, math.sqrt
    sin, tan, arctan2 = math.sin, math.tan, math.atan2


def _math(value):
    return backends.of(value) if hasattr(value, "shape") and value.shape != () else _Floats


@final
@dataclass(frozen=True)
class LinearSchedule(NoiseSchedule):
    """``a(t) = start + (stop - start) t / T``; the reference's is (0.1, 20, 1)."""

    start: float = 0.1  # a(0) > 0
    stop: float = 20.0  # a(T) > 0
    T: float = 1.0

    def __post_init__(self) -> None:
        _check_positive(self, "start", "stop", "T")

    def a(self, t):
        return self.start + (self.stop - self.start) / self.T * t

    def B(self, t):
        return self.start * t + (self.stop - self.start) / (2 * self.T) * t * t

    def time_of(self, B):
        # The root's rationalised form has no cancellation for small B.
        slope = 2 * (self.stop - self.start) / self.T
        return 2 * B / (self.start + _math(B).sqrt(self.start**2 + slope * B))


@final
@dataclass(frozen=True)
class ConstantSchedule(NoiseSchedule):
    """``a(t) = rate``: the Ornstein-Uhlenbeck process."""

    rate: float = 10.0  # > 0
    T: float = 1.0

    def __post_init__(self) -> None:
        _check_positive(self, "rate", "T")

    def a(self, t):
        return self.rate + 0.0 * t

    def B(self, t):
        return self.rate * t

    def time_of(self, B):
        return B / self.rate


@final
@dataclass(frozen=True)
class CosineSchedule(NoiseSchedule):
    """``m = cos(pi/2 (t + o) / (1 + o)) / cos(pi/2 o / (1 + o))``, ``o = offset``, ``t`` in (0, 1).

    The rate is infinite at 1, so the horizon ``T`` is the time at which ``m = smallest_mean``.
    Nichol and Dhariwal (2021), https://arxiv.org/abs/2102.09672
    """

    offset: float = 0.008  # > 0
    smallest_mean: float = 1e-3  # m(T), in (0, 1)

    def __post_init__(self) -> None:
        _check_positive(self, "offset", "smallest_mean")
        if self.smallest_mean >= 1:
            raise ValueError(f"smallest_mean must be below 1, got {self.smallest_mean}")

    @property
    def T(self) -> float:  # type: ignore[override]
        return self.time_of(-2 * math.log(self.smallest_mean))

    def _angle(self, t):
        return 0.5 * math.pi * (t + self.offset) / (1 + self.offset)

    def a(self, t):
        return math.pi / (1 + self.offset) * _math(t).tan(self._angle(t))

    def B(self, t):
        # -2 ln(cos A / cos A_0) with cos A / cos A_0 = 1 - x, so that B keeps its digits near 0:
        # cos A_0 - cos A = 2 sin((A + A_0)/2) sin((A - A_0)/2).
        xp = _math(t)
        start = self._angle(0.0)
        half = 0.25 * math.pi * t / (1 + self.offset)
        sine_up, sine_down = xp.sin(start + half), xp.sin(half)
        return -2 * xp.log1p(-2 * sine_up * sine_down / math.cos(start))

    def time_of(self, B):
        # 1 - m = 2 sin(A_0 + h) sin(h) / cos A_0 is solved for h, the half of A - A_0:
        # cos(A) = m cos A_0, and A - A_0 = atan2 of a difference that keeps its digits.
        xp = _math(B)
        start = self._angle(0.0)
        deficit = -xp.expm1(-0.5 * B) * math.cos(start)
        cos_a = math.cos(start) - deficit
        sin_a = xp.sqrt(1 - cos_a * cos_a)
        # sin(A - A_0) = (cos^2 A_0 - cos^2 A) / (sin A cos A_0 + cos A sin A_0)
        sine = (
            deficit
            * (math.cos(start) + cos_a)
            / (sin_a * math.cos(start) + cos_a * math.sin(start))
        )
        cosine = cos_a * math.cos(start) + sin_a * math.sin(start)
        return (1 + self.offset) * 2 / math.pi * xp.arctan2(sine, cosine)


@final
@dataclass(frozen=True)
class FunctionSchedule(NoiseSchedule):
    """``a(t) = rate(t)`` from a function of a float; ``B`` by adaptive quadrature.

    ``rate`` must be ``>= 0`` on ``[0, T]``; ``t(lambda)`` is found by bracketing.
    """

    rate: Callable[[float], float]
    T: float = 1.0

    def __post_init__(self) -> None:
        _check_positive(self, "T")
        values = [self.rate(self.T * i / 64) for i in range(65)]
        if not all(0 <= value < math.inf for value in values):
            raise ValueError("a schedule's rate must be finite and >= 0 on [0, T]")

    def a(self, t):
        return _elementwise(self.rate, t)

    def B(self, t):
        return _elementwise(self._integral, t)

    def time_of(self, B):
        return _elementwise(self._inverse, B)

    def _integral(self, t: float) -> float:
        from scipy.integrate import quad

        return quad(self.rate, 0.0, t, epsabs=0.0, epsrel=1e-12, limit=200)[0]

    def _inverse(self, B: float) -> float:
        from scipy.optimize import brentq

        total = self._integral(self.T)
        if not 0 <= B <= total * (1 + 1e-12):
            raise ValueError(f"B = {B} lies outside [0, {total}], its range on [0, T]")
        if total <= B:
            return self.T
        return brentq(lambda t: self._integral(t) - B, 0.0, self.T, xtol=1e-15, rtol=1e-14)


def _elementwise(function, value):
    if not hasattr(value, "shape") or value.shape == ():
        return function(float(value))
    backend = backends.of(value)
    flat = backend.to_numpy(value).ravel()
    out = np.array([function(float(v)) for v in flat]).reshape(value.shape)
    return backend.constant(out, value)


def _check_positive(schedule, *names: str) -> None:
    for name in names:
        value = getattr(schedule, name)
        if not 0 < value < math.inf:
            raise ValueError(f"{type(schedule).__name__}: {name} must be positive, got {value!r}")
