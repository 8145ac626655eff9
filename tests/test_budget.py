"""The error budget against the printed numbers, its own bound, and what it advises."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from problems import TP1

import fdiff
from fdiff import budget, laws, solvers

FINE = fdiff.Grid((2048,))
MEAN = fdiff.Field(FINE.basis.inverse(TP1.mean(FINE)), FINE)


def unit(covariance, grid):
    """Scaled to trace one on the grid."""
    return (1 / covariance.trace(grid)) * covariance


def test_parts_of_the_test_problem_are_the_printed_numbers():
    """``n = 32``, ``t_end = 1e-4``: truncation, and the initial law carried by the flow."""
    options = {"times": [1.0, 1e-4], "start": "prior", "close": False}
    parts = budget.error_budget(TP1.process(), MEAN, TP1.data, TP1.grid(32), **options)
    assert_allclose(parts.truncation, 8.1249e-3, rtol=1e-3)
    assert_allclose(parts.initial, 4.0976e-3, rtol=1e-3)
    assert parts.step < 1e-13


def test_the_reverse_sde_forgets_its_initial_law():
    grid = TP1.grid(32)
    data = (TP1.process(), TP1.mean(grid), TP1.data.eigenvalues(grid), grid)
    times = solvers.times(TP1.process(), 4000, end=1e-4)
    ends = [laws.sampler_law(solvers.Ancestral(), *data, times, s) for s in ("prior", "exact")]
    assert_allclose(laws.wasserstein2(*ends, grid), 3.5581e-5, rtol=3e-3)


@pytest.mark.parametrize(
    ("prior", "lost", "error"),
    [
        (fdiff.BesselCovariance(1.0, 25.0, 3.0), 232, 0.143),
        (fdiff.SquaredExponentialCovariance(1.0, 0.1), 238, 0.224),
        (fdiff.BesselCovariance(1.0, 25.0, 1.0), 0, 0.0),
    ],
    ids=["power 3", "squared exponential", "as the data"],
)
def test_a_prior_smoother_than_the_data_loses_modes_and_is_warned_of(prior, lost, error):
    grid = fdiff.Grid((256,))
    data = unit(fdiff.BesselCovariance(1.0, 25.0, 1.0), grid)
    process = fdiff.ForwardProcess(unit(prior, grid), TP1.schedule)
    out = budget.error_budget(process, 0.0, data, grid, start="prior")
    assert out.lost_modes == lost
    assert out.retained_modes == 255
    assert_allclose(out.initial, error, atol=6e-4)
    assert any("smoother than the data" in note for note in out.notes) == (lost > 0)
    assert ("warning: the prior" in out.table()) == (lost > 0)


def test_a_process_that_is_too_short_is_called_so_and_its_prior_not_smooth():
    process = fdiff.ForwardProcess(TP1.prior, fdiff.ConstantSchedule(1.0))
    out = budget.error_budget(process, 0.0, TP1.data, TP1.grid(32), start="prior")
    assert [note for note in out.notes if "at t = 1" in note and "m = 0.61" in note]
    assert not any("smoother" in note for note in out.notes)
    assert not budget.error_budget(process, 0.0, TP1.data, TP1.grid(32)).notes  # start="exact"


def test_modes_without_noise_are_an_infinite_ratio():
    process = fdiff.ForwardProcess(fdiff.LaplaceCovariance(), TP1.schedule)
    out = budget.error_budget(process, 0.0, TP1.data, TP1.grid(32), start="prior")
    assert out.snr_ratio == np.inf
    assert out.lost_modes >= 1


AFFINE = [name for name, scheme in solvers.SCHEMES.items() if scheme().affine]


@given(
    st.sampled_from(AFFINE),
    st.integers(2, 20),
    st.sampled_from(["prior", "exact"]),
    st.booleans(),
)
def test_the_parts_bound_the_whole(name, steps, start, close):
    solver = solvers.SCHEMES[name]()
    options = {"steps": steps, "start": start, "close": close}
    out = budget.error_budget(TP1.process(), MEAN, TP1.data, TP1.grid(16), solver, **options)
    assert out.total <= out.bound * (1 + 1e-9)
    assert min(out.parts.values()) >= 0


def test_the_budget_is_the_error_of_samples():
    """The spread of sampled modes has the total the budget says."""
    grid, size, solver = TP1.grid(16), 20000, solvers.DDIM()
    score = fdiff.GaussianScore(TP1.process(), MEAN, TP1.data)
    out = budget.error_budget(TP1.process(), MEAN, TP1.data, grid, solver, steps=4)
    c = grid.basis.forward(fdiff.sample(score, grid, size, 4, solver, seed=1).fields)
    law = laws.Law(c.mean(0), c.var(0))
    target = laws.target_law(TP1.process(), TP1.mean(grid), TP1.data.eigenvalues(grid), grid, 0.0)
    on_grid = np.sqrt(out.total**2 - out.truncation**2)
    assert_allclose(laws.wasserstein2(law, target, grid), on_grid, rtol=0.05)


@pytest.mark.parametrize("name", ["gaussian-exact", "dpm-2m", "ddim"])
def test_suggested_steps_and_resolution_reach_the_accuracy_and_half_of_them_do_not(name):
    solver, accuracy = solvers.SCHEMES[name](), 0.03
    options = {"start": "exact"}
    out = budget.suggest(TP1.process(), MEAN, TP1.data, accuracy, TP1.grid(4), solver, **options)
    assert out.total <= accuracy
    fewer = [
        budget.error_budget(
            TP1.process(), MEAN, TP1.data, grid, solver, max(1, steps), **options
        ).total
        for grid, steps in ((out.grid.coarsen(2), out.steps), (out.grid, out.steps // 2))
    ]
    assert fewer[0] > accuracy / 2**0.5
    assert fewer[1] > accuracy or out.steps == 1


def test_suggestions_that_cannot_be_had_say_why():
    rough = fdiff.BesselCovariance(1.0, 25.0, 0.6)
    with pytest.raises(ValueError, match="too rough"):
        budget.suggest(TP1.process(), 0.0, rough, 1e-4, TP1.grid(8))
    smooth = fdiff.ForwardProcess(fdiff.BesselCovariance(1e6, 25.0, 4.0), TP1.schedule)
    data = fdiff.FiniteRankCovariance(np.ones(8))
    with pytest.raises(ValueError, match="initial law still errs"):
        budget.suggest(smooth, 0.0, data, 1e-3, TP1.grid(16), start="prior")
    with pytest.raises(ValueError, match="positive"):
        budget.suggest(TP1.process(), 0.0, rough, 0.0, TP1.grid(8))


def test_table_and_figure_show_every_part(tmp_path):
    out = budget.error_budget(TP1.process(), MEAN, TP1.data, TP1.grid(32), solvers.DDIM())
    for name in ("initial law", "time steps", "early stop", "truncation", "total", "bound"):
        assert name in out.table()
    pytest.importorskip("matplotlib")
    out.plot(tmp_path / "budget.png")
    assert (tmp_path / "budget.png").stat().st_size > 5000


def test_the_figure_over_steps_has_a_panel_a_solver(tmp_path):
    pytest.importorskip("matplotlib")
    panels = {
        type(solver).__name__: [
            budget.error_budget(TP1.process(), MEAN, TP1.data, TP1.grid(16), solver, steps)
            for steps in (2, 4, 8)
        ]
        for solver in (solvers.GaussianExact(), solvers.DDIM())
    }
    figure = budget.steps_figure(panels, tmp_path / "steps.svg")
    assert [axes.get_title() for axes in figure.axes] == ["GaussianExact", "DDIM"]
    assert (tmp_path / "steps.svg").stat().st_size > 5000


# Several channels

SECOND = fdiff.BesselCovariance(40.0, 9.0, 1.5)
BOTH = fdiff.ChannelCovariance((TP1.data, SECOND))


@pytest.mark.parametrize("start", ["prior", "exact"])
@pytest.mark.parametrize("name", ["gaussian-exact", "ancestral", "dpm-2m"])
def test_the_budget_of_independent_channels_adds_up_in_squares(name, start):
    grid, solver = TP1.grid(16), solvers.SCHEMES[name]()
    means = [lambda x: np.cos(2 * np.pi * x), lambda x: 2.0 + np.sin(40 * np.pi * x)]
    fine = grid.refine(4)
    values = np.stack([mean(fine.points(0)) for mean in means])
    options = {"solver": solver, "steps": 4, "start": start}
    both = budget.error_budget(TP1.process(), fdiff.Field(values, fine), BOTH, grid, **options)
    alone = [
        budget.error_budget(TP1.process(), fdiff.Field(v, fine), c, grid, **options)
        for v, c in zip(values, BOTH.channels)
    ]
    for part in ("initial", "step", "stop", "truncation", "total", "scale"):
        expected = math.hypot(*(getattr(one, part) for one in alone))
        assert getattr(both, part) == pytest.approx(expected, rel=1e-9, abs=1e-14), part
    for count in ("lost_modes", "retained_modes"):
        assert getattr(both, count) == sum(getattr(one, count) for one in alone)
    assert both.snr_ratio == max(one.snr_ratio for one in alone)


def test_a_suggestion_for_two_channels_keeps_the_accuracy_over_both():
    accuracy = 0.05
    out = budget.suggest(TP1.process(), 0.0, BOTH, accuracy, TP1.grid(8))
    assert out.total <= accuracy * math.sqrt(out.grid.volume)
    one = [budget.suggest(TP1.process(), 0.0, c, accuracy, TP1.grid(8)) for c in BOTH.channels]
    assert out.grid.size >= max(x.grid.size for x in one)


def test_the_law_of_two_channels_is_that_of_each():
    grid, solver = TP1.grid(9), solvers.SDEDPMSolverPP2M()
    mean = np.stack([TP1.mean(grid), 0.5 * TP1.mean(grid)])
    times = solvers.times(TP1.process(), 5)
    known = (TP1.process(), mean, BOTH.eigenvalues(grid), grid, times, "prior")
    both = laws.sampler_law(solver, *known, close=True)
    for i, (mu, c) in enumerate(zip(mean, BOTH.channels)):
        one = laws.sampler_law(
            solver, TP1.process(), mu, c.eigenvalues(grid), grid, times, "prior", close=True
        )
        assert_allclose(both.mean[i], one.mean, rtol=1e-12, atol=1e-14)
        assert_allclose(both.variance[i], one.variance, rtol=1e-12)
    with pytest.raises(ValueError, match="different channels"):
        laws.sampler_law(solver, TP1.process(), mean, np.ones((3, *grid.basis.shape)), grid, times)
