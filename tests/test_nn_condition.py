"""Networks that are told a parameter: from the data file to samples at a value of it."""

import json
import warnings
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")

from test_nn_trainer import GRID, TINY, two_humps  # noqa: E402

import fdiff  # noqa: E402
from fdiff import dataset, nn  # noqa: E402

WORKING = TINY.replace(
    network__hidden_channels=12, training__levels=(8,), training__steps=(300,),
    training__batch_size=(16,), training__learning_rate=1e-2, training__average=0.9,
    training__half_log_snr=(-3.0, 3.0),
)  # fmt: skip


def signed(size, seed=0):
    """Fields whose sign is that of the parameter r."""
    fields = two_humps(size, seed)
    r = np.sign(fields.mean((1, 2, 3))) * 0.5 + 2.0
    return fields, {"r": r}


def test_the_network_learns_what_the_parameter_says(tmp_path):
    fields, r = signed(64)
    held_out, known = signed(32, 1)
    told = nn.train(
        fields, GRID, WORKING, tmp_path, validation=held_out, parameters=r,
        validation_parameters=known,
    )  # fmt: skip
    nn.train(fields, GRID, WORKING, tmp_path / "blind", validation=held_out)
    losses = [nn.run.last_validation(d)["8x8"] for d in (tmp_path, tmp_path / "blind")]
    assert losses[0] < 0.9 * losses[1], losses
    for run in (told, nn.load_run(tmp_path, device="cpu")):
        for value, sign in ((2.5, 1.0), (1.5, -1.0)):
            drawn = fdiff.sample(run.score_at(r=value), GRID.coarsen(2), 16, steps=4, seed=1)
            assert (sign * drawn.fields.mean((-1, -2)) > 0).mean() > 0.9
    for given in ({}, {"k": 1.0}):
        with pytest.raises(ValueError, match="conditional on r: give a value for each"):
            told.score_at(**given)
    with pytest.raises(ValueError, match="this run has no parameters: leave out --set"):
        nn.load_run(tmp_path / "blind", device="cpu").score_at(r=1.0)


def test_conditions_follow_their_fields():
    fields, r = signed(12)
    conditions = nn.Conditions.of(r).standardised(r)
    np.testing.assert_allclose(conditions.mean(), 0, atol=1e-6)
    np.testing.assert_allclose(conditions.std(), 1, atol=1e-6)
    network = TINY.network.build(GRID, 2, 1, condition_channels=1)
    law = fdiff.BesselCovariance(20.0, 60.0, 2.5)
    denoiser = nn.WienerDenoiser(network, fdiff.BesselCovariance(1.0, 15.0, 1.75), 0.0, law, GRID)
    trainer = nn.MultilevelTrainer(denoiser, fields, GRID, TINY.training, conditions=conditions)
    for level in (0, 1):
        x0, _, _ = trainer.fields(level, 5, 9)
        means = trainer.grids[level].basis.inverse(x0).mean((1, 2, 3))
        assert (torch.sign(means) == torch.sign(trainer.condition(5, 9)[:, 0])).all()
    assert torch.equal(trainer.condition(5, 9, range(3, 7)), trainer.condition(5, 9)[3:7])
    trainer.train()
    for wrong in (conditions[:5], np.concatenate([conditions, conditions[:1]])):
        with pytest.raises(ValueError, match="a line for each of the 12 fields"):
            nn.MultilevelTrainer(denoiser, fields, GRID, TINY.training, conditions=wrong)


def test_parameters_that_say_nothing_are_refused(tmp_path):
    fields, r = signed(12)
    with pytest.raises(ValueError, match="the parameter r is 2 in every sample"):
        nn.train(fields, GRID, TINY, parameters={"r": np.full(12, 2.0)})
    with pytest.raises(ValueError, match="validation_parameters both, or none"):
        nn.train(fields, GRID, TINY, parameters=r, validation=fields)
    nn.train(fields, GRID, TINY, tmp_path, parameters=r)
    with pytest.raises(ValueError, match=r"trained on the parameters \['r'\], not \[\]"):
        nn.train(fields, GRID, TINY, tmp_path, resume=True)
    run = nn.train(fields, GRID, TINY, tmp_path, parameters=r, resume=True)
    with pytest.raises(ValueError, match="the parameter r must be a finite number, got nan"):
        run.score_at(r=float("nan"))


def test_from_a_data_file_to_samples_at_a_value(tmp_path, capsys):
    pytest.importorskip("typer")
    from fdiff.cli import main
    from fdiff.dataset import factory, recipe

    data, run = tmp_path / "data.h5", tmp_path / "run"
    made = recipe.load("fisher-kpp").override(resolution=(16, 16), times="0:1:1", samples=12)
    factory.generate(made, data)
    with dataset.open(data) as file:
        assert file.parameters(["r"], "train")["r"].shape == (11,)
        name = file.field_names[0]
    (tmp_path / "t.toml").write_text(
        "[network]\nn_modes = 6\nhidden_channels = 6\nn_layers = 1\n"
        "[training]\nlevels = [16]\nsteps = [3]\nbatch_size = [4]\n"
    )
    train = ["train", data, "--out", run, "--config", tmp_path / "t.toml", "--time", 1]
    assert main([*map(str, train), "--condition", "r"]) == 0
    assert json.loads((run / "run.json").read_text())["conditions"]["names"] == ["r"]
    sample = ["sample", run, "--out", tmp_path / "s.h5", "--samples", "2", "--steps", "2"]
    assert main([*map(str, sample), "--set", "r=1.2"]) == 0
    with dataset.open(tmp_path / "s.h5") as file:
        assert file.provenance["parameters"] == {"r": 1.2}
        assert file.fields(name).shape == (2, 1, 16, 16)
    capsys.readouterr()
    for command, message in (
        ([*sample[:3], tmp_path / "x.h5"], "conditional on r: give a value for each"),
        ([*train[:3], tmp_path / "other", *train[4:], "--condition", "q"], "does not record 'q'"),
        (
            [*train[:3], tmp_path / "other", *train[4:], "--condition", "D"],
            "is 0.5 in every sample",
        ),
    ):
        assert main(list(map(str, command))) == 1
        assert message in capsys.readouterr().err


def test_values_far_from_those_trained_on_are_warned_of(tmp_path):
    fields, _ = signed(12)
    r = np.linspace(1.0, 3.0, 12)
    nn.train(fields, GRID, TINY, tmp_path, parameters={"r": r})
    description = json.loads((tmp_path / "run.json").read_text())
    assert description["condition_ranges"] == {"low": [1.0], "high": [3.0]}
    run = nn.load_run(tmp_path, device="cpu")
    # A tenth of the range's width beyond its ends is not far.
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for value in (0.81, 1.0, 2.0, 3.19):
            run.score_at(r=value)
    for value in (0.79, 3.21, -50.0):
        expected = f"r = {value:g} is far outside the range 1 to 3 that the run was trained on"
        with pytest.warns(UserWarning, match=expected):
            run.score_at(r=value)


CORPUS = Path(__file__).parent / "corpus"


def test_of_a_run_without_a_range_the_mean_and_the_spread_are_said():
    run = nn.load_run(CORPUS / "run_conditional", device="cpu")
    assert run.conditions.low == ()
    centre, scale = run.conditions.centre[0], run.conditions.scale[0]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for value in (0.0, 0.02, centre + 3.4 * scale):
            run.score_at(k=value)
    expected = (
        r"k = 0\.03 is far from .* not recorded: mean 0\.00845\d+, standard deviation 0\.0055"
    )
    with pytest.warns(UserWarning, match=expected):
        run.score_at(k=0.03)


def test_the_command_warns_once_and_draws(tmp_path, capsys):
    pytest.importorskip("typer")
    from fdiff.cli import main

    command = ["sample", str(CORPUS / "run_conditional"), "--out", str(tmp_path / "s.h5")]
    assert main([*command, "--samples", "1", "--steps", "1", "--set", "k=1", "--json"]) == 0
    printed = capsys.readouterr()
    assert printed.err.count("warning: k = 1 is far from the values") == 1
    assert len(json.loads(printed.out)["warnings"]) == 1
    assert (tmp_path / "s.h5").is_file()
