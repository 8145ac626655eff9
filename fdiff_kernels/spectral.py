"""Sums over modes that no closed form gives: heat traces of one axis."""

from __future__ import annotations

import numpy as np


def axis_heat_trace(t: np.ndarray, length: float, kind: str) -> np.ndarray:
    """``theta(t) = sum_k exp(-mu_k t)`` over all modes of one axis, ``t > 0``.

    Direct for large ``t``; for small ``t`` its Poisson sum, ``L / sqrt(4 pi t)`` (periodic) or
    ``L / sqrt(4 pi t) +- 1/2`` (Neumann +, Dirichlet -) with images at distance ``L`` or ``2 L``.
    """
    turn = 2.0 if kind == "periodic" else 1.0
    scaled = (turn * np.pi / length) ** 2 * t
    k = np.arange(1, 8)
    images = np.exp(-(np.pi**2) * k**2 / np.minimum(scaled, 10.0)[:, None]).sum(1)
    poisson = (np.sqrt(np.pi / scaled) * (1.0 + 2.0 * images) - 1.0) / 2.0
    direct = np.exp(-scaled[:, None] * k**2).sum(1)
    positive = np.where(scaled < np.pi, poisson, direct)  # sum over k >= 1 of exp(-k^2 scaled)
    if kind == "periodic":
        return 1.0 + 2.0 * positive
    return 1.0 + positive if kind == "neumann" else positive


def axis_heat_tail(
    t: np.ndarray, length: float, kind: str, kept: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """``(theta^(n), theta - theta^(n))``: the heat trace over ``k <= kept.max()``, and the rest.

    ``kept``: the retained wave numbers ``k >= 0`` of the axis, consecutive.
    """
    turn = 2.0 if kind == "periodic" else 1.0
    scaled = (turn * np.pi / length) ** 2 * t
    count = np.where(kept == 0, 1.0, turn)
    # Blocks keep the memory of (times x modes) bounded.
    retained = np.concatenate(
        [
            (count * np.exp(-block[:, None] * kept.astype(float) ** 2)).sum(1)
            for block in np.array_split(scaled, max(1, scaled.size * max(kept.size, 1) // 2**20))
        ]
    )
    first = (kept.max() if kept.size else -1 + (kind == "dirichlet")) + 1
    # Beyond this t the tail is a small part of theta and is summed; below, the difference is exact.
    summed = scaled * max(first, 1) ** 2 > 1.0
    tail = axis_heat_trace(t, length, kind) - retained
    s = scaled[summed]
    if s.size:
        reach = int(np.ceil(np.sqrt(first**2 + 45.0 / s.min()))) + 1
        k = np.arange(first, reach + 1, dtype=float)
        weight = np.where(k == 0, 1.0, turn)
        blocks = np.array_split(s, max(1, s.size * k.size // 2**20))
        tail[summed] = np.concatenate(
            [(weight * np.exp(-block[:, None] * k**2)).sum(1) for block in blocks]
        )
    return retained, tail
