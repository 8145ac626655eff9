"""The commands `generate`, `verify`, `regenerate`, as a user types them."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import h5py
import numpy as np
import pytest
from problems import shared_data

from fdiff.cli import main

SMALL = ("--samples", "3", "--resolution", "16", "--times", "0:1:0.5", "--workers", "1")


def run(capfd, *words):
    """(status, standard output, standard error) of one command."""
    status = main([str(w) for w in words])
    caught = capfd.readouterr()
    return status, caught.out, caught.err


def test_the_issue_s_command_meets_the_reference(tmp_path, capfd):
    out = tmp_path / "x.h5"
    command = (
        "generate", "fitzhugh-nagumo", "--samples", 8, "--resolution", 128,
        "--initial", "pdebench", "--seed", 0, "--out", out,
    )  # fmt: skip
    assert run(capfd, *command)[0] == 0
    with h5py.File(out) as ours, h5py.File(shared_data("fhn_reference_128.h5")) as reference:
        for key in ("0000", "0001"):
            times = ours[key]["grid/t"][...]
            for t, tight in zip(reference[key]["t"], reference[key]["tight"]):
                found = ours[key]["data"][np.argmin(np.abs(times - t))]
                assert np.linalg.norm(found - tight) < 2.5e-5 * np.linalg.norm(tight)
    status, _, err = run(capfd, *command)
    assert status == 0
    assert "is complete: 8 trajectories, verified" in err
    status, _, err = run(capfd, *command, "--seed", 1)
    assert status == 1
    assert "seed is 0, not 1" in err
    assert err.count("\n") == 1


def test_generate_verify_regenerate_speak_json(tmp_path, capfd):
    out = tmp_path / "x.h5"
    status, text, _ = run(capfd, "generate", "fitzhugh-nagumo", *SMALL, "--out", out, "--json")
    assert status == 0
    assert json.loads(text)["status"] == "written"
    status, text, _ = run(capfd, "verify", out, "--json")
    assert status == 0
    assert json.loads(text)["damaged"] == {}
    saved = tmp_path / "one.npy"
    status, text, _ = run(capfd, "regenerate", out, "--sample", 1, "--json", "--out", saved)
    assert status == 0
    assert json.loads(text)["same"] is True
    with h5py.File(out) as file:
        assert (np.load(saved) == file["0001/data"][...]).all()


def test_settings_times_and_initial_reach_the_file(tmp_path, capfd):
    out = tmp_path / "x.h5"
    words = ("--set", "Du=2e-3", "--set", "k=0.02", "--initial", "pdebench", "--first", 4)
    command = ("generate", "fitzhugh-nagumo", *SMALL, *words, "--out", out)
    assert run(capfd, *command, "--times", "0.5")[0] == 0
    with h5py.File(out) as file:
        assert list(file) == ["0004", "0005", "0006"]
        assert file["0004/data"].shape == (1, 16, 16, 2)
        assert list(file["0004/grid/t"]) == [0.5]
        assert "Du: 0.002" in file["0004"].attrs["config"]
        assert "k: 0.02" in file["0004"].attrs["config"]


def test_a_dry_run_says_what_it_takes_and_writes_nothing(tmp_path, capfd):
    command = ("generate", "fitzhugh-nagumo", *SMALL, "--out", tmp_path / "x.h5", "--dry-run")
    status, text, err = run(capfd, *command, "--json")
    assert status == 0
    # 3 samples of 3 times, 16 x 16 cells, 2 fields, 4 bytes
    assert json.loads(text)["bytes"] == 3 * 3 * 16 * 16 * 2 * 4
    assert json.loads(text)["seconds"] > 0
    assert "18.4 kB" in err
    assert list(tmp_path.iterdir()) == []


def test_a_recipe_of_one_s_own(tmp_path, capfd):
    recipe = tmp_path / "mine.toml"
    recipe.write_text(
        'system = "fitzhugh-nagumo"\nresolution = [8, 12]\ntimes = [0.1, 0.4]\nsamples = 2\n'
        "[parameters]\nDu = { uniform = [1e-3, 2e-3] }\n"
    )
    out = tmp_path / "x.h5"
    assert run(capfd, "generate", recipe, "--out", out)[0] == 0
    with h5py.File(out) as file:
        assert file["0001/data"].shape == (2, 8, 12, 2)
    recipe.write_text('system = "fitzhugh-nagumo"\ntolerance = "small"\n')
    status, _, err = run(capfd, "generate", recipe, "--out", tmp_path / "y.h5")
    assert status == 1
    assert "mine.toml: recipe key tolerance: expected a finite number" in err
    recipe.write_text("system = \n")
    assert "not valid TOML" in run(capfd, "generate", recipe, "--out", out)[2]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("nope",), "no recipe is named"),
        (("missing.toml",), "no such file"),
        (("fitzhugh-nagumo", "--set", "Dw=1"), "has parameters Du, Dv, k"),
        (("fitzhugh-nagumo", "--set", "Du"), "NAME=NUMBER"),
        (("fitzhugh-nagumo", "--set", "Du=-1"), "must be >= 0"),
        (("fitzhugh-nagumo", "--times", "5:0:1"), "recipe key times"),
        (("fitzhugh-nagumo", "--initial", "noise"), "no initial law"),
        (("fitzhugh-nagumo", "--tolerance", "0"), "recipe key tolerance"),
        (("fitzhugh-nagumo", "--resolution", "0"), "--resolution takes one number"),
        (("fitzhugh-nagumo", "--samples", "0"), "recipe key samples"),
        (("fitzhugh-nagumo", "--workers", "0"), "workers: a number >= 1"),
        (("fitzhugh-nagumo", "--shards", "5/2"), "--shards"),
    ],
)
def test_wrong_options_end_in_one_sentence(tmp_path, capfd, words, message):
    status, text, err = run(capfd, "generate", *words, "--out", tmp_path / "x.h5")
    assert status == 1
    assert message in err
    assert err.startswith("fdiff: ")
    assert err.count("\n") == 1
    assert text == ""
    assert list(tmp_path.iterdir()) == []


AS_NOBODY = """
import os, sys
from fdiff.cli import main
words, open_folder, locked = sys.argv[3:], *sys.argv[1:3]
assert main([*words, "--out", f"{open_folder}/x.h5"]) == 0  # loads all code while it can be read
print("here", file=sys.stderr)
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
sys.exit(main([*words, "--out", f"{locked}/x.h5"]))
"""


@pytest.mark.skipif(not hasattr(os, "setuid"), reason="users are those of Unix")
def test_a_folder_without_permission_ends_in_one_sentence(tmp_path):
    """As a user who may only read the folder; root may write anywhere."""
    # pytest's own folders are closed to other users.
    with tempfile.TemporaryDirectory() as above:
        os.chmod(above, 0o755)
        locked = Path(above) / "locked"
        locked.mkdir()
        (locked / "kept").write_text("mine")
        locked.chmod(0o555)
        done = subprocess.run(
            [sys.executable, "-c", AS_NOBODY, tmp_path, locked, "generate", "paper-mixture",
             "--samples", "1", "--resolution", "8", "--workers", "1"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        locked.chmod(0o755)
        assert os.listdir(locked) == ["kept"]
    said = done.stderr.split("here\n")[1]
    assert done.returncode == 1
    assert said.startswith("fdiff: cannot use ")
    assert "no permission; choose a folder that you may write to" in said
    assert said.count("\n") == 1


def test_damage_is_an_error_until_it_is_repaired(tmp_path, capfd):
    out = tmp_path / "x.h5"
    command = ("generate", "fitzhugh-nagumo", *SMALL, "--out", out)
    assert run(capfd, *command)[0] == 0
    with h5py.File(out, "r+") as file:
        file["0001/data"][1, 2, 3, 0] += 1
    status, _, err = run(capfd, "verify", out)
    assert status == 1
    assert "damaged in 1 of 3 samples (1: " in err
    assert run(capfd, *command)[0] == 1
    assert run(capfd, "regenerate", out, "--sample", 1)[0] == 1
    assert run(capfd, "regenerate", out, "--sample", 1, "--repair")[0] == 0
    assert run(capfd, "verify", out)[0] == 0
    assert run(capfd, *command)[0] == 0
    assert run(capfd, "verify", tmp_path / "none.h5")[0] == 1
    assert run(capfd, "regenerate", out, "--sample", 9)[0] == 1


def test_a_file_in_the_place_of_a_folder_is_named(tmp_path, capfd):
    (tmp_path / "taken").write_text("mine")
    out = tmp_path / "taken" / "x.h5"
    status, _, err = run(capfd, "generate", "fitzhugh-nagumo", *SMALL, "--out", out)
    assert status == 1
    assert "taken: a file of that name is in the way" in err
    assert (tmp_path / "taken").read_text() == "mine"


def test_verify_reads_a_file_of_pdebench(capfd):
    status, _, err = run(capfd, "verify", shared_data("pdebench_diff_react_32.h5"))
    assert status == 0
    assert "4 samples were read; without checksums nothing is known of their content" in err
    assert "intact" not in err


def test_shards_from_a_job_array_make_one_dataset(tmp_path, capfd):
    out = tmp_path / "x.h5"
    for i in (1, 0):
        shard = ("generate", "fitzhugh-nagumo", *SMALL, "--out", out, "--shards", f"{i}/2")
        assert run(capfd, *shard)[0] == 0
    assert run(capfd, "verify", out)[0] == 0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["x.0-of-2.h5", "x.1-of-2.h5", "x.h5"]
