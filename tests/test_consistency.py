"""Laws that hold on every grid: 1D to 3D, odd and even, mixed boundaries, boxes that are no cubes,
both precisions, numpy and torch.

What only concerns one module is tested with it (Parseval and the transforms' inverses in
`test_transforms`, restriction and prolongation in `test_levels`, the keyed numbers in
`test_noise`, the schedules' semigroup in `test_process`).
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

import fdiff
from fdiff import levels, noise
from tests.strategies import (
    as_kind,
    as_numpy,
    covariances,
    dtypes,
    field,
    grids,
    kinds,
    nested_grids,
    seeds,
)

powers = st.sampled_from([-1.0, -0.5, 0.0, 0.5, 1.0, 1.5])


def close(got, expected, dtype=np.float64, factor: float = 1.0):
    """Equal up to rounding of the largest entry."""
    got, expected = as_numpy(got), as_numpy(expected)
    scale = max(1e-300, np.abs(expected).max(initial=0.0), np.abs(got).max(initial=0.0))
    rounding = factor * (2e-5 if dtype == np.float32 else 2e-12)
    assert_allclose(got, expected, rtol=0, atol=rounding * scale)


# Operators


@given(grids(max_side=7), covariances(), powers, powers, seeds)
def test_powers_compose(grid, Q, a, b, seed):
    """``Q^a Q^b = Q^(a+b)``, and ``Q^0 = Pi_n``."""
    u = field(grid, seed)
    twice = Q.apply(Q.apply(u, grid, b), grid, a)
    # Rounding of Q^b u is magnified by the spread of Q^a.
    spread = Q.multiplier(grid, a)[grid.basis.retained]
    assume(spread.size > 0)
    close(twice, Q.apply(u, grid, a + b), factor=max(1.0, spread.max() / spread.min()))
    projected = grid.basis.inverse(grid.basis.project(grid.basis.forward(u)))
    close(Q.apply(u, grid, 0.0), projected)


@settings(max_examples=40)
@given(grids(max_side=7), covariances(), kinds, dtypes, seeds)
def test_operators_are_self_adjoint_and_non_negative(grid, Q, kind, dtype, seed):
    u, v = (as_kind(field(grid, s, (), dtype), kind) for s in (seed, 1))
    left = float((as_numpy(Q.apply(u, grid)).astype(float) * as_numpy(v)).sum())
    right = float((as_numpy(u).astype(float) * as_numpy(Q.apply(v, grid))).sum())
    scale = grid.size * Q.eigenvalues(grid).max() * 20
    rounding = scale * (1e-5 if dtype == np.float32 else 1e-13)
    assert left == pytest.approx(right, abs=rounding)
    assert float((as_numpy(Q.apply(u, grid)).astype(float) * as_numpy(u)).sum()) >= -rounding


@given(nested_grids(max_side=6), covariances(), st.sampled_from([0.5, 1.0]), seeds)
def test_operators_commute_with_restriction(pair, Q, power, seed):
    coarse, fine = pair
    u = field(fine, seed)
    first = levels.restrict_field(Q.apply(u, fine, power), fine, coarse)
    last = Q.apply(levels.restrict_field(u, fine, coarse), coarse, power)
    close(first, last, factor=max(1.0, np.abs(u).max() * Q.eigenvalues(fine).max()))


@given(grids(max_side=7), covariances(), st.data())
def test_operators_commute_with_shifts_of_periodic_axes(grid, Q, data):
    axis = data.draw(st.integers(0, grid.dim - 1))
    assume(grid.boundary[axis] == "periodic")
    shift = data.draw(st.integers(0, grid.shape[axis]))
    u = field(grid)
    close(Q.apply(np.roll(u, shift, axis), grid), np.roll(Q.apply(u, grid), shift, axis))


@given(grids(max_side=7), covariances(), st.data())
def test_operators_commute_with_reflections(grid, Q, data):
    """About the middle of an axis with walls, about a node of a periodic one."""
    axis = data.draw(st.integers(0, grid.dim - 1))
    u = field(grid)

    def reflect(x):
        x = np.flip(x, axis)
        return np.roll(x, 1, axis) if grid.boundary[axis] == "periodic" else x

    close(Q.apply(reflect(u), grid), reflect(Q.apply(u, grid)))


@given(grids(max_side=7), covariances(), st.data())
def test_operators_commute_with_swaps_of_axes(grid, Q, data):
    order = data.draw(st.permutations(range(grid.dim)))
    swapped = fdiff.Grid(
        *(
            tuple(getattr(grid, name)[i] for i in order)
            for name in ("shape", "lengths", "boundary", "origin")
        )
    )
    u = field(grid)
    close(Q.apply(u.transpose(order), swapped), Q.apply(u, grid).transpose(order))
    assert Q.trace(swapped) == pytest.approx(Q.trace(grid), rel=1e-12)
    assert Q.tail_trace(swapped) == pytest.approx(Q.tail_trace(grid), rel=1e-8, abs=1e-15)


@settings(max_examples=40)
@given(grids(max_side=7), covariances(), powers, dtypes, seeds)
def test_numpy_equals_torch(grid, Q, power, dtype, seed):
    u = field(grid, seed, (2,), dtype)
    tensor = as_kind(u, "torch")
    multiplier = Q.multiplier(grid, power)[grid.basis.retained]
    expected = Q.apply(u.astype(float), grid, power)
    assert Q.apply(tensor, grid, power).dtype == tensor.dtype
    # Both round the coefficients before the largest multiplier acts on them.
    scale = np.abs(u).max() * max(1.0, multiplier.max(initial=0.0)) * grid.size
    rounding = scale * (1e-6 if dtype == np.float32 else 1e-14)
    assert_allclose(as_numpy(Q.apply(tensor, grid, power)), expected, rtol=0, atol=rounding)
    assert_allclose(Q.apply(u, grid, power), expected, rtol=0, atol=rounding)


@given(grids(max_side=6), st.floats(0.5, 3.0))
def test_scaling_the_box_scales_a_matern_field(grid, factor):
    """The same field in other units of length: std stays, lengths grow with the box."""
    large = fdiff.Grid(grid.shape, tuple(factor * s for s in grid.lengths), grid.boundary)
    same = fdiff.Grid(grid.shape, grid.lengths, grid.boundary)
    a, b = fdiff.MaternCovariance(1.3, 0.3, 1.2), fdiff.MaternCovariance(1.3, 0.3 * factor, 1.2)
    close(b.pointwise_variance(large), a.pointwise_variance(same))
    close(b.sample(large, 2, seed=3), a.sample(same, 2, seed=3))


# Processes


@given(grids(max_side=6), covariances(), st.floats(0, 1), st.floats(0, 1), st.floats(0, 1), seeds)
def test_transitions_are_a_semigroup_of_affine_maps(grid, Q, a, b, c, seed):
    """Read off the maps: means compose, variances add, with the noise of a known coefficient."""
    r, s, t = sorted((a, b, c))
    process = fdiff.ForwardProcess(Q, fdiff.LinearSchedule())
    x = field(grid, 1, (1,))
    zero = np.zeros_like(x)

    def parts(start, stop):
        noise_part = process.transition(zero, start, stop, grid, seed)
        return process.transition(x, start, stop, grid, seed) - noise_part, noise_part

    mean1, noise1 = parts(r, s)
    mean, noise_all = parts(r, t)
    mean2 = process.transition(mean1, s, t, grid, seed) - process.transition(zero, s, t, grid, seed)
    close(mean2, mean)
    # The same numbers in each: the squares of the factors must add up.
    rho, spread = process.transition_factors(s, t)
    first = process.transition_factors(r, s)[1]
    whole = process.transition_factors(r, t)[1]
    assert (rho * first) ** 2 + spread**2 == pytest.approx(whole**2, rel=1e-12, abs=1e-15)
    close(noise1 * whole, noise_all * first)


@settings(max_examples=40)
@given(nested_grids(max_side=6), covariances(), st.floats(0.01, 1), kinds, dtypes, seeds)
def test_perturbing_and_restricting_commute(pair, Q, t, kind, dtype, seed):
    coarse, fine = pair
    process = fdiff.ForwardProcess(Q, fdiff.CosineSchedule())
    x0 = as_kind(field(fine, 0, (2, 1), dtype), kind)
    t = min(t, process.T)
    one = levels.restrict_field(process.perturb(x0, t, fine, seed, first=3), fine, coarse)
    restricted = levels.restrict_field(x0, fine, coarse)
    other = process.perturb(restricted, t, coarse, seed, first=3)
    close(one, other, dtype, factor=10)


@given(grids(max_side=6), covariances(), seeds, st.integers(0, 6), st.integers(1, 4))
def test_first_and_size_cut_a_range_out_of_one_sequence(grid, Q, seed, first, size):
    whole = Q.sample(grid, 10, seed=seed, channels=2)
    assert_array_equal(Q.sample(grid, size, seed, first, 2), whole[first : first + size])
    process = fdiff.ForwardProcess(Q, fdiff.LinearSchedule())
    x0 = field(grid, 1, (10, 2))
    perturbed = process.perturb(x0, 0.4, grid, seed)
    part = slice(first, first + size)
    assert_array_equal(process.perturb(x0[part], 0.4, grid, seed, first), perturbed[part])


@settings(max_examples=40)
@given(grids(max_side=6), covariances(), dtypes, seeds)
def test_the_same_numbers_reach_torch(grid, Q, dtype, seed):
    process = fdiff.ForwardProcess(Q, fdiff.LinearSchedule())
    x0 = field(grid, 0, (2, 3), dtype)
    expected = process.perturb(x0, 0.3, grid, seed)
    got = process.perturb(as_kind(x0, "torch"), 0.3, grid, seed)
    close(got, expected, dtype, factor=10)


@given(nested_grids(max_side=6), covariances(), seeds)
def test_one_seed_is_one_function_on_every_grid(pair, Q, seed):
    coarse, fine = pair
    u = levels.restrict_field(Q.sample(fine, 2, seed), fine, coarse)
    close(u, Q.sample(coarse, 2, seed), factor=10)


@given(grids(max_side=5), seeds)
def test_purposes_of_one_seed_share_no_number(grid, seed):
    uses = [
        noise.white_coefficients(grid, seed, purpose, 2)[..., grid.basis.retained].real.ravel()
        for purpose in (noise.FIELD, noise.START, noise.STEPS, noise.PERTURBATION, noise.PATHS)
    ]
    numbers = np.concatenate(uses)
    # Partners within a zero plane are conjugate: their real parts agree within a use only.
    for i, a in enumerate(uses):
        for b in uses[i + 1 :]:
            assert not np.isin(a, b).any()
    assert np.isfinite(numbers).all()
