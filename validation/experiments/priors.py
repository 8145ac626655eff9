"""What the experiments build the paper's five priors from, as operators on functions."""

from __future__ import annotations

import numpy as np

import fdiff
from fdiff.covariance import CovarianceOperator
from fdiff.grid import Grid

NAMES = ("standard", "fno", "inverse_laplacian", "bessel", "combined")


def named(
    name: str,
    low: CovarianceOperator,
    laplace: CovarianceOperator,
    bessel: CovarianceOperator,
    share: float,
    **others: CovarianceOperator,
) -> CovarianceOperator:
    """One of `NAMES` or ``others``; ``combined``: ``share`` of ``low`` (that of ``fno``) and
    ``laplace``, a sum of independent noises."""
    family = fdiff.WhiteNoise(), low, laplace, bessel, share * low + laplace
    operators = dict(zip(NAMES, family, strict=True)) | others
    if name not in operators:
        raise ValueError(f"a prior is one of {', '.join(operators)}, got {name!r}")
    return operators[name]


def random_modes(draw: np.random.Generator, shape: tuple[int, int], least: float = 0.2):
    """``A^2`` for a multiplier A of numbers from ``least`` to 1 on the low modes, nothing beyond.

    They are real and even in each ``k_i``, so A is self-adjoint.
    """
    return fdiff.FiniteRankCovariance((least + (1 - least) * draw.random(shape)) ** 2)


def trace(Q: CovarianceOperator, grid: Grid) -> float:
    """Of Q on functions; of white noise, which has none, that on ``grid``."""
    tail = Q.tail_trace(grid) if Q.is_trace_class(grid.dim) else 0.0
    return Q.trace(grid) + tail


def with_trace(
    total: float, grid: Grid, name: str, low: CovarianceOperator, laplace: CovarianceOperator,
    bessel: CovarianceOperator, **others: CovarianceOperator,
) -> CovarianceOperator:  # fmt: skip
    """`named`, ``combined`` of two noises of one trace, scaled so that its `trace` is ``total``."""
    share = trace(laplace, grid) / trace(low, grid)
    Q = named(name, low, laplace, bessel, share, **others)
    return (total / trace(Q, grid)) * Q
