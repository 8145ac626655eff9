"""Covariance operators from a user's spectral density."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import numpy as np

from fdiff.covariance.operator import CovarianceOperator
from fdiff.covariance.tail import dyadic_sums, halved_sums
from fdiff.grid import Grid

# Ratio of successive shells from which on their sum counts as infinite: a logarithmic divergence
# has 1, up to rounding and a slow start.
DIVERGENT = 0.98

# What a density may be a function of; the last two are methods of a basis, one array an axis.
ARGUMENTS = ("laplacian", "frequencies", "wavenumbers")


@final
@dataclass(frozen=True)
class SpectralDensity(CovarianceOperator):
    """``q_k`` as a function of what ``of`` names; the function takes and returns arrays.

    * ``of="laplacian"``: ``function(mu_k)``, ``mu_k >= 0`` the eigenvalue of ``-Laplacian`` in
      units of 1/length^2;
    * ``of="frequencies"``: ``function(kappa_1, .., kappa_d)``, the angular frequencies along the
      axes in units of 1/length: ``kappa_i = 2 pi k_i / L_i`` on a periodic axis and ``pi k_i /
      L_i`` on a Neumann or Dirichlet axis, so that ``mu_k = sum kappa_i^2``;
    * ``of="wavenumbers"``: ``function(k_1, .., k_d)``, the whole numbers that index the modes. A
      whole number is another frequency on a box of another size, so one function of them is
      another law on every box: take ``"frequencies"`` for a density with a length scale.

    ``"laplacian"`` and ``"frequencies"`` give the same law on every box. Of signed arguments the
    function must be even: ``q_-k = q_k``. Whether the trace is finite is judged from its decay
    over dyadic shells.

    Raises:
        ValueError: another ``of``; on evaluation, a function that is not even.
    """

    function: Callable[..., np.ndarray]
    of: str = "laplacian"

    def __post_init__(self) -> None:
        if self.of not in ARGUMENTS:
            known = ", ".join(f'"{name}"' for name in ARGUMENTS)
            raise ValueError(f"of must be one of {known}; got {self.of!r}")

    def spectrum(self, grid: Grid) -> np.ndarray:
        if self.of == "laplacian":
            return np.asarray(self.function(grid.basis.laplacian), dtype=float)
        line = getattr(grid.basis, self.of)
        k = np.meshgrid(*(line(axis) for axis in range(grid.dim)), indexing="ij")
        q = np.asarray(self.function(*k), dtype=float)
        signs = [-1 if kind == "periodic" else 1 for kind in grid.boundary]
        mirrored = np.asarray(self.function(*(s * line for s, line in zip(signs, k))), dtype=float)
        if not np.array_equal(q, mirrored):
            raise ValueError("a spectral density must be even in the wave vector: q(-k) = q(k)")
        return q

    def tail_trace(self, grid: Grid) -> float:
        """The value of `tail_trace_with_error`."""
        return self.tail_trace_with_error(grid)[0]

    def tail_trace_with_error(self, grid: Grid) -> tuple[float, float]:
        """``(tr(Q - Q_n), error)``: modes summed to a cut, a fitted power law beyond.

        The error is the difference between the two last extrapolations; ``(inf, inf)`` where the
        shells do not decay. Where the grid is too fine for doublings of its own, its last ones are
        extrapolated.
        """
        beyond_grid = dyadic_sums(self, grid)
        inside = halved_sums(self, grid, 3 - len(beyond_grid)) if len(beyond_grid) < 3 else ()
        value, error = _extrapolated((*inside, *beyond_grid))
        return value - float(sum(inside)), error

    def is_trace_class(self, dim: int) -> bool:
        sums = dyadic_sums(self, Grid((8,) * dim))
        return sums[-1] == 0.0 or sums[-1] < DIVERGENT * sums[-2]


def _extrapolated(sums: tuple[float, ...]) -> tuple[float, float]:
    """Sum of a series from its first terms (three or more), and the error of it."""
    if sums[-1] == 0.0:
        return float(sum(sums)), 0.0
    ratios = np.array(sums[1:]) / np.maximum(np.array(sums[:-1]), 1e-300)
    if ratios[-1] >= DIVERGENT:
        return math.inf, math.inf
    # A geometric series of shells is a power law of the density.
    beyond = sums[-1] * ratios[-1] / (1 - ratios[-1])
    earlier = sums[-2] * ratios[-2] / (1 - ratios[-2]) if ratios[-2] < 1 else math.inf
    value = float(sum(sums) + beyond)
    return value, float(abs(value - (sum(sums[:-1]) + earlier)))
