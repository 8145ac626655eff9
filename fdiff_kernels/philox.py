"""Counter-based standard normal numbers: Philox4x32-10 keyed by what a number belongs to.

Salmon, Moraes, Dror and Shaw (2011), Parallel random numbers: as easy as 1, 2, 3,
https://doi.org/10.1145/2063384.2063405. A number is a pure function of its key and counter, so it
depends on no order of calls, batch, grid or thread. Logarithm, sine and cosine are written out in
IEEE operations: the compiler may then treat several modes at once without changing a bit, and no
mathematical library comes in.
"""

from __future__ import annotations

import math

import numpy as np
from llvmlite import ir
from numba import types, uint32, uint64
from numba.extending import intrinsic

from fdiff_kernels.policy import kernel

_M0, _M1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_W0, _W1 = np.uint32(0x9E3779B9), np.uint32(0xBB67AE85)
_LOW, _32, _16, _11 = np.uint64(0xFFFFFFFF), np.uint64(32), np.uint64(16), np.uint64(11)
_UNIT = 2.0**-53
_HALF_ROOT = math.sqrt(0.5)

# ln 2 in two parts: the first has 32 zero bits at its end, so that k ln 2 is exact.
_LN2_HIGH = float(np.frombuffer(np.uint64(0x3FE62E42FEE00000).tobytes())[0])
_LN2_LOW = 1.90821492927058770002e-10
_MANTISSA, _52 = np.uint64(2**52 - 1), np.uint64(52)
_ROOT_HALF = np.uint64(0x3FE6A09E << 32)  # bits of sqrt(1/2), rounded down
_TO_ONE = np.uint64((0x3FF00000 - 0x3FE6A09E) << 32)
_TURN = 2.0 * math.pi * 2.0**-54
_EIGHTH, _QUARTER_BITS = np.int64(2**51), np.int64(52)

_CHUNK = 256  # modes at a time: the buffers of a chunk stay in the first-level cache


@kernel(inline="always")
def philox(k0, k1, c0, c1, c2, c3):
    """Four 32-bit words of Philox4x32-10 for key ``(k0, k1)`` and counter ``(c0, .., c3)``."""
    k0, k1 = uint32(k0), uint32(k1)
    c0, c1, c2, c3 = uint32(c0), uint32(c1), uint32(c2), uint32(c3)
    for _ in range(10):
        p0 = _M0 * uint64(c0)
        p1 = _M1 * uint64(c2)
        c0, c1, c2, c3 = (
            uint32(uint32(p1 >> _32) ^ c1 ^ k0),
            uint32(p1 & _LOW),
            uint32(uint32(p0 >> _32) ^ c3 ^ k1),
            uint32(p0 & _LOW),
        )
        k0 = uint32(k0 + _W0)
        k1 = uint32(k1 + _W1)
    return c0, c1, c2, c3


@kernel
def stream_key(seed, purpose, channel):
    """Key of the stream ``(seed, purpose, channel)``; ``seed`` is an unsigned 64-bit number."""
    seed = uint64(seed)
    w0, w1, _, _ = philox(seed & _LOW, seed >> _32, purpose, channel, 0, 0)
    return w0, w1


@kernel(inline="always")
def zigzag(k):
    """``0, -1, 1, -2, 2, ... -> 0, 1, 2, 3, 4, ...``"""
    return uint32(2 * k) if k >= 0 else uint32(-2 * k - 1)


@intrinsic
def _bits(typing_context, value):
    """The bits of a float64 as uint64."""
    return types.uint64(
        types.float64
    ), lambda context, builder, signature, arguments: builder.bitcast(arguments[0], ir.IntType(64))


@intrinsic
def _float(typing_context, bits):
    """The float64 with these bits."""
    return types.float64(
        types.uint64
    ), lambda context, builder, signature, arguments: builder.bitcast(arguments[0], ir.DoubleType())


@kernel(inline="always")
def _log(u):
    """``ln u`` for ``0 < u <= 1``: ``u = 2^k (1 + f)``, ``1 + f`` from sqrt(1/2) to sqrt(2).

    With ``s = f / (2 + f)``, ``ln(1 + f) = 2 artanh s = f - s (f - R)``,
    ``R = 2 s^2 / 3 + 2 s^4 / 5 + ..``; as ``|s| < 0.172``, ten terms reach the last bit.
    """
    shifted = _bits(u) + _TO_ONE
    k = float(np.int64(shifted >> _52) - 1023)
    f = _float((shifted & _MANTISSA) + _ROOT_HALF) - 1.0
    s = f / (2.0 + f)
    z = s * s
    r = 2.0 / 21.0
    r = r * z + 2.0 / 19.0
    r = r * z + 2.0 / 17.0
    r = r * z + 2.0 / 15.0
    r = r * z + 2.0 / 13.0
    r = r * z + 2.0 / 11.0
    r = r * z + 2.0 / 9.0
    r = r * z + 2.0 / 7.0
    r = r * z + 2.0 / 5.0
    r = r * z + 2.0 / 3.0
    return k * _LN2_HIGH + (f - (s * (f - r * z) - k * _LN2_LOW))


@kernel(inline="always")
def box_muller(x, y):
    """Two N(0, 1) numbers of two 53-bit numbers: ``sqrt(-2 ln u_x) (cos, sin)(2 pi u_y)``.

    ``u = (x + 1/2) 2^-53``. The angle is reduced to an eighth of a turn in whole numbers, where
    the Taylor polynomials of degree 17 reach the last bit.
    """
    radius = math.sqrt(-2.0 * _log((float(np.int64(x)) + 0.5) * _UNIT))
    turn = 2 * np.int64(y) + 1
    quarter = (turn + _EIGHTH) >> _QUARTER_BITS
    angle = float(turn - (quarter << _QUARTER_BITS)) * _TURN
    z = angle * angle
    s = 1.0 / 355687428096000.0
    s = s * z - 1.0 / 1307674368000.0
    s = s * z + 1.0 / 6227020800.0
    s = s * z - 1.0 / 39916800.0
    s = s * z + 1.0 / 362880.0
    s = s * z - 1.0 / 5040.0
    s = s * z + 1.0 / 120.0
    s = s * z - 1.0 / 6.0
    sine = angle + angle * (z * s)
    c = 1.0 / 20922789888000.0
    c = c * z - 1.0 / 87178291200.0
    c = c * z + 1.0 / 479001600.0
    c = c * z - 1.0 / 3628800.0
    c = c * z + 1.0 / 40320.0
    c = c * z - 1.0 / 720.0
    c = c * z + 1.0 / 24.0
    cosine = 1.0 - (0.5 * z - z * (z * c))
    odd = (quarter & 1) == 1
    along = sine if odd else cosine
    across = cosine if odd else sine
    along = -along if ((quarter + 1) & 2) == 2 else along
    across = -across if (quarter & 2) == 2 else across
    return radius * along, radius * across


@kernel(inline="always")
def normal_pair(k0, k1, c0, c1, c2, c3):
    """Two independent N(0, 1) numbers (Box-Muller with 53 bits each)."""
    w0, w1, w2, w3 = philox(k0, k1, c0, c1, c2, c3)
    x = ((uint64(w1) << _32) + uint64(w0)) >> _11
    y = ((uint64(w3) << _32) + uint64(w2)) >> _11
    return box_muller(x, y)


@kernel
def _place(k1, k2, k3, periodic, start, count, low, high, first, second):
    """Counter words and factors of the modes ``start .. start + count - 1`` in layout order.

    Numbers are drawn for the wave vector of each pair whose last non-zero periodic component is
    positive, ``c = (zeta_1 + i zeta_2) / sqrt(2)``; the partner (periodic components negated, the
    others kept) is its conjugate. Where all periodic components vanish, ``c = zeta_1``.
    """
    n2, n3 = k2.size, k3.size
    rest, c = divmod(start, n3)
    a, b = divmod(rest, n2)
    for i in range(count):
        p1, p2, p3 = k1[a] * periodic[0], k2[b] * periodic[1], k3[c] * periodic[2]
        lead = p3 if p3 != 0 else (p2 if p2 != 0 else p1)
        sign = -1 if lead < 0 else 1
        z1 = zigzag(sign * p1 if periodic[0] else k1[a])
        z2 = zigzag(sign * p2 if periodic[1] else k2[b])
        low[i] = z1 | (z2 << _16)
        high[i] = zigzag(sign * p3 if periodic[2] else k3[c])
        first[i] = 1.0 if lead == 0 else _HALF_ROOT
        second[i] = 0.0 if lead == 0 else sign * _HALF_ROOT
        c += 1
        if c == n3:
            b, c = b + 1, 0
            if b == n2:
                a, b = a + 1, 0


@kernel
def gaussian_modes(
    k1, k2, k3, periodic, decay, root, keys, first, levels, times, weights, start, stop, out
):
    """``out = decay * out + root * sum_j weights_j zeta(level_j, time_j)``, modes ``start`` on.

    ``zeta``: independent, ``E|zeta|^2 = 1``, Hermitian where an axis is periodic. ``k1, k2, k3``:
    wave numbers along the axes (``[0]`` for an axis that is not there); ``root``: ``(modes,)``;
    ``decay``: ``(modes,)``, or empty, which means 0; the modes are ``start .. stop - 1``;
    ``keys``: a stream's key per channel; ``out``: ``(samples, channels, modes, parts)`` with real
    and imaginary part, or the real one alone where no axis is periodic.
    """
    low, high = np.empty(_CHUNK, np.uint32), np.empty(_CHUNK, np.uint32)
    factor1, factor2 = np.empty(_CHUNK), np.empty(_CHUNK)
    sum1, sum2 = np.empty(_CHUNK), np.empty(_CHUNK)
    parts = out.shape[3]
    for begin in range(start, stop, _CHUNK):
        count = min(_CHUNK, stop - begin)
        scale = root[begin : begin + count]
        if decay.size == 0 and not scale.any():
            out[:, :, begin : begin + count] = 0.0
            continue
        _place(k1, k2, k3, periodic, begin, count, low, high, factor1, factor2)
        for i in range(count):
            factor1[i] *= scale[i]
            factor2[i] *= scale[i]
        for sample in range(out.shape[0]):
            for channel in range(out.shape[1]):
                key0, key1 = keys[channel, 0], keys[channel, 1]
                sum1[:count] = 0.0
                sum2[:count] = 0.0
                for term in range(levels.size):
                    level, time, weight = levels[term] << _16, times[term], weights[term]
                    _add_pairs(
                        key0, key1, low, high, uint32(level), time, uint32(first + sample), weight,
                        count, sum1, sum2,
                    )  # fmt: skip
                row = out[sample, channel]
                if decay.size == 0:
                    row[begin : begin + count] = 0.0
                else:
                    for i in range(count):
                        for part in range(parts):
                            row[begin + i, part] *= decay[begin + i]
                for i in range(count):
                    row[begin + i, 0] += factor1[i] * sum1[i]
                if parts == 2:
                    for i in range(count):
                        row[begin + i, 1] += factor2[i] * sum2[i]


@kernel
def _add_pairs(key0, key1, low, high, level, time, sample, weight, count, sum1, sum2):
    """``sum += weight * zeta`` for both numbers of each mode."""
    for i in range(count):
        zeta1, zeta2 = normal_pair(key0, key1, low[i], high[i] | level, time, sample)
        sum1[i] += weight * zeta1
        sum2[i] += weight * zeta2


@kernel
def uniforms(key, purpose_counter, time, first, out):
    """Uniform numbers in (0, 1]: ``out[i]`` belongs to sample ``first + i``."""
    for i in range(out.size):
        w0, w1, _, _ = philox(key[0], key[1], purpose_counter, 0, time, uint32(first + i))
        x = ((uint64(w1) << _32) + uint64(w0)) >> _11
        out[i] = (float(x) + 0.5) * _UNIT
