"""Dataset files: PDEBench's layout, never broken, verified, extended, resumed after a kill."""

import json
import os
import signal
import subprocess
import sys
import time

import h5py
import numpy as np
import pytest
import yaml
from numpy.testing import assert_allclose
from problems import shared_data
from test_idx import encode

from fdiff import dataset, pde
from fdiff.dataset import factory, recipe, shards
from fdiff.dataset.verify import regenerate, verify


def small(**changes):
    """A recipe that takes milliseconds a trajectory."""
    values = {"resolution": (16, 16), "times": "0:1:0.25", "samples": 5} | changes
    return recipe.load("fitzhugh-nagumo").override(**values)


def content(path):
    """Everything that a reader can see: arrays and attributes by name."""
    found = {}
    with h5py.File(path) as file:

        def attributes(item):
            return {k: v.tolist() if hasattr(v, "tolist") else v for k, v in item.attrs.items()}

        found["/"] = attributes(file)

        def note(name, item):
            found[name] = attributes(item)
            if isinstance(item, h5py.Dataset):
                found[name] |= {"values": item[...].tobytes(), "shape": item.shape}

        file.visititems(note)
    return found


def leftovers(folder):
    return sorted(p.name for p in folder.iterdir() if "partial" in p.name)


def test_the_layout_is_pdebench_s(tmp_path):
    out = tmp_path / "x.h5"
    r = small(initial="pdebench", seed=3)
    factory.generate(r, out)
    with h5py.File(out) as file:
        assert sorted(file) == ["0000", "0001", "0002", "0003", "0004"]
        for i, key in enumerate(sorted(file)):
            group = file[key]
            assert set(group) == {"data", "grid"}
            assert group["data"].shape == (5, 16, 16, 2)
            assert group["data"].dtype == np.dtype("<f4")
            assert set(group["grid"]) == {"x", "y", "t"}
            assert_allclose(group["grid/t"], [0, 0.25, 0.5, 0.75, 1])
            assert_allclose(group["grid/x"], -1 + (np.arange(16) + 0.5) / 8)
            config = yaml.safe_load(group.attrs["config"])
            assert config["name"] == "2d_diff-react"
            assert list(config["sim"]) == [
                "Du", "Dv", "k", "t", "tdim", "x_left", "x_right", "xdim",
                "y_bottom", "y_top", "ydim", "n", "seed",
            ]  # fmt: skip
            assert config["sim"]["seed"] == 3 + i
            generator = np.random.default_rng(3 + i)
            u = generator.standard_normal(256).reshape(16, 16)
            assert (group["data"][0, :, :, 0] == u.astype("f4")).all()


def test_the_config_has_the_text_of_pdebench_s_own_file(tmp_path):
    out = tmp_path / "x.h5"
    r = recipe.load("fitzhugh-nagumo").override(resolution=(32, 32), initial="pdebench", samples=2)
    factory.generate(r, out)
    with h5py.File(out) as ours, h5py.File(shared_data("pdebench_diff_react_32.h5")) as theirs:
        for key in ours:
            assert ours[key].attrs["config"] == theirs[key].attrs["config"]
            for name in ("data", "grid/x", "grid/y", "grid/t"):
                assert ours[key][name].shape == theirs[key][name].shape
                assert ours[key][name].dtype == theirs[key][name].dtype
            for name in ("grid/x", "grid/y", "grid/t"):
                assert_allclose(ours[key][name], theirs[key][name], rtol=1e-6, atol=1e-7)


def test_one_reader_for_both_files(tmp_path):
    out = tmp_path / "x.h5"
    factory.generate(
        recipe.load("fitzhugh-nagumo").override(resolution=(32, 32), initial="pdebench", samples=4),
        out,
    )
    theirs = dataset.open(shared_data("pdebench_diff_react_32.h5"))
    with dataset.open(out) as ours, theirs:
        assert ours.grid == theirs.grid
        assert ours.grid.boundary == ("neumann", "neumann")
        assert ours.field_names == theirs.field_names == ("u", "v")
        assert_allclose(ours.times, theirs.times)
        a, b = (d.fields("u", 2.5) for d in (ours, theirs))
        assert a.shape == b.shape == (4, 1, 32, 32)
        assert np.linalg.norm(a - b) < 2e-3 * np.linalg.norm(b)
        assert ours.fields("v", 0.0, "test").shape == (1, 1, 32, 32)
        assert ours.fields(["u", "v"], 5.0, "train").shape == (3, 2, 32, 32)


def test_workers_and_first_do_not_change_a_sample(tmp_path):
    for name, changes, workers in (
        ("a", {}, 1),
        ("b", {}, 2),
        ("c", {"first": 3, "samples": 2}, 1),
    ):
        factory.generate(small(**changes), tmp_path / f"{name}.h5", workers=workers)
    assert content(tmp_path / "a.h5") == content(tmp_path / "b.h5")
    whole, part = content(tmp_path / "a.h5"), content(tmp_path / "c.h5")
    assert part["0003"] == whole["0003"]
    assert part["0004/data"] == whole["0004/data"]
    assert leftovers(tmp_path) == []


def test_the_same_recipe_again_verifies_and_another_is_refused_by_name(tmp_path):
    out = tmp_path / "x.h5"
    assert factory.generate(small(), out)["status"] == "written"
    before = out.stat().st_mtime_ns, content(out)
    done = factory.generate(small(), out)
    assert (done["status"], done["kept"]) == ("complete", 5)
    assert factory.generate(small(samples=3), out)["status"] == "complete"
    for change, words in (
        ({"seed": 1}, "seed is 0, not 1"),
        ({"tolerance": 1e-4}, "tolerance is 1e-05, not 0.0001"),
        ({"settings": {"k": 0.02}}, r"parameters\.k is 0.005, not 0.02"),
        ({"resolution": (8, 8)}, "resolution is"),
        ({"initial": {"name": "grf", "cells": 64}}, "initial.cells is not set, not 64"),
        ({"times": "0:1:0.5"}, "times is"),
    ):
        with pytest.raises(ValueError, match=words):
            factory.generate(small(**change), out)
    assert (out.stat().st_mtime_ns, content(out)) == before
    assert leftovers(tmp_path) == []
    factory.generate(small(seed=1), out, force=True)
    assert content(out) != before[1]


def test_more_samples_extend_and_the_zeros_grow(tmp_path):
    a, b = tmp_path / "a.h5", tmp_path / "b.h5"
    start = {"first": 9_998}
    factory.generate(small(samples=2, **start), a)
    assert sorted(h5py.File(a)) == ["9998", "9999"]
    done = factory.generate(small(samples=4, **start), a)
    assert (done["status"], done["kept"]) == ("written", 2)
    factory.generate(small(samples=4, **start), b)
    assert sorted(h5py.File(a)) == ["09998", "09999", "10000", "10001"]
    assert content(a) == content(b)


KILLED = """
import sys, time
from pathlib import Path
from fdiff.dataset import factory, recipe
pause = float(sys.argv[2])
plain = factory.simulate
def slow(*arguments):
    time.sleep(pause)
    return plain(*arguments)
factory.simulate = slow
r = recipe.load("fitzhugh-nagumo").override(resolution=(16, 16), times="0:1:0.25", samples=12)
factory.generate(r, Path(sys.argv[1]), workers=2, progress=lambda i, n: print(i, flush=True))
"""


@pytest.mark.parametrize("after", [1, 5])
def test_a_killed_run_goes_on_where_it_was(tmp_path, after):
    out, calm = tmp_path / "x.h5", tmp_path / "calm.h5"
    child = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(out), "0.1"], stdout=subprocess.PIPE, text=True
    )
    for line in child.stdout:
        if int(line) >= after:
            break
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert not out.exists()
    assert leftovers(tmp_path) == ["x.h5.partial", "x.h5.partial.ledger"]
    r = small(samples=12)
    with pytest.raises(ValueError, match=r"partial holds another dataset: seed is 0, not 7"):
        factory.generate(small(samples=12, seed=7), out)
    done = factory.generate(r, out)
    assert after <= done["kept"] < 12
    factory.generate(r, calm)
    assert content(out) == content(calm)
    assert leftovers(tmp_path) == []


def interrupted(out, r, finished, sealing=False):
    """The pair of files that a kill leaves after some samples."""
    job = factory._Job(r, out, None)
    job.prepare(False, None)
    data = factory.buffer(r)
    for sample in range(r.first, r.first + finished):
        record = factory.simulate(r, sample, data)
        pieces = job.layout.pieces(job.ledger.header["offsets"], sample, data)
        record["checksum"] = [factory.checksum(values) for _, values in pieces]
        for offset, values in pieces:
            factory.write_at(job.descriptor, offset, values)
        job.ledger.add(record)
    if sealing:
        job.ledger.mark_sealing()
    job.close()


def test_a_kill_while_attributes_are_written_loses_no_data(tmp_path):
    out, calm, r = tmp_path / "x.h5", tmp_path / "calm.h5", small()
    interrupted(out, r, 5, sealing=True)
    partial = tmp_path / "x.h5.partial"
    with open(partial, "r+b") as file:  # what HDF5 may leave of its own structures
        file.write(bytes(64))
    done = factory.generate(r, out)
    assert done["kept"] == 5
    factory.generate(r, calm)
    assert content(out) == content(calm)
    assert leftovers(tmp_path) == []


def test_a_record_without_its_data_does_not_count(tmp_path):
    """After a power cut the ledger may know of bytes that never reached the disk."""
    out, calm, r = tmp_path / "x.h5", tmp_path / "calm.h5", small()
    interrupted(out, r, 3)
    ledger = tmp_path / "x.h5.partial.ledger"
    offsets = json.loads(ledger.read_text().splitlines()[0])["offsets"]
    with open(tmp_path / "x.h5.partial", "r+b") as file:
        file.seek(offsets[1] + 40)
        file.write(bytes(8))
    with open(ledger, "a") as file:
        file.write('{"sample": 4, "chec')  # a line that the kill cut
    assert factory.generate(r, out)["kept"] == 2
    factory.generate(r, calm)
    assert content(out) == content(calm)


def test_more_samples_than_the_interrupted_run_keep_what_is_there(tmp_path):
    out, calm = tmp_path / "x.h5", tmp_path / "calm.h5"
    interrupted(out, small(), 3)
    assert factory.generate(small(samples=7), out)["kept"] == 3
    factory.generate(small(samples=7), calm)
    assert content(out) == content(calm)


def test_two_processes_do_not_write_one_file(tmp_path):
    out = tmp_path / "x.h5"
    child = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(out), "0.3"], stdout=subprocess.PIPE, text=True
    )
    child.stdout.readline()
    with pytest.raises(ValueError, match=r"another process is writing x\.h5"):
        factory.generate(small(samples=12), out)
    child.kill()
    child.wait()


def test_foreign_and_damaged_files_are_told_apart(tmp_path):
    out = tmp_path / "x.h5"
    out.write_text("not HDF5")
    with pytest.raises(ValueError, match="no readable HDF5"):
        factory.generate(small(), out)
    assert out.read_text() == "not HDF5"
    with h5py.File(tmp_path / "y.h5", "w") as file:
        file["0000/data"] = np.zeros((1, 4, 4, 1), "f4")
    with pytest.raises(ValueError, match="was not made by `fdiff generate`"):
        factory.generate(small(), tmp_path / "y.h5")
    with pytest.raises(ValueError, match="is a folder"):
        factory.generate(small(), tmp_path)
    factory.generate(small(), out, force=True)
    assert verify(out)["damaged"] == {}
    assert leftovers(tmp_path) == []


def test_verify_finds_altered_and_missing_bytes_and_regenerate_repairs(tmp_path):
    out = tmp_path / "x.h5"
    factory.generate(small(), out)
    before = content(out)
    with h5py.File(out) as file:
        offset = file["0002/data"].id.get_offset()
    with open(out, "r+b") as file:
        file.seek(offset + 123)
        byte = file.read(1)[0]
        file.seek(offset + 123)
        file.write(bytes([byte ^ 1]))
    assert verify(out)["damaged"] == {2: "its bytes have another checksum"}
    with pytest.raises(ValueError, match=r"damaged in 1 of 5 samples \(2: .*--repair"):
        factory.generate(small(), out)
    found = regenerate(out, 2)
    assert (found["same"], found["recorded"]) == (False, True)
    assert regenerate(out, 2, repair=True)["repaired"]
    assert content(out) == before
    assert regenerate(out, 4)["same"]
    with pytest.raises(ValueError, match="samples 0 to 4, not 5"):
        regenerate(out, 5)
    size = out.stat().st_size
    os.truncate(out, size // 2)
    with pytest.raises(ValueError, match="truncated"):
        verify(out)


def test_a_full_disk_leaves_nothing(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(OSError, match="No space"):
        factory.generate(small(), tmp_path / "x.h5")
    assert list(tmp_path.iterdir()) == []


LIMITED = """
import resource, sys
from fdiff.cli import main
hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), hard))
sys.exit(main(sys.argv[2:]))
"""


@pytest.mark.parametrize("phase", ["creating", "sealing"])
def test_a_limit_that_hdf5_meets_is_told_and_costs_nothing(tmp_path, phase):
    """Files may not be larger than a limit: to HDF5 the same as the end of a disk."""
    pytest.importorskip("resource")
    out, calm, r = tmp_path / "x.h5", tmp_path / "calm.h5", mixture()
    factory.layout_of(r).create(calm)
    created = calm.stat().st_size
    factory.generate(r, calm, force=True)
    limit = created - 100 if phase == "creating" else (created + calm.stat().st_size) // 2
    command = ["generate", "paper-mixture", "--samples", "40", "--resolution", "8"]
    child = subprocess.run(
        [sys.executable, "-c", LIMITED, str(limit), *command, "--workers", "1", "--out", str(out)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert child.returncode
    assert "files of that size are not allowed here" in child.stderr
    assert leftovers(tmp_path) == (
        [] if phase == "creating" else ["x.h5.partial", "x.h5.partial.ledger"]
    )
    assert factory.generate(r, out)["kept"] == (0 if phase == "creating" else 40)
    assert content(out) == content(calm)


def mixture(**changes):
    """A recipe that needs no kernel."""
    values = {"samples": 40, "resolution": (8, 8)} | changes
    return recipe.load("paper-mixture").override(**values)


@pytest.mark.parametrize("phase", [1, 2])
def test_a_disk_without_room_is_told_before_hdf5_meets_it(tmp_path, monkeypatch, phase):
    import fdiff.files

    full, calls = OSError(28, "No space left on device"), []

    def usage(_):
        calls.append(1)
        return type("Usage", (), {"free": 0 if len(calls) == phase else 10**12})

    with monkeypatch.context() as patch:
        patch.setattr(fdiff.files.shutil, "disk_usage", usage)
        with pytest.raises(OSError, match=full.strerror):
            factory.generate(mixture(), tmp_path / "x.h5")
    assert len(leftovers(tmp_path)) == (0 if phase == 1 else 2)
    assert factory.generate(mixture(), tmp_path / "x.h5")["kept"] == (0 if phase == 1 else 40)
    factory.generate(mixture(), tmp_path / "calm.h5")
    assert content(tmp_path / "x.h5") == content(tmp_path / "calm.h5")


def test_a_trajectory_that_explodes_is_recorded_and_not_dropped(tmp_path, monkeypatch):
    plain = pde.trajectory

    def sometimes(system, state, grid, times, tolerance, out, method):
        if abs(state[0, 0, 0] - marked) < 1e-12:
            raise pde.DivergenceError("fitzhugh-nagumo: made to fail after t = 0.6", 0.6)
        return plain(system, state, grid, times, tolerance, out, method)

    r = small()
    marked = r.law.draw(r.system_of(1), r.grid, r.seed, 1)[0, 0, 0]
    monkeypatch.setattr(pde, "trajectory", sometimes)
    out = tmp_path / "x.h5"
    done = factory.generate(r, out)
    assert done["failed"] == {1: "fitzhugh-nagumo: made to fail after t = 0.6"}
    with h5py.File(out) as file:
        assert np.isnan(file["0001/data"][3:]).all()
        assert "made to fail" in json.loads(file["0001"].attrs["fdiff"])["failed"]
        assert list(json.loads(file.attrs["fdiff"])["failed"]) == ["1"]
    assert verify(out)["failed"] == done["failed"]
    with dataset.open(out) as file, pytest.warns(UserWarning, match="1 of 5 samples .* failed"):
        assert file.fields("u", 1.0).shape == (4, 1, 16, 16)


def test_samples_know_their_error_and_the_file_its_statistics(tmp_path):
    out = tmp_path / "x.h5"
    factory.generate(small(samples=3), out)
    with h5py.File(out) as file:
        record = json.loads(file["0001"].attrs["fdiff"])
        assert record["steps"] > 3
        assert 0 < record["time_error"] < 1e-4
        assert 0 < record["tail_energy"] < 1
        assert record["parameters"] == {"Du": 1e-3, "Dv": 5e-3, "k": 5e-3}
        root = json.loads(file.attrs["fdiff"])
        values = np.stack([file[key]["data"][...] for key in file]).astype(float)
    for c, name in enumerate("uv"):
        known = root["statistics"][name]
        assert_allclose(known["mean"], values[..., c].mean(), rtol=1e-5, atol=1e-8)
        assert_allclose(known["std"], values[..., c].std(), rtol=1e-5)
        # Parseval: the shells add up to the mean energy at the last time.
        energy = (values[:, -1, :, :, c] ** 2).mean() * 4.0
        assert_allclose(sum(known["spectrum"]), energy, rtol=1e-5)


def test_overlap_is_seen_across_resolutions_and_seeds(tmp_path):
    names = {}
    for name, changes in {
        "a": {},
        "fine": {"resolution": (24, 24), "times": "0.5", "samples": 2},
        "other": {"seed": 1},
        "k": {"settings": {"k": 0.01}},
        "p0": {"initial": "pdebench", "seed": 0},
        "p1": {"initial": "pdebench", "seed": 1},
    }.items():
        factory.generate(small(**changes), tmp_path / f"{name}.h5")
        with dataset.open(tmp_path / f"{name}.h5") as file:
            names[name] = set(file.identities())
    assert names["fine"] < names["a"]  # the same functions on another grid
    assert not names["a"] & (names["other"] | names["k"] | names["p0"])
    assert len(names["p0"] & names["p1"]) == 4  # PDEBench's seeds share all but one
    assert dataset.overlap(tmp_path / "a.h5", tmp_path / "fine.h5") == names["fine"]
    assert not dataset.overlap(tmp_path / "a.h5", tmp_path / "k.h5")


def test_splits_follow_the_recipe_or_the_last_tenth(tmp_path):
    factory.generate(small(samples=20), tmp_path / "a.h5")
    r = recipe.from_dict(
        small(samples=20).as_dict() | {"splits": {"train": 0.7, "valid": 0.1, "test": 0.2}}
    )
    factory.generate(r, tmp_path / "b.h5")
    with dataset.open(tmp_path / "a.h5") as a, dataset.open(tmp_path / "b.h5") as b:
        assert (a.indices("train"), a.indices("test")) == (range(18), range(18, 20))
        assert [b.indices(s) for s in ("train", "valid", "test")] == [
            range(14), range(14, 16), range(16, 20),
        ]  # fmt: skip


def test_shards_join_into_one_dataset_and_may_come_in_any_order(tmp_path):
    whole, out, r = tmp_path / "whole.h5", tmp_path / "x.h5", small(samples=7)
    factory.generate(r, whole)
    for i in (2, 0, 1):
        assert not out.exists()
        shards.generate(r, out, i, 3)
    assert verify(out)["damaged"] == {}
    with dataset.open(out) as a, dataset.open(whole) as b:
        assert a.grid == b.grid
        assert (a.fields("v", 0.5) == b.fields("v", 0.5)).all()
        assert list(a.identities()) == list(b.identities())
        for name in "uv":
            for key in ("mean", "std", "spectrum"):
                ours, theirs = (d.provenance["statistics"][name][key] for d in (a, b))
                assert_allclose(ours, theirs, rtol=1e-5, atol=1e-9)
    assert factory.generate(r, out)["status"] == "complete"
    assert regenerate(out, 5)["same"]
    with pytest.raises(ValueError, match="seed is 0, not 4"):
        shards.generate(small(samples=7, seed=4), out, 0, 3)
    parts = [tmp_path / f"x.{i}-of-3.h5" for i in range(3)]
    kept = content(parts[1])
    parts[1].unlink()
    found = verify(out)
    (reason,) = set(found["unreadable"].values())
    assert "its shard x.1-of-3.h5 (3 in all) is missing" in reason
    assert (list(found["unreadable"]), found["damaged"]) == ([2, 3], {})
    assert verify(out)["unknown"] == 0
    shards.generate(r, out, 1, 3)
    assert content(parts[1]) == kept
    assert verify(out)["damaged"] == {}
    assert shards.generate(r, whole, 1, 3)["status"] == "complete"
    assert shards.parse("3/3") == shards.parse("0/3") == (0, 3)
    with pytest.raises(ValueError, match="i/n"):
        shards.parse("4")


def test_shards_are_extended_by_others(tmp_path):
    """Parts that are there stay as they are; the zeros of the names grow in the master alone."""
    out, whole, start = tmp_path / "x.h5", tmp_path / "whole.h5", {"first": 9_998}
    shards.generate(small(samples=2, **start), out, 0, 1)
    before = (tmp_path / "x.0-of-1.h5").read_bytes()
    longer = small(samples=6, **start)
    for i in (1, 0):
        assert len(dataset.open(out)) == 2
        shards.generate(longer, out, i, 2)
    assert (tmp_path / "x.0-of-1.h5").read_bytes() == before
    shards.generate(small(samples=7, **start), out, 0, 1)
    factory.generate(small(samples=7, **start), whole)
    assert verify(out)["damaged"] == {}
    with dataset.open(out) as a, dataset.open(whole) as b:
        assert a.view.keys == b.view.keys
        assert (a.fields("u", 0.5) == b.fields("u", 0.5)).all()
        assert list(a.identities()) == list(b.identities())
    assert sorted(path.name for path in tmp_path.glob("x*")) == [
        "x.0-of-1.h5", "x.from-10000.0-of-2.h5", "x.from-10000.1-of-2.h5",
        "x.from-10004.0-of-1.h5", "x.h5",
    ]  # fmt: skip
    assert shards.generate(longer, out, 0, 2)["status"] == "complete"
    assert regenerate(out, 10_003)["same"]


def test_drawn_parameters_are_kept_with_each_sample(tmp_path):
    law = {"Du": {"loguniform": [5e-4, 2e-3]}, "k": {"uniform": [0.0, 0.01]}}
    r = recipe.from_dict(small(samples=6).as_dict() | {"parameters": law})
    factory.generate(r, tmp_path / "x.h5", workers=2)
    with h5py.File(tmp_path / "x.h5") as file:
        drawn = [json.loads(file[key].attrs["fdiff"])["parameters"] for key in file]
        config = yaml.safe_load(file["0004"].attrs["config"])["sim"]
    assert config["Du"] == drawn[4]["Du"]
    assert len({d["Du"] for d in drawn}) == len({d["k"] for d in drawn}) == 6
    assert all(5e-4 < d["Du"] < 2e-3 and 0 < d["k"] < 0.01 for d in drawn)
    assert drawn[2] == r.parameters_of(2)
    assert regenerate(tmp_path / "x.h5", 3)["same"]


def test_the_well_s_layout_has_what_its_checker_asks_for(tmp_path):
    out = tmp_path / "x.hdf5"
    law = {"Du": {"uniform": [1e-3, 2e-3]}}
    r = recipe.from_dict(
        small(resolution=(8, 12), samples=3).as_dict() | {"format": "well", "parameters": law}
    )
    factory.generate(r, out, workers=2)
    with h5py.File(out) as file:
        assert set(file) == {
            "dimensions", "boundary_conditions", "scalars", "t0_fields", "t1_fields", "t2_fields",
        }  # fmt: skip
        a = file.attrs
        assert (a["dataset_name"], a["grid_type"]) == ("2d_diff-react", "cartesian")
        assert (a["n_spatial_dims"], a["n_trajectories"]) == (2, 3)
        assert list(a["simulation_parameters"]) == ["Dv", "k"]
        assert a["Dv"] == 5e-3
        assert list(file["dimensions"].attrs["spatial_dims"]) == ["x", "y"]
        assert {k: file["dimensions"][k].shape for k in file["dimensions"]} == {
            "time": (5,), "x": (12,), "y": (8,),
        }  # fmt: skip
        assert file["dimensions/time"].attrs["time_varying"]
        assert not file["dimensions/x"].attrs["time_varying"]
        for name, n in (("x_wall", 12), ("y_wall", 8)):
            wall = file["boundary_conditions"][name]
            assert wall.attrs["bc_type"] == "WALL"
            assert list(wall.attrs["associated_dims"]) == [name[0]]
            assert len(wall.attrs["associated_fields"]) == 0
            mask = wall["mask"][...]
            assert mask.dtype == bool
            assert mask.shape == (n,)
            assert mask.sum() == 2
        assert list(file["scalars"].attrs["field_names"]) == ["Du", "Dv", "k"]
        assert file["scalars/Du"].shape == (3,)
        assert file["scalars/Du"].attrs["sample_varying"]
        assert file["scalars/k"].shape == ()
        assert list(file["t0_fields"].attrs["field_names"]) == ["u", "v"]
        for name in "uv":
            field = file["t0_fields"][name]
            assert field.shape == (3, 5, 12, 8)
            assert field.dtype == np.dtype("<f4")
            assert list(field.attrs["dim_varying"]) == [True, True]
            assert field.attrs["sample_varying"]
            assert field.attrs["time_varying"]
        for order in (1, 2):
            assert len(file[f"t{order}_fields"].attrs["field_names"]) == 0


def test_both_layouts_hold_the_same_numbers(tmp_path):
    stacked = recipe.from_dict(small(resolution=(8, 12)).as_dict() | {"format": "well"})
    factory.generate(small(resolution=(8, 12)), tmp_path / "p.h5")
    factory.generate(stacked, tmp_path / "w.hdf5")
    with dataset.open(tmp_path / "p.h5") as p, dataset.open(tmp_path / "w.hdf5") as w:
        assert p.grid == w.grid
        assert_allclose(p.times, w.times)
        for name in "uv":
            for split in ("train", "test", None):
                assert (p.fields(name, 0.75, split) == w.fields(name, 0.75, split)).all()
        assert list(p.identities()) == list(w.identities())
        assert p.provenance["statistics"] == w.provenance["statistics"]
    assert factory.generate(stacked, tmp_path / "w.hdf5")["status"] == "complete"
    assert regenerate(tmp_path / "w.hdf5", 3)["same"]
    longer = recipe.from_dict(stacked.as_dict() | {"samples": 8})
    assert factory.generate(longer, tmp_path / "w.hdf5")["kept"] == 5
    factory.generate(longer, tmp_path / "w8.hdf5")
    assert content(tmp_path / "w.hdf5") == content(tmp_path / "w8.hdf5")


@pytest.mark.parametrize("name", recipe.names())
def test_every_recipe_makes_a_file_that_reproduces(tmp_path, name):
    r = recipe.load(name)
    sides = (12,) * len(r.resolution)
    times = r.stored_times[: 2 if len(r.stored_times) > 1 else 1]
    small = {"resolution": sides, "times": times.tolist(), "samples": 2}
    if r.initial["name"] == "images":
        pixels = np.random.default_rng(0).integers(0, 256, (2, 28, 28), np.uint8)
        (tmp_path / "train-images-idx3-ubyte").write_bytes(encode(pixels))
        small["initial"] = f"images:{tmp_path}"
    r = recipe.from_dict(r.as_dict() | small)
    factory.generate(r, tmp_path / "x.h5", workers=2)
    assert regenerate(tmp_path / "x.h5", 1)["same"]
    with dataset.open(tmp_path / "x.h5") as file:
        assert file.grid == r.grid
        assert np.isfinite(file.fields(r.field_names)).all()


def test_initial_states_can_come_from_a_file(tmp_path):
    factory.generate(small(resolution=(32, 32)), tmp_path / "fine.h5")
    start = {"name": "file", "path": str(tmp_path / "fine.h5"), "time": 0.5}
    factory.generate(small(initial=start, times="0:0.5:0.25"), tmp_path / "x.h5")
    with dataset.open(tmp_path / "fine.h5") as fine, dataset.open(tmp_path / "x.h5") as file:
        from fdiff.levels import restrict_field

        expected = restrict_field(fine.fields("v", 0.5).astype(float), fine.grid, file.grid)
        assert_allclose(file.fields("v", 0.0), expected, atol=1e-6)
    for path, samples, words in (
        (start["path"], 6, "holds samples 0 to 4"),
        (str(tmp_path / "none.h5"), 1, "no such file"),
        (str(tmp_path), 1, "is a folder"),
    ):
        r = small(initial=start | {"path": path}, times="0:0.5:0.25", samples=samples)
        with pytest.raises((ValueError, FileNotFoundError), match=words):
            factory.generate(r, tmp_path / "y.h5")
    assert not list(tmp_path.glob("y.h5*"))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"system": "nope"}, "there are"),
        ({"samples": 0}, "recipe key samples: between 1"),
        ({"tolerance": 2.0}, "recipe key tolerance: between"),
        ({"times": "0:1:0.3"}, "recipe key times: the step"),
        ({"times": "1:0:0.5"}, "recipe key times"),
        ({"times": [1.0, 0.5]}, "recipe key times: times must increase"),
        ({"initial": "noise"}, "recipe key initial: no initial law"),
        ({"initial": {"name": "grf", "size": 3}}, "recipe key initial"),
        ({"boundary": "open"}, "recipe key boundary: one of"),
        ({"lengths": -1.0}, "recipe key lengths: a length is > 0"),
        ({"parameters": {"Dw": 1.0}}, r"recipe key parameters.Dw: .* Du, Dv, k"),
        ({"parameters": {"Du": "fast"}}, r"recipe key parameters.Du: expected a finite number"),
        ({"parameters": {"Du": {"normal": [0, 1]}}}, "uniform"),
        ({"format": "csv"}, "recipe key format: one of pdebench"),
        ({"splits": {"train": 0.5}}, "recipe key splits: shares"),
        ({"colour": "red"}, "recipe key colour is unknown"),
        ({"seed": -1}, "recipe key seed: between 0"),
    ],
)
def test_a_recipe_names_the_key_and_the_range(changes, words):
    with pytest.raises(ValueError, match=words):
        recipe.from_dict({"system": "fitzhugh-nagumo"} | changes)


@pytest.mark.parametrize("name", recipe.names())
def test_every_recipe_that_comes_along_is_valid(name):
    r = recipe.load(name)
    assert r.about
    assert recipe.from_dict(r.as_dict()) == r


def test_times_are_points_or_ranges_with_their_end():
    assert_allclose(recipe.parse_times("0:5:0.05"), np.linspace(0, 5, 101), rtol=0, atol=1e-15)
    assert_allclose(recipe.parse_times("2.5"), [2.5])
    assert_allclose(recipe.parse_times("0.5,1"), [0.5, 1.0])


@pytest.mark.slow
def test_many_kills_at_random_moments(tmp_path):
    """Kills from the imports to amid the samples; what was recorded before one is never lost."""
    out, calm = tmp_path / "x.h5", tmp_path / "calm.h5"
    ledger = tmp_path / "x.h5.partial.ledger"
    rng, kept = np.random.default_rng(0), [0]
    while kept[-1] < 8:
        child = subprocess.Popen(
            [sys.executable, "-c", KILLED, str(out), "0.5"], stdout=subprocess.PIPE, text=True
        )
        if len(kept) % 2:
            child.stdout.readline()  # after a new sample; else at any moment from the imports on
        time.sleep(0.4 * rng.random() if len(kept) % 2 else 0.6 + rng.random())
        child.send_signal(signal.SIGKILL)
        child.wait()
        child.stdout.close()
        lines = ledger.read_bytes().split(b"\n")[:-1] if ledger.exists() else []
        kept.append(len({json.loads(x)["sample"] for x in lines if b'"checksum"' in x}))
        assert kept[-1] >= kept[-2] + (len(kept) + 1) % 2
    r = small(samples=12)
    assert factory.generate(r, out)["kept"] == kept[-1]
    factory.generate(r, calm)
    assert content(out) == content(calm)
    assert leftovers(tmp_path) == []
