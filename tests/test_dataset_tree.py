"""The Well's folders: splits, statistics, never broken, and read by The Well's own classes."""

import json
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import yaml
from numpy.testing import assert_allclose

from fdiff import dataset
from fdiff.cli import main
from fdiff.dataset import factory, recipe, tree
from fdiff.dataset.normalisation import Moments, normalisation

SPLITS = {"train": 0.5, "valid": 0.25, "test": 0.25}


def small(**changes):
    values = {
        "resolution": (6, 8), "times": "0:1:0.25", "samples": 8, "format": "well", "splits": SPLITS,
    } | changes  # fmt: skip
    return recipe.from_dict(recipe.load("fitzhugh-nagumo").as_dict() | values)


def content(folder):
    """Every file's arrays and attributes, by name."""
    found = {}
    for path in sorted(p for p in Path(folder).rglob("*") if p.is_file()):
        name = str(path.relative_to(folder))
        if path.suffix != ".hdf5":
            found[name] = path.read_bytes()
            continue
        with h5py.File(path) as file:
            found[name] = {k: str(v) for k, v in file.attrs.items()}
            for field in ("u", "v"):
                found[name, field] = file["t0_fields"][field][...].tobytes()
    return found


def slow_statistics(path):
    """The definition: all values of the file at once, in float64."""
    found = {}
    with h5py.File(path) as file:
        for name in file["t0_fields"].attrs["field_names"]:
            u = file["t0_fields"][name][...].astype(np.float64)
            for suffix, x in (("", u), ("_delta", u[:, 1:] - u[:, :-1])):
                found.setdefault(f"mean{suffix}", {})[name] = np.mean(x)
                found.setdefault(f"std{suffix}", {})[name] = np.std(x)
                found.setdefault(f"rms{suffix}", {})[name] = np.sqrt(np.mean(x**2))
    return found


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    out = tmp_path_factory.mktemp("well") / "diff-react"
    assert tree.generate(small(), out, workers=2)["status"] == "written"
    return out


def test_the_folders_hold_the_splits_of_one_dataset(made, tmp_path):
    assert sorted(str(p.relative_to(made)) for p in made.rglob("*") if p.is_file()) == [
        "data/test/2d_diff-react.hdf5", "data/train/2d_diff-react.hdf5",
        "data/valid/2d_diff-react.hdf5", "manifest.json", "stats.yaml",
    ]  # fmt: skip
    factory.generate(small(), tmp_path / "one.h5")
    with dataset.open(tmp_path / "one.h5") as one:
        for split in SPLITS:
            with dataset.open(made / "data" / split / "2d_diff-react.hdf5") as part:
                assert list(part.indices(split)) == list(range(len(part)))
                assert list(part.identities()) == list(one.identities(split))
                for name in "uv":
                    assert (part.fields(name, 0.5) == one.fields(name, 0.5, split)).all()


def test_the_statistics_are_those_of_all_training_values(made):
    training = made / "data/train/2d_diff-react.hdf5"
    stats, slow = yaml.safe_load((made / "stats.yaml").read_text()), slow_statistics(training)
    assert set(stats) == {f"{k}{d}" for k in ("mean", "std", "rms") for d in ("", "_delta")}
    for block in (1, 100, 48 * 3, None):
        known = stats if block is None else normalisation(training, block)
        for key, fields in slow.items():
            for name, value in fields.items():
                assert_allclose(known[key][name], value, rtol=1e-12, atol=1e-15)


def test_a_small_spread_around_a_large_mean_keeps_its_digits():
    x = 1e8 + np.random.default_rng(0).standard_normal((40, 50))
    moments = Moments()
    for part in np.array_split(x, [1, 7, 20]):
        moments.add(part)
    assert moments.count == x.size
    assert_allclose(moments.mean, x.mean(), rtol=1e-15)
    assert_allclose(moments.std, (x - 1e8).std(), rtol=1e-9)
    assert_allclose(moments.rms, 1e8, rtol=1e-9)


def test_failed_trajectories_are_left_out_of_the_statistics(tmp_path, monkeypatch):
    integrate = factory.integrate

    def failing(r, system, state, sample, data):
        if sample == 2 or r.seed == 1:
            raise factory.pde.DivergenceError("it explodes", 0.5)
        return integrate(r, system, state, sample, data)

    monkeypatch.setattr(factory, "integrate", failing)
    with pytest.warns(UserWarning, match="1 of 4 samples"):
        done = tree.generate(small(), tmp_path / "x")
    assert list(done["failed"]) == [2]
    stats = yaml.safe_load((tmp_path / "x/stats.yaml").read_text())
    with h5py.File(tmp_path / "x/data/train/2d_diff-react.hdf5") as file:
        u = file["t0_fields/u"][...][[0, 1, 3]].astype(float)
    assert_allclose(stats["std_delta"]["u"], np.diff(u, axis=1).std(), rtol=1e-12)
    with (
        pytest.warns(UserWarning, match="4 of 4 samples"),
        pytest.raises(ArithmeticError, match="no trajectory"),
    ):
        tree.generate(small(seed=1), tmp_path / "y")
    assert not (tmp_path / "y/stats.yaml").exists()


def test_the_same_again_is_verified_and_anything_else_refused(made):
    before = content(made)
    done = tree.generate(small(), made)
    assert (done["status"], done["kept"]) == ("complete", 8)
    for change, words in (
        ({"seed": 1}, "seed is 0, not 1"),
        ({"samples": 16}, "holds samples 0 to 3, not 0 to 7"),
        ({"first": 2}, "holds samples 0 to 3, not 2 to 5"),
        ({"name": "other"}, "would be read as a part"),
        ({"splits": {"train": 0.5, "dev": 0.5}}, "splits.dev"),
        ({"samples": 2, "splits": {}}, "leave the split 'valid' empty"),
        ({"times": "1"}, "recipe key times"),
    ):
        with pytest.raises(ValueError, match=words):
            tree.generate(small(**change), made)
    assert content(made) == before


def test_what_is_damaged_or_foreign_is_named(tmp_path):
    out = tmp_path / "x"
    tree.generate(small(), out)
    calm, stats = content(out), out / "stats.yaml"
    stats.write_text(stats.read_text().replace("mean", "Mean"))
    with pytest.raises(ValueError, match="does not hold the statistics"):
        tree.generate(small(), out)
    stats.unlink()
    assert tree.generate(small(), out)["status"] == "written"
    assert content(out) == calm
    with h5py.File(out / "data/valid/2d_diff-react.hdf5", "r+") as file:
        file["t0_fields/u"][0, 1, 2, 3] += 1
    with pytest.raises(ValueError, match=r"damaged in 1 of 2 samples \(4: "):
        tree.generate(small(), out)
    assert tree.generate(small(), out, force=True)["kept"] == 0
    assert content(out) == calm
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="is a file"):
        tree.generate(small(), tmp_path / "file")


KILLED = """
import os, signal, sys
from fdiff.dataset import factory, recipe, tree
import test_dataset_tree
plain, left = factory.simulate, [int(sys.argv[2])]
def simulate(*arguments):
    if left[0] == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    left[0] -= 1
    return plain(*arguments)
factory.simulate = simulate
tree.generate(test_dataset_tree.small(), sys.argv[1])
"""


@pytest.mark.parametrize("after", [2, 5])
def test_a_killed_run_goes_on_in_the_split_where_it_was(made, tmp_path, after):
    out = tmp_path / "x"
    child = subprocess.run(
        [sys.executable, "-c", KILLED, str(out), str(after)], cwd=Path(__file__).parent
    )
    assert child.returncode < 0
    assert not (out / "stats.yaml").exists()
    # What was in hand when it was killed is lost; complete splits are not.
    assert tree.generate(small(), out)["kept"] >= (0 if after < 4 else 4)
    assert content(out) == content(made)


def test_a_kill_before_the_statistics_have_their_name(made, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(tree, "write_text", full)
        with pytest.raises(OSError, match="No space"):
            tree.generate(small(), tmp_path)
    assert not list(tmp_path.glob("stats*"))
    assert tree.generate(small(), tmp_path)["kept"] == 8
    assert content(tmp_path) == content(made)


def checked(out, capsys, *words):
    """(status, report, what was said) of `fdiff verify FOLDER`."""
    status = main(["verify", str(out), "--json", *words])
    caught = capsys.readouterr()
    return status, json.loads(caught.out) if caught.out else None, caught.err


def test_verify_takes_the_folder_and_names_what_is_wrong(tmp_path, capsys):
    out = tmp_path / "x"
    tree.generate(small(), out)
    status, report, said = checked(out, capsys)
    assert (status, report["samples"], report["damaged"], report["problems"]) == (0, 8, {}, [])
    assert "8 samples are intact" in said
    valid, test = (out / "data" / s / "2d_diff-react.hdf5" for s in ("valid", "test"))
    with h5py.File(valid, "r+") as file:
        file["t0_fields/u"][1, 1, 2, 3] += 1
    status, report, said = checked(out, capsys)
    assert (status, list(report["damaged"])) == (1, ["data/valid/2d_diff-react.hdf5:5"])
    assert "damaged in 1 of 8 samples (data/valid/2d_diff-react.hdf5:5" in said
    assert main(["regenerate", str(valid), "--sample", "5", "--repair"]) == 0
    capsys.readouterr()
    for path, words in (
        (test, "is missing: generate again"),
        (out / "stats.yaml", "stats.yaml is missing, or is not of"),
        (out / "manifest.json", "manifest.json is missing or damaged"),
    ):
        kept = path.read_bytes()
        path.unlink()
        status, report, said = checked(out, capsys)
        assert (status, len(report["problems"])) == (1, 1)
        assert words in said
        assert tree.generate(small(), out)["status"] == "written"
        assert path.suffix == ".hdf5" or path.read_bytes() == kept
        assert checked(out, capsys)[0] == 0
    test.write_bytes(test.read_bytes()[:-400])
    assert checked(out, capsys)[0] == 1
    (out / "data/train/more.hdf5").write_bytes(valid.read_bytes())
    assert "more.hdf5 does not belong there" in checked(out, capsys)[2]
    status, report, said = checked(tmp_path, capsys)
    assert (status, report) == (1, None)
    assert "holds no data/train/*.hdf5" in said


def test_verify_sees_an_interrupted_folder(tmp_path, capsys):
    tree.generate(small(), tmp_path)
    (tmp_path / "manifest.json").unlink()
    (tmp_path / "data/test/2d_diff-react.hdf5").rename(
        tmp_path / "data/test/2d_diff-react.hdf5.partial"
    )
    status, report, said = checked(tmp_path, capsys)
    assert (status, len(report["problems"])) == (1, 2)
    assert "2d_diff-react.hdf5.partial is unfinished: generate again" in said


def test_the_command_takes_a_folder(tmp_path, capsys):
    out = tmp_path / "gs"
    words = ["generate", "gray-scott", "--samples", "10", "--resolution", "8", "--times", "0:4:2"]
    command = [*words, "--out", f"{out}/", "--workers", "1"]
    assert main([*command, "--dry-run"]) == 0
    assert "train/gray-scott.hdf5: samples 0 to 7" in capsys.readouterr().err
    assert not out.exists()
    assert main(command) == 0
    assert (out / "stats.yaml").is_file()
    assert main(command) == 0
    assert "is complete: 10 trajectories, verified" in capsys.readouterr().err
    for word in ("show", "regenerate"):
        more = [] if word == "show" else ["--sample", "3"]
        assert main([word, str(out), *more]) == 1
        assert "name a" in capsys.readouterr().err
    assert main([*command, "--shards", "0/2"]) == 1
    assert "made by one process" in capsys.readouterr().err
    assert main([*words, "--out", str(tmp_path / "one.hdf5"), "--workers", "1"]) == 0
    assert (tmp_path / "one.hdf5").is_file()


@pytest.mark.parametrize("boundary", ["neumann", "periodic"])
def test_the_well_s_own_classes_read_and_normalise_it(tmp_path, boundary):
    pytest.importorskip("the_well")
    from the_well.data import WellDataset
    from the_well.data.normalization import RMSNormalization, ZScoreNormalization

    law = {"Du": {"uniform": [1e-3, 2e-3]}}
    tree.generate(small(boundary=[boundary], parameters=law), tmp_path)
    stats = yaml.safe_load((tmp_path / "stats.yaml").read_text())
    for split, count in (("train", 4), ("valid", 2), ("test", 2)):
        plain, scaled, rms = (
            WellDataset(
                path=str(tmp_path), well_split_name=split, n_steps_input=2, n_steps_output=1,
                use_normalization=kind is not None, normalization_type=kind,
            )
            for kind in (None, ZScoreNormalization, RMSNormalization)
        )  # fmt: skip
        assert plain.metadata.field_names[0] == ["u", "v"]
        assert plain.metadata.spatial_resolution == (8, 6)
        assert plain.metadata.n_trajectories_per_file == [count]
        assert len(plain) == 3 * count
        item, path = plain[4], tmp_path / "data" / split / "2d_diff-react.hdf5"
        with dataset.open(path) as file:
            for c, name in enumerate("uv"):
                for k in (0, 1):
                    ours = file.state(1, [name], file.times[1 + k])[0]
                    assert (item["input_fields"][k, ..., c].numpy() == ours.T).all()
        assert set(plain.metadata.boundary_condition_types) == (
            {"WALL"} if boundary == "neumann" else {"PERIODIC"}
        )
        for c, name in enumerate("uv"):
            x = item["input_fields"][..., c]
            expected = (x - stats["mean"][name]) / stats["std"][name]
            assert_allclose(scaled[4]["input_fields"][..., c], expected, rtol=1e-5, atol=1e-6)
            expected = x / stats["rms"][name]
            assert_allclose(rms[4]["input_fields"][..., c], expected, rtol=1e-5, atol=1e-6)


def test_the_well_s_step_statistics_scale_differences(tmp_path):
    pytest.importorskip("the_well")
    from the_well.data.datasets import DeltaWellDataset
    from the_well.data.normalization import ZScoreNormalization

    tree.generate(small(samples=16), tmp_path)
    steps = DeltaWellDataset(
        path=str(tmp_path), well_split_name="train", use_normalization=True,
        normalization_type=ZScoreNormalization,
    )  # fmt: skip
    found = np.stack([steps[i]["output_fields"].numpy() for i in range(len(steps))])
    assert_allclose(found.mean(axis=(0, 1, 2, 3)), 0, atol=1e-4)
    assert_allclose(found.std(axis=(0, 1, 2, 3)), 1, rtol=1e-4)


def test_statistics_of_a_file_in_another_layout_are_refused(tmp_path):
    out = tmp_path / "pdebench.h5"
    arguments = ["--samples", "1", "--resolution", "8", "--times", "0.1", "--out", str(out)]
    assert main(["generate", "fitzhugh-nagumo", *arguments]) == 0
    with pytest.raises(ValueError, match="--format well"):
        normalisation(out)
