"""Hypothesis strategies that build valid objects only, and arrays to go with them."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

import fdiff
from fdiff.grid import BOUNDARIES

seeds = st.integers(0, 2**64 - 1)
dtypes = st.sampled_from([np.float32, np.float64])
kinds = st.sampled_from(["numpy", "torch"])


@st.composite
def grids(draw, max_dim: int = 3, max_side: int = 9, boundaries=BOUNDARIES, min_side: int = 1):
    """1D to 3D, odd and even, boundaries mixed, sides of different lengths, any origin."""
    dim = draw(st.integers(1, max_dim))
    per_axis = {
        "shape": st.integers(min_side, max_side),
        "lengths": st.floats(0.5, 8.0),
        "boundary": st.sampled_from(boundaries),
        "origin": st.floats(-3.0, 3.0),
    }
    return fdiff.Grid(**{name: draw(st.tuples(*[s] * dim)) for name, s in per_axis.items()})


@st.composite
def nested_grids(draw, max_dim: int = 3, max_side: int = 7):
    """``(coarse, fine)`` on one box, the fine one with at least as many nodes on every axis."""
    coarse = draw(grids(max_dim, max_side))
    extra = draw(st.tuples(*[st.integers(0, 6)] * coarse.dim))
    return coarse, coarse.with_shape(tuple(n + m for n, m in zip(coarse.shape, extra)))


positive = st.floats(0.2, 5.0)
bessel = st.builds(fdiff.BesselCovariance, positive, st.floats(0.5, 60.0), st.floats(1.6, 3.0))
matern = st.builds(fdiff.MaternCovariance, positive, st.floats(0.2, 1.0), st.floats(0.3, 3.0))
laplace = st.builds(
    lambda scale, power, zero: fdiff.LaplaceCovariance(scale, power, zero_mode=zero),
    positive,
    st.floats(1.6, 3.0),
    positive,
)
density = st.just(fdiff.SpectralDensity(lambda mu: 1.0 / (3.0 + mu) ** 2 + 0.1 / (1.0 + mu) ** 3))
families = st.one_of(bessel, matern, laplace, density)


@st.composite
def covariances(draw):
    """Trace-class operators that are positive on every retained mode, their sums and multiples."""
    first = draw(families)
    shape = draw(st.integers(0, 2))
    if shape == 0:
        return first
    return first + draw(families) if shape == 1 else draw(positive) * first


def field(grid: fdiff.Grid, seed: int = 0, lead: tuple[int, ...] = (), dtype=np.float64):
    """An iid array of node values: all modes, boundary modes too."""
    values = np.random.default_rng(seed).standard_normal((*lead, *grid.shape))
    return values.astype(dtype)


def as_kind(array: np.ndarray, kind: str):
    """``array`` as numpy or as a tensor; skips where PyTorch is not installed."""
    if kind == "numpy":
        return array
    import pytest

    torch = pytest.importorskip("torch")
    return torch.from_numpy(np.array(array))


def as_numpy(array) -> np.ndarray:
    return array if isinstance(array, np.ndarray) else array.numpy()
