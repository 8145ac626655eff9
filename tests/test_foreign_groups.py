"""Other people's files of groups and PDEBench's data sets: what is read, asked for, refused."""

import warnings

import h5py
import numpy as np
import pytest
from foreign import centres, groups, smooth
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
