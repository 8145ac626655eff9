"""Pictures of one trajectory."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

import fdiff
from fdiff import trajectory_plots as plots
from fdiff.cli import main
from fdiff.dataset import factory, recipe


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("show")
    base = recipe.load("fitzhugh-nagumo")
    factory.generate(
        base.override(resolution=(12, 16), times="0:1:0.25", samples=2), out / "two.h5"
    )
    factory.generate(base.override(resolution=(20,), lengths=(2.0,), origin=(-1.0,),
                                   boundary=("neumann",), samples=1), out / "one.h5")  # fmt: skip
    return out


def test_show_writes_a_picture_and_a_movie(folder, tmp_path, capfd):
    picture = tmp_path / "a.png"
    command = ["show", str(folder / "two.h5"), "--sample", "1", "--field", "v"]
    assert main([*command, "--out", str(picture)]) == 0
    assert picture.read_bytes()[:4] == b"\x89PNG"
    assert (tmp_path / "a.gif").read_bytes()[:3] == b"GIF"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.gif", "a.png"]
    assert main(["show", str(folder / "one.h5"), "--out", str(tmp_path / "b.svg")]) == 0
    for wrong, words in (
        (["--sample", "7"], "has samples 0 to 1, not 7"),
        (["--field", "w"], "has fields u, v"),
        (["--movie", str(tmp_path / "c.txt")], "ends in .gif or .mp4"),
    ):
        assert main(["show", str(folder / "two.h5"), "--out", str(picture), *wrong]) == 1
        assert words in capfd.readouterr().err


def test_the_spectrum_adds_up_to_the_energy():
    grid = fdiff.Grid((8, 9), 2.0, "neumann")
    values = np.random.default_rng(0).standard_normal((1, 8, 9))
    values -= values.mean()
    _, energy = plots.spectrum(plots.Trajectory("", values, grid, np.array([0.0])), 0)
    assert_allclose(energy.sum(), (values**2).sum() * grid.cell_volume, rtol=1e-12)
