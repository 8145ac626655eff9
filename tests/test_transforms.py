"""Transforms: against scipy, against their own definition, both precisions, numpy and torch."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy import fft

import fdiff
from tests.strategies import as_kind, as_numpy, dtypes, field, grids, kinds, seeds


def by_scipy(u, grid):
    """Coefficients from scipy's orthonormal transforms."""
    c = u
    for axis, kind in enumerate(grid.boundary):
        if kind != "periodic":
            transform = fft.dct if kind == "neumann" else fft.dst
            c = transform(c, type=2, norm="ortho", axis=axis - grid.dim)
    periodic = [i - grid.dim for i, kind in enumerate(grid.boundary) if kind == "periodic"]
    if periodic:
        c = fft.rfftn(c, axes=periodic, norm="ortho")
    return c * np.sqrt(grid.cell_volume)


def precision(dtype):
    return 3e-6 if dtype == np.float32 else 1e-13


@given(grids(max_side=12), kinds, dtypes, st.sampled_from([(), (2,), (2, 3)]), seeds)
def test_forward_is_scipys_orthonormal_transform_times_the_root_of_the_cell(
    grid, kind, dtype, lead, seed
):
    u = field(grid, seed, lead, dtype)
    c = as_numpy(grid.basis.forward(as_kind(u, kind)))
    expected = by_scipy(u.astype(float), grid)
    assert c.shape == (*lead, *grid.basis.shape)
    assert c.real.dtype == dtype
    scale = np.abs(expected).max()
    assert_allclose(c, expected, rtol=0, atol=precision(dtype) * scale)


@given(grids(max_side=12), kinds, dtypes, seeds)
def test_the_transform_is_invertible_with_its_boundary_modes(grid, kind, dtype, seed):
    u = field(grid, seed, (2,), dtype)
    back = as_numpy(grid.basis.inverse(grid.basis.forward(as_kind(u, kind))))
    assert back.dtype == dtype
    assert_allclose(back, u, rtol=0, atol=10 * precision(dtype))


@given(grids(), kinds, dtypes, seeds)
def test_parseval(grid, kind, dtype, seed):
    u, v = as_kind(field(grid, seed, (), dtype), kind), as_kind(field(grid, 1, (), dtype), kind)
    c, d = grid.basis.forward(u), grid.basis.forward(v)
    expected = grid.cell_volume * float((as_numpy(u).astype(float) * as_numpy(v)).sum())
    scale = grid.cell_volume * float(np.abs(as_numpy(u)).sum() * np.abs(as_numpy(v)).max())
    got = float(grid.basis.inner(c, d))
    assert got == pytest.approx(expected, abs=10 * precision(dtype) * scale)


@pytest.mark.parametrize("shape", [(31,), (64,), (127, 50), (16, 9, 20)])
@pytest.mark.parametrize("boundary", ["periodic", "neumann", "dirichlet"])
def test_larger_sizes_agree_with_scipy(shape, boundary):
    grid = fdiff.Grid(shape, boundary=boundary)
    u = field(grid)
    expected = by_scipy(u, grid)
    assert_allclose(grid.basis.forward(u), expected, rtol=0, atol=1e-13 * np.abs(expected).max())
    assert_allclose(grid.basis.inverse(expected), u, rtol=0, atol=1e-12)


@given(grids(), seeds)
def test_a_batch_is_its_members_bit_for_bit(grid, seed):
    u = field(grid, seed, (3, 2))
    c = grid.basis.forward(u)
    for i in range(3):
        assert_array_equal(grid.basis.forward(u[i, 1]), c[i, 1])
    assert_array_equal(grid.basis.inverse(c)[2, 0], grid.basis.inverse(c[2, 0]))


def test_inputs_are_left_alone():
    grid = fdiff.Grid((8, 6), boundary=("periodic", "neumann"))
    u = field(grid)
    kept = u.copy()
    c = grid.basis.forward(u)
    kept_c = c.copy()
    grid.basis.inverse(c)
    assert_array_equal(u, kept)
    assert_array_equal(c, kept_c)


@pytest.mark.parametrize("kind", ["numpy", "torch"])
def test_strided_and_integer_fields_are_fields(kind):
    grid = fdiff.Grid((8, 6))
    u = field(grid, 0, (3,))[:, ::-1, :].transpose(0, 1, 2)
    expected = by_scipy(u, grid)
    assert_allclose(as_numpy(grid.basis.forward(as_kind(u, kind))), expected, atol=1e-14)
    whole = np.arange(48).reshape(8, 6)
    assert_allclose(
        as_numpy(grid.basis.forward(as_kind(whole, kind))), by_scipy(whole * 1.0, grid), atol=1e-12
    )


@pytest.mark.parametrize("boundary", ["periodic", "neumann"])
def test_threads_change_the_time_only(boundary):
    grid = fdiff.Grid((96, 80), boundary=boundary)
    u = field(grid, 0, (4,))
    c = grid.basis.forward(u, threads=2)
    assert_allclose(c, grid.basis.forward(u), rtol=0, atol=1e-14)
    assert_allclose(grid.basis.inverse(c, threads=2), u, rtol=0, atol=1e-13)


def test_python_threads_do_not_share_buffers():
    grid = fdiff.Grid((64, 64))
    fields = [field(grid, seed) for seed in range(4)]
    expected = [grid.basis.forward(u) for u in fields]
    wrong = []

    def work(i):
        for _ in range(50):
            if not np.array_equal(grid.basis.forward(fields[i]), expected[i]):
                wrong.append(i)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@given(grids(max_side=6), seeds)
def test_torch_transforms_are_differentiable_and_adjoint(grid, seed):
    """The gradient of ``<inverse(c), v>`` is the transform of v: the transform is unitary."""
    torch = pytest.importorskip("torch")
    u = torch.from_numpy(field(grid, seed)).requires_grad_()
    d = torch.from_numpy(grid.basis.forward(field(grid, 1)))
    grid.basis.inner(grid.basis.forward(u), d).backward()
    expected = grid.cell_volume * grid.basis.inverse(d).numpy()
    assert_allclose(u.grad.numpy(), expected, rtol=0, atol=1e-11)
