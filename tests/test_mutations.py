"""Planted errors in fields and noise: for each, a proof elsewhere in this folder turns red.

Every test first sees the proof pass, then plants one error in the running code and sees it fail.
The errors of solvers and oracles are planted where their proofs are.
"""

from __future__ import annotations

import inspect

import numpy as np
import pytest

import fdiff
from fdiff import backends, grid, levels, noise, paths
from fdiff.backends import numpy as numpy_backend
from fdiff.covariance import operator, tail
from fdiff.grid import Basis
from tests import (
    test_certificate,
    test_covariance,
    test_defects,
    test_levels,
    test_noise,
    test_paths,
    test_process,
)


@pytest.fixture(autouse=True)
def _fresh_caches():
    forget()
    yield
    forget()


def forget() -> None:
    """No value of the right code may serve the wrong one, or the other way round."""
    for cache in (operator._eigenvalues, operator._root, grid._laplacian):
        cache.clear()
    for cached in (tail.power_tail, tail.dyadic_sums, paths._brownian, paths._ornstein_uhlenbeck):
        cached.cache_clear()


def turns_red(proof, *arguments, plant) -> None:
    """``proof`` passes before ``plant()`` and fails after it."""
    proof(*arguments)
    forget()
    plant()
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        proof(*arguments)


def drawn_otherwise(monkeypatch, change):
    """Plants ``change(coefficients, grid)`` behind every draw of coefficients."""
    draw, fields = noise.white_coefficients, noise.white_fields

    def changed(grid, *arguments, **options):
        return change(draw(grid, *arguments, **options), grid)

    def changed_fields(grid, *arguments, **options):
        return grid.basis.inverse(changed(grid, *arguments, **options))

    assert inspect.signature(draw).parameters.keys() >= inspect.signature(fields).parameters.keys()
    monkeypatch.setattr(noise, "white_coefficients", changed)
    monkeypatch.setattr(noise, "white_fields", changed_fields)


def test_white_noise_without_the_factor_of_the_cell(monkeypatch):
    def plant():
        inverse = numpy_backend.inverse

        def unscaled(c, grid, *arguments, **options):
            u = inverse(c, grid, *arguments, **options)
            u *= np.sqrt(grid.cell_volume)
            return u

        monkeypatch.setattr(numpy_backend, "inverse", unscaled)

    turns_red(test_defects.test_white_noise_has_the_factor_of_the_cell, plant=plant)


def test_prior_without_the_factor_of_the_cell(monkeypatch):
    def plant():
        drawn_otherwise(monkeypatch, lambda c, grid: c * np.sqrt(grid.cell_volume))

    turns_red(test_defects.test_1_prior_std_does_not_depend_on_the_grid, plant=plant)


def half_zero_plane(c, grid):
    """Half the variance where the last wave number vanishes and another does not."""
    c = c.copy()
    c[..., 1:, 0] *= np.sqrt(0.5)
    return c


def test_a_zero_plane_with_half_the_variance(monkeypatch):
    def plant():
        drawn_otherwise(monkeypatch, half_zero_plane)

    turns_red(test_defects.test_zero_planes_have_their_full_variance, plant=plant)


def test_a_zero_plane_with_half_the_variance_mode_by_mode(monkeypatch):
    def plant():
        drawn_otherwise(monkeypatch, half_zero_plane)

    proof = test_covariance.test_zero_planes_and_boundary_modes_have_their_variance
    turns_red(proof, fdiff.Grid((16, 16)), plant=plant)


def test_noise_on_boundary_modes(monkeypatch):
    def plant():
        def change(c, grid):
            return np.where(grid.basis.retained, c, 1e-3)

        drawn_otherwise(monkeypatch, change)

    proof = test_covariance.test_zero_planes_and_boundary_modes_have_their_variance
    turns_red(proof, fdiff.Grid((16, 16)), plant=plant)


@pytest.mark.parametrize(
    "proof",
    [
        test_defects.test_one_seed_is_one_function_at_every_resolution,
        lambda: test_noise.test_16_modes_lie_inside_64_by_40("periodic"),
        test_process.test_truncation_error_is_exactly_the_formula,
    ],
    ids=["one function", "bitwise", "truncation"],
)
def test_noise_that_is_not_coupled_between_grids(monkeypatch, proof):
    def plant():
        fill = noise._fill

        def keyed_by_grid(out, decay, amplitude, grid, seed, *rest):
            fill(out, decay, amplitude, grid, seed + grid.size, *rest)

        monkeypatch.setattr(noise, "_fill", keyed_by_grid)

    turns_red(proof, plant=plant)


def test_noise_that_depends_on_the_batch(monkeypatch):
    def plant():
        fill = noise._fill

        def keyed_by_batch(out, decay, amplitude, grid, seed, *rest):
            fill(out, decay, amplitude, grid, seed + len(out), *rest)

        monkeypatch.setattr(noise, "_fill", keyed_by_batch)

    turns_red(test_noise.test_sample_421_alone_is_sample_421_of_a_thousand, plant=plant)


def test_one_stream_for_all_purposes(monkeypatch):
    def plant():
        fill = noise._fill

        def without_purpose(out, decay, amplitude, grid, seed, purpose, *rest):
            fill(out, decay, amplitude, grid, seed, 0, *rest)

        monkeypatch.setattr(noise, "_fill", without_purpose)

    turns_red(test_process.test_one_seed_serves_all_uses_independently, plant=plant)


@pytest.mark.parametrize(
    "proof",
    [
        test_paths.test_midpoints_are_the_bridge_of_the_specification,
        test_paths.test_increments_are_independent_normal_and_have_their_variance,
    ],
)
def test_a_path_without_the_bridges_variance(monkeypatch, proof):
    def plant():
        weights = paths._brownian.__wrapped__

        def linear_between_ends(position, horizon):
            return {key: w for key, w in weights(position, horizon).items() if key[0] == 0}

        linear_between_ends.cache_clear = lambda: None
        monkeypatch.setattr(paths, "_brownian", linear_between_ends)

    turns_red(proof, plant=plant)


def test_a_process_without_the_bridges_variance(monkeypatch):
    def plant():
        factors = fdiff.ForwardProcess.bridge_factors
        monkeypatch.setattr(
            fdiff.ForwardProcess, "bridge_factors", lambda *a: (*factors(*a)[:2], 0.0)
        )

    turns_red(test_process.test_a_dropped_bridge_variance_is_noticed, plant=plant)


@pytest.mark.parametrize(
    "proof",
    [
        test_defects.test_6_side_lengths_belong_to_their_axes,
        lambda: test_certificate.test_correlation_lengths_are_those_of_the_kernels("neumann", 2),
        lambda: test_covariance.test_every_tail_is_what_refinement_adds(
            "bessel", ("neumann", "dirichlet")
        ),
    ],
    ids=["symbol", "length", "refinement"],
)
def test_swapped_side_lengths(monkeypatch, proof):
    def plant():
        def swapped(self, axis):
            grid = self.grid
            turn = 2.0 if grid.boundary[axis] == "periodic" else 1.0
            length = grid.lengths[::-1][axis]
            return (turn * np.pi / length * self.wavenumbers(axis)) ** 2

        monkeypatch.setattr(Basis, "axis_laplacian", swapped)

    turns_red(proof, plant=plant)


def test_restriction_that_rescales(monkeypatch):
    def plant():
        resample = levels.resample

        def rescaled(c, source, target):
            return resample(c, source, target) * np.sqrt(source.size / target.size)

        monkeypatch.setattr(levels, "resample", rescaled)

    turns_red(
        test_levels.test_a_smooth_function_is_the_same_function_on_every_grid,
        "neumann",
        plant=plant,
    )


def test_restriction_that_keeps_boundary_modes(monkeypatch):
    """The mode k = 4 of an 8-point grid taken over from a finer one: no projection any more."""

    def plant():
        shared = levels._shared

        def with_edge(source, target, axis):
            pairs = shared(source, target, axis)
            n = min(source.shape[axis], target.shape[axis])
            edge = slice(0, n // 2 + 1)
            return [(edge, edge)] if axis == source.basis.halved_axis else pairs

        monkeypatch.setattr(levels, "_shared", with_edge)

    def proof():
        grid = fdiff.Grid((8,))
        u = np.cos(8 * np.pi * grid.points(0))  # k = 4
        assert np.abs(levels.prolong_field(u, grid, grid.refine())).max() < 1e-12

    turns_red(proof, plant=plant)


def test_a_numpy_backend_is_what_the_proofs_run_on():
    assert backends.of(np.zeros(1)) is numpy_backend
