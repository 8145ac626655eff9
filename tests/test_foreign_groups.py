"""Other people's files of groups and PDEBench's data sets: what is read, asked for, refused."""

import re
import warnings

import h5py
import numpy as np
import pytest
from foreign import centres, groups, smooth
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from problems import shared_data

import fdiff
from fdiff import dataset
from fdiff.cli import main

SIDES = {"y": centres(4, 2.0, -1.0), "x": centres(6, 2.0, -1.0)}
TIMES = [0.0, 0.5, 1.0]


def data(fields=2, samples=4, seed=0):
    return smooth((samples, 3, 4, 6, fields), seed)


def refused(path, boundary=None):
    with pytest.raises(ValueError) as error:  # noqa: PT011  # the tests look at its words
        dataset.open(path, boundary)
    said = str(error.value)
    assert said.startswith(str(path))
    assert "\n" not in said
    return said


def test_two_dimensional_reaction_diffusion_is_read_without_a_word(tmp_path):
    values = data()
    config = "sim:\n  Du: 0.001\n  Dv: 0.005\n  k: 0.005\nname: 2d_diff-react\n"
    for i, text in enumerate(("", config)):
        path = groups(tmp_path / f"{i}.h5", values, SIDES, TIMES, text)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with dataset.open(path) as file:
                assert file.grid == fdiff.Grid((4, 6), 2.0, "neumann", -1.0)
                assert file.field_names == ("u", "v")
                assert_array_equal(file.fields("v", 0.5)[:, 0], values[:, 1, ..., 1])
    with dataset.open(shared_data("pdebench_diff_react_32.h5")) as file:
        assert file.grid == fdiff.Grid((32, 32), 2.0, "neumann", -1.0)


TAKEN = "taken for PDEBench's two-dimensional reaction-diffusion, .* --boundary"


@pytest.mark.parametrize("name", ["0000", "run_0"])
@pytest.mark.parametrize("length", [1.0, 2.0])
def test_what_a_file_is_taken_for_is_said(tmp_path, capfd, name, length):
    """Without settings, other nodes than PDEBench's or other names say nothing of its authors."""
    sides = {"y": centres(4, length, -1.0), "x": centres(6, length, -1.0)}
    path = groups(tmp_path / "x.h5", data(samples=1), sides, TIMES)
    with h5py.File(path, "r+") as file:
        if name != "0000":
            file.move("0000", name)
    pdebenchs = (name, length) == ("0000", 2.0)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        with dataset.open(path) as file:
            assert file.grid == fdiff.Grid((4, 6), length, "neumann", -1.0)
            assert file.field_names == ("u", "v")
    assert len(said) == (not pdebenchs)
    for warning in said:
        assert re.search(TAKEN, str(warning.message))
    status, lines = spoken(capfd, "show", path, "--out", tmp_path / "p.png")
    assert (status, len(lines)) == (0, len(said))
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # one that is asked says it
        dataset.open(path, "periodic").close()


@pytest.mark.parametrize("n", [8, 10, 16])
@pytest.mark.parametrize("length", [1.0, 2 * np.pi])
def test_nodes_of_one_period_are_not_resampled_on_an_assumption(tmp_path, n, length):
    x = np.arange(n) * length / n
    path = groups(tmp_path / "x.h5", smooth((2, 1, n, n, 2)), {"y": x, "x": x}, [0.0])
    said = refused(path)
    assert "say with --boundary" in said
    assert "along y, 0 to" in said
    with dataset.open(path, "periodic") as file:
        assert_allclose(file.grid.lengths, length, rtol=1e-5)
        assert_array_equal(file.fields("v")[:, 0], smooth((2, 1, n, n, 2))[:, 0, ..., 1])
    with pytest.warns(UserWarning, match="nodes on both walls"):
        dataset.open(path, "neumann").close()


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"tensor": (3, 4, 8), "x-coordinate": (8,), "t-coordinate": (5,)}, "one dimension"),
        ({"tensor": (3, 1, 8, 8), "nu": (3, 8, 8)}, "Darcy flow"),
        ({"density": (3, 4, 8), "pressure": (3, 4, 8), "Vx": (3, 4, 8)}, "compressible flow"),
        (
            {n: (3, 4, 8, 8) for n in ("density", "pressure", "Vx", "Vy")},
            "compressible flow",
        ),
        (
            {"velocity": (2, 4, 8, 8, 2), "particles": (2, 4, 8, 8, 1), "force": (2, 8, 8, 2)},
            "incompressible flow",
        ),
    ],
    ids=["tensor", "darcy", "cfd1", "cfd2", "ns"],
)
def test_data_sets_of_pdebench_that_are_not_read_are_named(tmp_path, capfd, arrays, words):
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:
        for name, shape in arrays.items():
            file[name] = np.zeros(shape, "f4")
    for boundary in (None, "periodic"):
        said = refused(path, boundary)
        assert f"PDEBench's {words}" in said or words in said
        assert "does not read yet" in said
        assert "'s the " not in said
    for command in (["show"], ["train", "--out", str(tmp_path / "run")], ["verify"]):
        assert main([command[0], str(path), *command[1:]]) == 1
        error = capfd.readouterr().err
        assert error.count("\n") == 1
        assert words in error


SWE = "sim:\n  gravity: 1.0\n  dam_radius: 0.5\nname: 2d_swe\n"
SORPTION = "sim:\n  D: 0.0005\n  por: 0.29\n  rho_s: 2880\nname: 1d_diff-sorp\n"


def test_groups_with_the_settings_of_another_data_set_are_refused(tmp_path):
    path = groups(tmp_path / "x.h5", data(1), SIDES, TIMES, SWE)
    assert "radial dam break of the shallow-water equations" in refused(path, "neumann")
    line = smooth((4, 3, 6, 1))
    path = groups(tmp_path / "y.h5", line, {"x": centres(6)}, TIMES)
    with h5py.File(path, "r+") as file:
        file.attrs["0000/config"] = SORPTION
    assert "diffusion-sorption" in refused(path, "neumann")


@pytest.mark.parametrize(
    ("shape", "sides", "config", "like"),
    [
        ((4, 3, 4, 6, 1), SIDES, "", "shallow-water"),
        ((4, 3, 6, 1), {"x": centres(6)}, "", "diffusion-sorption"),
        ((4, 3, 4, 6, 3), SIDES, "", ""),
        ((4, 3, 4, 6, 2), SIDES, "sim: {F: 0.04, k: 0.06}\nname: gray-scott\n", ""),
        ((2, 2, 3, 4, 6, 2), SIDES | {"z": centres(3)}, "", ""),
    ],
)
def test_a_boundary_that_the_file_does_not_state_is_asked_for(tmp_path, shape, sides, config, like):
    times = TIMES[: shape[1]]
    path = groups(tmp_path / "x.h5", smooth(shape), sides, times, config)
    said = refused(path)
    assert "say with --boundary" in said
    assert (like in said) if like else "this shape too" not in said
    with dataset.open(path, "periodic") as file:
        assert set(file.grid.boundary) == {"periodic"}
        assert file.fields().shape == (shape[0], 1, *shape[2:-1])


def test_the_command_line_takes_the_boundary_of_groups(tmp_path, capfd):
    path = groups(tmp_path / "x.h5", data(1), SIDES, TIMES)
    show = ["show", str(path), "--out", str(tmp_path / "a.png")]
    assert main(show) == 1
    said = capfd.readouterr().err
    assert said.count("\n") == 1
    assert "--boundary" in said
    for boundary in ("periodic", "neumann,periodic", "x=periodic,y=dirichlet"):
        assert main([*show, "--boundary", boundary]) == 0


def test_nodes_from_wall_to_wall_are_said_and_turned_in_groups_too(tmp_path):
    sides = {"y": np.linspace(0, 1, 4), "x": np.linspace(-1, 1, 6)}
    values = np.broadcast_to(np.cos(np.pi * sides["y"])[:, None, None], (3, 2, 4, 6, 2))
    path = groups(tmp_path / "x.h5", values.astype("f4"), sides, [0.0, 1.0])
    with pytest.warns(UserWarning, match="axis y has nodes on both walls, 0 and 1"):
        file = dataset.open(path)
    with file:
        assert file.grid == fdiff.Grid((4, 6), (1.0, 2.0), "neumann", (0.0, -1.0))
        exact = np.cos(np.pi * file.grid.points(0))[:, None] * np.ones(6)
        assert_allclose(file.fields("v", 1.0)[1, 0], exact, atol=1e-6)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("t", [0.0, 0.5, 2.0]), "sample 0002 has the times 0, 0.5, 2, sample 0000 has 0, 0.5, 1"),
        (("t", [0.0, 0.5]), "sample 0002 has the times 0, 0.5, sample"),
        (("x", centres(6, 4.0)), "sample 0002 has the nodes along x"),
        (("data", smooth((3, 4, 5, 2))), "sample 0002 has shape (3, 4, 5, 2), sample 0000"),
        (("data", smooth((2, 4, 6, 2))), "sample 0002 has shape (2, 4, 6, 2), sample 0000"),
    ],
)
def test_samples_must_share_times_nodes_and_shape(tmp_path, change, words):
    name, values = change
    path = groups(tmp_path / "x.h5", data(), SIDES, TIMES)
    with h5py.File(path, "r+") as file:
        place = name if name == "data" else f"grid/{name}"
        del file[f"0002/{place}"]
        file[f"0002/{place}"] = np.asarray(values, "f4")
    with dataset.open(path) as file:
        assert file.state(1, ["u"]).shape == (1, 4, 6)
        for use in (
            lambda: file.fields(), lambda: file.fields(split="train"),
            lambda: file.state(2, ["u"], 0.5), lambda: list(file.identities()),
        ):  # fmt: skip
            with pytest.raises(ValueError, match="a dataset has one") as error:
                use()
            assert words in str(error.value)
            assert str(path) in str(error.value)
        pytest.importorskip("xarray")
        with pytest.raises(ValueError, match="a dataset has one"):
            file.to_xarray()["u"].isel(sample=2).values  # noqa: B018


def test_no_sample_is_read_before_all_are_compared(tmp_path, monkeypatch):
    from fdiff.dataset.formats.turned import Filled

    path = groups(tmp_path / "x.h5", data(), SIDES, [TIMES, TIMES, TIMES, [0.0, 0.5, 2.0]])
    read = []
    plain = Filled.__getitem__
    monkeypatch.setattr(Filled, "__getitem__", lambda s, k: read.append(k) or plain(s, k))
    with dataset.open(path) as file, pytest.raises(ValueError, match="sample 0003 has the times"):
        file.fields()
    assert read == []


def test_samples_of_fdiff_are_compared_too(tmp_path):
    from fdiff.dataset import factory, recipe

    path = tmp_path / "x.h5"
    small = recipe.load("fitzhugh-nagumo").override(resolution=(8, 8), times="0:1:0.5", samples=3)
    factory.generate(small, path)
    with h5py.File(path, "r+") as file:
        file["0001/grid/t"][-1] = 7.0
    with dataset.open(path) as file, pytest.raises(ValueError, match="sample 0001 has the times"):
        file.fields("u", 1.0)


def spoken(capfd, *words):
    """Status and lines on stderr of a command, but those that name what was written."""
    capfd.readouterr()
    status = main([str(word) for word in words])
    lines = capfd.readouterr().err.splitlines()
    return status, [line for line in lines if not line.endswith((".png written", ".gif written"))]


def faulty(path, kind):
    """Sample 0002, field v, last time of ``data()`` holds what fields cannot have."""
    values = data()
    values[2, 2, 1, 3, 1] = {"NaN": np.nan, "infinite": -np.inf}.get(kind, values[2, 2, 1, 3, 1])
    groups(path, values, SIDES, TIMES)
    with h5py.File(path, "r+") as file:
        if kind == "missing (-9999)":
            file["0002/data"][2, 1, 3, 1] = -9999
            file["0002/data"].attrs["_FillValue"] = np.float32(-9999)
        if kind == "beyond float32":
            del file["0002/data"]
            file["0002/data"] = values[2].astype("f8")
            file["0002/data"][2, 1, 3, 1] = 1e60
        if kind == "unwritten (HDF5 reads -777 in their place)":
            del file["0002/data"]
            part = file.create_dataset(
                "0002/data", (3, 4, 6, 2), "f4", chunks=(2, 3, 4, 1), fillvalue=-777.0
            )
            part[..., 0] = values[2, ..., 0]
            part[:2, ..., 1] = values[2, :2, ..., 1]
    return path


@pytest.mark.parametrize(
    "kind",
    [
        "NaN", "infinite", "missing (-9999)", "beyond float32",
        "unwritten (HDF5 reads -777 in their place)",
    ],
)  # fmt: skip
def test_what_stands_in_place_of_numbers_is_named(tmp_path, capfd, kind):
    path = faulty(tmp_path / "x.h5", kind)
    with dataset.open(path) as file:
        assert np.isfinite(file.fields("u")).all()
        assert np.isfinite(file.fields("v", 0.5)).all()
        with pytest.raises(ValueError, match="sample 0002, field v, time 1") as error:
            file.fields("v")
        assert f"holds values that are {kind}: leave" in str(error.value)
    # `verify` and `show` read it all the same, and say it in one line each.
    status, lines = spoken(capfd, "verify", path)
    assert status == 0
    assert [line for line in lines if "2: v has values that" in line and kind in line]
    assert "4 samples were read; without checksums nothing is known of their" in lines[-1]
    assert "intact" not in "".join(lines)
    show = ("show", path, "--field", "v", "--out", tmp_path / "p.png", "--sample")
    assert spoken(capfd, *show, 1) == (0, [])
    status, lines = spoken(capfd, *show, 2)
    assert status == 0
    if kind == "beyond float32":  # a number all the same
        assert lines == []
    else:
        assert len(lines) == 1
        assert f"field v holds values that are {kind}, at 1 of 3 times" in lines[0]


def test_an_array_of_which_nothing_was_written_is_no_field_of_zeros(tmp_path):
    path = groups(tmp_path / "x.h5", data(), SIDES, TIMES)
    for chunks in (None, (1, 4, 6, 2)):
        with h5py.File(path, "r+") as file:
            del file["0001/data"]
            file.create_dataset("0001/data", (3, 4, 6, 2), "f4", chunks=chunks)
        with dataset.open(path) as file, pytest.raises(ValueError, match=r"sample 0001.*unwritten"):
            file.fields()


@given(
    st.lists(st.tuples(st.integers(1, 5), st.integers(1, 4)), min_size=1, max_size=4),
    st.integers(0, 2**32),
)
def test_places_that_were_written_are_told_by_any_key(sizes, seed):
    """Against the values that HDF5 reads: its fill value where nothing was written."""
    from fdiff.dataset.formats.written import Written

    rng = np.random.default_rng(seed)
    shape, chunks = (tuple(column) for column in zip(*sizes))
    chunks = tuple(min(pair) for pair in zip(shape, chunks))
    with h5py.File("x.h5", "w", driver="core", backing_store=False) as file:
        array = file.create_dataset("x", shape, "f4", chunks=chunks, fillvalue=-1.0)
        for _ in range(rng.integers(0, 4)):
            array[tuple(rng.integers(0, n) for n in shape)] = 0.0
        # A chunk that has one value is filled as a whole: mark all of it.
        known = np.zeros(shape, bool)
        for i in range(array.id.get_num_chunks()):
            place = array.id.get_chunk_info(i).chunk_offset
            known[tuple(slice(a, a + c) for a, c in zip(place, chunks))] = True
        written = Written(array)
        assert written.complete == known.all()
        keys = [int(rng.integers(0, n)) if rng.integers(0, 2) else slice(None) for n in shape]
        for key in (..., tuple(keys), (keys[0], ...), (..., keys[-1]), keys[0]):
            assert_array_equal(written.missing(key), ~known[key])


@pytest.mark.parametrize(("times", "where"), [([0, 1, 1], 1), ([2, 1, 0], 0)])
def test_times_that_do_not_increase_are_refused(tmp_path, capfd, times, where):
    path = groups(tmp_path / "x.h5", data(), SIDES, times)
    words = (
        f"the stored times must increase; number {where} is {times[where]}, number {where + 1} is "
        f"{times[where + 1]}: put"
    )
    assert words in refused(path)
    for command in (("verify",), ("show",), ("train", "--out", tmp_path / "run")):
        status, lines = spoken(capfd, command[0], path, *command[1:])
        assert (status, len(lines)) == (1, 1)
        assert words in lines[0]
    assert not (tmp_path / "run").exists()


def test_values_that_are_no_fields_are_no_damage(tmp_path, capfd):
    path = groups(tmp_path / "x.h5", data().astype("c8"), SIDES, TIMES)
    status, lines = spoken(capfd, "verify", path)
    assert (status, len(lines)) == (1, 1)
    assert "4 of 4 samples of" in lines[0]
    assert lines[0].count("complex numbers") == 1
    assert "damaged" not in lines[0]
    path = groups(tmp_path / "y.h5", data(), SIDES, [TIMES, TIMES, [0, 0.5, 2], [0, 0.5, 3]])
    status, lines = spoken(capfd, "verify", path)
    assert status == 1
    assert "2 samples were read" in lines[0]
    assert "2 of 4 samples of" in lines[1]
    assert lines[1].count("has the times") == 1
    assert "damaged" not in lines[1]
