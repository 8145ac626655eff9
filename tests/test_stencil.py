"""The fused stages against their numpy twins, and the coefficients against the order conditions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

import fdiff
from fdiff import pde
from fdiff.pde import stabilised
from fdiff.pde.coefficients import TABLE
from fdiff.pde.systems import pointer
from fdiff_kernels import stencil


def laplacian(y, grid):
    """Second differences with mirror or wrapped outside, ``y``: (..., *grid.shape)."""
    out = np.zeros_like(y)
    for axis, (h, kind) in enumerate(zip(grid.spacing, grid.boundary), start=y.ndim - grid.dim):
        pad = [(1, 1) if i == axis else (0, 0) for i in range(y.ndim)]
        wide = np.pad(y, pad, mode="wrap" if kind == "periodic" else "edge")
        n = y.shape[axis]
        if n > 1:
            before, after = (np.take(wide, range(s, s + n), axis) for s in (0, 2))
            out += (before + after - 2 * y) / h**2
    return out


@st.composite
def boxes(draw):
    dim = draw(st.integers(1, 3))
    shape = draw(st.tuples(*[st.integers(1, 7)] * dim))
    boundary = draw(st.tuples(*[st.sampled_from(["periodic", "neumann"])] * dim))
    return fdiff.Grid(shape, draw(st.tuples(*[st.floats(0.5, 3.0)] * dim)), boundary)


@given(grid=boxes(), seed=st.integers(0, 99))
def test_a_stage_is_its_numpy_twin_in_every_dimension(grid, seed):
    system = pde.system("fitzhugh-nagumo")
    cells = (1,) * (3 - grid.dim) + grid.shape
    w = np.random.default_rng(seed).standard_normal((stencil.SLOTS, *cells[:2], 2, cells[2]))
    diffusion = np.zeros((2, 3))
    for axis, h in enumerate(grid.spacing, start=3 - grid.dim):
        if grid.shape[axis - 3] > 1:
            diffusion[:, axis] = system.diffusivities / h**2
    wrap = (False,) * (3 - grid.dim) + tuple(b == "periodic" for b in grid.boundary)
    mix = np.zeros(stencil.SLOTS)
    mix[[2, 7]] = 0.3, -0.7

    def fields(slot):
        return np.moveaxis(w[slot], 2, 0).reshape(2, *grid.shape)

    y = fields(0).copy()
    rate = system.diffusivities.reshape(2, *[1] * grid.dim) * laplacian(y, grid)
    rate += system.reaction(y)
    expected = 0.9 * y + 0.05 * rate + 0.3 * fields(2) - 0.7 * fields(7)
    buffer = np.empty((2, cells[2]))
    run = compiled_stage()
    run(w, 0, 4, 0.9, 0.05, mix, diffusion, wrap, pointer(system.rates), system.values, buffer)
    assert_allclose(fields(4), expected, rtol=1e-12, atol=1e-11)


def compiled_stage():
    """`stage` for calls from Python: its reaction is a function pointer."""
    from numba import float64, int64, types

    from fdiff_kernels.policy import kernel

    if not _COMPILED:
        table = types.Array(float64, 2, "C")
        _COMPILED.append(
            kernel(
                types.void(
                    types.Array(float64, 5, "C"), int64, int64, float64, float64, float64[::1],
                    table, types.UniTuple(types.boolean, 3), stencil._rates, float64[::1], table,
                )
            )(stencil.stage.py_func)
        )  # fmt: skip
    return _COMPILED[0]


_COMPILED: list = []


def conditions(a, b):
    """Residuals of the conditions of order 1, 2, 3, 3, 4, 4, 4, 4, in Butcher's notation."""
    c = a.sum(axis=1)
    ac = a @ c
    return np.array(
        [
            b.sum() - 1,
            b @ c - 1 / 2,
            b @ c**2 - 1 / 3,
            b @ ac - 1 / 6,
            b @ c**3 - 1 / 4,
            b @ (c * ac) - 1 / 8,
            b @ (a @ c**2) - 1 / 12,
            b @ (a @ ac) - 1 / 24,
        ]
    )


@pytest.mark.parametrize("stages", sorted(TABLE))
def test_every_scheme_has_order_four_and_its_estimate_order_three(stages):
    s = stabilised.scheme(stages)
    assert np.abs(conditions(s.a, s.b)).max() < 1e-14
    wide = np.zeros((stages + 1, stages + 1))
    wide[:stages, :stages], wide[stages, :stages] = s.a, s.b
    residuals = conditions(wide, s.embedded)
    assert np.abs(residuals[:4]).max() < 1e-13
    assert np.abs(residuals[4:]).max() > 1e-4  # not of order 4: it would see no error


@pytest.mark.parametrize("stages", sorted(TABLE))
def test_every_scheme_is_stable_on_its_interval_and_not_far_beyond(stages):
    s = stabilised.scheme(stages)
    z = -np.linspace(0.06, s.interval, 20001)
    assert np.abs(s.stability(z)).max() < 0.951
    assert np.abs(s.stability(np.array([-1.03 * s.interval])))[0] > 1
    assert s.interval > 0.2 * stages**2


@pytest.mark.parametrize("stages", [5, 9, 16])
def test_the_closing_rows_are_the_butcher_tableau(stages):
    """One step of the linear equation by the kernel's rows is the stability polynomial."""
    s = stabilised.scheme(stages)
    z = -0.7
    g = np.prod(1 + s.chain * z)
    states = [g]
    rows = s.closing()
    for j in range(4):
        states.append(rows[j, : j + 1] @ states + rows[j, 5] * z * states[-1])
    assert_allclose(states[-1], s.stability(np.array([z]))[0], rtol=1e-12)


@pytest.mark.parametrize(
    ("grid", "diffusivities"),
    [
        (fdiff.Grid((6, 6), 2.0, "neumann"), (1e-3, 5e-3)),
        (fdiff.Grid((4, 6), (1.0, 4.0), "neumann"), (1e-2, 5e-1)),
        (fdiff.Grid((6, 4), (4.0, 1.0), ("periodic", "neumann")), (1e-2, 5e-1)),
    ],
    ids=["square", "1x4", "4x1"],
)
def test_the_spectral_radius_bounds_the_jacobian_tightly(grid, diffusivities):
    """Against the eigenvalues of the dense Jacobian of FitzHugh-Nagumo on a small grid."""
    du, dv = diffusivities
    system = pde.system("fitzhugh-nagumo").with_parameters(Du=du, Dv=dv)
    n = grid.size
    u = 1.5 * np.random.default_rng(5).standard_normal((2, *grid.shape))
    lap = laplacian(np.eye(n).reshape(n, *grid.shape), grid).reshape(n, n).T
    jacobian = np.block(
        [
            [du * lap + np.diag(1 - 3 * u[0].ravel() ** 2), -np.eye(n)],
            [np.eye(n), dv * lap - np.eye(n)],
        ]
    )
    true = np.abs(np.linalg.eigvals(jacobian)).max()
    diffusion = np.zeros((2, 3))
    diffusion[:, 1:] = system.diffusivities[:, None] / np.square(grid.spacing)
    y = np.ascontiguousarray(np.moveaxis(u.reshape(2, 1, *grid.shape), 0, 2))
    from numba import float64, types

    from fdiff_kernels.policy import kernel

    run = kernel(
        float64(
            types.Array(float64, 4, "C"), types.Array(float64, 2, "C"), stencil._rates,
            float64[::1],
        )
    )(stencil.spectral_radius.py_func)  # fmt: skip
    bound = run(y, diffusion, pointer(system.rates), system.values)
    assert true <= bound <= 1.5 * true
