"""What a covariance operator means on a grid, in physical units: one table."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, final

import numpy as np

from fdiff.covariance.kernel import correlation_length
from fdiff.grid import Grid

if TYPE_CHECKING:
    from fdiff.covariance.operator import CovarianceOperator


@final
@dataclass(frozen=True)
class CovarianceSummary:
    """Numbers of ``N(0, Q)`` as a grid sees it; u is the field's unit, x that of length.

    ``print`` shows the table.
    """

    operator: str
    grid: Grid
    is_trace_class: bool
    trace: float  # tr Q_n, in u^2 x^dim
    tail_trace: float  # tr(Q - Q_n), in u^2 x^dim: E |u - u_n|^2 of what the grid does not see
    hilbert_schmidt: float  # of Q_n, in u^2 x^dim
    largest_eigenvalue: float  # in u^2 x^dim
    std: float  # root mean square of u, in u
    lowest_std: float  # over the nodes: at a Dirichlet wall
    highest_std: float  # over the nodes: at a Neumann wall
    correlation_lengths: tuple[float, ...]  # to 1/e from the centre, one per axis, in x
    sobolev_regularity: float  # samples lie in H^b for every b below
    modes: int  # retained
    null_modes: int  # retained, but without noise

    @property
    def resolved(self) -> float:
        """The share of the trace that the grid carries."""
        total = self.trace + self.tail_trace
        return self.trace / total if math.isfinite(total) and total > 0 else 0.0

    def as_dict(self) -> dict:
        """Plain numbers for JSON; None for what is infinite."""

        def plain(value):
            if isinstance(value, float):
                return value if math.isfinite(value) else None
            return [plain(v) for v in value] if isinstance(value, tuple) else value

        names = [n for n in self.__dataclass_fields__ if n != "grid"]
        box = {n: getattr(self.grid, n) for n in ("shape", "lengths", "boundary", "origin")}
        return {
            **{name: plain(getattr(self, name)) for name in names},
            "resolved": self.resolved,
            "grid": {name: list(value) for name, value in box.items()},
        }

    def __str__(self) -> str:
        grid, unit = self.grid, f"u^2 x^{self.grid.dim}" if self.grid.dim > 1 else "u^2 x"
        lengths = ", ".join(
            "longer than the box" if math.isinf(r) else f"{r:.4g} x"
            for r in dict.fromkeys(self.correlation_lengths)
        )
        beyond = f"{self.tail_trace:.5g} {unit}"
        if self.is_trace_class:
            beyond += f" ({100 * (1 - self.resolved):.2g} % of the whole)"
        rows = {
            "trace class": f"yes, in {grid.dim}D" if self.is_trace_class else _NOT_TRACE_CLASS,
            "trace on the grid": f"{self.trace:.5g} {unit}",
            "trace beyond the grid": beyond,
            "Hilbert-Schmidt norm": f"{self.hilbert_schmidt:.5g} {unit}",
            "largest eigenvalue": f"{self.largest_eigenvalue:.5g} {unit}",
            "pointwise std": f"{self.std:.5g} u ({self.lowest_std:.5g} .. {self.highest_std:.5g})",
            "correlation to 1/e": lengths,
            "samples lie in H^b": f"b < {self.sobolev_regularity:.4g}",
            "modes without noise": f"{self.null_modes} of {self.modes}",
        }
        head = (
            f"{self.operator}\n"
            f"on {_times(grid.shape)} nodes, box {_times(f'{v:g}' for v in grid.lengths)}, "
            f"{_times(grid.boundary)}\n"
        )
        return head + "\n".join(f"  {name:22s} {value}" for name, value in rows.items())


_NOT_TRACE_CLASS = "NO: samples have no limit under refinement"


def _times(values) -> str:
    return " x ".join(map(str, values))


def summarise(operator: CovarianceOperator, grid: Grid) -> CovarianceSummary:
    """The summary of `CovarianceOperator.summary`."""
    q, basis = operator.eigenvalues(grid), grid.basis
    variance = operator.pointwise_variance(grid)
    count = float(basis.weights[basis.retained].sum())
    null = float(basis.weights[basis.retained & (q == 0)].sum())
    return CovarianceSummary(
        operator=repr(operator),
        grid=grid,
        is_trace_class=bool(operator.is_trace_class(grid.dim)),
        trace=operator.trace(grid),
        tail_trace=operator.tail_trace(grid),
        hilbert_schmidt=operator.hilbert_schmidt(grid),
        largest_eigenvalue=float(q.max()),
        std=math.sqrt(max(0.0, float(variance.mean()))),
        lowest_std=math.sqrt(max(0.0, float(variance.min()))),
        highest_std=math.sqrt(max(0.0, float(variance.max()))),
        correlation_lengths=tuple(correlation_length(q, grid, i) for i in range(grid.dim)),
        sobolev_regularity=float(operator.sobolev_regularity(grid.dim)),
        modes=int(count),
        null_modes=int(null),
    )


def decay_regularity(sums) -> float:
    """The supremum of b with ``sum mu^b q < oo``, from the traces of dyadic shells.

    Shells that fall like ``2^(-2 b j)`` belong to a power law; infinite where they fall faster
    and faster, or vanish.
    """
    shells = np.asarray(sums)
    if shells[-1] == 0.0:
        return math.inf
    rates = -np.log2(shells[1:] / shells[:-1]) / 2
    return math.inf if rates[-1] > 1.5 * rates[-2] + 1.0 else float(rates[-1])
