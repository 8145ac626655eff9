"""Multilevel training: keyed, resumable bit for bit, restricted data, clear refusals."""

import dataclasses
import json

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")

import fdiff  # noqa: E402
from fdiff import nn  # noqa: E402
from fdiff.nn.validation import validation_ratio  # noqa: E402

GRID = fdiff.Grid((16, 16), 2.0, "neumann", -1.0)
TINY = nn.Config().replace(
    network__hidden_channels=6,
    network__n_layers=2,
    network__n_modes=6,
    training__levels=(8, 16),
    training__steps=(6, 4),
    training__batch_size=(4, 3),
    training__save_every=3,
    training__schedule="warm",
    training__warmup=1,
)

# For a network of one's own, beside which the options of the configuration's have no effect.
OWN = dataclasses.replace(TINY, network=nn.NetworkConfig())


def two_humps(size=40, seed=0, grid=GRID):
    """Fields of a symmetric mixture: not Gaussian, so there is something to learn."""
    rough = fdiff.BesselCovariance(20.0, 60.0, 2.5).sample(grid, size, seed=seed)
    sign = np.where(np.random.default_rng(seed).random(size) < 0.5, -1.0, 1.0)
    return (0.3 * rough + sign[:, None, None]).astype(np.float32)[:, None]


def weights(run):
    return {name: p.detach().numpy() for name, p in run.denoiser.named_parameters()}


def assert_bitwise_equal(a, b):
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_array_equal(a[name], b[name], err_msg=name)


def test_an_interrupted_run_resumes_bit_for_bit(tmp_path):
    fields, held_out = two_humps(), two_humps(8, 1)
    whole = nn.train(fields, GRID, TINY, tmp_path / "whole", validation=held_out)

    class Interruption(Exception):
        pass

    def stop_after_seven(progress):
        if progress.step == 7:
            raise Interruption

    with pytest.raises(Interruption):
        nn.train(
            fields, GRID, TINY, tmp_path / "part", validation=held_out, progress=stop_after_seven
        )
    # The last save was at step 6, the end of the first level.
    assert json.loads((tmp_path / "part" / "state.json").read_text())["step"] == 6
    resumed = nn.train(fields, GRID, TINY, tmp_path / "part", validation=held_out, resume=True)
    assert_bitwise_equal(weights(resumed), weights(whole))

    def tensors(folder, name):
        found = nn.read_tensors(tmp_path / folder / name)
        return {k: v.numpy() for k, v in found.items() if k != "seconds"}

    for name in ("model.safetensors", "optimizer.safetensors", "best.safetensors"):
        assert_bitwise_equal(tensors("part", name), tensors("whole", name))

    def records(folder):
        lines = (tmp_path / folder / "metrics.jsonl").read_text().splitlines()
        return [{k: v for k, v in json.loads(x).items() if k != "seconds"} for x in lines]

    assert records("part") == records("whole")
    assert [r["step"] for r in records("whole")] == [3, 6, 9, 10]


def test_a_run_directory_brings_back_the_same_score(tmp_path):
    fields = two_humps()
    run = nn.train(fields, GRID, TINY, tmp_path / "run", names=("u",), time=2.5)
    found = nn.load_run(tmp_path / "run", device="cpu")
    assert_bitwise_equal(weights(found), weights(run))
    assert (found.grid, found.fields, found.time) == (GRID, ("u",), 2.5)
    assert (found.config, found.identity) == (TINY, run.identity)
    for grid in (GRID, GRID.with_shape((11, 8))):
        a, b = (fdiff.sample(r.score, grid, 2, steps=2, seed=4).fields for r in (run, found))
        np.testing.assert_array_equal(a, b)
    assert sorted(p.name for p in (tmp_path / "run").iterdir()) == [
        "config.toml",
        "fingerprints.safetensors",
        "metrics.jsonl",
        "model.safetensors",
        "optimizer.safetensors",
        "run.json",
        "state.json",
    ]


def test_batches_are_keyed_by_the_sample_and_see_one_function_on_every_level():
    trainer = nn_trainer(two_humps(), training__symmetries=("reflections", "transpositions"))
    again = nn_trainer(two_humps(), training__symmetries=("reflections", "transpositions"))
    for a, b in zip(trainer.batch(0, 3), again.batch(0, 3)):
        assert torch.equal(a, b)
    assert not torch.equal(trainer.batch(0, 3)[0], trainer.batch(0, 4)[0])
    # Step 6 begins the fine level with sample 24; the coarse level's step 6 has it first too.
    coarse, fine = trainer.batch(0, 6), trainer.batch(1, 6)
    for i in (0, 1):
        restricted = fdiff.levels.restrict(fine[i], GRID, GRID.coarsen(2))
        torch.testing.assert_close(restricted, coarse[i][:3], rtol=0, atol=1e-5)


def test_the_operations_of_a_field_are_counted():
    from fdiff.nn.trial import field_flops

    trainer = nn_trainer(two_humps(8), network__n_layers=1)
    n, width, modes = 16, 6, 6
    transforms = 2 * 2 * width * (modes * n * n + modes * modes * n)
    mixing = 2 * modes**2 * width**2
    pointwise = 2 * n * n * (2 * width + width * width + 2 * width * width + 2 * width)
    weights_and_time = 2 * modes**2 * 12 * width**2 + 2 * (9 * width + width**2 + 2 * width**2)
    expected = 3 * (transforms + mixing + pointwise + weights_and_time)
    assert field_flops(trainer.denoiser, GRID, 1, "cpu") == pytest.approx(expected, rel=0.01)
    trainer.train()
    assert trainer.records[-1].flops > 4 * 3 * expected


def test_schedules_order_the_levels():
    def order(schedule, steps):
        config = TINY.replace(
            training__schedule=schedule,
            training__steps=steps,
            training__levels=(8, 16, 32)[: len(steps)],
            training__batch_size=(1,) * len(steps),
        )
        levels, ends = nn.level_order(config.training)
        return levels.tolist(), ends.tolist()

    assert order("warm", (2, 1)) == ([0, 0, 1], [2, 3])
    assert order("rehearsed", (2, 1, 2)) == ([0, 0, 1, 0, 2, 1, 0, 2, 1, 0], [2, 4, 10])
    assert order("mixed", (4, 2)) == ([0, 1, 0, 0, 1, 0], [6])


@pytest.mark.parametrize("schedule", ["rehearsed", "mixed"])
def test_schedules_train_and_count_their_samples(schedule):
    trainer = nn_trainer(two_humps(8), training__schedule=schedule)
    levels = []
    trainer.train(progress=lambda p: levels.append(p.level[0]))
    assert levels.count(16) == 4
    assert levels.count(8) == {"rehearsed": 10, "mixed": 6}[schedule]
    assert trainer.samples_before(trainer.step) == 4 * levels.count(8) + 3 * levels.count(16)


def test_every_pass_over_the_data_sees_each_field_once():
    trainer = nn_trainer(two_humps(12), training__steps=(30, 1))
    first = trainer.grids[0].basis.forward(trainer.data[0])
    seen = [trainer.batch(0, step)[0] for step in range(3)]
    mean = first.mean(0) - torch.cat(seen).mean(0)
    assert (torch.cat(seen) + mean - first.mean(0)).mean(0).abs().max() < 1e-5
    nearest = torch.cdist(torch.cat(seen).flatten(1), (first - mean).flatten(1)).argmin(1)
    assert sorted(nearest.tolist()) == list(range(12))


def nn_trainer(fields, validation=None, grid=GRID, **changes):
    config = TINY.replace(**changes)
    c = grid.basis.forward(fields.astype(float))
    mean = nn.estimate_mean(c[:, 0], grid)
    covariance = nn.estimate_spectrum(c - grid.basis.forward(mean.values), grid)
    noise = config.denoiser.noise(grid, covariance)
    inputs = config.denoiser.network_channels(1)
    network = config.network.build(grid, inputs, 1, seed=0)
    denoiser = config.denoiser.build(network, noise, mean, covariance, grid)
    return nn.MultilevelTrainer(denoiser, fields, grid, config.training, validation)


def test_an_untrained_network_has_validation_loss_one_and_training_lowers_it():
    fields = two_humps(64)
    trainer = nn_trainer(
        fields,
        two_humps(64, 1),
        network__hidden_channels=12,
        training__steps=(250, 30),
        training__batch_size=(16, 16),
        training__learning_rate=1e-2,
        training__average=0.9,
        training__save_every=1000,
    )
    assert trainer.validate() == {"8x8": 1.0, "16x16": 1.0}
    trainer.train()
    after = trainer.validate()
    assert max(after.values()) < 0.8, after
    assert [r.step for r in trainer.records] == [250, 280]
    assert trainer.records[-1].samples == 280 * 16


def test_a_few_fields_can_be_learnt_by_heart():
    fields = two_humps(2)
    trainer = nn_trainer(
        fields,
        network__mixing="full",
        network__coordinates=True,
        network__hidden_channels=16,
        training__levels=(8,),
        training__steps=(200,),
        training__half_log_snr=(-1.0, 1.0),
        training__batch_size=(16,),
        training__learning_rate=1e-2,
        training__shell_weight=0.0,
    )
    trainer.train()
    low = trainer.config.half_log_snr
    ratio = validation_ratio(
        trainer.denoiser, trainer.data[0].repeat(32, 1, 1, 1), trainer.grids[0], low, 0, "cpu"
    )
    assert ratio < 0.35, ratio


def test_the_average_follows_its_formula():
    network = torch.nn.Linear(2, 1)
    average = nn.ExponentialAverage(network, 0.6)
    value = network.weight.detach().clone()
    for step in range(12):
        with torch.no_grad():
            network.weight += 1.0
        decay = min(0.6, (1 + step) / (10 + step))
        value = decay * value + (1 - decay) * network.weight.detach()
        average.update(network, step)
    torch.testing.assert_close(average.module.weight, value)
    assert not any(p.requires_grad for p in average.module.parameters())


def test_the_rate_warms_up_and_decays_with_the_work():
    trainer = nn_trainer(two_humps(8), training__warmup=3)
    rates = []
    for step in range(10):
        trainer.step = step
        rates.append(trainer._rate() / trainer.config.learning_rate)
    work = np.array([4 * 64] * 6 + [3 * 256] * 4)
    share = np.concatenate([[0], np.cumsum(work)])[:-1] / work.sum()
    expected = 0.02 + 0.49 * (1 + np.cos(np.pi * share))
    np.testing.assert_allclose(rates, expected * np.minimum(1, (np.arange(10) + 1) / 3))


@pytest.mark.parametrize(
    "network",
    [
        nn.NetworkConfig(kind="uno", hidden_channels=6, n_layers=2, n_modes=6),
        nn.NetworkConfig(kind="unet", hidden_channels=6),
    ],
    ids=["uno", "unet"],
)
def test_other_networks_train_and_come_back(network, tmp_path):
    config = dataclasses.replace(TINY, network=network)
    run = nn.train(two_humps(8), GRID, config, tmp_path)
    assert_bitwise_equal(weights(nn.load_run(tmp_path, device="cpu")), weights(run))


class OneByOne(torch.nn.Module):
    """A module of somebody else: any with this signature will do."""

    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Conv2d(2, 1, 1)

    def forward(self, x, t, condition=None):
        return self.layer(x) * t[:, None, None, None]


def test_any_module_of_the_signature_can_be_trained():
    fields = two_humps(8)
    covariance = fdiff.BesselCovariance(20.0, 60.0, 2.5)
    noise = fdiff.BesselCovariance(1.0, 15.0, 1.75)
    denoiser = nn.WienerDenoiser(OneByOne(), noise, 0.0, covariance, GRID)
    trainer = nn.MultilevelTrainer(denoiser, fields, GRID, TINY.training, fields)
    trainer.train()
    assert np.isfinite(list(trainer.validate().values())).all()


class Convolution(torch.nn.Module):
    """Knows no time: ``module(x)``."""

    def __init__(self, channels, width=3):
        super().__init__()
        self.layer = torch.nn.Conv2d(channels, 1, width, padding="same", padding_mode="replicate")

    def forward(self, x):
        return self.layer(x)


def test_time_and_parameters_become_constant_channels():
    module = Convolution(2 + 1 + 2, 1)
    adapted = nn.TimeAsChannel(module, scale=4.0)
    x = torch.randn(3, 2, 5, 6, generator=torch.Generator().manual_seed(0))
    t, condition = torch.tensor([2.0, 0.0, -4.0]), torch.arange(6.0).reshape(3, 2)
    weight, bias = module.layer.weight.flatten(), module.layer.bias
    numbers = torch.stack([t / 4, *condition.T])
    expected = torch.einsum("bcij,c->bij", x, weight[:2]) + bias
    expected = expected + torch.einsum("nb,n->b", numbers, weight[2:])[:, None, None]
    torch.testing.assert_close(adapted(x, t, condition)[:, 0], expected)


def test_a_network_of_ones_own_becomes_a_run(tmp_path):
    fields = two_humps(8)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        run = nn.train(fields, GRID, OWN, tmp_path, network=nn.TimeAsChannel(Convolution(3)))
        other = nn.TimeAsChannel(Convolution(3))
    found = nn.load_run(tmp_path, device="cpu", network=other)
    assert_bitwise_equal(weights(found), weights(run))
    assert found.identity == run.identity
    with pytest.raises(ValueError, match="pass a TimeAsChannel as network"):
        nn.load_run(tmp_path)
    with pytest.raises(ValueError, match="not with a Convolution of your own"):
        nn.load_run(tmp_path, network=Convolution(3))


class Normalised(Convolution):
    """Has a state that no gradient sees: running means and variances."""

    def __init__(self, channels):
        super().__init__(channels)
        self.norm = torch.nn.BatchNorm2d(channels)

    def forward(self, x):
        return super().forward(self.norm(x))


def test_buffers_of_a_network_belong_to_the_run(tmp_path):
    fields = two_humps(8)
    network = nn.TimeAsChannel(Normalised(3))
    run = nn.train(fields, GRID, OWN, tmp_path, network=network)
    assert run.denoiser.network.module.norm.running_var.sub(1).abs().max() > 0.01
    found = nn.load_run(tmp_path, device="cpu", network=nn.TimeAsChannel(Normalised(3)))
    resumed = nn.train(
        fields, GRID, OWN, tmp_path, network=nn.TimeAsChannel(Normalised(3)), resume=True
    )
    for other in (found, resumed):
        drawn = [fdiff.sample(r.score, GRID, 2, steps=2).fields for r in (run, other)]
        np.testing.assert_array_equal(*drawn)


def test_a_model_of_neuraloperator_trains():
    neuralop = pytest.importorskip("neuralop")
    model = neuralop.models.FNO(n_modes=(6, 6), in_channels=3, out_channels=1, hidden_channels=6)
    run = nn.train(two_humps(8), GRID, OWN, network=nn.TimeAsChannel(model, n_modes=(6, 6)))
    assert np.isfinite(fdiff.sample(run.score, GRID, 2, steps=2).fields).all()


class Multiplier(torch.nn.Module):
    """One complex weight, as others' spectral layers have."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.tensor(0.1 + 0.2j))

    def forward(self, x, t, condition=None):
        return (torch.exp(x[:, :1] * 1j) * self.weight).real


def test_complex_weights_train_too():
    """The optimiser's step in one pass over the weights is not for them."""
    fields, network = two_humps(8), Multiplier()
    denoiser = nn.WienerDenoiser(
        network, fdiff.BesselCovariance(1.0, 15.0, 1.75), 0.0,
        fdiff.BesselCovariance(20.0, 60.0, 2.5), GRID,
    )  # fmt: skip
    before = network.weight.detach().clone()
    nn.MultilevelTrainer(denoiser, fields, GRID, TINY.training).train()
    moved = (network.weight.detach() - before).resolve_conj()
    assert abs(moved.real) > 1e-5
    assert abs(moved.imag) > 1e-5


@pytest.mark.parametrize("prediction", ["noise", "x0", "velocity"])
def test_plain_predictions_train_too(prediction):
    trainer = nn_trainer(two_humps(8), denoiser__wiener=False, denoiser__prediction=prediction)
    losses = []
    trainer.train(progress=lambda p: losses.append(p.loss))
    assert len(losses) == 10
    assert np.isfinite(losses).all()


def test_data_of_several_channels_and_a_periodic_box(tmp_path):
    grid = fdiff.Grid((12, 8), (3.0, 2.0), ("periodic", "neumann"))
    fields = np.concatenate([two_humps(20, s, grid) for s in (0, 1)], 1)
    config = TINY.replace(
        network__n_modes=(5, 4),
        training__levels=(6, 12),
        training__symmetries=("reflections", "translations"),
    )
    config = config.replace(network__mixing="full", network__coordinates=True, network__n_modes=3)
    run = nn.train(fields, grid, config, tmp_path, names=("u", "v"))
    found = nn.load_run(tmp_path, device="cpu")
    assert found.fields == ("u", "v")
    fields = fdiff.sample(found.score, grid, 3, steps=2, channels=2).fields
    assert fields.shape == (3, 2, 12, 8)
    assert run.identity == found.identity


def test_a_loss_that_is_not_finite_stops_and_leaves_the_batch(tmp_path):
    config = TINY.replace(training__learning_rate=1e30, training__clip=1e30)
    with pytest.raises(nn.TrainingDiverged, match="lower the learning rate"):
        nn.train(two_humps(), GRID, config, tmp_path)
    assert np.load(tmp_path / "diverged_batch.npy").shape[1:] in [(1, 8, 8), (1, 16, 16)]


def damaged(fields):
    fields = fields.copy()
    fields[5, 0, 2, 3] = np.nan
    return fields


@pytest.mark.parametrize(
    ("fields", "changes", "message"),
    [
        (two_humps()[:0], {}, "split is empty"),
        (damaged(two_humps()), {}, "1 of the 40 training fields holds NaN.*number 5"),
        (two_humps(4)[..., :8], {}, "must have shape"),
        (two_humps(), {"training__levels": (8, 32)}, "level 32 is finer than the data"),
        (two_humps(), {"training__levels": (16, 8)}, "coarse to fine"),
        (two_humps(), {"network__n_modes": 12}, r"n_modes \(12, 12\) are more than .*\(8, 8\)"),
        (two_humps(), {"training__symmetries": ("translations",)}, "periodic axis"),
        (np.zeros((4, 1, 16, 16), np.float32), {}, "do not vary"),
        (two_humps(), {"denoiser__noise_power": 0.9}, "noise_power must exceed"),
    ],
    ids=["empty", "nan", "shape", "finer", "order", "modes", "symmetry", "constant", "rough"],
)
def test_what_does_not_fit_is_refused_in_a_sentence(fields, changes, message):
    with pytest.raises(ValueError, match=message):
        nn.train(fields, GRID, TINY.replace(**changes))


def test_runs_that_do_not_fit_are_refused(tmp_path):
    fields = two_humps()
    nn.train(fields, GRID, TINY, tmp_path / "run")
    with pytest.raises(ValueError, match="holds a run already"):
        nn.train(fields, GRID, TINY, tmp_path / "run")
    with pytest.raises(ValueError, match=r"training\.seed = 0, not 1"):
        nn.train(fields, GRID, TINY.replace(training__seed=1), tmp_path / "run", resume=True)
    with pytest.raises(ValueError, match="channels"):
        nn.train(np.repeat(fields, 2, 1), GRID, TINY, tmp_path / "run", resume=True)
    other = fdiff.Grid((16, 16), 2.0, "periodic", -1.0)
    with pytest.raises(ValueError, match="was trained on"):
        nn.train(fields, other, TINY, tmp_path / "run", resume=True)
    with pytest.raises(FileNotFoundError, match=r"no run\.json"):
        nn.load_run(tmp_path)


def test_damaged_files_and_weights_of_another_network_are_refused(tmp_path):
    nn.train(two_humps(), GRID, TINY, tmp_path)
    model = tmp_path / "model.safetensors"
    whole = model.read_bytes()
    model.write_bytes(whole[:-40])
    with pytest.raises(ValueError, match="truncated or damaged"):
        nn.load_run(tmp_path)
    model.unlink()
    with pytest.raises(ValueError, match=r"has no model\.safetensors"):
        nn.load_run(tmp_path)
    model.write_bytes(whole)
    description = json.loads((tmp_path / "run.json").read_text())
    description["config"]["network"]["hidden_channels"] = 8
    (tmp_path / "run.json").write_text(json.dumps(description))
    with pytest.raises(ValueError, match="another shape"):
        nn.load_run(tmp_path)
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(ValueError, match="damaged"):
        nn.load_run(tmp_path)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"trainig": {}}, "unknown table: 'trainig'"),
        ({"training": {"learning_rat": 1.0}}, "unknown key of .training.: 'learning_rat'"),
        ({"training": {"learning_rate": "fast"}}, "learning_rate must be of type float"),
        ({"training": {"levels": 32}}, "levels must be a list"),
        ({"training": {"levels": [32], "steps": [1, 2]}}, "steps needs one number for each"),
        ({"network": {"n_modes": "all"}}, "n_modes must be"),
        ({"network": {"kind": "resnet"}}, "network.kind must be one of"),
        ({"denoiser": {"prediction": "noise"}}, "set wiener = false"),
        ({"training": {"symmetries": ["rotations"]}}, "symmetries must be among"),
    ],
)
def test_a_configuration_names_what_is_wrong(table, message):
    with pytest.raises(ValueError, match=message):
        nn.Config.from_dict(table)


def test_a_configuration_survives_toml():
    tomli_w = pytest.importorskip("tomli_w")
    import tomllib

    config = TINY.replace(network__n_modes=(6, 5), training__symmetries=("reflections",))
    assert nn.Config.from_dict(tomllib.loads(tomli_w.dumps(config.as_dict()))) == config
    assert nn.Config.from_dict({}) == nn.Config()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_training_on_cuda_follows_the_cpu(tmp_path):
    fields = two_humps()
    cpu, gpu = (
        weights(nn.load_run(nn_dir(fields, tmp_path / d, d), device="cpu")) for d in ("cpu", "cuda")
    )
    for name in cpu:
        np.testing.assert_allclose(gpu[name], cpu[name], rtol=0, atol=1e-3)


def nn_dir(fields, path, device):
    nn.train(fields, GRID, TINY, path, device=device)
    return path
