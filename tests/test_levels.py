"""Restriction and prolongation: adjoint, projection, no rescaling."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from numpy.testing import assert_allclose, assert_array_equal

import fdiff
from fdiff import levels
from tests.strategies import as_kind, as_numpy, dtypes, field, kinds, nested_grids, seeds


@given(nested_grids(), kinds, dtypes, seeds)
def test_restriction_after_prolongation_is_the_projection(pair, kind, dtype, seed):
    coarse, fine = pair
    c = coarse.basis.forward(as_kind(field(coarse, seed, (2,), dtype), kind))
    back = levels.restrict(levels.prolong(c, coarse, fine), fine, coarse)
    assert back.dtype == c.dtype
    assert_array_equal(as_numpy(back), as_numpy(coarse.basis.project(c)))


@given(nested_grids(), seeds)
def test_restriction_is_the_adjoint_of_prolongation(pair, seed):
    coarse, fine = pair
    a = coarse.basis.forward(field(coarse, seed))
    b = fine.basis.forward(field(fine, 1))
    left = fine.basis.inner(levels.prolong(a, coarse, fine), b)
    right = coarse.basis.inner(a, levels.restrict(b, fine, coarse))
    assert left == pytest.approx(right, abs=1e-12 * fine.volume * fine.size)


@given(nested_grids(), seeds)
def test_fields_restrict_and_prolong_in_the_quadrature_inner_products(pair, seed):
    coarse, fine = pair
    u, v = field(coarse, seed), field(fine, 1)
    left = fine.cell_volume * (levels.prolong_field(u, coarse, fine) * v).sum()
    right = coarse.cell_volume * (u * levels.restrict_field(v, fine, coarse)).sum()
    assert left == pytest.approx(right, abs=1e-12 * fine.volume * fine.size)


@given(nested_grids())
def test_values_keep_their_meaning(pair):
    """A function of the lowest modes has the same values wherever both grids see it."""
    coarse, fine = pair
    if "dirichlet" not in coarse.boundary:
        one = np.ones(fine.shape)
        assert_allclose(levels.restrict_field(one, fine, coarse), 1.0, rtol=1e-13)
        assert_allclose(levels.prolong_field(np.ones(coarse.shape), coarse, fine), 1.0, rtol=1e-13)


@pytest.mark.parametrize("boundary", ["periodic", "neumann", "dirichlet"])
def test_a_smooth_function_is_the_same_function_on_every_grid(boundary):
    coarse = fdiff.Grid((40,), 2.0, boundary, origin=-1.0)
    fine = coarse.with_shape((63,))

    def function(x):
        s = (x + 1) / 2
        if boundary == "periodic":
            return np.exp(np.sin(2 * np.pi * s))
        return np.cos(3 * np.pi * s) + 0.3 if boundary == "neumann" else np.sin(5 * np.pi * s)

    u, v = function(coarse.points(0)), function(fine.points(0))
    assert_allclose(levels.prolong_field(u, coarse, fine), v, atol=1e-12)
    assert_allclose(levels.restrict_field(v, fine, coarse), u, atol=1e-12)


def test_the_round_trip_changes_an_even_periodic_field_only():
    """8 -> 16 -> 8: the k = n/2 pattern is lost; on odd and Neumann grids nothing is."""
    for n, boundary, exact in ((8, "periodic", False), (9, "periodic", True), (8, "neumann", True)):
        grid = fdiff.Grid((n,), boundary=boundary)
        u = field(grid, 4)
        back = levels.restrict_field(
            levels.prolong_field(u, grid, grid.refine()), grid.refine(), grid
        )
        assert bool(np.abs(back - u).max() < 1e-14) is exact


def test_resample_goes_up_on_one_axis_and_down_on_the_other():
    a = fdiff.Grid((8, 20), boundary=("periodic", "neumann"))
    b = a.with_shape((20, 8))
    u = 1 + 0.5 * np.cos(2 * np.pi * a.coordinates()[0]) * np.cos(np.pi * a.coordinates()[1])
    v = 1 + 0.5 * np.cos(2 * np.pi * b.coordinates()[0]) * np.cos(np.pi * b.coordinates()[1])
    assert_allclose(levels.resample_field(u, a, b), v, atol=1e-14)
    assert levels.resample_field(u, a, a) is u


def test_wrong_directions_and_boxes_are_refused():
    coarse, fine = fdiff.Grid((8, 8)), fdiff.Grid((16, 16))
    with pytest.raises(ValueError, match="restriction goes to fewer nodes"):
        levels.restrict_field(np.zeros((8, 8)), coarse, fine)
    with pytest.raises(ValueError, match="prolongation goes to more nodes"):
        levels.prolong_field(np.zeros((16, 16)), fine, coarse)
    with pytest.raises(
        ValueError, match=r"need one box, .* \[0, 1\]² \(periodic\) and \[0, 2\]² \(p"
    ):
        levels.restrict_field(np.zeros((16, 16)), fine, fdiff.Grid((8, 8), 2.0))
    with pytest.raises(ValueError, match="ends in axes"):
        levels.prolong(np.zeros((5, 5), complex), coarse, fine)


def test_a_hierarchy_restricts_to_every_level():
    finest = fdiff.Grid((32, 32), boundary="neumann")
    hierarchy = levels.Hierarchy(finest, [8, (16, 16), 32])
    u = field(finest, 0, (3,))
    parts = hierarchy.restrict_fields(u)
    assert [p.shape for p in parts] == [(3, 8, 8), (3, 16, 16), (3, 32, 32)]
    assert parts[2] is u
    assert_allclose(parts[0], levels.restrict_field(u, finest, hierarchy.grids[0]))
    costs = hierarchy.costs()
    assert costs[1] / costs[2] == pytest.approx(0.2, abs=0.01)
    assert len(hierarchy) == 3
    for bad, message in (
        ([], "at least one level"),
        ([16, 8], "coarse to fine"),
        ([64], "or below"),
        ([8, 8], "must differ"),
    ):
        with pytest.raises(ValueError, match=message):
            levels.Hierarchy(finest, bad)
