"""One box whose stored coordinates are rounded is one box, everywhere that boxes are compared."""

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from strategies import field, grids, nested_grids

import fdiff
from fdiff import dataset, levels, metrics
from fdiff.cli import main
from fdiff.score.mean import Field


def rounded(grid, by=5e-7):
    """The same box as six digits of its numbers give it."""
    return fdiff.Grid(
        grid.shape,
        tuple(side * (1 + by) for side in grid.lengths),
        grid.boundary,
        tuple(corner + by * side for corner, side in zip(grid.origin, grid.lengths)),
    )


def write(path, n, low=0.0, high=0.3, samples=12, seed=0):
    """Groups as PDEBench writes them: n cells a side, coordinates of float32."""
    centres = (low + (high - low) * (np.arange(n) + 0.5) / n).astype("f4")
    grid = fdiff.Grid((n, n), high - low, "neumann", low)
    law = fdiff.BesselCovariance(1.0, 30.0 / (high - low) ** 2, 3.0)
    values = np.moveaxis(law.sample(grid, samples, seed, channels=2), 1, -1)[:, None]
    with h5py.File(path, "w") as file:
        for i in range(samples):
            file[f"{i:04d}/data"] = values[i].astype("f4")
            for name in ("x", "y"):
                file[f"{i:04d}/grid/{name}"] = centres
            file[f"{i:04d}/grid/t"] = np.array([1.0], "f4")
    return path


@given(grids())
def test_round_off_of_coordinates_does_not_make_another_box(grid):
    assert grid.same_box(rounded(grid))
    assert rounded(grid).same_box(grid)
    assert grid.same_nodes(rounded(grid))
    assert not grid.same_nodes(rounded(grid).refine(2))


@given(grids(), st.integers(0, 2), st.sampled_from(["lengths", "origin"]))
def test_another_box_is_another_box(grid, axis, what):
    axis %= grid.dim
    values = {name: list(getattr(grid, name)) for name in ("lengths", "origin")}
    values[what][axis] += 1e-4 * grid.lengths[axis]
    assert not grid.same_box(fdiff.Grid(grid.shape, boundary=grid.boundary, **values))
    other = "neumann" if grid.boundary[axis] != "neumann" else "periodic"
    kinds = [other if i == axis else kind for i, kind in enumerate(grid.boundary)]
    assert not grid.same_box(fdiff.Grid(grid.shape, grid.lengths, kinds, grid.origin))


def test_boxes_of_other_dimensions_are_others():
    assert not fdiff.Grid(4).same_box(fdiff.Grid((4, 4)))


@given(nested_grids())
def test_restriction_to_the_rounded_box_keeps_function_values(pair):
    coarse, fine = pair
    u = field(fine)
    exact = levels.restrict_field(u, fine, coarse)
    assert_allclose(levels.restrict_field(u, fine, rounded(coarse)), exact, rtol=0, atol=1e-12)
    assert levels.resample_field(u, fine, rounded(fine)) is u
    mean = fdiff.score.mean.mean_coefficients(Field(u, fine), rounded(fine))
    values = rounded(fine).basis.inverse(np.array(mean))
    assert_allclose(values, fine.basis.inverse(fine.basis.project(fine.basis.forward(u))),
                    rtol=0, atol=1e-12)  # fmt: skip


def test_metrics_compare_on_one_box_with_round_off_and_refuse_another():
    grid = fdiff.Grid((12, 8), 2 * np.pi)
    stored = fdiff.Grid((12, 8), 6.28319)
    x, y = (np.random.default_rng(i).standard_normal((8, 12, 8)) for i in (0, 1))
    exact = metrics.compare(x, y, grid)
    for row, known in zip(metrics.compare(x, y, stored, grid), exact, strict=True):
        assert_allclose(row.value, known.value, rtol=1e-4, atol=1e-4)
    with pytest.raises(ValueError, match="different boxes"):
        metrics.compare(x, y, fdiff.Grid((12, 8), 2 * np.pi * 1.0001), grid)


@pytest.mark.parametrize("side", [0.3, 1 / 3, np.pi, 123.456])
def test_float32_coordinates_of_two_resolutions_give_one_box(tmp_path, side, capfd):
    fine = write(tmp_path / "fine.h5", 100, high=side)
    coarse = write(tmp_path / "coarse.h5", 50, high=side, seed=1)
    with dataset.open(fine) as a, dataset.open(coarse) as b:
        assert a.grid.same_box(b.grid)
    assert main(["evaluate", str(coarse), "--against", str(fine)]) == 0
    assert "compared on (50, 50)" in capfd.readouterr().err
    other = write(tmp_path / "other.h5", 50, high=side * 1.0001, seed=1)
    assert main(["evaluate", str(other), "--against", str(fine)]) == 1
    assert "different boxes" in capfd.readouterr().err


def test_a_run_goes_on_with_the_rounded_box_and_not_with_another(tmp_path):
    pytest.importorskip("torch")
    from fdiff import nn

    grid = fdiff.Grid(8, 2 * np.pi)
    settings = nn.Config.from_dict(
        {
            "network": {"n_modes": 4, "hidden_channels": 4, "n_layers": 1},
            "training": {"levels": [8], "steps": [2], "batch_size": [2]},
        }
    )
    u = fdiff.BesselCovariance(1.0, 2.0, 2.0).sample(grid, 6, seed=0)
    nn.train(u, grid, settings, tmp_path / "run", device="cpu")
    nn.train(u, fdiff.Grid(8, 6.28319), settings, tmp_path / "run", resume=True, device="cpu")
    with pytest.raises(ValueError, match=r"a grid of lengths .6\.28"):
        nn.train(u, fdiff.Grid(8, 6.2838), settings, tmp_path / "run", resume=True, device="cpu")


def test_held_out_fields_of_another_box_are_refused(tmp_path):
    pytest.importorskip("torch")
    from fdiff.cli.train import train_from_file

    data = write(tmp_path / "a.h5", 8)
    config = {
        "network": {"n_modes": 4, "hidden_channels": 4, "n_layers": 1},
        "training": {"levels": [8], "steps": [1], "batch_size": [2]},
    }
    other = write(tmp_path / "b.h5", 8, high=0.4, seed=1)
    with pytest.raises(ValueError, match="held-out fields are on the grid of the training data"):
        train_from_file(data, tmp_path / "run", config, held_out=other, device="cpu")
    same = write(tmp_path / "c.h5", 8, low=1e-7, seed=1)
    assert train_from_file(data, tmp_path / "run", config, held_out=same, device="cpu")
