"""Files of boxes of unequal sides: every number at the place that its name says, in every layout.

The files are read with h5py, so that no reader of ours turns back what a writer of ours turned.
"""

from __future__ import annotations

from itertools import product

import h5py
import numpy as np
import pytest
import yaml
from numpy.testing import assert_allclose, assert_array_equal
from problems import box_name, unequal_boxes

from fdiff import dataset, pde
from fdiff.dataset import factory, recipe
from fdiff.dataset.writer import write_fields
from tests.strategies import field

ALL = unequal_boxes()
SOME = [ALL[1], ALL[6], ALL[-1]]
NAMES = ("z", "y", "x")  # of a grid's axes, the last ones of it
GAUSS = {"family": "bessel", "scale": 1.0, "shift": 3.0, "power": 2.2}


def on(grids):
    return pytest.mark.parametrize("grid", grids, ids=box_name)


def nodes(grid, axis):
    """Where the nodes of an axis are, from the box alone."""
    shift = 0.0 if grid.boundary[axis] == "periodic" else 0.5
    h = grid.lengths[axis] / grid.shape[axis]
    return grid.origin[axis] + h * (np.arange(grid.shape[axis]) + shift)


def names(grid):
    return NAMES[3 - grid.dim :]


def made(grid, path, **changes):
    """A dataset of Gaussian fields of the linear system at three times, on that grid."""
    values = {
        "system": "linear", "initial": {"name": "gaussian", "covariance": GAUSS}, "samples": 3,
        "resolution": list(grid.shape), "lengths": list(grid.lengths), "times": [0.0, 0.1, 0.3],
        "boundary": list(grid.boundary), "origin": list(grid.origin), "method": "etdrk4",
    }  # fmt: skip
    r = recipe.from_dict(values | changes)
    factory.generate(r, path)
    return r


@on(ALL)
def test_written_fields_have_their_nodes_and_places(grid, tmp_path):
    u = field(grid, 1, (2, 3)).astype("f4")
    write_fields(tmp_path / "x.h5", u, grid, ("c", "a", "b"), 0.5, {})
    with h5py.File(tmp_path / "x.h5") as file:
        for sample, channel in product(range(2), range(3)):
            group = file[f"{sample:04d}"]
            assert_array_equal(group["data"][0, ..., channel], u[sample, channel])
            for axis, name in enumerate(names(grid)):
                assert_allclose(group[f"grid/{name}"], nodes(grid, axis), rtol=1e-6)
    with dataset.open(tmp_path / "x.h5") as file:
        assert file.grid == grid
        assert_array_equal(file.fields(["b", "c"]), u[:, [2, 0]])


@on(SOME)
def test_generated_samples_have_their_nodes_their_ends_and_places(grid, tmp_path):
    r = made(grid, tmp_path / "x.h5")
    with h5py.File(tmp_path / "x.h5") as file:
        for sample in range(3):
            group = file[f"{sample:04d}"]
            drawn = r.law.draw(r.system_of(sample), grid, r.seed, sample)
            assert_allclose(np.moveaxis(group["data"][0], -1, 0), drawn, atol=1e-6)
            said = yaml.safe_load(group.attrs["config"])["sim"]
            for axis, name in enumerate(names(grid)):
                assert_allclose(group[f"grid/{name}"], nodes(grid, axis), rtol=1e-6)
                low, high = {"x": ("left", "right"), "y": ("bottom", "top"),
                             "z": ("front", "back")}[name]  # fmt: skip
                assert said[f"{name}_{low}"] == grid.origin[axis]
                assert said[f"{name}_{high}"] == grid.origin[axis] + grid.lengths[axis]
                assert said[f"{name}dim"] == grid.shape[axis]


@on(SOME)
def test_the_wells_axes_are_turned_with_all_that_belongs_to_them(grid, tmp_path):
    """Its arrays are (sample, time, x, y, z): x is our last axis."""
    r = made(grid, tmp_path / "x.h5", format="well")
    with h5py.File(tmp_path / "x.h5") as file:
        said = [n.decode() if isinstance(n, bytes) else n
                for n in file["dimensions"].attrs["spatial_dims"]]  # fmt: skip
        assert said == list(reversed(names(grid)))
        for axis, name in enumerate(names(grid)):
            assert_allclose(file[f"dimensions/{name}"], nodes(grid, axis), rtol=1e-6)
        walls = {}
        for group in file["boundary_conditions"].values():
            (name,) = group.attrs["associated_dims"]
            walls[name.decode() if isinstance(name, bytes) else name] = group
        for axis, name in enumerate(names(grid)):
            assert walls[name].attrs["fdiff_condition"] == grid.boundary[axis]
            kind = "PERIODIC" if grid.boundary[axis] == "periodic" else "WALL"
            assert walls[name].attrs["bc_type"] == kind
            assert walls[name]["mask"].shape == (grid.shape[axis],)
        for sample in range(3):
            drawn = r.law.draw(r.system_of(sample), grid, r.seed, sample)
            for channel, name in enumerate(r.field_names):
                stored = file[f"t0_fields/{name}"][sample, 0]
                assert_allclose(stored.T, drawn[channel], atol=1e-6)
    with dataset.open(tmp_path / "x.h5") as file:
        assert file.grid == grid


@on(SOME)
@pytest.mark.parametrize("layout", ["pdebench", "well"])
def test_components_come_in_the_order_asked_for(grid, layout, tmp_path):
    path = tmp_path / "x.h5"
    r = made(grid, path, format=layout)
    with dataset.open(path) as file:
        for frame, time in enumerate(r.stored_times.tolist()):
            u, v = (file.fields(name, time)[:, 0] for name in ("u", "v"))
            assert np.abs(u - v).max() > 0.1
            assert_array_equal(file.fields(["v", "u"], time), np.stack([v, u], 1))
            assert_array_equal(file.fields(["u", "v"], time), np.stack([u, v], 1))
            for row in range(3):
                assert_array_equal(file.state(row, ("v", "u"), time), [v[row], u[row]])
                stored = file.view.data(row)[...][frame]
                assert_array_equal(stored[..., 0], u[row])
    torch = pytest.importorskip("torch")
    from fdiff.nn.data import TrajectoryDataset

    items = TrajectoryDataset(path, ("v", "u"), times=[0.1, 0.3])
    with dataset.open(path) as file:
        for i in range(6):
            expected = file.state(i // 2, ("v", "u"), (0.1, 0.3)[i % 2])
            assert torch.equal(items[i], torch.from_numpy(np.ascontiguousarray(expected)))


@on(SOME)
def test_xarray_has_every_coordinate_on_its_axis(grid, tmp_path):
    pytest.importorskip("xarray")
    made(grid, tmp_path / "x.h5")
    with dataset.open(tmp_path / "x.h5") as file:
        found = file.to_xarray()
        assert found["u"].dims == ("sample", "time", *names(grid))
        for axis, name in enumerate(names(grid)):
            assert_allclose(found[name], nodes(grid, axis))
        assert_array_equal(found["v"].values[1, 2], file.state(1, ("v",), 0.3)[0])


@on(SOME)
def test_what_a_grid_does_not_resolve_is_measured_on_every_axis_by_its_own_nodes(grid):
    """The tail is the energy's share beyond two thirds of the wave numbers of some axis."""
    from fdiff.dataset.statistics import tail_modes

    tail = tail_modes(grid).reshape(grid.basis.shape)
    for index in np.ndindex(grid.basis.shape):
        k = [abs(int(grid.basis.wavenumbers(axis)[i])) for axis, i in enumerate(index)]
        ends = [n / 2 if kind == "periodic" else n for n, kind in zip(grid.shape, grid.boundary)]
        assert tail[index] == any(3 * i > 2 * end for i, end in zip(k, ends))


def test_stored_times_are_found_from_both_sides(tmp_path):
    """Times are stored in float32: a third is a little more or less than the number asked for."""
    times = [0.0, 0.1, 0.3, 0.7]
    made(ALL[1], tmp_path / "x.h5", times=times)
    with dataset.open(tmp_path / "x.h5") as file:
        assert [file.frame(t) for t in times] == [0, 1, 2, 3]
        assert file.frame() == 3


def test_a_picture_shows_the_field_of_its_title(tmp_path):
    pytest.importorskip("matplotlib")
    from fdiff import trajectory_plots

    made(ALL[1], tmp_path / "x.h5")
    with dataset.open(tmp_path / "x.h5") as file:
        for name in ("u", "v"):
            shown = trajectory_plots.load(tmp_path / "x.h5", 2, name)
            assert shown.title.endswith(name)
            assert_array_equal(shown.values[1], file.state(2, (name,), 0.1)[0])


def test_a_solution_is_stored_at_the_times_it_is_asked_for(tmp_path):
    """The linear system of a constant state, by the exponential of its matrix."""
    from scipy.linalg import expm

    grid = ALL[4]
    rate = np.array([[1.0, -1.0], [1.0, -1.0]])
    start = np.broadcast_to(np.reshape([0.8, -0.3], (2, 1, 1)), (2, *grid.shape))
    for method in pde.METHODS:
        times = [0.2, 0.5, 1.1]
        found = pde.solve(pde.system("linear"), start, grid, times, 1e-8, method=method)
        for t, state in zip(times, found.fields):
            expected = expm(t * rate) @ [0.8, -0.3]
            assert_allclose(state.reshape(2, -1).T, np.tile(expected, (24, 1)), atol=1e-6)
