"""``fdiff train``: from a file to a run that ``fdiff sample`` takes."""

import json

import h5py
import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("safetensors")
pytest.importorskip("typer")

import fdiff
from fdiff import dataset
from fdiff.cli import main

GRID = fdiff.Grid((16, 16), 2.0, "neumann", -1.0)
SMALL = """
[network]
n_modes = 6
hidden_channels = 6
[training]
levels = [8, 16]
steps = [4, 2]
batch_size = [3, 3]
save_every = 2
"""


@pytest.fixture
def folder(tmp_path):
    u = fdiff.BesselCovariance(20.0, 60.0, 2.5).sample(GRID, 30, seed=1, channels=2)
    dataset.write_fields(tmp_path / "data.h5", u, GRID, ["u", "v"], 2.5, {})
    (tmp_path / "train.toml").write_text(SMALL)
    return tmp_path


def train(folder, *options):
    arguments = [folder / "data.h5", "--out", folder / "run", "--config", folder / "train.toml"]
    return main(["train", *map(str, [*arguments, *options])])


def test_a_file_becomes_a_run_and_the_run_becomes_fields(folder, capsys):
    assert train(folder, "--field", "v", "--json") == 0
    out = json.loads(capsys.readouterr().out)
    assert set(out["validation"]) == {"8x8", "16x16"}
    assert train(folder, "--field", "v", "--resume") == 0
    assert (
        main(["sample", str(folder / "run"), "--out", str(folder / "s.h5"), "--samples", "3"]) == 0
    )
    with dataset.open(folder / "s.h5") as file:
        assert file.field_names == ("v",)
        assert file.times.tolist() == [2.5]
        assert file.fields("v").shape == (3, 1, 16, 16)
        assert len(file.provenance["trained_on"]["identities"]) == 27
    other = ["--out", str(folder / "r.h5"), "--samples", "1", "--resolution", "12,16"]
    assert main(["sample", str(folder / "run"), *other]) == 0
    with dataset.open(folder / "r.h5") as file:
        assert file.fields("v").shape == (1, 1, 12, 16)
    with dataset.open(folder / "data.h5") as file:
        expected = list(file.identities("train"))
    run = json.loads((folder / "run" / "run.json").read_text())
    assert run["training_data"]["identities"] == expected


def test_two_fields_are_trained_together(folder, capsys):
    assert train(folder, "--field", "u,v") == 0
    assert fdiff.nn.load_run(folder / "run").fields == ("u", "v")
    said = capsys.readouterr().err
    assert "holds the fields" not in said
    assert f"trained on 27 of the 30 samples in {folder / 'data.h5'} (fields u, v)" in said


@pytest.mark.parametrize(
    ("options", "choice"),
    [
        ((), "holds the fields u, v; training on u alone (--field u,v takes all)\n"),
        (("--field", "v"), "holds the fields u, v; training on v\n"),
    ],
)
def test_what_is_trained_on_is_said(folder, capsys, options, choice):
    assert train(folder, *options, "--json") == 0
    printed = capsys.readouterr()
    assert printed.err.startswith(f"{folder / 'data.h5'} {choice}")
    trained = options[-1] if options else "u"
    part = f"trained on 27 of the 30 samples in {folder / 'data.h5'} (field {trained})"
    kept = 'the other 3 are kept back for validation and comparison (split "test")'
    assert f"{part}; {kept}; validation loss" in printed.err
    out = json.loads(printed.out)
    assert out["fields"] == {"stored": ["u", "v"], "trained": [trained]}
    assert out["samples"] == {"stored": 30, "trained": 27, "split": "train", "validation": 3}
    assert out["warnings"] == []


def test_other_splits_say_what_they_leave_out(folder, capsys):
    assert train(folder, "--split", "test") == 0
    said = capsys.readouterr().err
    assert "trained on 3 of the 30 samples in" in said
    assert '(field u); the other 27 are not in the split "test"; validation' in said


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--field", "w"], "w"),
        (["--time", "9"], "9"),
        (["--levels", "8,x"], "whole numbers"),
        (["--levels", "8,32"], "steps|finer"),
        (["--split", "none"], "none"),
    ],
)
def test_wrong_options_end_in_a_sentence_and_leave_no_run(folder, capsys, options, message):
    assert train(folder, *options) == 1
    error = capsys.readouterr().err
    assert message.split("|")[0] in error or message.split("|")[-1] in error
    assert "Traceback" not in error
    assert not (folder / "run" / "state.json").exists()


def test_a_wrong_configuration_names_its_key(folder, capsys):
    (folder / "train.toml").write_text("[training]\nlearning_rat = 1.0\n")
    assert train(folder) == 1
    assert "learning_rat" in capsys.readouterr().err
    (folder / "train.toml").write_text("[training")
    assert train(folder) == 1
    error = capsys.readouterr().err
    assert "train.toml" in error
    assert "TOML: a mistake at end of document" in error


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("n_modes = 6", "n_modes = 12", "n_modes (12, 12) are more than a grid of shape (8, 8)"),
        ("[8, 16]", "[8, 32]", "level 32 is finer than the data, which have (16, 16)"),
        ("[8, 16]", "[16, 8]", "levels must go from coarse to fine"),
        ("[8, 16]", "[0, 16]", "training.levels needs numbers of nodes"),
        ("[8, 16]", "[8]", "steps needs one number for each of the levels (8,)"),
        ("[3, 3]", "[3, 0]", "batch_size must be positive, got (3, 0)"),
        ("save_every = 2", "save_every = 0", "training.save_every must be at least 1, got 0"),
        ("save_every = 2", "seed = -1", "training.seed must be at least 0, got -1"),
        ("save_every = 2", "average = 1.0", "training.average must lie in [0, 1), got 1.0"),
        ("save_every = 2", "clip = 0.0", "training.clip must be positive, got 0.0"),
        ("hidden_channels = 6", "n_layers = 0", "network.n_layers must be at least 1, got 0"),
    ],
)
def test_numbers_that_do_not_fit_are_named(folder, capsys, old, new, message):
    (folder / "train.toml").write_text(SMALL.replace(old, new))
    assert train(folder) == 1
    assert message in capsys.readouterr().err
    assert not (folder / "run").exists()


def write(folder, change, grid=GRID, size=30):
    u = fdiff.BesselCovariance(20.0, 60.0, 2.5).sample(GRID, size, seed=1, channels=2)
    dataset.write_fields(folder / "data.h5", u, grid, ["u", "v"], 2.5, {})
    change(u)
    with h5py.File(folder / "data.h5", "r+") as file:
        for key, field in zip(file, u):
            file[key]["data"][0] = np.moveaxis(field, 0, -1)


@pytest.mark.parametrize(
    ("change", "size", "message"),
    [
        (
            lambda u: u.__setitem__((3, 0, 1, 1), np.nan),
            30,
            "sample 0003, field u, time 2.5 holds values that are NaN",
        ),
        (lambda u: u.fill(1.0), 30, "do not vary"),
        (lambda u: None, 1, "the split 'train' of"),
        (lambda u: None, 2, "give at least two"),
    ],
    ids=["nan", "constant", "empty", "single"],
)
def test_data_that_cannot_be_trained_on_are_refused(folder, capsys, change, size, message):
    write(folder, change, size=size)
    assert train(folder) == 1
    assert message in capsys.readouterr().err
    assert not (folder / "run").exists()


def test_a_run_goes_on_with_its_own_data_only(folder, capsys):
    assert train(folder) == 0
    others = fdiff.Grid((16, 16), 2.0, "periodic", -1.0)
    for change, options, message in (
        ({}, ["--field", "u,v"], "was trained on 1 channels, the data have 2"),
        ({}, ["--field", "v"], "was trained on fields ['u'], not ['v']"),
        ({"grid": others}, [], "grid of boundary ('neumann', 'neumann'), the data's finest level"),
        ({"size": 20}, [], "was trained on other samples"),
    ):
        write(folder, lambda u: None, **change)
        assert train(folder, "--resume", *options) == 1
        error = capsys.readouterr().err
        assert message in error
        assert "train into another directory" in error


def test_a_run_is_not_overwritten(folder, capsys):
    assert train(folder) == 0
    assert train(folder) == 1
    assert "holds a run already" in capsys.readouterr().err


def test_the_default_work_is_spread_over_the_levels_asked_for():
    from fdiff.nn import TrainingConfig, default_steps

    default = TrainingConfig()
    assert default_steps([32, 64]) == list(default.steps)
    expected = np.dot(default.steps, np.square(default.levels))
    for levels in ([64], [16, 32, 64]):
        assert np.dot(default_steps(levels), np.square(levels)) == pytest.approx(expected, rel=0.01)


def test_images_get_a_network_and_a_noise_of_their_own(folder):
    pixels = np.random.default_rng(0).integers(0, 256, (20, 28, 28), np.uint8)
    header = bytes([0, 0, 8, 3]) + b"".join(n.to_bytes(4, "big") for n in pixels.shape)
    images = folder / "images"
    images.mkdir()
    (images / "t10k-images-idx3-ubyte").write_bytes(header + pixels.tobytes())
    (folder / "train.toml").write_text(SMALL.replace("channels = 6", "channels = 8"))
    options = ["--out", str(folder / "run"), "--config", str(folder / "train.toml")]
    assert main(["train", str(images), *options]) == 0
    config = json.loads((folder / "run" / "run.json").read_text())["config"]
    assert config["network"]["kind"] == "oriented"
    assert config["network"]["n_modes"] == 6
    assert config["denoiser"]["noise_shift"] == 1500
    assert config["denoiser"]["noise_power"] == 1.75
