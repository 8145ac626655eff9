"""The sampling loop: reproducible for any batch, range, precision and backend; honest counts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from problems import TP1

import fdiff
from fdiff import laws, solvers

GRID = fdiff.Grid((12, 9), boundary=("periodic", "neumann"))
PROCESS = fdiff.ForwardProcess(fdiff.BesselCovariance(50.0, 25.0, 2.0), TP1.schedule)
DATA = fdiff.BesselCovariance(2e3, 25.0, 3.0)
SCORE = fdiff.GaussianScore(PROCESS, 0.5, DATA)
NAMES = list(solvers.SCHEMES)


def draw(name, **options):
    options = {"size": 4, "steps": 5, "seed": 7} | options
    return fdiff.sample(
        options.pop("score", SCORE), GRID, solver=solvers.SCHEMES[name](), **options
    )


@pytest.mark.parametrize("name", NAMES)
def test_any_batch_and_any_range_give_the_same_samples(name):
    whole = draw(name, size=7).fields
    assert_array_equal(draw(name, size=7, batch=3).fields, whole)
    assert_array_equal(draw(name, size=2, first=4).fields, whole[4:6])


@pytest.mark.parametrize("name", NAMES)
def test_torch_gives_the_samples_of_numpy_and_float32_rounds_them(name):
    torch = pytest.importorskip("torch")
    expected = draw(name).fields
    tensor = draw(name, backend="torch").fields
    assert tensor.dtype == torch.float64
    assert_allclose(tensor.numpy(), expected, atol=1e-11)
    for backend in ("numpy", "torch"):
        single = draw(name, backend=backend, dtype="float32").fields
        assert str(single.dtype).endswith("float32")
        assert_allclose(np.asarray(single), expected, atol=3e-4)


@pytest.mark.parametrize("name", NAMES)
def test_the_same_seed_is_the_same_function_on_a_finer_grid(name):
    coarse = fdiff.Grid((16,))
    process = fdiff.ForwardProcess(fdiff.BesselCovariance(5.0, 25.0, 2.0), TP1.schedule)
    data = fdiff.FiniteRankCovariance(1.0 / (1.0 + np.arange(8.0)) ** 3)
    score = fdiff.GaussianScore(process, 0.2, data)
    solver = solvers.SCHEMES[name]()
    a, b = (fdiff.sample(score, g, 3, 6, solver, seed=1) for g in (coarse, coarse.refine(4)))
    restricted = fdiff.levels.restrict_field(b.fields, b.grid, coarse)
    # An adaptive scheme chooses its steps by the norm of all modes, so only within its tolerance.
    assert_allclose(restricted, a.fields, atol=1e-12 if solver.affine else 1e-5)


def test_channels_are_independent_and_keyed():
    one = fdiff.sample(SCORE, GRID, 3, channels=1, seed=2).fields
    two = fdiff.sample(SCORE, GRID, 3, channels=2, seed=2).fields
    plain = fdiff.sample(SCORE, GRID, 3, seed=2).fields
    assert two.shape == (3, 2, *GRID.shape)
    assert_array_equal(two[:, :1], one)
    assert_allclose(one[:, 0], plain, atol=1e-13)
    assert np.abs(two[:, 0] - two[:, 1]).max() > 0.1


# Of five steps, without closing.
EVALUATIONS = dict.fromkeys(
    ("gaussian-exact", "euler-maruyama", "exponential-euler", "ancestral", "ddim", "dpm-2m"), 5
)
EVALUATIONS |= dict.fromkeys(("heun", "edm-heun", "exponential-heun", "dpm-2s"), 10)
EVALUATIONS |= {"sde-dpm-2m": 5, "predictor-corrector": 10, "dpm-3s": 15}
EVALUATIONS |= {"dpm-3m": 9}  # two starting steps of three evaluations
EVALUATIONS |= {"picard": 25}  # five sweeps over five times


@pytest.mark.parametrize("name", EVALUATIONS)
def test_evaluations_are_counted_a_sample(name):
    closing = 0 if name == "gaussian-exact" else 1
    assert draw(name, close=False).evaluations == EVALUATIONS[name]
    assert draw(name, batch=3).evaluations == EVALUATIONS[name] + closing


def test_ten_steps_of_the_default_are_ten_evaluations():
    assert fdiff.sample(SCORE, GRID, 1).evaluations == 10


def test_the_default_gives_gaussian_data_their_exact_law():
    out = fdiff.sample(SCORE, GRID, 4000, steps=1, seed=5)
    c = GRID.basis.forward(out.fields)
    kept = GRID.basis.retained
    power = (np.abs(c - c.mean(0)) ** 2).mean(0)[kept]
    assert_allclose(power / DATA.eigenvalues(GRID)[kept], 1, atol=6 * (2 / 4000) ** 0.5)


def test_trajectories_hold_the_states_at_the_kept_times():
    times = [1.0, 0.5, 0.2, 0.01]
    out = draw("ddim", times=times, keep=[1.0, 0.2, 0.01], batch=3, close=False)
    assert out.trajectory.shape == (3, 4, *GRID.shape)
    assert_array_equal(out.trajectory[2], out.fields)
    assert_array_equal(out.trajectory[1], draw("ddim", times=times[:3], close=False).fields)
    start = draw("ddim", times=times, start=out.trajectory[0], close=False)
    assert_allclose(start.fields, out.fields, atol=1e-12)
    assert draw("ddim").trajectory is None


def test_a_given_start_may_be_numpy_or_torch():
    torch = pytest.importorskip("torch")
    x = DATA.sample(GRID, 4, 1)
    a = draw("dpm-2m", start=x).fields
    b = draw("dpm-2m", start=torch.from_numpy(x)).fields
    assert isinstance(b, torch.Tensor)
    assert_allclose(b.numpy(), a, atol=1e-11)
    assert draw("dpm-2m", start=x.astype(np.float32)).fields.dtype == np.float32


def test_closing_is_the_denoisers_value_at_the_last_time():
    open_end = draw("ddim", close=False)
    t = float(open_end.times[-1])
    assert_allclose(draw("ddim").fields, SCORE.denoise(t, open_end.fields, GRID), atol=1e-12)


def test_progress_counts_steps_over_all_batches():
    seen = []
    draw("ddim", size=5, batch=2, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(i, 15) for i in range(1, 16)]


def test_a_state_that_blows_up_is_named_with_its_time():
    stiff = fdiff.ForwardProcess(DATA, fdiff.ConstantSchedule(rate=1e3, T=200.0))
    score, times = fdiff.GaussianScore(stiff, 0.0, DATA), np.linspace(200, 1, 200)
    with (
        np.errstate(over="ignore", invalid="ignore"),
        pytest.raises(solvers.DivergenceError, match=r"not finite at t = .*more steps"),
    ):
        fdiff.sample(score, GRID, 1, times=times, solver=solvers.EulerMaruyama())


def test_bad_input_is_refused_in_a_sentence():
    for options, message in (
        ({"steps": 0}, "at least one step"),
        ({"size": 0}, "at least 1"),
        ({"times": [0.1, 0.5]}, "strictly decreasing"),
        ({"times": [2.0, 0.5]}, r"lie in \[0, 1\]"),
        ({"start": "nowhere"}, "start must be"),
        ({"start": np.zeros((3, *GRID.shape))}, "start holds 4 fields"),
        ({"keep": [0.3]}, "not a time of the grid"),
        ({"backend": "jax"}, "backend"),
        ({"seed": -1}, "seed"),
        ({"dtype": "float16"}, "float32"),
    ):
        with pytest.raises(ValueError, match=message):
            draw("ddim", **options)


def test_a_score_without_reference_says_what_to_pass():
    class Zero(fdiff.Score):
        process = PROCESS

        def denoise_coefficients(self, t, c, grid):
            return 0 * c

    with pytest.raises(ValueError, match="reference=\\(mean, covariance\\)"):
        draw("gaussian-exact", score=Zero(), start="prior")
    with pytest.raises(ValueError, match='use start="prior"'):
        draw("gaussian-exact", score=Zero())
    solver = solvers.GaussianExact(reference=(0.5, DATA))
    assert np.isfinite(fdiff.sample(Zero(), GRID, 1, solver=solver, start="prior").fields).all()


SCHEDULES = [
    fdiff.LinearSchedule(),
    fdiff.ConstantSchedule(),
    fdiff.CosineSchedule(),
    fdiff.FunctionSchedule(lambda t: 0.1 + 19.9 * t),
]


@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda s: type(s).__name__)
@pytest.mark.parametrize("spacing", ["lambda", "time", "karras", "quadratic"])
def test_time_grids_fall_from_the_horizon_to_the_end_evenly(schedule, spacing):
    process = fdiff.ForwardProcess(DATA, schedule)
    grid = solvers.times(process, 12, spacing)
    assert (grid[0], grid[-1]) == (process.T, 1e-3)
    assert (np.diff(grid) < 0).all()
    even = {
        "lambda": process.half_log_snr(grid),
        "time": grid,
        "karras": (process.std(grid) / process.mean_factor(grid)) ** (1 / 7),
        "quadratic": np.sqrt(grid),
    }[spacing]
    assert_allclose(np.diff(even), (even[-1] - even[0]) / 12, rtol=1e-6)


def test_bad_time_grids():
    with pytest.raises(ValueError, match="spacing"):
        solvers.times(PROCESS, 4, "cosine")
    with pytest.raises(ValueError, match="end must lie"):
        solvers.times(PROCESS, 4, end=0.0)
    assert solvers.times(PROCESS, 4, "time", end=0.0)[-1] == 0


@given(st.floats(-6, 12), st.sampled_from(SCHEDULES[:3]))
def test_time_is_the_inverse_of_half_log_snr(half_log_snr, schedule):
    t = schedule.time(half_log_snr)
    assert_allclose(schedule.half_log_snr(t), half_log_snr, rtol=1e-9, atol=1e-9)


PATHWISE = [name for name, scheme in solvers.SCHEMES.items() if scheme().draws == 1]


@pytest.mark.parametrize("name", PATHWISE)
def test_one_path_drives_coarse_and_fine_steps_as_their_exact_coupling_says(name):
    """Sampled RMS difference of N and 2N steps on one Q-Wiener path, against its exact value."""
    grid, size, solver = TP1.grid(16), 400, solvers.SCHEMES[name]()
    path = fdiff.paths.QWiener(TP1.prior, horizon=1.0, seed=3)
    fine = solvers.times(TP1.process(), 16)
    options = {"solver": solver, "path": path, "start": "exact", "close": False}
    a, b = (
        fdiff.sample(TP1.score(grid), grid, size, times=times, **options).fields
        for times in (fine, fine[::2])
    )
    observed = np.sqrt((grid.cell_volume * (a - b) ** 2).sum(-1).mean())
    data = (TP1.process(), TP1.mean(grid), TP1.data.eigenvalues(grid), grid)
    assert_allclose(observed, laws.strong_difference(solver, *data, fine), rtol=0.15)


@pytest.mark.parametrize("name", ["euler-maruyama", "ancestral"])
def test_a_path_is_one_function_for_all_batches_grids_and_backends(name):
    torch = pytest.importorskip("torch")
    coarse = TP1.grid(16)
    score = fdiff.GaussianScore(TP1.process(), 0.0, TP1.data)
    path = fdiff.paths.QWiener(TP1.prior, horizon=2.0, seed=3)
    options = {"solver": solvers.SCHEMES[name](), "steps": 6, "path": path}
    whole = fdiff.sample(score, coarse, 5, **options).fields
    assert_array_equal(fdiff.sample(score, coarse, 5, batch=2, **options).fields, whole)
    fine = fdiff.sample(score, coarse.refine(2), 5, **options)
    seen = fdiff.levels.restrict_field(fine.fields, fine.grid, coarse)
    assert_allclose(seen, whole, atol=1e-12)
    tensor = fdiff.sample(score, coarse, 5, backend="torch", **options).fields
    assert isinstance(tensor, torch.Tensor)
    assert_allclose(tensor.numpy(), whole, atol=1e-11)


def test_paths_drive_only_schemes_with_one_draw_a_step():
    path = fdiff.paths.QWiener(PROCESS.covariance)
    for name in ("ddim", "predictor-corrector"):
        with pytest.raises(ValueError, match="one draw of noise"):
            draw(name, path=path)
