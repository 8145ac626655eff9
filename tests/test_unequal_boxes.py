"""Stencils and operators on boxes of unequal sides, against scipy and slow numpy twins.

On a square, or on sides whose spacings agree, an exchange of axes changes nothing.
"""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
from numpy.testing import assert_allclose
from problems import box_name, unequal_boxes
from scipy import fft
from scipy.integrate import solve_ivp
from scipy.linalg import expm
from test_stencil import laplacian
from test_transforms import by_scipy

import fdiff
from fdiff import levels, pde
from fdiff.pde import etdrk4
from tests.strategies import field

ALL = unequal_boxes()
VOLUMES = unequal_boxes(("periodic", "neumann"))
FHN = pde.system("fitzhugh-nagumo").with_parameters(Du=0.02, Dv=0.05)
Q = fdiff.BesselCovariance(2.0, 3.0, 2.2)


def on(grids):
    return pytest.mark.parametrize("grid", grids, ids=box_name)


def wave_numbers(grid, axis):
    """Signed k of every function of one axis that the grid retains."""
    n = grid.shape[axis]
    half = (n - 1) // 2
    return {
        "periodic": range(-half, half + 1), "neumann": range(n), "dirichlet": range(1, n),
    }[grid.boundary[axis]]  # fmt: skip


def modes(grid):
    """``(k, mu_k)`` of every retained mode, both of a conjugate pair."""
    for k in product(*(wave_numbers(grid, axis) for axis in range(grid.dim))):
        turns = [2 if kind == "periodic" else 1 for kind in grid.boundary]
        yield k, sum((t * math.pi * i / side) ** 2 for t, i, side in zip(turns, k, grid.lengths))


def function(grid, k, *x):
    """``e_k`` at the points ``x``, one array an axis, from its definition."""
    value = 1.0
    for i, at, kind, side, start in zip(k, x, grid.boundary, grid.lengths, grid.origin):
        angle = math.pi * i * (np.asarray(at) - start) / side
        if kind == "periodic":
            value = value * np.exp(2j * angle) / math.sqrt(side)
        elif kind == "neumann":
            value = value * math.sqrt((2 - (i == 0)) / side) * np.cos(angle)
        else:
            value = value * math.sqrt(2 / side) * np.sin(angle)
    return value


def shells(grid):
    """``{k: shell}`` of every retained mode, as wide as the box's lowest frequency."""
    turns = [2 if kind == "periodic" else 1 for kind in grid.boundary]
    width = min(t * math.pi / side for t, side in zip(turns, grid.lengths))
    return {k: math.floor(math.sqrt(mu) / width + 1e-9) for k, mu in modes(grid)}


def eigenvalue(mu):
    return 2.0 * (3.0 + mu) ** -2.2


@on(VOLUMES)
def test_finite_volumes_are_scipys_solution_of_their_differences(grid):
    start = field(grid, 3, (2,))
    rates = FHN.diffusivities.reshape(2, *[1] * grid.dim)

    def rate(_, flat):
        y = flat.reshape(start.shape)
        return (rates * laplacian(y, grid) + FHN.reaction(y)).ravel()

    exact = solve_ivp(rate, (0, 0.5), start.ravel(), rtol=1e-10, atol=1e-11, method="DOP853")
    found = pde.solve(FHN, start, grid, [0.2, 0.5], 1e-9).fields[1]
    assert_allclose(found, exact.y[:, -1].reshape(start.shape), rtol=0, atol=1e-7)


@on(ALL)
def test_the_spectral_method_is_the_exponential_of_every_mode(grid):
    system = pde.system("linear")
    du, dv = system.diffusivities
    start = grid.basis.inverse(grid.basis.project(grid.basis.forward(field(grid, 2, (2,)))))
    end = pde.solve(system, start, grid, [0.4], 1e-9, method="etdrk4").fields[0]
    points = np.meshgrid(*map(grid.points, range(grid.dim)), indexing="ij")
    expected = 0.0
    for k, mu in modes(grid):
        e = function(grid, k, *points)
        c = [grid.cell_volume * (u * np.conj(e)).sum() for u in start]
        flow = expm(0.4 * np.array([[1 - du * mu, -1], [1, -1 - dv * mu]]))
        expected = expected + np.multiply.outer(flow @ c, e)
    assert_allclose(end, expected.real, rtol=0, atol=1e-8)


@on(ALL)
def test_a_dealiased_cubic_is_that_of_a_finer_grid(grid):
    problem = etdrk4.Spectral(pde.system("allen-cahn"), grid)
    fine = grid.refine(5)
    c = grid.basis.project(grid.basis.forward(field(grid, 4, (1,))))
    u = fine.basis.inverse(levels.prolong(c, grid, fine))
    exact = levels.restrict(fine.basis.forward(u - u**3), fine, grid)
    assert np.abs(fine.basis.forward(u**3)).max() > 0.1
    assert_allclose(problem.reaction(c), grid.basis.project(exact), rtol=0, atol=1e-11)


@on(ALL)
def test_eigenvalues_apply_and_their_sums_are_those_of_the_modes(grid):
    u = field(grid, 5)
    points = np.meshgrid(*map(grid.points, range(grid.dim)), indexing="ij")
    applied, variance, trace, squares, size = 0.0, 0.0, 0.0, 0.0, 0.0
    for k, mu in modes(grid):
        e, q = function(grid, k, *points), eigenvalue(mu)
        c = grid.cell_volume * (u * np.conj(e)).sum()
        applied = applied + q * c * e
        variance = variance + q * np.abs(e) ** 2
        trace, squares, size = trace + q, squares + q * q, size + abs(c) ** 2 / q
    assert_allclose(Q.apply(u, grid), applied.real, rtol=0, atol=1e-12 * np.abs(applied).max())
    assert_allclose(Q.pointwise_variance(grid), variance, rtol=1e-11, atol=1e-14)
    assert_allclose(Q.trace(grid), trace, rtol=1e-12)
    assert_allclose(Q.hilbert_schmidt(grid), math.sqrt(squares), rtol=1e-12)
    assert_allclose(Q.cameron_martin_norm(u, grid), math.sqrt(size), rtol=1e-11)


@on(ALL)
def test_what_lies_beyond_the_grid_is_what_finer_ones_have(grid):
    fine = grid.refine(6)
    finite = fdiff.FiniteRankCovariance(1.0 + np.arange(math.prod(fine.shape)).reshape(fine.shape))
    finite = fdiff.FiniteRankCovariance(finite.values[tuple(slice(n + 2) for n in grid.shape)])
    squared = fdiff.SquaredExponentialCovariance(1.0, 0.3)
    for operator in (Q, finite, squared):
        tail = operator.tail_trace(grid) - operator.tail_trace(fine)
        assert_allclose(tail, operator.trace(fine) - operator.trace(grid), rtol=1e-8)
    assert finite.tail_trace(fine) == 0


@on(ALL)
def test_kernels_and_correlation_lengths_are_those_of_the_sum_over_modes(grid):
    """The kernel C(at + r e, at) is summed by its definition at 4000 distances r."""
    at = [o + 0.4 * side for o, side in zip(grid.origin, grid.lengths)]
    for point in (None, at):
        here = [o + side / 2 for o, side in zip(grid.origin, grid.lengths)] if point is None else at
        for axis in range(grid.dim):
            r = np.linspace(0, grid.lengths[axis] / 2, 4001)
            there = [x + r * (i == axis) for i, x in enumerate(here)]
            line = sum(
                eigenvalue(mu) * (function(grid, k, *there) * np.conj(function(grid, k, *here)))
                for k, mu in modes(grid)
            ).real  # fmt: skip
            below = np.flatnonzero(line < line[0] / math.e)
            expected = r[below[0]] if below.size else math.inf
            found = Q.correlation_length(grid, axis, point)
            assert_allclose(found, expected, rtol=0, atol=r[1])


@on(ALL)
def test_restriction_keeps_the_modes_that_the_coarse_grid_has_on_each_axis(grid):
    """The field on fewer nodes is the sum of the coarse grid's modes, each with its integral."""
    coarse = grid.with_shape(tuple(n - 1 - (i == 0) for i, n in enumerate(grid.shape)))
    u = field(grid, 6)
    c = by_scipy(u, grid)
    kept = levels.restrict(c, grid, coarse)
    points = np.meshgrid(*map(coarse.points, range(grid.dim)), indexing="ij")
    inner = np.meshgrid(*map(grid.points, range(grid.dim)), indexing="ij")
    expected = 0.0
    for k, _ in modes(coarse):
        size = grid.cell_volume * (u * np.conj(function(grid, k, *inner))).sum()
        expected = expected + size * function(coarse, k, *points)
    assert_allclose(coarse.basis.inverse(kept), expected.real, rtol=0, atol=1e-12)


@pytest.mark.parametrize("shape", [(4, 6), (6, 4)])
def test_cosines_of_a_box_are_scipys_in_every_axis(shape):
    grid = fdiff.Grid(shape, (1.0, 4.0), "neumann")
    u = field(grid, 7)
    expected = fft.dctn(u, norm="ortho") * math.sqrt(4.0 / 24)
    assert_allclose(grid.basis.forward(u), expected, atol=1e-13)


@on(ALL)
def test_heat_decays_mode_by_mode_at_its_own_rate(grid):
    """``e^{-0.3 mu t}`` of every mode of a given start, in a path without noise in it."""
    heat = fdiff.LinearSPDE(lambda mu: 0.3 * mu, 0.0 * Q)
    start = grid.basis.project(grid.basis.forward(field(grid, 8, (2,))))
    (end,) = heat.coefficients([0.2], grid, 2, start=start)
    points = np.meshgrid(*map(grid.points, range(grid.dim)), indexing="ij")
    u = grid.basis.inverse(start)
    expected = 0.0
    for k, mu in modes(grid):
        e = function(grid, k, *points)
        c = grid.cell_volume * (u * np.conj(e)).sum(tuple(range(1, 1 + grid.dim)))
        expected = expected + np.multiply.outer(math.exp(-0.06 * mu) * c, e)
    assert_allclose(grid.basis.inverse(end), expected.real, rtol=0, atol=1e-12)


@on(VOLUMES)
def test_spots_are_round_in_the_units_of_the_box(grid):
    """One spot is ``exp(-r^2 / 2 w^2)`` about its largest value, around periodic axes."""
    width = 0.4
    state = pde.SpotsInitial(1, width).draw(pde.system("none"), grid.refine(16), 3, 1)[0]
    fine = grid.refine(16)
    places = np.unravel_index(state.argmax(), fine.shape)
    # The place is known to half a cell: log is compared through its second differences.
    log = np.log(state)
    for axis, h in enumerate(fine.spacing):
        curvature = np.diff(np.take(log, range(fine.shape[axis]), axis), 2, axis) / h**2
        assert_allclose(np.median(curvature), -1 / width**2, rtol=1e-6)
        if fine.boundary[axis] == "periodic":
            line = np.moveaxis(log, axis, 0)[(slice(None), *np.delete(places, axis))]
            # Half a side away, to a node, it is lowest: as far to the left as to the right.
            half = fine.shape[axis] // 2
            assert abs((int(line.argmin()) - places[axis]) % fine.shape[axis] - half) <= 1
