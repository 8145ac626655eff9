"""The reaction-diffusion experiment: its priors, the published scaling, and what it measures."""

import numpy as np
import pytest

import fdiff

pytest.importorskip("torch")

from validation.experiments import patterns, priors, published, reaction_tasks
from validation.experiments import setting as settings
from validation.experiments.patterns import grid_of

GRID = grid_of(32)
DATA = fdiff.BesselCovariance(0.3, 20.0, 3.0)


@pytest.mark.parametrize("name", priors.NAMES[1:])
def test_priors_are_operators_with_the_trace_of_the_data(name):
    Q = patterns.prior(name, 1.75, GRID, DATA)
    total = DATA.trace(GRID) + DATA.tail_trace(GRID)
    assert Q.trace(GRID) + Q.tail_trace(GRID) == pytest.approx(total)
    assert Q.is_trace_class(2)
    assert (Q.eigenvalues(GRID)[:28, :28] > 0).all()


def test_the_standard_prior_is_white_and_has_the_data_s_trace_on_one_grid():
    Q = patterns.prior("standard", 1.75, GRID, DATA)
    assert Q.trace(GRID) == pytest.approx(DATA.trace(GRID) + DATA.tail_trace(GRID))
    assert np.ptp(Q.eigenvalues(GRID)) == 0
    assert Q.trace(grid_of(64)) == pytest.approx(4 * Q.trace(GRID))
    assert not Q.is_trace_class(2)


def test_the_fno_prior_is_self_adjoint_and_ends_with_its_modes():
    Q = patterns.prior("fno", 1.75, GRID, DATA, seed=3)
    q = Q.eigenvalues(GRID)
    assert (q[patterns.FNO_MODES :] == 0).all()
    u, w = np.random.default_rng(0).standard_normal((2, 32, 32))
    assert (Q.apply(u, GRID) * w).sum() == pytest.approx((u * Q.apply(w, GRID)).sum())
    assert not np.allclose(q, patterns.prior("fno", 1.75, GRID, DATA, seed=4).eigenvalues(GRID))


def test_an_unknown_prior_is_refused():
    with pytest.raises(ValueError, match="a prior is one of"):
        patterns.prior("bessle", 1.75, GRID, DATA)


def test_walls_of_a_closed_box_know_of_each_other():
    independent = np.random.default_rng(0).standard_normal((400, 1, 16, 16))
    assert patterns.seam(independent) == pytest.approx(1.0, abs=0.03)
    x = 2 * np.pi * np.arange(64) / 64
    closed = np.cos(x)[:, None] + np.cos(x)[None, :]
    assert patterns.seam(closed[None, None]) < 0.01
    # A ramp: the walls are as far apart as can be, 1 / (2 / 12).
    ramp = np.broadcast_to(np.linspace(0, 1, 64)[:, None], (64, 64))[None, None]
    both = np.concatenate([ramp, ramp.swapaxes(2, 3)])
    assert patterns.seam(both) == pytest.approx(3.0, rel=0.05)


def test_published_values_keep_the_size_of_noise_and_come_back():
    u = np.full((2, 1, 128, 128), 0.5, np.float32)
    values = published.values_on(u, 32)
    assert values.shape == (2, 1, 32, 32)
    np.testing.assert_allclose(values, 2.0)
    np.testing.assert_allclose(published.function_values(values, 128), 0.5)
    white = np.random.default_rng(1).standard_normal((64, 1, 128, 128))
    assert published.values_on(white, 32).std() == pytest.approx(1.0, rel=0.02)
    with pytest.raises(ValueError, match="divisor"):
        published.values_on(u, 48)


def test_published_score_is_minus_noise_over_std():
    import torch

    from fdiff import compat

    network = published.PublishedNetwork(0, {"hidden_channels": 4, "n_layers": 1, "n_modes": 6})
    with torch.no_grad():
        network.operator.project[-1].weight.normal_(generator=torch.Generator().manual_seed(0))
    process = fdiff.ForwardProcess(compat.bessel(8.0).covariance, fdiff.LinearSchedule())
    score, grid, t = published.PublishedScore(process, network), published.square(8), 0.4
    x = torch.randn(3, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    x = grid.basis.inverse(grid.basis.project(grid.basis.forward(x)))
    with torch.no_grad():
        noise = network(x, torch.full((3,), t))
    noise = grid.basis.inverse(grid.basis.project(grid.basis.forward(noise)))
    torch.testing.assert_close(score(t, x, grid), -noise / process.std(t), rtol=1e-4, atol=1e-5)
    x0 = (x - process.std(t) * noise) / process.mean_factor(t)
    torch.testing.assert_close(score.denoise(t, x, grid), x0, rtol=1e-4, atol=1e-5)
    assert float(noise.abs().max()) > 1e-3


def test_published_training_learns_the_noise():
    """Without data the input is s times the noise: the loss falls below that of predicting 0."""
    from fdiff import compat

    zero = np.zeros((8, 1, 32, 32), np.float32)
    network = {"hidden_channels": 8, "n_layers": 1, "n_modes": 8}
    out = published.train(
        zero, compat.standard(), n=16, steps=200, batch=4, seed=0, network=network
    )
    assert out.losses[-1, 1] < 0.7 * out.losses[0, 1]
    u = published.sample(out.score, 16, 2, 4, 0, 32)
    assert u.shape == (2, 1, 16, 16)
    assert np.isfinite(u).all()


def test_the_same_function_on_two_grids_differs_by_nothing():
    Q = fdiff.SquaredExponentialCovariance(1.0, 0.4)
    coarse, fine = (Q.sample(grid_of(n), 5, seed=1, channels=1) for n in (32, 64))
    assert reaction_tasks.same_function(coarse, fine) < 1e-6
    assert reaction_tasks.same_function(coarse, 2 * fine) == pytest.approx(1.0, abs=0.2)


def test_trainings_draw_from_noises_of_their_own_and_one_seed_is_one_function():
    Q = fdiff.BesselCovariance(1.0, 20.0, 2.0)
    data = fdiff.SquaredExponentialCovariance(1.0, 0.4)
    score = fdiff.GaussianScore(fdiff.ForwardProcess(Q, patterns.SCHEDULE), 0.0, data)
    first, second = (patterns.drawn(score, grid_of(32), 5, seed=seed) for seed in (0, 1))
    # Independent fields: no more alike than their modes are few.
    assert abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 0.5
    assert reaction_tasks.same_function(first, second) > 0.5
    fine = patterns.drawn(score, grid_of(64), 3, seed=1)
    assert reaction_tasks.same_function(second, fine) < 1e-6
    solver = fdiff.solvers.DPMSolverPP2M()
    other = patterns.drawn(score, grid_of(32), 5, 40, solver, seed=1, start="exact")
    assert reaction_tasks.same_function(second, other) < 0.05


def test_settings_agree_with_each_other():
    for mode in settings.MODES:
        v = settings.load("reaction_diffusion", mode).values
        sizes = {len(v[key]) for key in ("resolutions", "counts", "matched")}
        assert len(sizes) == 1
        assert min(v["matched"]) >= 3
        assert all(few <= many for few, many in zip(v["matched"], v["counts"]))
        assert "bessel" in v["strategies"]
        rest = {n: v["held_out"] // 2 for n in v["resolutions"]}
        rest |= {int(n): count // 2 for n, count in v["fine"].items() if int(n) in rest}
        assert all(2 * count <= rest[n] for n, count in zip(v["resolutions"], v["counts"]))


def test_fields_are_made_restricted_and_halved(tmp_path):
    patterns.make(tmp_path, 3, 4, {}, 1)
    u, grid = patterns.fields(str(tmp_path), "train")
    assert u.shape == (3, 1, 128, 128)
    assert grid == patterns.BOX
    coarse = patterns.on_level(str(tmp_path), "train", 32)
    slow = fdiff.levels.restrict_field(u.astype(float), grid, GRID)
    np.testing.assert_allclose(coarse, slow, atol=1e-6)
    compared, rest = patterns.held_out(str(tmp_path), 32)
    assert len(compared) == len(rest) == 2
    assert not np.allclose(compared, rest)
