"""Schedules: verified numbers, inverses, digits near t = 0, the same for floats, numpy, torch."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy.integrate import quad

import fdiff

LINEAR = fdiff.LinearSchedule(0.1, 20.0, T=1.0)
SCHEDULES = {
    "linear": LINEAR,
    "linear, falling": fdiff.LinearSchedule(20.0, 0.1, T=2.0),
    "linear, flat": fdiff.LinearSchedule(3.0, 3.0),
    "constant": fdiff.ConstantSchedule(7.0, T=0.8),
    "cosine": fdiff.CosineSchedule(),
    "function": fdiff.FunctionSchedule(lambda t: 0.1 + 19.9 * t * t, T=1.5),
}
each = pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=SCHEDULES.keys())


def test_verified_numbers_of_the_linear_schedule():
    assert LINEAR.B(1.0) == pytest.approx(10.05, rel=1e-12)
    assert LINEAR.mean_factor(1.0) == pytest.approx(0.00657158649493, rel=1e-10)
    assert LINEAR.mean_factor(0.5) == pytest.approx(0.28118288080, rel=1e-10)
    assert LINEAR.half_log_snr(0.5) == pytest.approx(-1.22756773441, rel=1e-10)
    assert LINEAR.half_log_snr(1e-3) == pytest.approx(4.55771493273, rel=1e-10)


def test_verified_numbers_of_the_cosine_schedule():
    cosine = fdiff.CosineSchedule(0.008)
    assert cosine.mean_factor(0.5) == pytest.approx(0.7027400589, rel=1e-9)
    assert cosine.a(0.5) == pytest.approx(3.1557578610, rel=1e-9)
    assert cosine.mean_factor(cosine.T) == pytest.approx(1e-3, rel=1e-12)
    assert cosine.T < 1
    assert fdiff.CosineSchedule(smallest_mean=1e-2).T < cosine.T


@each
def test_B_is_the_integral_of_a(schedule):
    for t in (0.01, 0.3, 0.9):
        t *= schedule.T
        assert schedule.B(t) == pytest.approx(quad(schedule.a, 0, t, epsrel=1e-12)[0], rel=1e-10)
    assert schedule.B(0.0) == 0.0


@each
@given(fraction=st.floats(1e-9, 1.0))
def test_time_inverts_the_half_log_snr(schedule, fraction):
    t = fraction * schedule.T
    # lambda = -ln(B) / 2 for small t, so a relative error e of lambda is one of 2 lambda e of t.
    assert schedule.time(schedule.half_log_snr(t)) == pytest.approx(t, rel=1e-11)
    assert schedule.time_of(schedule.B(t)) == pytest.approx(t, rel=1e-11)


@each
def test_half_log_snr_falls_and_the_process_preserves_variance(schedule):
    t = np.linspace(1e-6, 1, 200) * schedule.T
    half_log_snr = schedule.half_log_snr(t)
    assert (np.diff(half_log_snr) < 0).all()
    m, s = schedule.mean_factor(t), schedule.std(t)
    assert_allclose(m**2 + s**2, 1.0, rtol=1e-14)
    assert_allclose(np.exp(half_log_snr), m / s, rtol=1e-12)
    assert schedule.half_log_snr(0.0) == math.inf
    assert schedule.std(0.0) == 0.0


def test_digits_near_zero():
    """``1 - e^-B`` has a relative error of 3e-4 at t = 1e-12; expm1 has none."""
    t = 1e-12
    assert LINEAR.std(t) ** 2 == pytest.approx(0.1 * t, rel=1e-9)
    naive = 1 - math.exp(-LINEAR.B(t))
    assert abs(naive / (0.1 * t) - 1) > 1e-4
    cosine = fdiff.CosineSchedule()
    assert cosine.B(t) == pytest.approx(cosine.a(0.0) * t, rel=1e-9)
    assert cosine.time_of(cosine.B(t)) == pytest.approx(t, rel=1e-9)


@each
@pytest.mark.parametrize("kind", ["numpy", "torch"])
def test_arrays_give_what_floats_give(schedule, kind):
    times = np.array([1e-3, 0.2, 0.7]) * schedule.T
    if kind == "torch":
        torch = pytest.importorskip("torch")
        array = torch.from_numpy(times)
    else:
        array = times
    for name in ("B", "a", "mean_factor", "std", "half_log_snr"):
        got = np.asarray(getattr(schedule, name)(array))
        assert_allclose(got, [getattr(schedule, name)(float(t)) for t in times], rtol=1e-13)
    half_log_snr = schedule.half_log_snr(array)
    assert_allclose(np.asarray(schedule.time(half_log_snr)), times, rtol=1e-10)
    assert type(schedule.time(half_log_snr)) is type(array)
    # A numpy scalar is a float.
    assert isinstance(schedule.half_log_snr(np.float64(0.2)), float)


def test_float32_times_stay_float32():
    torch = pytest.importorskip("torch")
    t = torch.tensor([0.1, 0.5])
    assert LINEAR.std(t).dtype == torch.float32
    assert_allclose(LINEAR.std(t).numpy(), LINEAR.std(t.double().numpy()), rtol=1e-6)


def test_what_is_no_schedule_is_refused():
    with pytest.raises(ValueError, match="rate must be positive"):
        fdiff.ConstantSchedule(0.0)
    with pytest.raises(ValueError, match="stop must be positive"):
        fdiff.LinearSchedule(0.1, math.inf)
    with pytest.raises(ValueError, match="below 1"):
        fdiff.CosineSchedule(smallest_mean=1.0)
    with pytest.raises(ValueError, match=">= 0 on"):
        fdiff.FunctionSchedule(lambda t: 1 - 2 * t)
    with pytest.raises(ValueError, match="lies outside"):
        fdiff.FunctionSchedule(lambda t: 1.0).time_of(2.0)
