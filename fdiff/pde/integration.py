"""Integrate a reaction-diffusion system in time, with error control."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import final

import numpy as np

from fdiff.errors import DivergenceError
from fdiff.grid import Grid
from fdiff.pde import stabilised
from fdiff.pde.systems import System, pointer
from fdiff.values import real_values

METHODS = ("stabilised", "etdrk4")

# The step control's sum of estimates, order 3, over the error of order 4 that is measured.
_SAFETY = 0.2


@final
@dataclass(frozen=True)
class Solution:
    """A trajectory and what is known about it."""

    fields: np.ndarray  # (times, fields, *grid.shape)
    times: np.ndarray
    steps: int
    rejected: int
    evaluations: int  # of the right-hand side
    error: float  # estimated relative L2 error from the steps in time

    def at(self, time: float) -> np.ndarray:
        """The stored state (fields, *grid.shape) at ``time``."""
        found = np.flatnonzero(np.isclose(self.times, time, rtol=1e-6, atol=1e-9))
        if not len(found):
            raise ValueError(f"no stored state at t = {time:g}; stored: {self.times}")
        return self.fields[found[0]]


def solve(
    system: System,
    initial,
    grid: Grid,
    times,
    tolerance: float = 1e-5,
    dtype="f8",
    method: str = "stabilised",
) -> Solution:
    """States at ``times`` (increasing, from 0 on) of the system started at t = 0 from ``initial``.

    ``initial``: (fields, *grid.shape). ``method``:

    * ``"stabilised"``: second-order finite volumes, 3, 5 or 7 points, the cells' values at their
      centres; walls mirror, periodic axes wrap. Stabilised Runge-Kutta of order 4 in time
      (`fdiff.pde.stabilised`); stored times between two steps are interpolated to order 4 as well.
    * ``"etdrk4"``: spectral in space, dealiased, order 4 in time (`fdiff.pde.etdrk4`).

    ``tolerance`` bounds the estimate of each step's relative L2 error and is about the error of
    the trajectory in time.

    Raises:
        ValueError: arguments that do not fit together.
        DivergenceError: the state became infinite, or the step too small.
    """
    y = checked_initial(system, initial, grid)
    times = checked_times(times)
    out = np.empty((len(times), *grid.shape, len(system.fields)), dtype)
    log = trajectory(system, y, grid, times, tolerance, out, method)
    return Solution(np.moveaxis(out, -1, 1), times, *log)


def trajectory(
    system: System,
    initial: np.ndarray,
    grid: Grid,
    times: np.ndarray,
    tolerance: float,
    out: np.ndarray,
    method: str = "stabilised",
) -> tuple[int, int, int, float]:
    """`solve` into ``out`` (times, *grid.shape, fields), f4 or f8.

    Returns (steps, rejected, evaluations, error).
    """
    if not 0 < tolerance < 1:
        raise ValueError(f"the tolerance is a relative error in (0, 1), got {tolerance!r}")
    if times[-1] == 0:
        out[0] = np.moveaxis(initial, 0, -1)
        return 0, 0, 0, 0.0
    if method == "stabilised":
        return _finite_volumes(system, initial, grid, times, tolerance, out)
    if method == "etdrk4":
        from fdiff.pde import etdrk4

        return etdrk4.trajectory(system, initial, grid, times, tolerance, out)
    raise ValueError(f"method: one of {', '.join(METHODS)}, got {method!r}")


def _finite_volumes(system: System, initial, grid: Grid, times, tolerance: float, out):
    from fdiff_kernels import stencil

    if system.rotation:
        raise ValueError(
            f"{system.name} couples its fields by diffusion: use method etdrk4, finite volumes do "
            "not take it"
        )
    if "dirichlet" in grid.boundary:
        raise ValueError("finite volumes have periodic or no-flux (neumann) walls, not dirichlet")
    cells = (1,) * (3 - grid.dim) + grid.shape
    fields = len(system.fields)
    work = np.empty((stencil.SLOTS, cells[0], cells[1], fields, cells[2]))
    work[0] = np.moveaxis(initial.reshape(fields, *cells), 0, 2)
    diffusion = np.zeros((fields, 3))
    for axis, (h, n) in enumerate(zip(grid.spacing, grid.shape), start=3 - grid.dim):
        if n > 1:
            diffusion[:, axis] = system.diffusivities / h**2
    wrap = (False,) * (3 - grid.dim) + tuple(kind == "periodic" for kind in grid.boundary)
    log = np.zeros(5)
    status = _advance(out.dtype.str[1:])(
        work,
        (0.0, float(times[-1])),
        times,
        float(tolerance),
        *stabilised.tables(),
        diffusion,
        wrap,
        pointer(system.rates),
        system.values,
        log,
        out.reshape(len(times), *cells, fields),
    )
    if status != stencil.OK:
        reason = {
            stencil.NOT_FINITE: "the state is not finite",
            stencil.STEP_TOO_SMALL: "the step became too small",
        }[status]
        raise DivergenceError(
            f"{system.name}: {reason} after t = {log[0]:.6g} ({int(log[1])} steps)", float(log[0])
        )
    return int(log[1]), int(log[2]), int(log[3]), _SAFETY * float(log[4])


@functools.cache
def _advance(kind: str):
    from fdiff_kernels import stencil

    if kind not in ("f4", "f8"):
        raise TypeError(f"results are stored as float32 or float64, got {kind!r}")
    return stencil.advance(kind)


def checked_initial(system: System, initial, grid: Grid) -> np.ndarray:
    """``initial`` as float64 of shape (fields, *grid.shape).

    Raises:
        TypeError: no system, no grid, or an initial state that is no array of real numbers.
        ValueError: another shape, or values that are missing or not finite.
    """
    for value, kind, place in ((system, System, "system"), (grid, Grid, "grid")):
        if not isinstance(value, kind):
            raise TypeError(
                f"expected (system, initial, grid, times): {place} is a {kind.__name__}, got "
                f"{type(value).__name__}"
            )
    y = real_values(initial, f"the initial state of {system.name}")
    y = np.ascontiguousarray(y, dtype=np.float64)
    expected = (len(system.fields), *grid.shape)
    if y.shape != expected:
        raise ValueError(
            f"the initial state of {system.name} has shape {expected} (fields "
            f"{', '.join(system.fields)}), got {y.shape}"
        )
    if not np.isfinite(y).all():
        raise ValueError("the initial state holds values that are not finite")
    return y


def checked_times(times) -> np.ndarray:
    """``times`` as increasing float64 numbers >= 0.

    Raises:
        TypeError: no real numbers.
        ValueError: numbers that do not increase, are negative or not finite.
    """
    times = np.atleast_1d(real_values(times, "the times").astype(np.float64))
    if times.ndim != 1 or not len(times):
        raise ValueError(f"times are a list of numbers, got shape {times.shape}")
    if not np.isfinite(times).all() or times[0] < 0 or (np.diff(times) <= 0).any():
        raise ValueError(f"times must increase, start at 0 or later and be finite, got {times}")
    return times
