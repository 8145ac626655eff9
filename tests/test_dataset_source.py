"""Initial states from a file or a folder: the law is what it holds, not what it is called."""

import json
import re
from dataclasses import replace

import h5py
import numpy as np
import pytest
from test_dataset import content, small
from test_dataset_opening import copied
from test_idx import encode

from fdiff import dataset
from fdiff.cli import main
from fdiff.dataset import factory, recipe, shards, tree
from fdiff.dataset.verify import regenerate, verify

TIMES = "0.25,0.5"  # no time 0, at which the states could be compared with the stored ones
CHANGED = "initial fields come from .*, whose content is not the one recorded"


def source(path, seed=0, samples=8, **changes):
    factory.generate(small(seed=seed, samples=samples, times="0:0.5:0.5", **changes), path)
    return path


def started(path, out, **changes):
    """A dataset of solutions that start from the last states of the file ``path``."""
    r = small(**({"samples": 8, "times": TIMES} | changes | {"initial": f"file:{path}"}))
    factory.generate(r, out)
    return out


def identities(path):
    with dataset.open(path) as file:
        return list(file.identities())


def overlap(a, b):
    return len(set(identities(a)) & set(identities(b)))


def test_solutions_are_equal_where_their_initial_values_are(tmp_path):
    a, b = source(tmp_path / "a.h5"), source(tmp_path / "b.h5", seed=9)
    one = started(a, tmp_path / "one.h5")
    renamed = tmp_path / "c.h5"
    renamed.write_bytes(a.read_bytes())
    for i, options in enumerate(({"dtype": ">f4"}, {"dtype": "f8"}, {"compression": "gzip"})):
        copy = copied(a, tmp_path / f"copy{i}.h5", **options)
        assert identities(started(copy, tmp_path / f"of{i}.h5")) == identities(one)
    assert identities(started(renamed, tmp_path / "two.h5")) == identities(one)
    # Another seed changes nothing where nothing is drawn; it is what else acts that counts.
    assert identities(started(a, tmp_path / "seeded.h5", seed=4)) == identities(one)
    for name, changes in {
        "law": {},
        "grid": {"resolution": (8, 8)},
        "parameter": {"parameters": {"k": 0.02}},
    }.items():
        path = b if name == "law" else a
        assert overlap(started(path, tmp_path / f"{name}.h5", **changes), one) == 0
    # Content of another name, in the file that had the first one's.
    a.write_bytes(b.read_bytes())
    other = started(a, tmp_path / "three.h5")
    assert overlap(other, one) == 0
    assert overlap(other, tmp_path / "law.h5") == 8


def test_drawn_parameters_and_forcing_are_part_of_a_solution(tmp_path):
    a = source(tmp_path / "a.h5")
    law = {"parameters": {"k": {"uniform": [0.001, 0.01]}}}
    drawn = started(a, tmp_path / "x.h5", **law)
    assert overlap(drawn, started(a, tmp_path / "y.h5", **law, seed=1)) == 0
    assert overlap(drawn, started(a, tmp_path / "z.h5", **law, samples=3)) == 3
    forced = {
        "forcing": {"step": 0.01, "covariance": {"family": "bessel", "scale": 1.0, "shift": 1.0,
                                                 "power": 2.0}},
    }  # fmt: skip
    f = started(a, tmp_path / "f.h5", **forced)
    assert overlap(f, started(a, tmp_path / "g.h5", **forced, seed=1)) == 0
    assert overlap(f, started(a, tmp_path / "h.h5", **forced)) == 8


def line(capsys, *words):
    capsys.readouterr()
    status = main([str(word) for word in words])
    return status, capsys.readouterr()


def test_a_changed_source_extends_confirms_and_regenerates_nothing(tmp_path, capsys):
    a = source(tmp_path / "a.h5")
    out = started(a, tmp_path / "x.h5", samples=4)
    kept, good = content(out), a.read_bytes()
    assert verify(out)["source"] == ""
    source(tmp_path / "b.h5", seed=9)
    a.write_bytes((tmp_path / "b.h5").read_bytes())
    for samples in (4, 6):
        with pytest.raises(ValueError, match=f"{CHANGED} .* back, or choose another --out$"):
            started(a, out, samples=samples)
    with pytest.raises(ValueError, match=f"{CHANGED} .*: bring the former file back$"):
        regenerate(out, 1)
    status, said = line(capsys, "verify", out, "--json")
    assert status == 0
    assert json.loads(said.out)["damaged"] == {}
    assert "whose content is not the one recorded (sample 0 and 3 others" in said.err
    assert "bring the former file back\n" in said.err  # `verify` has no --out
    assert "4 samples are intact" in said.err
    assert content(out) == kept
    # One changed state of a file is a change; a source that only grew is none.
    a.write_bytes(good)
    source(a, samples=9)
    assert verify(out)["source"] == ""
    with h5py.File(a, "r+") as file:
        file["0002/data"][-1, 3, 4, 1] += 1e-3
    with pytest.raises(ValueError, match=r"recorded \(sample 2 started"):
        started(a, out, samples=6)
    a.write_bytes(good)
    started(a, out, samples=6)
    started(a, tmp_path / "whole.h5", samples=6)
    assert content(out) == content(tmp_path / "whole.h5")


def test_a_source_that_is_gone_is_told_and_its_dataset_stays_intact(tmp_path, capsys):
    a = source(tmp_path / "a.h5")
    out = started(a, tmp_path / "x.h5")
    moved = a.rename(tmp_path / "moved.h5")
    status, said = line(capsys, "verify", out)
    assert status == 0
    assert "a.h5, which is not there" in said.err
    # The grid is too coarse, and no finer one can be tried.
    assert "not resolved by the grid" in said.err
    # Commands that need it say which it is.
    status, said = line(capsys, "show", out, "--sample", 1, "--out", tmp_path / "p.png")
    assert status == 0
    assert f"no finer grid was tried: sample 1 starts from {a}, which is not there" in said.err
    status, said = line(capsys, "regenerate", out, "--sample", 1)
    assert status == 1
    assert f"sample 1 of {out} starts from {a}, which is not there: bring it back" in said.err
    # The same content under its new name goes on with the dataset.
    started(moved, out)
    assert verify(out)["damaged"] == {}


def test_no_grid_is_advised_from_another_source_than_the_recorded_one(tmp_path, capsys):
    a = source(tmp_path / "a.h5", resolution=(64, 64))
    out, picture = started(a, tmp_path / "x.h5"), tmp_path / "p.png"
    for command in (("verify", out), ("show", out, "--out", picture)):
        assert re.search(r"--resolution \d+,\d+ resolves", line(capsys, *command)[1].err)
    b = source(tmp_path / "b.h5", seed=9, resolution=(64, 64))
    a.write_bytes(b.read_bytes())
    for command in (("verify", out), ("show", out, "--out", picture)):
        status, said = line(capsys, *command)
        assert status == 0
        assert "not resolved by the grid" in said.err
        assert "whose content is not the one recorded" in said.err
        assert "no finer grid was tried: sample" in said.err
        assert "--resolution" not in said.err
        assert "--dry-run" not in said.err


def test_a_source_that_cannot_be_read_says_nothing_against_its_dataset(tmp_path):
    a = source(tmp_path / "a.h5")
    out = started(a, tmp_path / "x.h5")
    a.write_bytes(a.read_bytes()[:5000])
    report = verify(out)
    assert report["damaged"] == {}
    assert "not known" in report["source"]
    assert "truncated" in report["source"]


def test_a_source_is_opened_as_often_for_many_samples_as_for_few(tmp_path, monkeypatch):
    """Opening costs as much as there are samples in the file, so once for each would be squared."""
    a = source(tmp_path / "a.h5", samples=9)
    opened = []
    plain = dataset.Dataset.__init__

    def counting(self, path, *rest, **options):
        opened.append(path)
        plain(self, path, *rest, **options)

    monkeypatch.setattr(dataset.Dataset, "__init__", counting)

    def openings(action):
        opened.clear()
        action()
        return len(opened)

    def run(samples, workers):
        out = tmp_path / f"x{samples}.h5"
        r = small(samples=samples, times=TIMES, initial=f"file:{a}")
        return [
            openings(lambda: factory.generate(r, out, workers=workers)),
            openings(lambda: verify(out)),
            openings(lambda: factory.generate(r, out)),
        ]

    assert run(9, workers=3) == run(2, workers=1)
    with dataset.open(tmp_path / "x9.h5") as many, dataset.open(tmp_path / "x2.h5") as few:
        assert list(many.identities())[:2] == list(few.identities())


def test_an_interrupted_run_does_not_go_on_with_another_source(tmp_path, monkeypatch):
    a = source(tmp_path / "a.h5")
    plain = factory.simulate

    def broken(r, sample, data):
        if sample == 3:
            raise KeyboardInterrupt
        return plain(r, sample, data)

    with monkeypatch.context() as patch:
        patch.setattr(factory, "simulate", broken)
        with pytest.raises(KeyboardInterrupt):
            started(a, tmp_path / "x.h5")
    good = a.read_bytes()
    source(tmp_path / "b.h5", seed=9)
    a.write_bytes((tmp_path / "b.h5").read_bytes())
    with pytest.raises(ValueError, match=CHANGED):
        started(a, tmp_path / "x.h5")
    a.write_bytes(good)
    started(a, tmp_path / "x.h5")
    assert overlap(tmp_path / "x.h5", started(a, tmp_path / "y.h5")) == 8


def test_shards_and_folders_of_two_sources_are_not_joined(tmp_path):
    a, b = source(tmp_path / "a.h5"), source(tmp_path / "b.h5", seed=9)
    r = small(samples=8, times=TIMES, initial=f"file:{a}")
    shards.generate(r, tmp_path / "x.h5", 0, 2)
    good = a.read_bytes()
    a.write_bytes(b.read_bytes())
    with pytest.raises(ValueError, match=CHANGED):
        shards.generate(r, tmp_path / "x.h5", 1, 2)
    a.write_bytes(good)
    folders = replace(r, format="well", splits={"train": 0.75, "valid": 0.25})
    tree.generate(folders, tmp_path / "w")
    assert tree.verify(tmp_path / "w")["source"] == ""
    a.write_bytes(b.read_bytes())
    with pytest.raises(ValueError, match=CHANGED):
        tree.generate(folders, tmp_path / "w")
    assert "not the one recorded" in tree.verify(tmp_path / "w")["source"]


def test_images_that_changed_are_another_law(tmp_path):
    images = tmp_path / "train-images-idx3-ubyte"
    pixels = np.random.default_rng(0).integers(0, 256, (6, 28, 28), np.uint8)
    images.write_bytes(encode(pixels))
    r = recipe.from_dict(
        {"system": "none", "initial": f"images:{tmp_path}", "resolution": 16, "samples": 3}
    )
    factory.generate(r, tmp_path / "x.h5")
    assert verify(tmp_path / "x.h5")["source"] == ""
    images.write_bytes(encode(pixels[::-1]))
    with pytest.raises(ValueError, match=CHANGED):
        factory.generate(replace(r, samples=5), tmp_path / "x.h5")
    images.write_bytes(encode(pixels))
    assert factory.generate(replace(r, samples=5), tmp_path / "x.h5")["kept"] == 3


def by_name(path, names):
    """The file as an earlier version recorded it: identities that name the source's path."""
    with h5py.File(path, "r+") as file:
        for i, key in enumerate(sorted(file)):
            record = json.loads(file[key].attrs["fdiff"]) | {"identity": f"{names}:0:{i}"}
            file[key].attrs["fdiff"] = json.dumps(record)


@pytest.mark.parametrize("times", ["0:0.5:0.25", TIMES])
def test_files_that_record_only_the_name_of_their_source_stay_as_they_are(tmp_path, times):
    a = source(tmp_path / "a.h5", resolution=(32, 32))
    out = started(a, tmp_path / "x.h5", times=times, samples=4)
    by_name(out, "0123456789abcdef")
    report = verify(out)
    assert (report["damaged"], report["failed"]) == ({}, {})
    assert ("is not known" in report["source"]) == (times == TIMES)
    assert regenerate(out, 2)["same"]
    assert identities(out)[1] == "0123456789abcdef:0:1"
    good = a.read_bytes()
    source(tmp_path / "b.h5", seed=9, resolution=(32, 32))
    a.write_bytes((tmp_path / "b.h5").read_bytes())
    if times != TIMES:  # the stored time 0 tells
        assert "not the one recorded" in verify(out)["source"]
        with pytest.raises(ValueError, match=CHANGED):
            started(a, out, times=times, samples=5)
    a.write_bytes(good)
    started(a, out, times=times, samples=5)
    assert [i.split(":")[0] for i in identities(out)] == ["0123456789abcdef"] * 4 + ["content"]
