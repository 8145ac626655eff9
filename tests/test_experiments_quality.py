"""Experiments on training cost and quality: the closed forms that their tables rest on."""

import numpy as np
import pytest

import fdiff
from fdiff.convergence import Verdict
from fdiff.metrics.estimate import Estimate

torch = pytest.importorskip("torch")

from fdiff import nn, solvers  # noqa: E402
from validation.experiments import quality, quality_tasks, training_cost  # noqa: E402
from validation.experiments.outcome import within  # noqa: E402


def test_time_to_a_loss_is_linear_between_validations():
    losses, seconds = np.array([1.0, 0.8, 0.9, 0.6]), np.array([1.0, 3.0, 5.0, 8.0])
    assert training_cost.time_to(0.85, losses, seconds) == pytest.approx(2.5)
    assert training_cost.time_to(0.7, losses, seconds) == pytest.approx(7.0)
    assert training_cost.time_to(1.2, losses, seconds) == 1.0
    assert training_cost.time_to(0.5, losses, seconds) == np.inf


def pilot(rate: float) -> dict:
    """Differences that fall as ``3 n^-rate`` on two ladders, after a plain variance of 2."""
    out = {}
    for place, levels in enumerate(([32, 64, 128], [24, 48, 96])):
        n = np.array(levels, float)
        nodes = n**2
        out |= {
            f"levels_{place}": np.array(levels),
            f"plain_{place}": np.full(3, 2.0),
            f"difference_{place}": np.array([2.0, *(3 * n[1:] ** -rate)]),
            f"cost_{place}": nodes + np.array([0.0, *nodes[:-1]]),
        }
    return out


@pytest.mark.parametrize("rate", [1.5, 4.0])
def test_rate_of_decay_is_found_over_both_ladders(rate):
    assert training_cost.decay_rate(pilot(rate)) == pytest.approx(rate, rel=1e-10)


def test_allocation_follows_the_roots_of_variance_over_cost():
    result = pilot(1.5)
    budget = 1e9
    counts = np.array(training_cost.allocation(result, budget), float)
    share = np.sqrt(result["difference_0"] / result["cost_0"])
    np.testing.assert_allclose(counts / counts[0], share / share[0], rtol=1e-3)
    assert counts @ result["cost_0"] == pytest.approx(budget, rel=1e-3)


def test_saving_is_the_ratio_of_costs_at_equal_variance():
    result = pilot(1.5)
    counts = np.array(training_cost.allocation(result, 1e9), float)
    variance, cost = np.sum(result["difference_0"] / counts), counts @ result["cost_0"]
    single = 2.0 / variance * 128**2  # fields of the finest level for the same variance
    assert training_cost.saving(result) == pytest.approx(cost / single, rel=1e-3)


def test_a_goal_missed_is_not_hidden_in_the_full_form_and_decides_nothing_in_the_quick_one():
    claim = within("x", "", Estimate(0.7, 0.6, 0.8), -np.inf, 0.4)
    assert training_cost.judged(claim, quick=False).verdict is Verdict.FAIL
    assert training_cost.judged(claim, quick=True).verdict is Verdict.INCONCLUSIVE
    runs = [{"seconds": np.array([1.0, 6.0])}, {"seconds": np.array([1.0, 5.0])}]
    never = training_cost.reached_claim("x", None, runs, {("single", "seconds"): [10.0, 10.0]})
    assert (never.verdict, never.observed) == (Verdict.FAIL, 0.5)


def test_the_costs_of_runs_with_known_curves(capsys):
    def result(speed: float) -> dict:
        seconds = np.array([1.0, 2.0, 4.0]) * speed
        return {
            "seconds": seconds, "samples": 10 * seconds, "flops": 1e12 * seconds,
            "loss": np.array([0.98, 0.96, 0.94]),
        }  # fmt: skip

    runs = {"single": [result(10), result(11)], "warm": [result(2), result(2.2)]}
    *claims, table = training_cost.costs(runs, quick=False)
    assert [claim.verdict for claim in claims] == [Verdict.PASS]
    assert claims[0].observed == pytest.approx(0.2)
    assert table.rows[1][-1] == "0.20 [0.20, 0.20]"


@pytest.mark.parametrize("scheme", sorted(quality_tasks.EXTRA))
def test_samplers_take_the_evaluations_that_the_tables_say(scheme):
    grid = fdiff.Grid((8,))
    process = fdiff.ForwardProcess(fdiff.BesselCovariance(), fdiff.LinearSchedule())
    score = fdiff.GaussianScore(process, 0.0, fdiff.BesselCovariance(power=2.5))
    steps = 12 - quality_tasks.EXTRA[scheme]
    out = fdiff.sample(score, grid, 2, steps, getattr(solvers, scheme)())
    assert out.evaluations == 12


def test_every_training_draws_from_its_own_noise_and_on_all_grids_the_same_functions(monkeypatch):
    monkeypatch.setattr(quality_tasks, "measured", lambda folder, u, n: np.zeros(1))
    process = fdiff.ForwardProcess(fdiff.BesselCovariance(1.0, 20.0, 2.0), fdiff.LinearSchedule())
    score = fdiff.GaussianScore(process, 0.0, fdiff.SquaredExponentialCovariance(1.0, 0.4))
    counts = {"32": 4, "64": 4}
    first, second = (
        quality_tasks.on_resolutions("", score, seed, counts, "neumann", 4, solvers.GaussianExact())
        for seed in (0, 1)
    )
    assert first["same_64"] < 1e-5
    gap = first["examples_32"].astype(float) - second["examples_32"]
    assert gap.std() > 0.5 * first["examples_32"].std()


def test_the_references_scaling_is_the_same_on_the_training_grid_alone():
    network = torch.nn.Tanh()

    class Pointwise(torch.nn.Module):
        def forward(self, x, t, condition=None):
            return network(x)

    scaled = quality_tasks.GridValues(Pointwise(), 16)
    for n, factor in ((16, 1.0), (32, 0.5), (64, 0.25)):
        x = torch.linspace(-2, 2, n).expand(1, 1, n, n)
        torch.testing.assert_close(scaled(x, None), torch.tanh(x * factor) / factor)


@pytest.mark.parametrize("kind", quality.KINDS)
def test_contenders_are_what_their_names_say(kind):
    boundary = "periodic" if kind == "reference" else "neumann"
    grid = fdiff.Grid((16, 16), 2.0, boundary)
    fields = fdiff.BesselCovariance(1.0, 15.0, 2.5).sample(grid, 64)
    c = grid.basis.project(grid.basis.forward(fields))
    mean = nn.estimate_mean(c, grid)
    data = quality_tasks.patterns.Truth(fields, grid, mean, nn.estimate_spectrum(c, grid))
    network = {"hidden_channels": 4, "n_layers": 1, "n_modes": 8}
    built = quality_tasks.contending(kind, data, 16, 0, network, {"hidden_channels": 4})
    wiener = kind in ("operator", "unet")
    assert isinstance(built, nn.WienerDenoiser if wiener else nn.PlainDenoiser)
    inner = {"unet": nn.UNet, "reference": quality_tasks.GridValues}.get(kind, nn.FNO)
    assert isinstance(built.network, inner)
    if not wiener:
        assert built.prediction == "noise"
    power = 1.1 if kind == "reference" else nn.DenoiserConfig().noise_power
    assert built.noise.power == power


def test_a_diverged_sampler_is_infinitely_far_and_leaves_a_dash():
    claim = quality.compared("x", np.array([0.1, 0.1]), np.array([np.nan, np.nan]))
    assert claim.verdict is Verdict.PASS
    assert quality.cells(np.array([[1.0, np.nan], [1.0, 2.0]])) == ["1", "-"]


def test_settings_have_the_samplers_that_the_claims_compare():
    from validation.experiments import setting

    for mode in ("quick", "full"):
        values = setting.load("quality", mode)
        rows = {(row[0], row[1], row[2], row[4]) for row in values["samplers"]["rows"]}
        for n in values["fitted"]:
            assert {("GaussianExact", 2, n, kind) for kind in ("fitted", "uniform")} <= rows
        assert {("DPMSolverPP2M", 2, n, "uniform") for n in (20, 60)} <= rows
        setting.load("training_cost", mode)
