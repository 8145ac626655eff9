"""Grid and Basis: what is checked at the border, and the basis functions themselves."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given
from numpy.testing import assert_allclose

import fdiff
from tests.strategies import grids


def test_one_value_is_spread_over_the_axes():
    grid = fdiff.Grid((4, 6), lengths=2.0, boundary="neumann", origin=-1)
    assert grid.lengths == (2.0, 2.0)
    assert grid.boundary == ("neumann", "neumann")
    assert grid.origin == (-1.0, -1.0)
    assert grid.spacing == (0.5, 1 / 3)
    assert grid.cell_volume == pytest.approx(1 / 6)
    assert fdiff.Grid(8) == fdiff.Grid((8,)) == fdiff.Grid([8])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"shape": ()}, "1 to 3 axes"),
        ({"shape": (2, 2, 2, 2)}, "1 to 3 axes"),
        ({"shape": (4, 0)}, "whole number of nodes"),
        ({"shape": (4.5,)}, "whole number of nodes"),
        ({"shape": (4, 4), "lengths": (1.0,)}, "one per axis"),
        ({"shape": (4,), "lengths": 0.0}, "positive"),
        ({"shape": (4,), "lengths": np.inf}, "positive"),
        ({"shape": (4,), "lengths": np.nan}, "positive"),
        ({"shape": (4,), "boundary": "reflecting"}, "boundary must be one of"),
        ({"shape": (4,), "origin": np.inf}, "origin must be finite"),
    ],
)
def test_a_grid_that_means_nothing_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        fdiff.Grid(**arguments)


def test_refine_and_coarsen_keep_the_box():
    grid = fdiff.Grid((6, 4), (3.0, 1.0), ("periodic", "dirichlet"), (0.5, 0.0))
    assert grid.refine(3).shape == (18, 12)
    assert grid.refine(3).coarsen(3) == grid
    assert grid.refine().same_box(grid)
    with pytest.raises(ValueError, match="does not divide"):
        grid.coarsen(4)


@given(grids())
def test_a_grid_is_a_value(grid):
    grid.basis.laplacian  # noqa: B018  (cached arrays must not get in the way)
    copy = pickle.loads(pickle.dumps(grid))
    assert copy == grid
    assert hash(copy) == hash(grid)
    assert_allclose(copy.basis.laplacian, grid.basis.laplacian, rtol=0)


@given(grids())
def test_a_pickled_grid_carries_no_arrays(grid):
    size = len(pickle.dumps(fdiff.Grid(grid.shape, grid.lengths, grid.boundary, grid.origin)))
    grid.basis.weights  # noqa: B018
    assert len(pickle.dumps(grid)) == size


def test_periodic_nodes_start_at_the_origin_and_walls_lie_between_nodes():
    grid = fdiff.Grid((4, 4), (1.0, 2.0), ("periodic", "neumann"), (0.0, -1.0))
    assert_allclose(grid.points(0), [0, 0.25, 0.5, 0.75])
    assert_allclose(grid.points(1), [-0.75, -0.25, 0.25, 0.75])
    x, y = grid.coordinates()
    assert (x + y).shape == grid.shape


@given(grids())
def test_side_lengths_belong_to_their_axes(grid):
    mu = grid.basis.laplacian
    for axis in range(grid.dim):
        turn = 2 if grid.boundary[axis] == "periodic" else 1
        line = (turn * np.pi * grid.basis.wavenumbers(axis) / grid.lengths[axis]) ** 2
        first = tuple(slice(None) if i == axis else 0 for i in range(grid.dim))
        assert_allclose(mu[first] - mu[first][0], line - line[0], rtol=1e-10, atol=1e-10)


def mode(grid, k):
    """``e_k`` at the nodes, from its definition."""
    values = 1.0
    for axis, (number, x) in enumerate(zip(k, grid.coordinates())):
        length = grid.lengths[axis]
        angle = np.pi * number * (x - grid.origin[axis]) / length
        if grid.boundary[axis] == "periodic":
            values = values * np.exp(2j * angle) / np.sqrt(length)
        elif grid.boundary[axis] == "neumann":
            values = values * np.sqrt((1 if number == 0 else 2) / length) * np.cos(angle)
        else:
            values = values * np.sqrt(2 / length) * np.sin(angle)
    return np.broadcast_to(values, grid.shape)


@given(grids(max_side=5))
def test_coefficients_are_inner_products_with_the_basis_functions(grid):
    basis = grid.basis
    u = np.random.default_rng(3).standard_normal(grid.shape)
    c = basis.forward(u)
    for index in np.argwhere(basis.retained):
        k = [basis.wavenumbers(axis)[i] for axis, i in enumerate(index)]
        expected = grid.cell_volume * (u * mode(grid, k).conj()).sum()
        assert_allclose(c[tuple(index)], expected, rtol=0, atol=1e-11)


@given(grids())
def test_retained_modes_stand_for_as_many_as_the_axes_have(grid):
    count = 1
    for n, kind in zip(grid.shape, grid.boundary):
        count *= {"periodic": n - (n % 2 == 0), "neumann": n, "dirichlet": n - 1}[kind]
    assert grid.basis.weights[grid.basis.retained].sum() == count
    assert grid.basis.weights.sum() == grid.size


def test_a_field_on_another_grid_is_refused():
    grid = fdiff.Grid((4, 6))
    with pytest.raises(ValueError, match=r"ends in axes \(4, 6\), got shape \(6, 4\)"):
        grid.basis.forward(np.zeros((6, 4)))
    with pytest.raises(ValueError, match=r"ends in axes \(4, 4\), got shape \(4, 6\)"):
        grid.basis.inverse(np.zeros((4, 6), complex))
    with pytest.raises(TypeError, match="fields are real"):
        grid.basis.forward(np.zeros((4, 6), complex))
    with pytest.raises(TypeError, match="are real; got a complex array"):
        fdiff.Grid(4, boundary="neumann").basis.inverse(np.zeros(4, complex))
