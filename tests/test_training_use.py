"""A training does with its parts what they are for: the loop against a slow twin written out.

The average, the schedule of the rate, the clipping and the validation each have tests of their
own; here it is their use that is tested, over several steps.
"""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")

from test_nn_trainer import GRID, TINY, nn_trainer, two_humps  # noqa: E402

import fdiff  # noqa: E402
from fdiff import nn, noise  # noqa: E402
from fdiff.nn import augment  # noqa: E402
from fdiff.nn.validation import VALIDATION_FIRST, validation_ratio  # noqa: E402
from fdiff.score.mean import mean_coefficients  # noqa: E402

# The gradient's norm is about 1: it is clipped in every step, by another factor each time.
CLIPPED = {
    "training__clip": 0.05, "training__warmup": 3, "training__average": 0.6,
    "training__learning_rate": 1e-2, "training__weight_decay": 0.1,
}  # fmt: skip


def unfrozen(trainer):
    """The last layer of a new network is zero, which most of its gradient would inherit."""
    with torch.no_grad():
        trainer.denoiser.network.project[-1].weight.normal_(
            0, 0.1, generator=torch.Generator().manual_seed(2)
        )
        for mine, own in zip(trainer.average.module.parameters(), trainer.denoiser.parameters()):
            mine.copy_(own)
    return trainer


def flat(module):
    return torch.cat([p.detach().flatten() for p in module.parameters()])


def test_five_steps_are_those_of_the_loop_written_out():
    """AdamW with the rate of the step, the clipped gradient, and the average after it, once."""
    trainer, twin = (unfrozen(nn_trainer(two_humps(), **CLIPPED)) for _ in range(2))
    denoiser = twin.denoiser
    optimiser = torch.optim.AdamW(
        denoiser.parameters(), lr=1.0, betas=(0.9, 0.99), weight_decay=0.1
    )
    average = flat(denoiser)
    work = np.cumsum([0] + [4 * 64] * 6 + [3 * 256] * 4)
    norms = []
    for step in range(5):
        x0, z, lam = twin.batch(0, step)
        loss = nn.denoising_loss(denoiser, x0, z, lam, twin.grids[0], 0.3).mean()
        optimiser.zero_grad()
        loss.backward()
        gradients = [p.grad for p in denoiser.parameters()]
        norm = math.sqrt(sum(float(g.double().square().sum()) for g in gradients))
        norms.append(norm)
        for g in gradients:
            g *= min(1.0, 0.05 / norm)
        share = work[step] / work[-1]
        rate = 1e-2 * min(1, (step + 1) / 3)
        optimiser.param_groups[0]["lr"] = rate * (0.02 + 0.49 * (1 + math.cos(math.pi * share)))
        optimiser.step()
        decay = min(0.6, (1 + step) / (10 + step))
        average = decay * average + (1 - decay) * flat(denoiser)
    trainer.train(until=5)
    assert min(norms) > 0.1
    assert max(norms) > 1.3 * min(norms)
    for found, expected in ((trainer.denoiser, flat(denoiser)), (trainer.average.module, average)):
        torch.testing.assert_close(flat(found), expected, rtol=1e-4, atol=2e-6)
    assert (flat(trainer.denoiser) - average).abs().max() > 1e-3


def test_every_step_has_new_noise_and_new_noise_levels():
    """The noise of a batch is that of its samples; levels fill the range evenly over the steps."""
    fields = np.concatenate([two_humps(), two_humps(seed=1)], 1)
    trainer = nn_trainer(two_humps())
    batches = [trainer.batch(0, step) for step in range(6)]
    drawn = torch.cat([z for _, z, _ in batches])
    grid, law = trainer.grids[0], trainer.denoiser.noise
    expected = noise.white_coefficients(
        grid, 0, noise.PERTURBATION, 24, 0, 1, root=law.multiplier(grid, 0.5)
    )
    np.testing.assert_allclose(drawn, expected, rtol=0, atol=1e-6)
    shifts = []
    low, high = trainer.config.half_log_snr
    for step in range(60):
        _, _, lam = trainer.batch(0, step % 6) if step < 6 else trainer.fields(0, 4 * step, 4)
        place = (lam.double().numpy() - low) / (high - low) * 4 - np.arange(4)
        np.testing.assert_allclose(place, place[0], atol=1e-5)
        shifts.append(place[0])
    assert len(np.unique(np.round(shifts, 6))) == 60
    assert abs(np.mean(shifts) - 0.5) < 5 / math.sqrt(12 * 60)
    # Channels: the numbers of each are its own.
    two = nn.MultilevelTrainer(denoiser_of(2), fields, GRID, TINY.training)
    _, z, _ = two.fields(1, 0, 40)
    correlation = (z[:, 0] * z[:, 1]).mean(0) / (z[:, 0].std(0) * z[:, 1].std(0))
    assert correlation.abs().mean() < 2 / math.sqrt(40)


def denoiser_of(channels, conditions=0):
    law = fdiff.BesselCovariance(20.0, 60.0, 2.5)
    network = TINY.network.build(GRID, 2 * channels, channels, 0, conditions)
    return nn.WienerDenoiser(network, fdiff.BesselCovariance(1.0, 15.0, 1.75), 0.0, law, GRID)


def test_validation_is_on_each_field_with_its_own_noise_and_parameters():
    """70 fields are more than a batch: the ratio against its sum over the fields, one at a time."""
    held_out, told = two_humps(70, 1), np.linspace(-2, 2, 140).reshape(70, 2)
    config = TINY.replace(training__learning_rate=5e-2, training__average=0.9).training
    trainer = nn.MultilevelTrainer(
        denoiser_of(1, 2), two_humps(12), GRID, config, held_out,
        conditions=np.zeros((12, 2)), validation_conditions=told,
    )  # fmt: skip
    unfrozen(trainer)
    trainer.train(until=4)
    values = {}
    low, high = trainer.config.half_log_snr
    for name, denoiser in (("average", trainer.average.module), ("weights", trainer.denoiser)):
        grid, sums = trainer.grids[1], np.zeros(2)
        root = denoiser.noise.multiplier(grid, 0.5)
        with torch.no_grad():
            for i, u in enumerate(trainer.held_out[1]):
                x0 = grid.basis.forward(u[None].double())
                z = noise.white_coefficients(
                    grid, 0, noise.PERTURBATION, 1, VALIDATION_FIRST + i, 1, root=root
                )
                lam = torch.tensor([low + (high - low) * (i % 64 + 0.5) / 64])
                m, s = torch.sigmoid(2 * lam).sqrt(), torch.sigmoid(-2 * lam).sqrt()
                x = (m * x0 + s * torch.from_numpy(z)).float()
                condition = torch.from_numpy(told[i : i + 1]).float()
                for j, estimate in enumerate(
                    (denoiser.denoise_centred(lam, x, grid, condition),
                     denoiser.wiener(lam, x, grid))
                ):  # fmt: skip
                    error = estimate - x0
                    unit = float(denoiser.posterior_trace(lam))
                    sums[j] += float(grid.basis.inner(error, error)) / unit
        values[name] = sums[0] / sums[1]
    assert trainer.validate()["16x16"] == pytest.approx(values["average"], rel=1e-4)
    assert trainer.validate(average=False)["16x16"] == pytest.approx(values["weights"], rel=1e-4)
    assert abs(values["average"] - values["weights"]) > 1e-3
    # And the parameters matter to this network.
    other = validation_ratio(
        trainer.average.module, trainer.held_out[1], grid, (low, high), 0, "cpu",
        conditions=torch.zeros(70, 2),
    )  # fmt: skip
    assert abs(other - values["average"]) > 1e-3


def test_mean_and_spectrum_are_those_of_the_restricted_fields():
    """Of data finer than the finest level nothing beyond it enters the linear model."""
    fields, coarse = two_humps(40), GRID.coarsen(2)
    config = TINY.replace(
        training__levels=(8,), training__steps=(1,), training__batch_size=(2,),
    )  # fmt: skip
    run = nn.train(fields, GRID, config)
    c = coarse.basis.forward(fdiff.levels.restrict_field(fields.astype(float), GRID, coarse))
    mean = nn.estimate_mean(c[:, 0], coarse)
    found = mean_coefficients(run.denoiser.mean, coarse)
    np.testing.assert_allclose(found, coarse.basis.forward(mean.values), atol=1e-6)
    expected = nn.estimate_spectra(c - coarse.basis.forward(mean.values), coarse)
    np.testing.assert_allclose(
        run.denoiser.covariance.eigenvalues(coarse), expected.eigenvalues(coarse), rtol=1e-4
    )


def test_the_mean_of_few_fields_is_kept_where_it_exceeds_its_error():
    """Two fields about a wave ten times as large as their spread: the wave is the mean."""
    x, _ = GRID.coordinates()
    wave = np.cos(3 * np.pi * (x + 1) / 2) + 0 * GRID.points(1)
    fields = 0.1 * fdiff.BesselCovariance(20.0, 60.0, 2.5).sample(GRID, 20, seed=3) + wave
    found = nn.estimate_mean(GRID.basis.forward(fields), GRID)
    assert np.abs(found.values - wave).max() < 0.1
    assert np.abs(wave).max() == pytest.approx(1, abs=0.05)
    # A mean of half a standard deviation in every mode, of 100 fields: its error is a tenth.
    c = np.random.default_rng(4).standard_normal((100, *GRID.basis.shape)) + 0.5
    found = GRID.basis.forward(nn.estimate_mean(c, GRID).values)
    kept = found[c.mean(0) > 0.3] / c.mean(0)[c.mean(0) > 0.3]
    assert 0.85 < np.median(kept) < 1


def test_reflections_of_two_axes_are_independent():
    u = torch.arange(24.0).reshape(1, 1, 4, 6).expand(4000, 1, 4, 6)
    grid = fdiff.Grid((4, 6), (1.0, 4.0), "neumann")
    moved = augment.transform(u, grid, ("reflections",), 3, 0)
    corner = moved[:, 0, 0, 0].int().tolist()
    for value in (0, 5, 18, 23):  # the corners of the box
        assert abs(corner.count(value) / 4000 - 0.25) < 5 * math.sqrt(0.1875 / 4000)


@pytest.mark.parametrize("boundary", list(itertools.product(("periodic", "neumann"), repeat=2)))
def test_reflections_mirror_the_box_on_each_axis_by_its_own_boundary(boundary):
    grid = fdiff.Grid((4, 6), (1.0, 4.0), boundary)
    u = torch.randn(1, 1, 4, 6, generator=torch.Generator().manual_seed(1))
    for axis, (n, kind) in enumerate(zip(grid.shape, boundary)):
        # -x about the middle of the box, or about node 0, which periods bring there too.
        places = [(-j) % n if kind == "periodic" else n - 1 - j for j in range(n)]
        expected = u.index_select(2 + axis, torch.tensor(places))
        assert torch.equal(augment._reflected(u, grid, axis), expected)


def test_translations_go_by_the_fractions_of_their_own_axis():
    """With 4 and 2 steps: by one node along the first axis, by three along the second."""
    grid = fdiff.Grid((4, 6), (1.0, 4.0))
    u = torch.zeros(400, 1, 4, 6)
    u[:, 0, 0, 0] = 1
    moved = augment.transform(u, grid, ("translations",), 3, 0, (4, 2))
    places = {tuple(place[2:]) for place in moved.nonzero().tolist()}
    assert places == set(itertools.product(range(4), (0, 3)))


def test_parameters_go_by_their_names_not_by_the_order_of_the_call():
    conditions = nn.Conditions(("a", "b"), (1.0, 10.0), (2.0, 5.0))
    for given in ({"a": 3.0, "b": 0.0}, {"b": 0.0, "a": 3.0}):
        np.testing.assert_allclose(conditions.standardised(given), [1.0, -2.0])
    found = nn.Conditions.of({"a": np.array([1.0, 5.0, 9.0, 9.0])})
    assert found.scale[0] == pytest.approx(math.sqrt(11.0))
    assert found.centre == (6.0,)


def test_a_telescoping_step_takes_new_fields_for_every_difference():
    """``sum_l loss_l - loss_(l-1)`` with batches of 4 and 3: fields 0 .. 3, then 4 .. 6."""
    trainer = unfrozen(nn_trainer(two_humps(), training__schedule="mlmc", training__steps=(4, 4)))

    def loss(level, first, size):
        x0, z, lam = trainer.fields(level, first, size)
        args = (x0, z, lam, trainer.grids[level], trainer.config.shell_weight)
        return nn.denoising_loss(trainer.denoiser, *args).mean()

    expected = loss(0, 0, 4) + loss(1, 4, 3) - loss(0, 4, 3)
    torch.testing.assert_close(trainer._telescope(), expected)


def test_the_average_is_what_is_kept_and_drawn_from(tmp_path):
    run = nn.train(two_humps(), GRID, TINY.replace(training__average=0.99), tmp_path)
    kept = nn.read_tensors(tmp_path / "model.safetensors")
    state = nn.read_tensors(tmp_path / "optimizer.safetensors")
    for name, tensor in kept.items():
        assert torch.equal(tensor, state[f"average.{name}"]), name
        assert torch.equal(tensor, dict(run.denoiser.named_parameters())[name]), name
    assert any(not torch.equal(t, state[f"weights.{n}"]) for n, t in kept.items())
