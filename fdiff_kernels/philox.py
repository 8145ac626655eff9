"""Counter-based standard normal numbers: Philox4x32-10 keyed by what a number belongs to.

Salmon, Moraes, Dror and Shaw (2011), Parallel random numbers: as easy as 1, 2, 3,
https://doi.org/10.1145/2063384.2063405. A number is a pure function of its key and counter, so it
depends on no order of calls, batch, grid or thread.
"""

from __future__ import annotations

import math

import numpy as np
from numba import uint32, uint64

from fdiff_kernels.policy import kernel

_M0, _M1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_W0, _W1 = np.uint32(0x9E3779B9), np.uint32(0xBB67AE85)
_LOW, _32, _16, _11 = np.uint64(0xFFFFFFFF), np.uint64(32), np.uint64(16), np.uint64(11)
_UNIT = 2.0**-53


@kernel
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


@kernel
def zigzag(k):
    """``0, -1, 1, -2, 2, ... -> 0, 1, 2, 3, 4, ...``"""
    return uint32(2 * k) if k >= 0 else uint32(-2 * k - 1)


@kernel
def normal_pair(k0, k1, c0, c1, c2, c3):
    """Two independent N(0, 1) numbers (Box-Muller with 53 bits each)."""
    w0, w1, w2, w3 = philox(k0, k1, c0, c1, c2, c3)
    x = ((uint64(w1) << _32) + uint64(w0)) >> _11
    y = ((uint64(w3) << _32) + uint64(w2)) >> _11
    radius = math.sqrt(-2.0 * math.log((float(x) + 0.5) * _UNIT))
    angle = 2.0 * math.pi * ((float(y) + 0.5) * _UNIT)
    return radius * math.cos(angle), radius * math.sin(angle)


@kernel
def real_modes(k1, k2, k3, root, key, sample, level, time, out):
    """``root * zeta`` for real coefficients (no periodic axis): ``out`` ``(n1, n2, n3)``.

    ``k1, k2, k3``: wave numbers along the axes (``[0]`` for an axis that is not there); a mode with
    ``root`` 0 is not drawn.
    """
    for a in range(k1.size):
        for b in range(k2.size):
            c0 = zigzag(k1[a]) | (zigzag(k2[b]) << _16)
            for c in range(k3.size):
                if root[a, b, c] == 0.0:
                    out[a, b, c] = 0.0
                else:
                    c1 = zigzag(k3[c]) | (uint32(level) << _16)
                    zeta, _ = normal_pair(key[0], key[1], c0, c1, time, sample)
                    out[a, b, c] = root[a, b, c] * zeta


@kernel
def complex_modes(k1, k2, k3, periodic, root, key, sample, level, time, out):
    """``root * zeta`` for complex coefficients: ``E|zeta|^2 = 1``, Hermitian; as `real_modes`.

    Numbers are drawn for the wave vector of each pair whose last non-zero periodic component is
    positive; the partner (periodic components negated, the others kept) is its conjugate. Where
    all periodic components vanish the coefficient is real.
    """
    half = math.sqrt(0.5)
    for a in range(k1.size):
        for b in range(k2.size):
            for c in range(k3.size):
                scale = root[a, b, c]
                if scale == 0.0:
                    out[a, b, c] = 0.0
                    continue
                p1, p2, p3 = k1[a] * periodic[0], k2[b] * periodic[1], k3[c] * periodic[2]
                lead = p3 if p3 != 0 else (p2 if p2 != 0 else p1)
                sign = -1 if lead < 0 else 1
                z1 = zigzag(sign * p1 if periodic[0] else k1[a])
                z2 = zigzag(sign * p2 if periodic[1] else k2[b])
                z3 = zigzag(sign * p3 if periodic[2] else k3[c])
                c0 = z1 | (z2 << _16)
                c1 = z3 | (uint32(level) << _16)
                zeta1, zeta2 = normal_pair(key[0], key[1], c0, c1, time, sample)
                if lead == 0:
                    out[a, b, c] = scale * zeta1
                else:
                    out[a, b, c] = complex(scale * (half * zeta1), sign * (scale * (half * zeta2)))


@kernel
def uniforms(key, purpose_counter, time, first, out):
    """Uniform numbers in (0, 1]: ``out[i]`` belongs to sample ``first + i``."""
    for i in range(out.size):
        w0, w1, _, _ = philox(key[0], key[1], purpose_counter, 0, time, uint32(first + i))
        x = ((uint64(w1) << _32) + uint64(w0)) >> _11
        out[i] = (float(x) + 0.5) * _UNIT
