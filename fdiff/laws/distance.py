"""The 2-Wasserstein distance between Gaussian laws."""

from __future__ import annotations

import math

import numpy as np

from fdiff.grid import Grid
from fdiff.laws.dense import DenseLaw, as_dense, symmetric_root
from fdiff.laws.modes import Law


def wasserstein2(a: Law | DenseLaw, b: Law | DenseLaw, grid: Grid) -> float:
    """``W_2`` in L2 of the box, over all channels; a number in units of u length^(dim/2).

    Of laws with independent modes, ``W_2^2 = sum omega (|difference of means|^2 + (difference of
    std)^2)``. If one of them is dense, ``W_2^2 = |difference of means|^2 + min_U |A^(1/2) - B^(1/2)
    U|_F^2`` over the orthogonal matrices U: Bures' distance ``tr(A + B - 2 (A^(1/2) B
    A^(1/2))^(1/2))`` in a form whose terms are not negative. The roots make a distance exact to
    some 1e-8 of the laws' standard deviation.
    Dowson and Landau (1982), https://doi.org/10.1016/0047-259X(82)90077-X
    """
    if isinstance(a, Law) and isinstance(b, Law):
        squares = np.abs(a.mean - b.mean) ** 2 + (np.sqrt(a.variance) - np.sqrt(b.variance)) ** 2
        return math.sqrt(float((grid.basis.weights * grid.basis.retained * squares).sum()))
    dense = [as_dense(law, grid) for law in (a, b)]
    first, second = (symmetric_root(law.covariance) for law in dense)
    left, _, right = np.linalg.svd(second @ first)
    means = ((dense[0].mean - dense[1].mean) ** 2).sum()
    return math.sqrt(float(means + ((first - second @ left @ right) ** 2).sum()))
