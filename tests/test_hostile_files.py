"""Damaged or malicious datasets: nothing outside is read or written, nothing is assumed."""

import gzip
import json
import os
import shutil
import signal
from pathlib import Path

import h5py
import numpy as np
import pytest

from fdiff import dataset, errors, inputs
from fdiff.cli import main
from fdiff.dataset import verify as checks

CORPUS = Path(__file__).parent / "corpus"


@pytest.fixture
def folder(tmp_path):
    """A folder with the dataset, and a file beside the folder that is nobody's business."""
    (tmp_path / "in").mkdir()
    shutil.copy(CORPUS / "dataset.h5", tmp_path / "in" / "x.h5")
    shutil.copy(CORPUS / "dataset.h5", tmp_path / "victim.h5")
    return tmp_path / "in"


def replaced(path: Path, name: str, link) -> None:
    with h5py.File(path, "r+") as file:
        del file[name]
        file[name] = link


def outside(path: Path, name: str, kind: str) -> None:
    """Lets the dataset of that name have its values in another file."""
    with h5py.File(path, "r+") as file:
        shape, dtype = file[name].shape, file[name].dtype
        del file[name]
        if kind == "external":
            file[name] = h5py.ExternalLink("../victim.h5", f"/{name}")
        elif kind == "storage":
            size = int(np.prod(shape)) * dtype.itemsize
            file.create_dataset(name, shape, dtype, external=[("../victim.h5", 4096, size)])
        elif kind == "virtual":
            layout = h5py.VirtualLayout(shape, dtype)
            layout[...] = h5py.VirtualSource("../victim.h5", f"/{name}", shape=shape)
            file.create_virtual_dataset(name, layout)
        else:  # a soft link through an external one
            file["door"] = h5py.ExternalLink("../victim.h5", "/")
            file[name] = h5py.SoftLink(f"/door/{name}")


@pytest.mark.parametrize("kind", ["external", "storage", "virtual", "chain"])
@pytest.mark.parametrize("name", ["0000/data", "0003/data", "0003/grid/t", "0000/grid/x"])
def test_values_in_another_file_are_refused_by_name_unless_links_are_followed(folder, kind, name):
    path = folder / "x.h5"
    outside(path, name, kind)
    victim = (folder.parent / "victim.h5").read_bytes()

    def read(**options):
        with dataset.open(path, **options) as file:
            return file.fields(["u", "v"])

    with pytest.raises(errors.LinkRefused) as caught:
        read()
    assert "--follow-links" in str(caught.value)
    assert str(path) in str(caught.value)
    if kind != "storage":  # whose bytes are others
        with dataset.open(CORPUS / "dataset.h5") as file:
            np.testing.assert_array_equal(read(follow_links=True), file.fields(["u", "v"]))
        with inputs.following_links():
            read()
    assert (folder.parent / "victim.h5").read_bytes() == victim


def test_repair_writes_nothing_through_a_link(folder, capfd):
    path, victim = folder / "x.h5", folder.parent / "victim.h5"
    with h5py.File(victim, "r+") as file:
        file["0000/data"][0, 0, 0, 0] += 1
    before = victim.read_bytes()
    replaced(path, "0000", h5py.ExternalLink("../victim.h5", "/0000"))
    command = ["regenerate", str(path), "--sample", "0", "--repair"]
    for options in ([], ["--follow-links"]):
        assert main([*command, *options]) == 1
        assert victim.read_bytes() == before
    assert "nothing is written through a link" in capfd.readouterr().err


def shards(folder: Path) -> Path:
    for path in CORPUS.glob("sharded*.h5"):
        shutil.copy(path, folder)
    return folder / "sharded.h5"


def test_a_shard_is_repaired_under_its_own_name(tmp_path, capfd):
    whole = shards(tmp_path)
    part = tmp_path / "sharded.1-of-2.h5"
    with h5py.File(part, "r+") as file:
        key = sorted(file)[0]
        file[key]["data"][0, 0, 0, 0] += 1
    before = part.read_bytes()
    assert main(["regenerate", str(whole), "--sample", "2", "--repair"]) == 1
    assert part.read_bytes() == before
    assert f"fdiff regenerate {part} --sample 2 --repair" in capfd.readouterr().err
    assert main(["regenerate", str(part), "--sample", "2", "--repair"]) == 0
    assert part.read_bytes() == (CORPUS / part.name).read_bytes()


def test_shards_are_followed_where_the_record_names_them_beside_the_file(tmp_path):
    whole = shards(tmp_path)
    with dataset.open(whole) as file:
        assert len(file) == 4
    # The record names them, and the link leads elsewhere.
    (tmp_path / "other").mkdir()
    shutil.move(tmp_path / "sharded.1-of-2.h5", tmp_path / "other" / "sharded.1-of-2.h5")
    replaced(whole, "0002", h5py.ExternalLink("other/sharded.1-of-2.h5", "/0002"))
    with pytest.raises(errors.LinkRefused, match="0002"):
        dataset.open(whole)


def test_a_shard_that_leads_elsewhere_is_refused(tmp_path):
    whole = shards(tmp_path)
    shutil.copy(CORPUS / "dataset.h5", tmp_path / "victim.h5")
    replaced(tmp_path / "sharded.1-of-2.h5", "0003", h5py.ExternalLink("victim.h5", "/0003"))
    with pytest.raises(errors.LinkRefused, match=r"sharded\.1-of-2\.h5: 0003"):
        dataset.open(whole)
    whole = shards(tmp_path)
    shutil.move(tmp_path / "sharded.1-of-2.h5", tmp_path / "moved.h5")
    (tmp_path / "sharded.1-of-2.h5").symlink_to(tmp_path / "moved.h5")
    with pytest.raises(errors.LinkRefused, match="symbolic link"):
        dataset.open(whole)


@pytest.mark.parametrize("parts", [["../victim.h5", 0, 4], ["/tmp/victim.h5", 0, 4], [".", 0, 4]])
def test_a_record_cannot_name_shards_elsewhere(tmp_path, parts):
    whole = shards(tmp_path)
    with h5py.File(whole, "r+") as file:
        record = json.loads(file.attrs["fdiff"])
        record["parts"] = [parts]
        file.attrs["fdiff"] = json.dumps(record)
    with pytest.raises(errors.FileError, match="the name of a file in the same folder"):
        dataset.open(whole)


# Symbolic links, pipes and devices in place of files.


def test_a_dataset_that_is_a_symbolic_link_is_read_where_that_is_asked_for(folder, capfd):
    link = folder / "link.h5"
    link.symlink_to(folder / "x.h5")
    assert main(["verify", str(link)]) == 1
    assert "symbolic link" in capfd.readouterr().err
    assert main(["verify", "--follow-links", str(link)]) == 0
    with dataset.open(link, follow_links=True) as file:
        assert len(file) == 20


@pytest.mark.parametrize("name", ["x.h5", "images/train-images-idx3-ubyte.gz"])
@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_no_pipe_or_device_is_read(tmp_path, name, kind):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    if kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/zero")
    with pytest.raises((errors.FileError, FileNotFoundError), match=path.name.split(".")[0]):
        dataset.open(path if name == "x.h5" else path.parent).fields()


def test_nothing_is_written_through_a_symbolic_link(tmp_path):
    from fdiff.files import write_text

    target = tmp_path / "target"
    target.write_text("kept")
    (tmp_path / "out.json").symlink_to(target)
    with pytest.raises(errors.LinkRefused, match="nothing is written through a link"):
        write_text(tmp_path / "out.json", "new")
    # A link under our own temporary name is not followed, and a file is what remains.
    (tmp_path / "b.json.partial").symlink_to(target)
    write_text(tmp_path / "b.json", "new")
    assert target.read_text() == "kept"
    assert (tmp_path / "b.json").read_text() == "new"
    assert not (tmp_path / "b.json").is_symlink()


def test_generate_writes_through_no_link(tmp_path, capfd):
    target = tmp_path / "target.h5"
    target.write_bytes(b"kept")
    common = ["fitzhugh-nagumo", "--samples", "1", "--resolution", "8", "--times", "0.1"]
    for name in ("x.h5", "y.h5.partial", "z.h5.partial.ledger"):
        (tmp_path / name).symlink_to(target)
        out = tmp_path / name.replace(".partial", "").replace(".ledger", "")
        main(["generate", *common, "--out", str(out)])
        assert target.read_bytes() == b"kept"
    capfd.readouterr()


# Descriptions: what is missing or of another kind is named, and no default takes its place.


def record(path: Path, edit, owner: str = "/") -> None:
    with h5py.File(path, "r+") as file:
        known = json.loads(file[owner].attrs["fdiff"])
        edit(known)
        file[owner].attrs["fdiff"] = json.dumps(known)


@pytest.mark.parametrize(
    ("edit", "item"),
    [
        (lambda d: d.pop("recipe"), "recipe"),
        (lambda d: d.pop("splits"), "splits"),
        (lambda d: d["recipe"].update(seed=4), "recipe"),
        (lambda d: d.update(splits={"train": [-1, 4]}), "splits.train[0]"),
        (lambda d: d.update(splits={"train": [0, 18], "test": [17, 20]}), "splits"),
        (lambda d: d.update(splits={"train": [0, 40]}), "splits.train"),
        (lambda d: d.update(fields=["u", "u"]), "fields"),
        (lambda d: d.update(fields=["u"]), "fields"),
        (lambda d: d["grid"].update(lengths=[2.0, 0.0]), "grid.lengths[1]"),
        (lambda d: d["grid"].pop("boundary"), "grid.boundary"),
        (lambda d: d.update(failed={"one": "x"}), "failed"),
    ],
)
def test_the_record_of_a_file_is_whole(folder, edit, item):
    path = folder / "x.h5"
    record(path, edit)
    with pytest.raises(errors.FileError) as caught, dataset.open(path) as file:
        file.fields()
    assert caught.value.item.removeprefix("the attribute fdiff.") == item


@pytest.mark.parametrize(
    ("edit", "item"),
    [
        (lambda d: d.pop("identity"), "identity"),
        (lambda d: d.pop("checksum"), "checksum"),
        (lambda d: d.update(checksum=["1"]), "checksum[0]"),
        (lambda d: d.update(sample=4), "the record of sample 0003"),
    ],
)
def test_the_record_of_a_sample_is_whole_and_its_own(folder, edit, item):
    path = folder / "x.h5"
    record(path, edit, "0003")
    with dataset.open(path) as file, pytest.raises(errors.FileError) as caught:
        list(file.identities())
    assert caught.value.item.removeprefix("the record of sample 0003.") == item
    assert list(checks.verify(path)["damaged"]) == [3]


def test_a_file_that_lost_a_sample_has_other_splits_and_is_refused(folder):
    path = folder / "x.h5"
    with h5py.File(path, "r+") as file:
        del file["0003"]
    with pytest.raises(errors.FileError, match="19 of 20 samples"):
        dataset.open(path)


def test_verify_notices_other_times_and_shapes(folder):
    path = folder / "x.h5"
    with h5py.File(path, "r+") as file:
        for key in file:
            file[key]["grid/t"][...] = [3.0, 5.0]
    with pytest.raises(errors.FileError, match="grid/t"):
        checks.verify(path)
    shutil.copy(CORPUS / "dataset.h5", path)
    with h5py.File(path, "r+") as file:
        data = file["0007/data"][...]
        del file["0007/data"]
        file["0007/data"] = data.reshape(2, 9, 36, 2)
    assert list(checks.verify(path)["damaged"]) == [7]


@pytest.mark.parametrize("text", ["a: [b", "- 1", "{a: &a [1], b: [*a, *a]}", b"\xff\xfe"])
def test_a_config_that_is_no_table_is_refused(folder, text):
    path = folder / "x.h5"
    with h5py.File(path, "r+") as file:
        file["0000"].attrs["config"] = text
    with dataset.open(path) as file, pytest.raises(errors.FileError) as caught:
        file.config  # noqa: B018
    assert caught.value.item == "the attribute config of 0000"


def test_a_shape_that_the_file_cannot_hold_is_refused_before_it_is_allocated(folder):
    path = folder / "x.h5"
    with h5py.File(path, "r+") as file:
        for key in file:
            del file[key]["data"]
            shape, chunks = (2, 10**6, 10**6, 2), (1, 18, 18, 1)
            file.create_dataset(f"{key}/data", shape, "<f4", chunks=chunks)
    with pytest.raises(ValueError, match="as many values as the file holds"):
        dataset.open(path)


def test_a_well_file_that_declares_countless_samples_is_refused(tmp_path):
    path = Path(shutil.copy(CORPUS / "well" / "data" / "test" / "gray-scott.hdf5", tmp_path))
    with h5py.File(path, "r+") as file:
        for name in [n for n in file.attrs if n.startswith("fdiff")]:
            del file.attrs[name]
        file.attrs["n_trajectories"] = 10**12
        for name in ("a", "b"):
            values = file["t0_fields"][name][0]
            del file["t0_fields"][name]
            file["t0_fields"][name] = values
            file["t0_fields"][name].attrs["sample_varying"] = False
    with pytest.raises(errors.FileError, match="n_trajectories"):
        dataset.open(path)


def test_images_are_unpacked_no_further_than_their_header_declares(tmp_path):
    import tracemalloc

    folder = Path(shutil.copytree(CORPUS / "images", tmp_path / "images"))
    path = folder / "train-images-idx3-ubyte.gz"
    header = bytes([0, 0, 8, 3]) + b"".join(n.to_bytes(4, "big") for n in (40, 28, 28))
    with gzip.open(path, "wb", compresslevel=9) as file:
        file.write(header)
        for _ in range(64):
            file.write(b"\0" * (1 << 20))
    tracemalloc.start()
    with pytest.raises(ValueError, match=r"longer than its header says.*31360 bytes"):
        dataset.open(folder).fields()
    assert tracemalloc.get_traced_memory()[1] < 1 << 23
    tracemalloc.stop()


def test_zeros_after_the_end_of_an_archive_are_not_read(tmp_path):
    folder = Path(shutil.copytree(CORPUS / "images", tmp_path / "images"))
    os.truncate(folder / "train-images-idx3-ubyte.gz", 1 << 40)
    with pytest.raises(ValueError, match="longer than its header says"):
        dataset.open(folder).fields()


def test_a_header_that_no_file_of_that_size_can_fill_is_refused(tmp_path):
    from fdiff.dataset.idx import read_idx

    path = tmp_path / "x"
    path.write_bytes(bytes([0, 0, 8, 2]) + (1 << 16).to_bytes(4, "big") * 2 + b"\0" * 100)
    with pytest.raises(ValueError, match="cannot hold"):
        read_idx(path)


# Damage that ends the process.


@pytest.mark.parametrize("command", ["verify", "doctor"])
def test_damage_that_ends_hdf5_is_met_in_a_child_and_said(folder, monkeypatch, capfd, command):
    def ends(path, progress=None):
        os.kill(os.getpid(), signal.SIGSEGV)

    monkeypatch.setattr(checks, "verify", ends)
    assert main([command, str(folder / "x.h5")]) == 1
    said = capfd.readouterr()
    assert "damage that ends HDF5 itself (SIGSEGV)" in said.out + said.err
    assert "x.h5" in said.out + said.err


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
def test_a_reader_that_is_ended_from_outside_says_nothing_against_the_file(
    folder, monkeypatch, capfd, end
):
    """As the system ends the process that takes the most memory."""
    monkeypatch.setattr(checks, "verify", lambda *_: os.kill(os.getpid(), end))
    assert main(["verify", str(folder / "x.h5")]) == 1
    said = capfd.readouterr().err
    assert f"ended by {end.name}" in said
    assert "nothing is known to be wrong with the file" in said
    assert "damage" not in said


def test_damage_in_which_hdf5_goes_round_is_said(folder, monkeypatch, capfd):
    from fdiff.dataset import apart

    def goes_round(path, progress=None):
        while True:
            pass

    monkeypatch.setattr(checks, "verify", goes_round)
    monkeypatch.setattr(apart, "PATIENCE", 0.5)
    assert main(["verify", str(folder / "x.h5")]) == 1
    assert "goes round without an end" in capfd.readouterr().err


def test_doctor_says_what_is_the_matter_with_a_file(folder, capfd):
    path = folder / "x.h5"
    assert main(["doctor", str(path)]) == 0
    with h5py.File(path, "r+") as file:
        file["0002/data"][0, 0, 0, 0] += 1
    assert main(["doctor", str(path), "--json"]) == 1
    row, _ = json.loads(capfd.readouterr().out.splitlines()[-1])
    assert row["status"] == "FAIL"
    assert "2: its bytes have another checksum" in row["found"]


# An interrupted dataset goes on from what is sound of it.


def test_damaged_remains_of_an_interrupted_dataset_do_not_enter_it(tmp_path):
    from fdiff.dataset import factory, recipe

    class Stop(Exception):
        pass

    def stop(done, total):
        if done == 3:
            raise Stop

    asked = recipe.from_dict(
        {"system": "fitzhugh-nagumo", "resolution": [8, 8], "times": "0.5", "samples": 4}
    )
    whole, out = tmp_path / "whole.h5", tmp_path / "x.h5"
    factory.generate(asked, whole)
    ledger, partial = tmp_path / "x.h5.partial.ledger", tmp_path / "x.h5.partial"
    for damage in ("structure", "offsets", "record", "header"):
        with pytest.raises(Stop):
            factory.generate(asked, out, progress=stop)
        lines = ledger.read_text().splitlines()
        if damage == "structure":
            content = bytearray(partial.read_bytes())
            content[100:400] = b"\xff" * 300
            partial.write_bytes(content)
        elif damage == "offsets":
            header = json.loads(lines[0])
            header["offsets"][1] = 1 << 40
            lines[0] = json.dumps(header)
        elif damage == "record":
            lines[2] = lines[2].replace('"sample"', '"simple"')
        else:
            lines[0] = lines[0].replace('"digits": 4', '"digits": -4')
        ledger.write_text("\n".join(lines) + "\n")
        factory.generate(asked, out)
        assert out.read_bytes() == whole.read_bytes()
        assert not list(tmp_path.glob("*.partial*"))
        out.unlink()
