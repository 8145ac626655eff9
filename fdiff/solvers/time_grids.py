"""Decreasing time grids for samplers."""

from __future__ import annotations

import numpy as np

from fdiff.process import ForwardProcess

SPACINGS = ("lambda", "time", "karras", "quadratic")


def times(
    process: ForwardProcess, steps: int, spacing: str = "lambda", end: float = 1e-3
) -> np.ndarray:
    """``steps + 1`` decreasing times from ``T`` to ``end``.

    * ``"lambda"``: uniform in the half log signal-to-noise ratio;
    * ``"time"``: uniform in t; ``"quadratic"``: uniform in sqrt(t);
    * ``"karras"``: uniform in ``(s / m)^(1/7)`` (Karras et al. 2022, eq. 5).

    Raises:
        ValueError: no step, ``end`` outside ``(0, T)``, or an unknown spacing. ``"time"`` and
            ``"quadratic"`` allow ``end = 0``.
    """
    T = process.T
    if steps < 1:
        raise ValueError(f"a time grid needs at least one step, got {steps}")
    if spacing not in SPACINGS:
        raise ValueError(f"spacing must be one of {SPACINGS}, got {spacing!r}")
    lowest_allowed = spacing in ("time", "quadratic") and end == 0
    if not (0 < end < T or lowest_allowed):
        raise ValueError(f"end must lie in (0, T) with T = {T:g}, got {end}")
    i = np.arange(steps + 1) / steps
    if spacing == "time":
        out = T + i * (end - T)
    elif spacing == "quadratic":
        out = (np.sqrt(T) + i * (np.sqrt(end) - np.sqrt(T))) ** 2
    else:
        first, last = process.half_log_snr(T), process.half_log_snr(end)
        if spacing == "lambda":
            half_log_snr = first + i * (last - first)
        else:
            a, b = np.exp(-first / 7), np.exp(-last / 7)
            half_log_snr = -7 * np.log(a + i * (b - a))
        out = process.schedule.time(half_log_snr)
    out[0], out[-1] = T, end  # exact, whatever the rounding of the inverse
    return out


def checked_times(values, process: ForwardProcess) -> np.ndarray:
    """The user's own grid: strictly decreasing, in ``[0, T]``, at least two times."""
    grid = np.asarray(values, dtype=float)
    if grid.ndim != 1 or grid.size < 2 or not (np.diff(grid) < 0).all():
        raise ValueError(f"times must be a strictly decreasing sequence, got {values!r}")
    if grid[0] > process.T * (1 + 1e-12) or grid[-1] < 0:
        raise ValueError(f"times must lie in [0, {process.T:g}], got {grid[0]} .. {grid[-1]}")
    return grid
