r"""Vendi score: the effective number of different fields in a set.

:math:`\exp(-\sum\lambda_i\ln\lambda_i)` of the eigenvalues of ``K/n``, ``K_ii = 1``: 1 for copies
of one field, n for n fields without similarity (Friedman & Dieng 2023,
https://arxiv.org/abs/2210.02410). It grows with n and depends on the kernel, so compare sets of one
size under one kernel:

* cosine: ``<u, v> / (||u|| ||v||)`` of the raw values, as in the multilevel diffusion paper;
* Gaussian: ``exp(-||u - v||^2 / (2 l^2))``, ``l`` the median distance within the truth.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fdiff.grid import Grid
from fdiff.metrics.energy import distances, squared_norms
from fdiff.metrics.estimate import Estimate, normal
from fdiff.metrics.fields import RealArray, as_fields
from fdiff.words import counted


def vendi_cosine(u: Any, grid: Grid) -> Estimate:
    """Vendi score with the cosine of the angle between fields in L2."""
    flat, _ = _flat(u, grid)
    norms = np.sqrt(squared_norms(flat))
    if not norms.all():
        zero = counted(int(np.sum(norms == 0)), "field is zero and has", "fields are zero and have")
        raise ValueError(f"{zero} no angle to others")
    return score((flat @ flat.T) / np.outer(norms, norms))


def vendi_gaussian(u: Any, grid: Grid, length: float | None = None) -> Estimate:
    """Vendi score with a Gaussian kernel in L2; ``length`` in the units of ``u``.

    By default the median distance within ``u`` itself; ``median_distance(truth, grid)`` makes
    scores of several sets comparable.
    """
    if length is None:
        length = median_distance(u, grid)
    if not length > 0:
        raise ValueError(f"need a length > 0, got {length}: are all fields equal?")
    return score(np.exp(-0.5 * (_root_mean_square_distances(u, grid) / length) ** 2))


def median_distance(u: Any, grid: Grid) -> float:
    """Median over pairs of the root mean square difference."""
    distance = _root_mean_square_distances(u, grid)
    return float(np.median(distance[np.triu_indices(len(distance), 1)]))


def _root_mean_square_distances(u: Any, grid: Grid) -> RealArray:
    flat, unit = _flat(u, grid)
    norms = squared_norms(flat)
    return unit * distances(flat, flat, norms, norms) / np.sqrt(flat.shape[1])


def _flat(u: Any, grid: Grid) -> tuple[RealArray, float]:
    """Fields as rows in units of a power of two near the largest value, and that unit.

    Squares of the values then fit into float32; dividing by a power of two is exact.
    """
    fields = as_fields(u, grid)
    largest = float(np.abs(fields).max())
    unit = 2.0 ** np.floor(np.log2(largest)) if largest > 0 else 1.0
    return fields.reshape(len(fields), -1) / fields.dtype.type(unit), unit


def score(similarity: RealArray) -> Estimate:
    r"""Vendi score of a kernel matrix with unit diagonal.

    The interval is the infinitesimal jackknife's. With eigenvectors ``v`` of ``K/n``, field i moves
    the entropy by ``n sum_k f'(l_k) l_k v_ik^2 / n``, ``f(l) = -l ln l``: its weight enters the
    covariance ``sum_i w_i phi_i phi_i^T`` of the kernel's features linearly.
    """
    n = len(similarity)
    share, vectors = np.linalg.eigh(similarity.astype(np.float64) / n)
    positive = share > 0  # rounding leaves a few negative ones of size 1e-16
    share, vectors = share[positive], vectors[:, positive]
    value = float(np.exp(-np.sum(share * np.log(share))))
    # The 1 of f'(l) = -(ln l + 1) moves all fields alike.
    influence = -n * (vectors**2 @ (np.log(share) * share))
    return normal(value, value**2 * influence.var(ddof=1) / n, floor=min(1.0, value))
