"""Files that cannot be opened or read: each says why, and none is called damaged that is not."""

import io
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import h5py
import numpy as np
import pytest
from test_dataset import content, small

from fdiff import dataset
from fdiff.cli import main
from fdiff.dataset import factory, opening, shards
from fdiff.dataset.verify import complaints, regenerate, verify
from fdiff.errors import UnreadableHere

# What would destroy a file that is good, or make one for nothing.
DANGEROUS = re.compile("--force|--repair|replace|make it again|remove it")


def made(path, layout="pdebench", **changes):
    factory.generate(small(format=layout, **changes), path)
    return path


def copied(path, out, **options):
    """A copy by another program: the same names and attributes, data stored in another way."""
    with h5py.File(path) as source, h5py.File(out, "w") as target:

        def copy(name, item):
            if isinstance(item, h5py.Group):
                new = target.require_group(name)
            elif name.split("/")[-1] in ("data", "u", "v"):
                new = target.create_dataset(name, data=item[...], **options)
            else:
                new = target.create_dataset(name, data=item[...])
            new.attrs.update(item.attrs)

        source.visititems(copy)
        target.attrs.update(source.attrs)
    return out


def with_unknown_filter(path, out):
    """A copy whose values are packed by a filter that is registered nowhere."""
    copied(path, out, fletcher32=True, chunks=True)
    known, unknown = (number.to_bytes(2, "little") for number in (3, 40001))
    raw = out.read_bytes()
    # HDF5 writes a filter's number, three more, and its name: only the number is changed.
    header = re.compile(re.escape(known) + rb"(?=.{6}fletcher32)", re.DOTALL)
    assert header.search(raw)
    out.write_bytes(header.sub(unknown, raw))
    return out


def sentence(path, kind=ValueError):
    """What opening a file and reading it says."""
    with pytest.raises(kind) as caught, dataset.open(path) as file:
        file.fields()
    said = str(caught.value)
    assert str(path) in said
    assert "\n" not in said
    assert not DANGEROUS.search(said)
    return said


def said_by(capsys, *words):
    """The one line on stderr of a command that fails."""
    capsys.readouterr()
    assert main([str(word) for word in words]) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1, said
    return said


HOLD = """
import h5py, sys
f = h5py.File(sys.argv[1], sys.argv[2]{})
{}
print(1, flush=True)
input()
"""


@pytest.fixture
def held():
    """Files that other processes hold open."""
    children = []

    def hold(path, mode, options="", then="pass"):
        child = subprocess.Popen(
            [sys.executable, "-c", HOLD.format(options, then), str(path), mode],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        child.stdout.readline()
        children.append(child)
        return child

    yield hold
    for child in children:
        child.kill()
        child.wait()


def test_a_file_that_another_process_writes_is_told_and_left(tmp_path, capsys, held):
    path, other = made(tmp_path / "x.h5"), made(tmp_path / "y.h5", seed=1)
    before = content(path)
    child = held(path, "r+")
    assert "is open in another process that writes it" in sentence(path, UnreadableHere)
    for words in (
        ("verify", path),
        ("generate", "fitzhugh-nagumo", "--out", path, "--samples", 9),
        ("evaluate", other, "--against", path),
    ):
        said = said_by(capsys, *words)
        assert "is open in another process" in said
        assert not DANGEROUS.search(said)
    child.kill()
    child.wait()
    assert content(path) == before
    assert verify(path)["damaged"] == verify(path)["unreadable"] == {}


def test_a_file_whose_writer_died_is_told_from_a_damaged_one(tmp_path, held):
    path = tmp_path / "x.h5"
    child = held(path, "w", ", libver='latest'", "f['0000/data'] = [[[[0.0]]]]; f.flush()")
    child.kill()
    child.wait()
    said = sentence(path, UnreadableHere)
    assert "marked as open for writing" in said
    assert f"h5clear -s {path}" in said


def test_a_file_system_without_locks_is_named(tmp_path, monkeypatch):
    path = made(tmp_path / "x.h5")
    words = "Unable to open file (unable to lock file, errno = 37, error message = 'No locks')"

    def without_locks(*_):
        raise OSError(words)

    monkeypatch.setattr(h5py, "File", without_locks)
    assert "HDF5_USE_FILE_LOCKING=FALSE" in sentence(path, UnreadableHere)


def packed(**arrays):
    target = io.BytesIO()
    np.savez(target, **arrays)
    return target.getvalue()


def plain():
    target = io.BytesIO()
    np.save(target, np.zeros(3))
    return target.getvalue()


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"", "is empty"),
        (bytes(9000), "zeros only"),
        (plain(), r"NumPy array \(.npy\).*write_fields"),
        (packed(u=np.zeros(3), k=np.ones(2)), r"NumPy arrays \(.npz: u, k\).*write_fields"),
        (packed(u=np.zeros(3))[:80], "zip archive that is cut short"),
        (b"MATLAB 5.0 MAT-file, Platform: GLNXA64".ljust(200), "MATLAB file"),
        (b"CDF\x01\x00\x00\x00\x00", "netCDF file of the classic format"),
        (b"CDF\x05\x00\x00\x00\x00", "netCDF file of the classic format"),
        (b"\x1f\x8b\x08\x00abc", "gzip"),
        (b"t,x,u\n0,0,1.5\n", "text that begins 't,x,u'"),
        ("ß,".encode() * 4000, "text that begins"),
        (b"<!DOCTYPE html><html>Not found</html>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "git lfs pull"),
        (b"\x00\x01\x02\x03\xff\xfe" * 9, "00 01 02 03 ff fe 00 01"),
    ],
)  # fmt: skip
def test_another_kind_of_file_is_named_by_its_first_bytes(tmp_path, raw, words):
    path = tmp_path / "x.h5"
    path.write_bytes(raw)
    said = sentence(path)
    assert re.search(words, said)
    assert "truncated" not in said


def test_a_file_in_the_way_is_never_advised_to_be_replaced(tmp_path, capsys):
    path = tmp_path / "x.h5"
    path.write_bytes(plain())
    said = said_by(capsys, "generate", "fitzhugh-nagumo", "--out", path)
    assert "NumPy array" in said
    assert "choose another" in said
    assert not DANGEROUS.search(said)
    made(tmp_path / "y.h5")
    said = said_by(capsys, "generate", "fitzhugh-nagumo", "--out", tmp_path / "y.h5", "--seed", 3)
    assert "holds another dataset" in said
    assert not DANGEROUS.search(said)


def test_a_truncated_file_says_how_much_of_it_is_there(tmp_path):
    path = made(tmp_path / "x.h5")
    size = path.stat().st_size
    os.truncate(path, size - 1000)
    said = sentence(path)
    assert f"truncated: {size - 1000} of {size} bytes" in said
    os.truncate(path, 40)
    assert "begins like an HDF5 file" in sentence(path)


def test_a_damaged_structure_is_told_from_another_kind(tmp_path):
    path = made(tmp_path / "x.h5")
    raw = bytearray(path.read_bytes())
    raw[60:2000] = b"\xff" * 1940
    path.write_bytes(raw)
    assert "structure" in sentence(path)


def test_a_missing_permission_stays_one(capsys):
    # pytest's own folders are closed to the user that stands in for root, who may read everything.
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        path = made(Path(folder) / "x.h5")
        path.chmod(0)
        user = os.geteuid()
        if user == 0:
            os.seteuid(65534)
        try:
            with pytest.raises(PermissionError):
                dataset.open(path)
            assert "no permission" in said_by(capsys, "verify", path)
        finally:
            os.seteuid(user)


@pytest.mark.parametrize("layout", ["pdebench", "well"])
def test_a_missing_filter_is_no_damage(tmp_path, capsys, layout):
    path = with_unknown_filter(made(tmp_path / "x.h5", layout), tmp_path / "packed.h5")
    said = sentence(path, UnreadableHere)
    assert "filter 40001 (fletcher32)" in said
    assert "not known to be damaged" in said
    report = verify(path)
    assert (report["damaged"], list(report["unreadable"])) == ({}, [0, 1, 2, 3, 4])
    said = said_by(capsys, "verify", path)
    assert "5 of 5 samples" in said
    assert "cannot be read here" in said
    assert "40001" in said
    assert not DANGEROUS.search(said)
    assert "is damaged" not in said
    assert said.count("not installed here") == 1
    said = said_by(
        capsys, "generate", "fitzhugh-nagumo", "--resolution", 16, "--times", "0:1:0.25",
        "--samples", 5, "--format", layout, "--out", path,
    )  # fmt: skip
    assert "40001" in said
    assert not DANGEROUS.search(said)


def test_a_filter_that_no_chunk_went_through_is_not_missing(tmp_path):
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:
        properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        properties.set_chunk((1, 2, 4, 1))
        # Optional and unknown: HDF5 writes the chunks without it and marks them so.
        properties.set_filter(40000, h5py.h5z.FLAG_OPTIONAL, (1,))
        space, kind = h5py.h5s.create_simple((1, 4, 4, 1)), h5py.h5t.IEEE_F32LE
        group = file.create_group("0000")
        data = h5py.h5d.create(group.id, b"data", kind, space, properties)
        h5py.Dataset(data)[...] = np.arange(16.0).reshape(1, 4, 4, 1)
        for name in "xy":
            group[f"grid/{name}"] = (np.arange(4) + 0.5) / 4
        group["grid/t"] = [0.0]
    with dataset.open(path, boundary="neumann") as file:
        assert file.fields().ravel().tolist() == list(range(16))


def test_hdf5plugin_is_asked_for_a_filter_that_is_not_there(tmp_path, monkeypatch):
    path = copied(made(tmp_path / "x.h5"), tmp_path / "packed.h5", compression="lzf", chunks=True)
    installed = []

    def available(code):
        return code != 32000 or bool(installed)

    def found(name):
        installed.append(name)

    monkeypatch.setattr(h5py.h5z, "filter_avail", available)
    monkeypatch.setattr(opening.importlib, "import_module", found)
    with dataset.open(path) as file, dataset.open(tmp_path / "x.h5") as original:
        assert (file.fields() == original.fields()).all()
    assert set(installed) == {"hdf5plugin"}


@pytest.mark.parametrize("layout", ["pdebench", "well"])
@pytest.mark.parametrize(
    "options",
    [{"compression": "gzip"}, {"dtype": ">f4"}, {"dtype": "f8"}, {"chunks": True}],
    ids=str,
)
def test_copies_are_checked_by_their_values(tmp_path, layout, options):
    original = made(tmp_path / "x.h5", layout)
    path = copied(original, tmp_path / "copy.h5", **options)
    report = verify(path)
    assert report["damaged"] == report["unreadable"] == {}
    assert (report["unknown"], report["samples"]) == (0, 5)
    assert regenerate(path, 3)["same"]
    with h5py.File(path, "r+") as file:
        data = file["0003/data"] if layout == "pdebench" else file["t0_fields/v"]
        data[(0 if layout == "pdebench" else 3, *[2] * (data.ndim - 1))[: data.ndim - 1]] += 1
    report = verify(path)
    assert list(report["damaged"]) == [3]
    assert not DANGEROUS.search("".join(complaints(path, report)))
    found = regenerate(path, 3)
    assert (found["same"], found["recorded"]) == (False, True)
    with pytest.raises(ValueError, match="repair the original"):
        regenerate(path, 3, repair=True)
    # Samples of a copy that fit are no reason to lose it, nor to take what does not fit.
    factory.generate(small(format=layout, samples=6), original)
    factory.generate(small(format=layout, samples=6), path)
    assert content(path) == content(original)


def test_a_chunk_that_cannot_be_unpacked_is_damaged_without_a_repair(tmp_path):
    path = copied(made(tmp_path / "x.h5"), tmp_path / "copy.h5", compression="gzip", chunks=True)
    with h5py.File(path) as file:
        place = file["0002/data"].id.get_chunk_info(0)
    raw = bytearray(path.read_bytes())
    raw[place.byte_offset : place.byte_offset + place.size] = bytes(place.size)
    path.write_bytes(raw)
    report = verify(path)
    assert list(report["damaged"]) == [2]
    assert "cannot be read" in report["damaged"][2]
    assert not DANGEROUS.search("".join(complaints(path, report)))


def sharded(folder, count=3):
    r = small(samples=6)
    for i in range(count):
        shards.generate(r, folder / "x.h5", i, count)
    return r, folder / "x.h5"


def test_missing_shards_are_all_named(tmp_path, capsys):
    r, whole = sharded(tmp_path)
    before = content(whole)
    alone = tmp_path / "elsewhere" / "x.h5"
    alone.parent.mkdir()
    alone.write_bytes(whole.read_bytes())
    said = sentence(alone, UnreadableHere)
    assert "3 shards x.0-of-3.h5, x.1-of-3.h5, x.2-of-3.h5 are missing" in said
    assert not DANGEROUS.search(said_by(capsys, "verify", alone))
    first = tmp_path / "x.0-of-3.h5"
    kept = first.read_bytes()
    first.unlink()
    assert "shard x.0-of-3.h5 (3 in all) is missing" in sentence(whole, UnreadableHere)
    # The command that made it makes the missing one again.
    shards.generate(r, whole, 0, 3)
    assert content(whole) == before
    first.write_bytes(kept[:-900])
    with pytest.raises(ValueError, match="truncated"):
        verify(whole)
    last = tmp_path / "x.2-of-3.h5"
    first.write_bytes(kept)
    last.write_bytes((tmp_path / "x.1-of-3.h5").read_bytes())
    report = verify(whole)
    assert (list(report["unreadable"]), report["damaged"]) == ([4, 5], {})
    assert "has no sample 0004" in report["unreadable"][4]


def test_every_command_names_the_missing_shard(tmp_path, capsys):
    pytest.importorskip("torch")
    _, whole = sharded(tmp_path, 2)
    (tmp_path / "x.1-of-2.h5").unlink()
    config, run = tmp_path / "t.toml", tmp_path / "run"
    config.write_text(
        "[network]\nhidden_channels = 4\nn_layers = 1\nn_modes = 8\n"
        "[training]\nlevels = [16]\nsteps = [1]\nbatch_size = [2]\n"
    )
    for command in (
        ("show", whole, "--sample", 4, "--out", tmp_path / "p.png"),
        ("train", whole, "--config", config, "--time", 1, "--out", run),
        ("evaluate", whole, "--against", whole, "--time", 1),
    ):
        assert "its shard x.1-of-2.h5 (2 in all) is missing" in said_by(capsys, *command)
    assert main(["show", str(whole), "--sample", "2", "--out", str(tmp_path / "p.png")]) == 0
    with dataset.open(whole) as file, pytest.raises(UnreadableHere, match=r"x\.1-of-2\.h5"):
        file.trajectory(5)


def test_shards_are_those_beside_the_file_wherever_one_works(tmp_path, monkeypatch):
    _, whole = sharded(tmp_path, 2)
    expected = dataset.open(whole).fields()
    apart = tmp_path / "apart"
    apart.mkdir()
    (apart / "x.h5").write_bytes(whole.read_bytes())
    monkeypatch.chdir(tmp_path)
    assert "2 shards x.0-of-2.h5, x.1-of-2.h5 are missing" in sentence(
        apart / "x.h5", UnreadableHere
    )
    # HDF5 itself would take other shards of the same names from where this variable points.
    for i in range(2):
        shards.generate(small(samples=6, seed=5), apart / "x.h5", i, 2, force=True)
    monkeypatch.setenv("HDF5_EXT_PREFIX", str(apart))
    monkeypatch.chdir(apart)
    with dataset.open(whole) as file:
        assert (file.fields() == expected).all()
        assert (file.trajectory(4)[-1, ..., 0] == expected[4, 0]).all()


def foreign(path, names, without=()):
    """A file of another program in PDEBench's layout; fields are their number."""
    with h5py.File(path, "w") as file:
        for i, name in enumerate(names):
            file[f"{name}/data"] = np.full((2, 4, 6, 2), float(i), "f4")
            parts = {"t": [0.0, 1.0], "y": (np.arange(4) + 0.5) / 4, "x": (np.arange(6) + 0.5) / 6}
            for part in set(parts).difference(without):
                file[f"{name}/grid/{part}"] = parts[part]
    return path


@pytest.mark.parametrize(
    ("without", "words"), [("t", "stored times"), ("x", "nodes along x"), ("txy", "has no grid/t")]
)
def test_a_sample_without_its_grid_says_what_is_missing(tmp_path, without, words):
    said = sentence(foreign(tmp_path / "x.h5", ["run_a", "run_b"], without))
    assert "the group run_a has no grid/" in said
    assert words in said


def test_names_of_samples_are_kept(tmp_path):
    path = foreign(tmp_path / "x.h5", ["run_b", "run_a", "last"])
    with dataset.open(path) as file:
        assert file.view.keys == ["last", "run_a", "run_b"]
        assert file.fields()[:, 0, 0, 0].tolist() == [2.0, 1.0, 0.0]
        pytest.importorskip("xarray")
        read = file.to_xarray()
        assert read["sample"].values.tolist() == ["last", "run_a", "run_b"]
        assert (read["u"].sel(sample="run_b", time=1.0).values == 0.0).all()
    assert verify(path)["samples"] == 3


@pytest.mark.parametrize("names", [["0000", "0001"], ["run_a", "run_b"]])
def test_root_entries_that_are_no_samples_are_named_and_left_out(tmp_path, names):
    path = foreign(tmp_path / "x.h5", names)
    with h5py.File(path, "r+") as file:
        file["statistics/mean"] = np.zeros(3)
        file["notes"] = "text"
    with pytest.warns(UserWarning, match="notes, statistics at the root .* left out"):
        file = dataset.open(path)
    with file:
        assert file.view.keys == names
        assert file.fields().shape == (2, 1, 4, 6)


def test_a_named_group_beside_numbered_samples_is_none_of_them(tmp_path):
    path = foreign(tmp_path / "x.h5", ["0000", "0001", "mean"])
    with pytest.warns(UserWarning, match="mean at the root of the file is no sample"):
        dataset.open(path).close()
    ours = made(tmp_path / "y.h5")
    with h5py.File(ours, "r+") as file:
        file["notes/text"] = "added by hand"
    with pytest.warns(UserWarning, match="notes at the root of the file is no sample"):
        report = verify(ours)
    assert (report["samples"], report["damaged"]) == (5, {})


def test_a_numbered_group_without_data_is_refused(tmp_path):
    path = foreign(tmp_path / "x.h5", ["0000", "0001"])
    with h5py.File(path, "r+") as file:
        del file["0001/data"]
    assert "the group 0001 has no dataset 'data'" in sentence(path)


def test_a_file_without_samples_says_what_it_holds(tmp_path):
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:
        file["velocity"] = np.zeros(3)
    said = sentence(path)
    assert "has no samples" in said
    assert "found velocity" in said
    plain = tmp_path / "plain.h5"
    for raw in (b"", b"hello", b"\x81\x82\x83\x84"):
        plain.write_bytes(raw)
        for words in (said, sentence(plain)):
            assert "fdiff.dataset.write_fields" in words
            assert "docs/other_files.md" in words
