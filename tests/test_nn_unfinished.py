"""Trainings that are going on, or were killed: one at a time in a folder, and never mistaken for
finished ones."""

import dataclasses
import json
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")
pytest.importorskip("typer")

from test_nn_trainer import GRID, TINY, two_humps  # noqa: E402

import fdiff  # noqa: E402
from fdiff import dataset, nn  # noqa: E402
from fdiff.cli import main  # noqa: E402
from fdiff.errors import InUseError  # noqa: E402

# Saves at step 3, then waits in the middle of the training for its end.
PROGRAM = """
import sys
import numpy as np
import torch
from fdiff import nn
from test_nn_trainer import GRID, TINY
torch.set_num_threads(int(sys.argv[2]))
def stop(progress):
    if progress.step == 4:
        print("waiting", flush=True)
        sys.stdin.read()
nn.train(np.load(sys.argv[1] + "/fields.npy"), GRID, TINY, sys.argv[1] + "/run", progress=stop)
"""


@pytest.fixture
def going_on(tmp_path):
    """A training into ``tmp_path/run`` in another process, at step 4 of 10."""
    np.save(tmp_path / "fields.npy", two_humps(8))
    child = subprocess.Popen(
        # Sums in another number of threads have other last bits.
        [sys.executable, "-c", PROGRAM, str(tmp_path), str(torch.get_num_threads())],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parent,
    )  # fmt: skip
    assert child.stdout.readline() == "waiting\n"
    yield child
    child.kill()
    child.communicate()


def test_a_second_training_is_refused_until_the_first_has_ended(tmp_path, going_on, capsys):
    run = tmp_path / "run"
    before = {path.name: path.read_bytes() for path in run.iterdir()}
    for resume in (False, True):
        with pytest.raises(InUseError, match=rf"in use by process {going_on.pid} on .* since"):
            nn.train(two_humps(8), GRID, TINY, run, resume=resume)
    dataset.write_fields(tmp_path / "data.h5", two_humps(8), GRID, ["u"], 0.0, {})
    (tmp_path / "t.toml").write_text("[network]\nn_modes = 4\n[training]\nlevels = [8, 16]\n")
    options = ["--out", str(run), "--config", str(tmp_path / "t.toml")]
    assert main(["train", str(tmp_path / "data.h5"), *options]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert f"the run directory {run} is in use by process {going_on.pid} on" in line
    assert {path.name: path.read_bytes() for path in run.iterdir()} == before
    going_on.kill()
    going_on.wait()
    with pytest.raises(ValueError, match="holds a run already"):
        nn.train(two_humps(8), GRID, TINY, run)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        resumed = nn.train(two_humps(8), GRID, TINY, run, resume=True)
    assert resumed.identity == nn.train(two_humps(8), GRID, TINY).identity
    assert not (run / "training.lock").exists()


def test_a_training_killed_before_its_first_save_can_start_again(tmp_path):
    (tmp_path / "run").mkdir()
    holder = {"pid": 2**30, "host": "elsewhere", "since": "2026-01-02 03:04:05"}
    (tmp_path / "run" / "training.lock").write_text(json.dumps(holder))
    with pytest.warns(UserWarning, match="left by process 1073741824 on elsewhere"):
        nn.train(two_humps(8), GRID, TINY, tmp_path / "run")


def test_a_training_that_is_refused_leaves_nothing(tmp_path):
    with pytest.raises(ValueError, match="do not vary"):
        nn.train(np.zeros((4, 1, 16, 16), np.float32), GRID, TINY, tmp_path / "deep" / "run")
    assert list(tmp_path.iterdir()) == []


def test_samples_of_an_unfinished_run_say_so(tmp_path, going_on, capsys):
    going_on.kill()
    going_on.wait()
    run, out, words = tmp_path / "run", tmp_path / "s.h5", "trained for 3 of 10 steps"
    with pytest.warns(UserWarning, match=f"run was {words}"):
        found = nn.load_run(run, device="cpu")
    assert (found.trained, found.unfinished) == ((3, 10), words)
    sample = ["sample", str(run), "--samples", "12", "--steps", "2", "--json", "--out"]
    assert main([*sample, str(out)]) == 0
    printed = capsys.readouterr()
    assert printed.err.count(words) == 1
    (said,) = json.loads(printed.out)["warnings"]
    assert words in said
    with dataset.open(out) as file:
        assert file.provenance["unfinished"] == words
    rough = fdiff.BesselCovariance(20.0, 60.0, 2.5).sample(GRID, 20, seed=5, channels=1)
    dataset.write_fields(tmp_path / "t.h5", rough, GRID, ["u"], 0.0, {})
    compare = ["evaluate", str(out), "--against", str(tmp_path / "t.h5")]
    assert main([*compare, "--report", str(tmp_path / "report")]) == 0
    assert words in capsys.readouterr().err
    assert words in (tmp_path / "report" / "report.html").read_text()
    # To its end, it is a run as any other.
    nn.train(two_humps(8), GRID, TINY, run, resume=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = nn.load_run(run, device="cpu")
    assert (found.trained, found.unfinished) == ((10, 10), "")
    assert main([*sample, str(tmp_path / "whole.h5")]) == 0
    assert json.loads(capsys.readouterr().out)["warnings"] == []
    with dataset.open(tmp_path / "whole.h5") as file:
        assert "unfinished" not in file.provenance


def test_how_far_a_run_was_trained_may_be_unknown(tmp_path):
    run = nn.train(two_humps(8), GRID, TINY, tmp_path)
    assert run.trained == (10, 10)
    (tmp_path / "state.json").write_text("{")
    with pytest.warns(UserWarning, match="how far the run was trained is not known"):
        assert nn.load_run(tmp_path, device="cpu").trained is None
    (tmp_path / "state.json").unlink()
    found = nn.load_run(tmp_path, device="cpu")
    assert dataclasses.replace(found, trained=(10, 10)).unfinished == found.unfinished == ""
