"""Datasets without an equation: the paper's mixture of Gaussian fields, and MNIST's images."""

import json

import h5py
import numpy as np
import pytest
from numpy.testing import assert_allclose
from test_idx import encode

import fdiff
from fdiff import dataset, pde
from fdiff.cli import main
from fdiff.dataset import factory, recipe
from fdiff.dataset.verify import regenerate, verify
from fdiff.levels import restrict_field

LAW = {
    "name": "mixture",
    "covariance": {"family": "bessel", "scale": 1.0, "shift": 100.0, "power": 1.1},
    "means": [{"slope": [0.0, 1.0], "power": 0.5}, {"offset": 1.0, "slope": [-1.0, 0.0]}],
}


@pytest.mark.parametrize("boundary", ["periodic", "neumann", "dirichlet"])
@pytest.mark.parametrize("axis", [0, 1])
def test_the_coefficients_of_a_linear_mean_are_those_of_its_values(boundary, axis):
    """By quadrature on a grid so fine that aliasing of the jump, h / 2, is below the bound."""
    box = {"lengths": (2.0, 0.5), "boundary": boundary, "origin": (-1.0, 3.0)}
    coarse, fine = fdiff.Grid((6, 7), **box), fdiff.Grid((2048, 2048), **box)
    slope = tuple(1.5 * (i == axis) for i in range(2))
    mean = pde.LinearMean(offset=-0.25, slope=slope)
    c = mean.coefficients(coarse, fdiff.WhiteNoise())
    fraction = (fine.coordinates()[axis] - fine.origin[axis]) / fine.lengths[axis]
    values = np.broadcast_to(-0.25 + 1.5 * fraction, fine.shape)
    expected = fdiff.levels.restrict(fine.basis.forward(values.copy()), fine, coarse)
    assert np.abs(c).max() > 0.2
    assert_allclose(c, coarse.basis.project(expected), atol=1.5e-3)


def test_a_mixture_is_the_same_function_on_every_grid():
    law, system = pde.initial(**LAW), pde.system("none")
    fine, coarse = system.grid(48), system.grid(16)
    for sample in range(4):
        a, b = (law.draw(system, grid, 3, sample) for grid in (fine, coarse))
        assert_allclose(restrict_field(a, fine, coarse), b, atol=1e-12)
    assert_allclose(
        restrict_field(law.means_on(fine).values, fine, coarse),
        law.means_on(coarse).values,
        atol=1e-12,
    )


def test_a_mixture_has_its_weights_means_and_spectrum():
    law = pde.initial(**LAW, weights=[3.0, 1.0])
    system = pde.system("none")
    grid = system.grid(8)
    size = 4000
    kinds = np.array([law.component(1, i) for i in range(size)])
    assert abs(np.mean(kinds == 0) - 0.75) < 5 * np.sqrt(0.75 * 0.25 / size)
    fields = np.stack([law.draw(system, grid, 1, i)[0] for i in range(size)])
    rest = fields - law.means_on(grid).values[kinds]
    c = grid.basis.forward(rest)
    found = np.mean(np.abs(c) ** 2, axis=0)
    expected = law.covariance.eigenvalues(grid)
    kept = grid.basis.retained
    assert_allclose(found[kept], expected[kept], rtol=5 * np.sqrt(2 / size))
    error = np.abs(c.mean(axis=0))[kept] / np.sqrt(expected[kept] / size)
    assert error.max() < 5


def test_the_mixture_s_means_are_those_of_its_exact_score():
    law = pde.initial(**LAW)
    process = fdiff.ForwardProcess(law.covariance, fdiff.LinearSchedule(0.1, 20.0))
    grid = pde.system("none").grid(16)
    score = fdiff.MixtureScore(process, law.means_on(grid), law.covariance, law.probabilities)
    # Near t = 0 the denoiser leaves a sample where it is, and knows its component.
    x = np.stack([law.draw(pde.system("none"), grid, 0, i)[0] for i in range(8)])
    known = score.responsibilities(0.01, x, grid)
    assert (np.argmax(known, axis=-1) == [law.component(0, i) for i in range(8)]).all()


def test_the_paper_s_mixture_is_a_file_like_any_other(tmp_path, capfd):
    out = tmp_path / "x.h5"
    command = ["generate", "paper-mixture", "--samples", "6", "--resolution", "16"]
    command += ["--workers", "1", "--out", str(out)]
    assert main([*command, "--dry-run", "--json"]) == 0
    shown = capfd.readouterr()
    assert json.loads(shown.out)["bytes"] == 6 * 16 * 16 * 4
    assert "6 fields of the law mixture on 16×16, at the time 0" in shown.err
    assert not out.exists()
    assert main(command) == 0
    assert main([*command, "--samples", "9"]) == 0
    assert main(command) == 0
    assert "is complete: 9 fields, verified" in capfd.readouterr().err
    assert verify(out)["damaged"] == {}
    assert regenerate(out, 8)["same"]
    with dataset.open(out) as file:
        assert file.field_names == ("u",)
        assert file.grid == fdiff.Grid((16, 16))
        assert file.times.tolist() == [0.0]
        assert file.fields("u", 0.0).shape == (9, 1, 16, 16)
        assert len(set(file.identities())) == 9
    assert main([*command, "--times", "1"]) == 1
    assert "without an equation there is the time 0 only" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"means": []}, "recipe key initial: a mixture has means"),
        ({"weights": [1.0]}, "positive weight for each"),
        ({"weights": [1.0, -1.0]}, "positive weight for each"),
        ({"means": [{"tilt": 1.0}]}, "means: tables with offset, slope"),
        ({"means": [3.0]}, "means: tables with offset, slope"),
        ({"means": [{"offset": "high"}]}, "offset: expected a finite number"),
    ],
)
def test_a_wrong_mixture_is_named(changes, words):
    with pytest.raises(ValueError, match=words):
        recipe.from_dict({"system": "none", "initial": LAW | changes})


@pytest.fixture
def digits(tmp_path):
    """A folder like MNIST's, of 5 training and 3 test images."""
    rng = np.random.default_rng(0)
    for name, count in (("train", 5), ("t10k", 3)):
        pixels = rng.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        (tmp_path / f"{name}-images-idx3-ubyte").write_bytes(encode(pixels))
    return tmp_path


def test_images_become_a_dataset(digits, capfd):
    out = digits / "x.h5"
    command = ["generate", "paper-mnist", "--initial", f"images:{digits}", "--samples", "8"]
    command += ["--workers", "1", "--out", str(out)]
    assert main([*command, "--dry-run"]) == 0
    assert main(command) == 0
    assert regenerate(out, 6)["same"]
    with dataset.open(out) as file, dataset.open(digits) as folder:
        assert file.field_names == folder.field_names
        assert file.grid == folder.grid
        assert_allclose(file.fields(), folder.fields(), atol=1e-6)
        # A network trained on one is known to have seen the other.
        assert list(file.identities()) == list(folder.identities())
    assert main([*command, "--samples", "9"]) == 1
    assert "holds samples 0 to 7" in capfd.readouterr().err
    coarse = digits / "y.h5"
    assert main([*command[:-1], str(coarse), "--resolution", "16"]) == 0
    with dataset.open(out) as a, dataset.open(coarse) as b:
        assert_allclose(restrict_field(a.fields(), a.grid, b.grid), b.fields(), atol=1e-6)


def test_a_missing_or_damaged_folder_leaves_nothing(digits, tmp_path, capfd):
    command = ["generate", "paper-mnist", "--samples", "2", "--out", str(digits / "x.h5")]
    assert main([*command, "--initial", f"images:{digits / 'none'}"]) == 1
    said = capfd.readouterr().err
    assert "is no folder" in said
    assert "--initial images:FOLDER" in said
    path = digits / "train-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:-1])
    assert main([*command, "--initial", f"images:{digits}"]) == 1
    assert "is truncated" in capfd.readouterr().err
    assert not list(digits.glob("x.h5*"))


def test_only_images_and_files_come_to_an_end():
    """Of 20 spots a field there are as many fields as one likes."""
    r = recipe.from_dict(
        {"system": "fisher-kpp", "initial": "spots", "samples": 10**6, "resolution": [8]}
    )
    factory.check_available(r)


def test_a_law_with_fields_of_its_own_needs_no_equation():
    with pytest.raises(ValueError, match="gives image, fitzhugh-nagumo has u, v"):
        recipe.from_dict({"system": "fitzhugh-nagumo", "initial": "images:x"})
    with pytest.raises(ValueError, match="without an equation there is the time 0 only"):
        recipe.from_dict({"system": "none", "times": "0:1:0.5"})


def test_a_mixture_starts_an_equation_too(tmp_path):
    r = recipe.from_dict(
        {"system": "fisher-kpp", "initial": LAW, "resolution": [12, 12], "times": [0.0, 0.1]}
    )
    factory.generate(r.override(samples=1), tmp_path / "x.h5")
    with h5py.File(tmp_path / "x.h5") as file:
        assert np.isfinite(file["0000/data"][...]).all()
        assert (file["0000/data"][0] != file["0000/data"][1]).any()
