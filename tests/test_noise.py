"""Keyed noise: the written numbers, and independence of everything that is not the key."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats

import fdiff
from fdiff import levels, noise
from fdiff_kernels import philox
from tests.strategies import as_kind, as_numpy, covariances, dtypes, grids, nested_grids, seeds


def words(key, counter) -> list[int]:
    """Philox4x32-10 in Python integers: the slow twin."""
    mask = 2**32 - 1
    (k0, k1), (c0, c1, c2, c3) = key, counter
    for _ in range(10):
        p0, p1 = 0xD2511F53 * c0, 0xCD9E8D57 * c2
        c0, c1, c2, c3 = (p1 >> 32) ^ c1 ^ k0, p1 & mask, (p0 >> 32) ^ c3 ^ k1, p0 & mask
        k0, k1 = (k0 + 0x9E3779B9) & mask, (k1 + 0xBB67AE85) & mask
    return [c0, c1, c2, c3]


def zeta(seed, purpose, channel, k, sample, level, time):
    """The pair of normal numbers of a key, in Python: the slow twin of the kernels."""
    k = [*k, 0, 0][:3]
    z = [2 * i if i >= 0 else -2 * i - 1 for i in k]
    key = words((seed & (2**32 - 1), seed >> 32), (purpose, channel, 0, 0))[:2]
    w = words(key, (z[0] | z[1] << 16, z[2] | level << 16, time, sample))
    x, y = ((w[1] << 32) + w[0]) >> 11, ((w[3] << 32) + w[2]) >> 11
    radius = math.sqrt(-2 * math.log((x + 0.5) * 2.0**-53))
    angle = 2 * math.pi * ((y + 0.5) * 2.0**-53)
    return radius * math.cos(angle), radius * math.sin(angle)


def test_the_published_words():
    assert [f"{w:08x}" for w in words((0, 0), (0, 0, 0, 0))] == [
        "6627e8d5", "e169c58d", "bc57ac4c", "9b00dbd8",
    ]  # fmt: skip
    assert list(philox.philox(0, 0, 0, 0, 0, 0)) == words((0, 0), (0, 0, 0, 0))


@given(st.tuples(*[st.integers(0, 2**32 - 1)] * 6))
def test_words_equal_their_python_twin(numbers):
    assert list(philox.philox(*numbers)) == words(numbers[:2], numbers[2:])


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ((11, 0, 0, (-3, 2), 2, 0, 0), (-0.4887847033450787, 0.9533132698553975)),
        ((2**32 + 11, 4, 1, (5, -1, 7), 9, 3, 4), (0.7430344385856665, 0.5767673571036146)),
    ],
)
def test_check_values(key, expected):
    assert_allclose(zeta(*key), expected, rtol=1e-14)
    seed, purpose, channel, k, sample, level, time = key
    grid = fdiff.Grid((16,) * len(k))
    c = noise.white_coefficients(
        grid, seed, purpose, 1, sample, channel + 1, level=level, time=time
    )[0, channel]
    at = tuple(
        int(np.flatnonzero(grid.basis.wavenumbers(axis) == number)[0])
        for axis, number in enumerate(k)
    )
    assert c[at] * math.sqrt(2) == pytest.approx(complex(*expected), rel=1e-14)


def draw_by_definition(grid, seed, purpose, sample, channel, level, time):
    """All coefficients from `zeta` and the rule of the canonical half."""
    basis = grid.basis
    periodic = [kind == "periodic" for kind in grid.boundary]
    out = np.zeros(basis.shape, complex if basis.is_complex else float)
    for index in np.argwhere(basis.retained):
        k = [int(basis.wavenumbers(axis)[i]) for axis, i in enumerate(index)]
        lead = [number for number, wraps in zip(k, periodic) if wraps and number]
        if not lead:
            out[tuple(index)] = zeta(seed, purpose, channel, k, sample, level, time)[0]
            continue
        partner = [-n if wraps else n for n, wraps in zip(k, periodic)]
        drawn = k if lead[-1] > 0 else partner
        value = complex(*zeta(seed, purpose, channel, drawn, sample, level, time)) / math.sqrt(2)
        out[tuple(index)] = value if lead[-1] > 0 else value.conjugate()
    return out


@given(grids(max_side=5), seeds, st.integers(0, 8), st.integers(0, 2**32 - 2), st.data())
def test_coefficients_equal_their_python_twin(grid, seed, purpose, sample, data):
    level, time = data.draw(st.integers(0, 2**16 - 1)), data.draw(st.integers(0, 2**32 - 1))
    got = noise.white_coefficients(grid, seed, purpose, 2, sample, 2, level=level, time=time)
    for i in range(2):
        expected = draw_by_definition(grid, seed, purpose, sample + i, 1, level, time)
        assert_allclose(got[i, 1], expected, rtol=0, atol=1e-14 * 10)


def test_partners_on_a_periodic_neumann_box():
    """(3, 2) and (-3, 2): the periodic component is negated, the Neumann one kept."""
    grid = fdiff.Grid((16, 12), boundary=("periodic", "neumann"))
    c = noise.white_coefficients(grid, 5, 0)[0]
    assert grid.basis.shape == (9, 12)  # the periodic axis is the halved one
    expected = complex(*zeta(5, 0, 0, (3, 2), 0, 0, 0)) / math.sqrt(2)
    assert c[3, 2] == pytest.approx(expected, rel=1e-14)
    wide = fdiff.Grid((16, 12, 5), boundary=("periodic", "neumann", "periodic"))
    d = noise.white_coefficients(wide, 5, 0)[0]
    assert d[3, 2, 0] == d[-3, 2, 0].conjugate()
    assert d[3, 2, 1] != d[-3, 2, 1].conjugate()


@given(grids(max_side=7, max_dim=3), seeds)
def test_fields_are_real_and_keep_their_coefficients(grid, seed):
    """Hermitian symmetry in every zero plane: the coefficients survive a trip to the nodes."""
    c = noise.white_coefficients(grid, seed, 0, 2)
    assert_allclose(grid.basis.forward(grid.basis.inverse(c)), c, atol=1e-12)


@given(nested_grids(max_side=8), seeds, covariances())
def test_shared_modes_are_bitwise_equal(pair, seed, covariance):
    coarse, fine = pair
    on_coarse = covariance.sample_coefficients(coarse, 2, seed)
    on_fine = covariance.sample_coefficients(fine, 2, seed)
    assert_array_equal(levels.restrict(on_fine, fine, coarse), on_coarse)


@pytest.mark.parametrize("boundary", ["periodic", "neumann", ("periodic", "dirichlet")])
def test_16_modes_lie_inside_64_by_40(boundary):
    coarse = fdiff.Grid((16, 16), (1.0, 2.0), boundary)
    fine = coarse.with_shape((64, 40))
    Q = fdiff.MaternCovariance(1.0, 0.13, 0.8) + 0.1 * fdiff.BesselCovariance(power=1.3)
    a, b = (Q.sample_coefficients(g, 3, seed=2**63 + 5, first=421) for g in (coarse, fine))
    assert_array_equal(levels.restrict(b, fine, coarse), a)
    u = levels.restrict_field(fine.basis.inverse(b), fine, coarse)
    assert_allclose(u, coarse.basis.inverse(a), atol=1e-12)


@given(grids(max_side=6), seeds, st.integers(0, 5), st.integers(1, 4))
def test_any_range_is_cut_out_of_one_sequence(grid, seed, first, size):
    whole = noise.white_coefficients(grid, seed, 0, 10, 0, 2)
    part = noise.white_coefficients(grid, seed, 0, size, first, 2)
    assert_array_equal(part, whole[first : first + size])


def test_sample_421_alone_is_sample_421_of_a_thousand():
    grid = fdiff.Grid((24, 20), boundary=("neumann", "periodic"))
    Q = fdiff.MaternCovariance()
    thousand = Q.sample(grid, 1000, seed=9)
    assert_array_equal(Q.sample(grid, 1, seed=9, first=421)[0], thousand[421])
    assert_array_equal(Q.sample(grid, 7, seed=9, first=418)[3], thousand[421])


@pytest.mark.parametrize("boundary", ["periodic", "neumann"])
@pytest.mark.parametrize("shape", [(130, 67), (400,), (20, 21, 19)])
def test_threads_do_not_change_a_bit(boundary, shape):
    grid = fdiff.Grid(shape, boundary=boundary)
    Q = fdiff.MaternCovariance()
    for size in (1, 3):
        alone = Q.sample_coefficients(grid, size, seed=3, channels=2)
        for threads in (2, 3, 8):
            assert_array_equal(
                Q.sample_coefficients(grid, size, seed=3, channels=2, threads=threads), alone
            )


def test_every_part_of_the_key_matters():
    grid = fdiff.Grid((64,))
    base = dict(seed=1, purpose=1, size=1, first=1, level=1, time=1)
    values = [noise.white_coefficients(grid, **base)]
    values += [
        noise.white_coefficients(grid, **{**base, name: 2}) for name in base if name != "size"
    ]
    values.append(noise.white_coefficients(grid, **base, channels=2)[:, 1])
    for i, a in enumerate(values):
        for b in values[i + 1 :]:
            assert not np.isin(a[a != 0].real, b[b != 0].real).any()


def test_numbers_are_normal():
    grid = fdiff.Grid((257, 255), boundary="neumann")
    z = noise.white_coefficients(grid, 3, 0, 16).ravel()
    assert abs(z.mean()) < 5 / math.sqrt(z.size)
    assert abs(z.var() - 1) < 5 * math.sqrt(2 / z.size)
    assert abs((z**4).mean() - 3) < 5 * math.sqrt(96 / z.size)
    assert stats.kstest(z, "norm").pvalue > 1e-3
    complex_grid = fdiff.Grid((257, 255))
    c = noise.white_coefficients(complex_grid, 3, 0, 16)
    both = math.sqrt(2) * np.concatenate([c[:, :, 1:].real.ravel(), c[:, :, 1:].imag.ravel()])
    assert stats.kstest(both, "norm").pvalue > 1e-3
    correlation = (c[:, :, 1:].real * c[:, :, 1:].imag).mean() * 2
    assert abs(correlation) < 5 / math.sqrt(both.size / 2)


def test_extreme_words_give_finite_numbers():
    """The largest u rounds to 1 (radius 0), the smallest is 2^-54 (radius 8.65)."""
    assert philox.box_muller(2**53 - 1, 0)[0] == 0.0
    z1, z2 = philox.box_muller(0, 0)
    assert z1 == pytest.approx(math.sqrt(108 * math.log(2)), rel=1e-14)
    assert abs(z2) < 1e-14


@given(st.integers(0, 2**53 - 1), st.integers(0, 2**53 - 1))
def test_box_muller_to_the_last_digits(x, y):
    radius = math.sqrt(-2 * math.log((x + 0.5) * 2.0**-53))
    # The angle is reduced in whole numbers, so that no rounding of 2 pi u enters near the axes.
    turn = 2 * y + 1  # u = turn / 2^54
    octant = (turn + 2**51) >> 52
    rest = math.pi * 2 * (turn - (octant << 52)) / 2.0**54
    cosine, sine = [
        (math.cos(rest), math.sin(rest)),
        (-math.sin(rest), math.cos(rest)),
        (-math.cos(rest), -math.sin(rest)),
        (math.sin(rest), -math.cos(rest)),
    ][octant % 4]
    z1, z2 = philox.box_muller(x, y)
    assert_allclose(z1, radius * cosine, rtol=2e-15, atol=1e-15)
    assert_allclose(z2, radius * sine, rtol=2e-15, atol=1e-15)


@given(grids(max_side=6), dtypes, st.sampled_from(["numpy", "torch"]), seeds)
def test_like_gives_the_same_numbers_to_every_kind(grid, dtype, kind, seed):
    basis = grid.basis
    x = basis.forward(as_kind(np.zeros((2, 3, *grid.shape), dtype), kind))
    got = noise.like(x, grid, seed, noise.STEPS, first=4, time=7)
    assert got.dtype == x.dtype
    assert tuple(got.shape) == tuple(x.shape)
    expected = noise.white_coefficients(grid, seed, noise.STEPS, 2, 4, 3, time=7)
    assert_array_equal(as_numpy(got), expected.astype(as_numpy(x).dtype))
    single = noise.like(x[0, 0], grid, seed, noise.STEPS, first=4, time=7)
    assert_array_equal(as_numpy(single), expected[0, 0].astype(as_numpy(x).dtype))


def test_uniforms_are_keyed_and_uniform():
    u = noise.uniforms(3, noise.TRAINING, 4000, kind=1)
    assert stats.kstest(u, "uniform").pvalue > 1e-3
    assert_array_equal(noise.uniforms(3, noise.TRAINING, 5, first=100, kind=1), u[100:105])
    assert not np.isin(noise.uniforms(3, noise.TRAINING, 100, kind=2), u).any()
    assert not np.isin(noise.uniforms(3, noise.TRAINING, 100, kind=1, time=1), u).any()


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"seed": -1}, ValueError, "seed must lie in"),
        ({"seed": 2**64}, ValueError, "seed must lie in"),
        ({"seed": 1.5}, TypeError, "a seed is a whole number"),
        ({"seed": True}, TypeError, "a seed is a whole number"),
        ({"size": -1}, ValueError, "size must lie in"),
        ({"first": 2**32}, ValueError, "first must lie in"),
        ({"level": 2**16}, ValueError, "level must lie in"),
        ({"time": 2**32}, ValueError, "time must lie in"),
        ({"channels": 0}, ValueError, "channels must lie in"),
        ({"threads": 0}, ValueError, "threads must lie in"),
        ({"root": np.ones(3)}, ValueError, "root"),
        ({"first": 0.5}, TypeError, "whole number"),
    ],
)
def test_indices_out_of_range_are_refused(change, error, message):
    arguments = {"seed": 0, "purpose": 0, "size": 1} | change
    with pytest.raises(error, match=message):
        noise.white_coefficients(fdiff.Grid((8, 8)), **arguments)


def test_wave_numbers_beyond_the_counter_are_refused():
    with pytest.raises(ValueError, match="32767"):
        noise.white_coefficients(fdiff.Grid((2**17,)), 0, 0)
    assert noise.white_coefficients(fdiff.Grid((2**16,)), 0, 0)[0, 32767] != 0
    with pytest.raises(ValueError, match="32767"):
        noise.white_coefficients(fdiff.Grid((2**15 + 1,), boundary="neumann"), 0, 0)
