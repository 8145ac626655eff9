"""Other people's files in The Well's layout: boundaries, nodes, vectors, what does not vary."""

import warnings

import h5py
import numpy as np
import pytest
from foreign import centres, smooth, well
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

import fdiff
from fdiff import dataset
from fdiff.cli import main
from fdiff.dataset.formats import stacked
from fdiff.dataset.normalisation import normalisation

X, Y = np.arange(6) / 6 * 3.0, centres(4, 2.0, -1.0)  # periodic on [0, 3], walls at -1 and 1
U = smooth((5, 2, 6, 4))


def plain(path, **changes):
    given = {"fields": {"u": U}, "positions": {"x": X, "y": Y}} | changes
    given.setdefault("boundary", {"x": "PERIODIC", "y": "WALL"})
    return well(path, **given)


def read(path, boundary=None):
    """Grid, all fields at the last time, and what was said."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        with dataset.open(path, boundary) as file:
            values = file.fields(list(file.field_names))
            return file.grid, values, [str(w.message) for w in said]


def refused(path, boundary=None):
    with pytest.raises(ValueError) as error:  # noqa: PT011  # the tests look at its words
        read(path, boundary)
    said = str(error.value)
    assert str(path) in said
    assert "\n" not in said
    return said


def test_each_axis_has_the_boundary_that_the_file_states(tmp_path):
    grid, values, said = read(plain(tmp_path / "x.h5"))
    assert grid == fdiff.Grid((4, 6), (2.0, 3.0), ("neumann", "periodic"), (-1.0, 0.0))
    assert_array_equal(values[:, 0], U[:, 1].swapaxes(1, 2))
    assert len(said) == 1
    assert "the walls along y (WALL) are read as no-flux for all fields" in said[0]
    assert "--boundary" in said[0]


@pytest.mark.parametrize(
    ("kind", "expected", "word"),
    [("PERIODIC", "periodic", None), ("periodic", "periodic", None), ("WALL", "neumann", "WALL"),
     ("OPEN", "neumann", "OPEN"), (("WALL", "OPEN"), "neumann", "OPEN and WALL")],
)  # fmt: skip
def test_types_of_boundary(tmp_path, kind, expected, word):
    path = plain(tmp_path / "x.h5", boundary={"x": "PERIODIC", "y": kind})
    grid, _, said = read(path)
    assert grid.boundary == (expected, "periodic")
    assert ("; ".join(said).count(f"y ({word})") == 1) if word else said == []


def test_what_the_user_says_wins(tmp_path):
    path = plain(tmp_path / "x.h5")
    for boundary in ("dirichlet,neumann", ("dirichlet", "no-flux"), "x=neumann,y=dirichlet"):
        grid, _, said = read(path, boundary)
        assert grid.boundary == ("dirichlet", "neumann")
        assert "no-flux" not in "".join(said)
    assert read(path, {"x": "neumann"})[0].boundary == ("neumann", "neumann")
    assert read(path, "periodic")[0].boundary == ("periodic", "periodic")
    assert "there is no axis 'z'" in refused(path, "z=periodic")
    assert "got 'solid'" in refused(path, "solid")
    assert "one for each of the axes y, x" in refused(path, "neumann,neumann,neumann")


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (None, "no entry of boundary_conditions is about axis y: say with --boundary"),
        (("PERIODIC", "WALL"), "axis y has the boundary conditions PERIODIC and WALL"),
        ("NEUMANN", "axis y has the boundary condition NEUMANN"),
    ],
)
def test_a_boundary_that_is_not_stated_is_asked_for(tmp_path, kind, words):
    path = plain(tmp_path / "x.h5", boundary={"x": "PERIODIC", "y": kind})
    said = refused(path)
    assert words in said
    assert "--boundary" in said
    assert read(path, "y=dirichlet")[0].boundary == ("dirichlet", "periodic")


def test_without_any_boundary_conditions_all_axes_are_asked_for(tmp_path):
    path = plain(tmp_path / "x.h5")
    with h5py.File(path, "r+") as file:
        del file["boundary_conditions"]
    assert "--boundary" in refused(path)
    assert read(path, "periodic")[0].boundary == ("periodic", "periodic")


def test_an_obstacle_inside_the_box_is_no_wall_of_it(tmp_path):
    path = plain(tmp_path / "x.h5", boundary={"x": "PERIODIC", "y": "PERIODIC"})
    with h5py.File(path, "r+") as file:
        obstacle = file.create_group("boundary_conditions/maze")
        obstacle.attrs.update(associated_dims=["x", "y"], bc_type="WALL")
        mask = np.zeros((6, 4), bool)
        mask[2:4, 1:3] = True
        obstacle["mask"] = mask
    assert read(path)[0].boundary == ("periodic", "periodic")


@pytest.mark.parametrize("kind", ["spherical", "log_spherical"])
def test_only_cartesian_grids(tmp_path, kind):
    assert f"grid_type {kind!r}" in refused(plain(tmp_path / "x.h5", grid_type=kind))


@pytest.mark.parametrize(
    ("x", "words"),
    [
        (X**2, "not equidistant: steps are between 0.25 and 2.25"),
        (X + 0.005 * (X == 1), "not equidistant: steps are between 0.495 and 0.505"),
        (X[::-1], "must increase; number 0 is 2.5, number 1 is 2"),
        (np.zeros(6), "must increase"),
        (np.where(X == 1, np.nan, X), "not all finite"),
    ],
)
def test_nodes_that_are_no_grid_s_are_refused_with_numbers(tmp_path, x, words):
    assert words in refused(plain(tmp_path / "x.h5", positions={"x": x, "y": Y}))


def test_nodes_that_were_written_with_four_digits_are_a_grid(tmp_path):
    x = X + 1e-4 * np.sin(7 * X) * (X > 0) * (X < 2.5)
    with dataset.open(plain(tmp_path / "x.h5", positions={"x": x, "y": Y})) as file:
        assert_allclose(file.grid.lengths[1], 3.0, rtol=1e-6)


def test_one_node_gives_no_length(tmp_path):
    path = plain(tmp_path / "x.h5", fields={"u": U[:, :, :1]}, positions={"x": [0.0], "y": Y})
    assert "axis x has 1 node" in refused(path)


@pytest.mark.parametrize("length", [1.0, 2 * np.pi, 0.3, 50.0, 3.7128])
@pytest.mark.parametrize("position_type", ["f4", "f8"])
@pytest.mark.parametrize("n", [5, 8])
def test_an_end_that_is_repeated_is_dropped(tmp_path, length, position_type, n):
    period = smooth((3, 2, n, 4))
    both = np.concatenate([period, period[:, :, :1]], axis=2)
    x = np.linspace(0, length, n + 1)
    options = {"position_type": position_type}
    path = plain(tmp_path / "x.h5", fields={"u": both}, positions={"x": x, "y": Y}, **options)
    grid, values, said = read(path)
    assert grid.shape == (4, n)
    assert_allclose(grid.lengths[1], length, rtol=2e-6)
    assert_array_equal(values[:, 0], period[:, 1].swapaxes(1, 2))
    assert "axis x stores the end" in said[0]
    whole = plain(
        tmp_path / "y.h5", fields={"u": period}, positions={"x": x[:-1], "y": Y}, **options
    )
    assert read(whole)[0].same_nodes(grid)


def test_an_end_that_is_not_repeated_is_refused(tmp_path):
    positions = {"x": np.linspace(0, 1, 6), "y": Y}
    said = refused(plain(tmp_path / "x.h5", positions=positions))
    assert "the values there differ by" in said
    assert "the period is 1.2 and not 1" in said
    # Equal in the sample that is looked at first, but not in a later one.
    both = U.copy()
    both[:4, :, -1] = both[:4, :, 0]
    said = refused(plain(tmp_path / "y.h5", fields={"u": both}, positions=positions))
    assert "the values there differ by" in said


def test_equal_values_at_both_ends_do_not_make_a_repeated_end(tmp_path):
    spot = np.zeros((2, 2, 10, 4), "f4")
    spot[:, :, 4:6] = 1.0
    for length in (1.0, 3.1415927, 3.7128):
        positions = {"x": np.arange(10) / 10 * length, "y": Y}
        grid, _, _ = read(plain(tmp_path / "x.h5", fields={"u": spot}, positions=positions))
        assert grid.shape == (4, 10)
        assert_allclose(grid.lengths[1], length, rtol=1e-5)


def test_periodic_nodes_at_cell_centres_keep_their_places(tmp_path):
    path = plain(tmp_path / "x.h5", positions={"x": centres(6, 3.0), "y": Y})
    grid, _, _ = read(path)
    assert (grid.lengths[1], grid.origin[1]) == (3.0, 0.25)
    assert_allclose(grid.points(1), centres(6, 3.0))


@given(
    n=st.integers(3, 12),
    m=st.integers(2, 9),
    length=st.sampled_from([1.0, 2.5, 2 * np.pi, 0.3]),
    start=st.sampled_from([0.0, -1.0, 4.0]),
    seed=st.integers(0, 99),
)
def test_nodes_from_wall_to_wall_become_the_values_of_their_cosine_polynomial(
    tmp_path_factory, n, m, length, start, seed
):
    a = np.random.default_rng(seed).standard_normal((2, 1, n, m))

    def polynomial(x, y):
        """All cosines that the nodes tell apart: 0 <= k < n along x, exactly m along y."""
        along_x = np.cos(np.pi * np.outer((x - start) / length, np.arange(n)))
        along_y = np.cos(np.pi * np.outer(y / 2.5, np.arange(m)))
        return np.einsum("stkl,xk,yl->stxy", a, along_x, along_y)

    positions = {"x": np.linspace(start, start + length, n), "y": np.linspace(0, 2.5, m)}
    path = tmp_path_factory.mktemp("walls") / "x.h5"
    plain(
        path, fields={"u": polynomial(*positions.values())}, positions=positions, times=[0.0],
        boundary={"x": "WALL", "y": "OPEN"}, position_type="f8",
    )  # fmt: skip
    grid, values, said = read(path)
    assert grid.shape == (m, n)
    assert_allclose(grid.lengths, (2.5, length))
    assert_allclose(grid.origin, (0, start), atol=1e-9)
    exact = polynomial(grid.points(1), grid.points(0))[:, 0].swapaxes(1, 2)
    assert_allclose(values[:, 0], exact, rtol=0, atol=1e-5 * np.abs(a).sum())
    with dataset.open(path) as file:
        assert_allclose(file.state(1, ["u"])[0], exact[1], rtol=0, atol=1e-12 * np.abs(a).sum())
    assert f"axis x has nodes on both walls, {start:g} and {start + length:g}" in said[0]


@pytest.mark.parametrize("n", [3, 4, 9])
def test_dirichlet_nodes_from_wall_to_wall_become_the_values_of_their_sine_polynomial(tmp_path, n):
    b = np.random.default_rng(n).standard_normal(n - 2)

    def polynomial(x):
        return np.sin(np.pi * np.outer(x / 0.7, np.arange(1, n - 1))) @ b

    x = np.linspace(0, 0.7, n)
    values = np.where(np.isin(np.arange(n), [0, n - 1]), 0.0, polynomial(x))
    fields = {"u": np.broadcast_to(values, (2, 1, n)).copy()}
    path = tmp_path / "x.h5"
    well(path, fields, {"x": x}, {"x": "WALL"}, times=[0.0])
    grid, found, _ = read(path, "dirichlet")
    assert grid == fdiff.Grid(n - 1, 0.7, "dirichlet")
    assert_allclose(found[1, 0], polynomial(grid.points(0)), atol=1e-6)
    well(path, {"u": fields["u"] + 1}, {"x": x}, {"x": "WALL"}, times=[0.0])
    assert "a value there is 1" in refused(path, "dirichlet")


def test_nodes_that_only_count_are_cells(tmp_path):
    x, y = np.arange(6.0), np.arange(1.0, 5.0)
    grid, _, said = read(plain(tmp_path / "x.h5", positions={"x": x, "y": y}))
    assert "the positions along axis y number its nodes, which are read as 4 cells" in said[0]
    assert (grid.lengths, grid.shape) == ((4.0, 6.0), (4, 6))


def test_components_of_vectors_and_tensors_are_fields(tmp_path):
    fields = {
        "c": U, "velocity": smooth((5, 2, 6, 4, 2), 1), "stress": smooth((5, 2, 6, 4, 2, 2), 2),
        "flat": smooth((5, 2, 6, 4, 4), 3), "species": smooth((5, 2, 6, 4, 3), 4),
    }  # fmt: skip
    order = {"velocity": 1, "stress": 2, "flat": 2, "species": 1}
    path = plain(tmp_path / "x.h5", fields=fields, order=order)
    with dataset.open(path, "periodic") as file:
        tensor = [
            f"{name}_{pair}" for name in ("stress", "flat") for pair in ("xx", "xy", "yx", "yy")
        ]
        assert list(file.field_names) == [
            "c", "velocity_x", "velocity_y", "species_0", "species_1", "species_2", *tensor,
        ]  # fmt: skip

        def same(name, values):
            read = file.fields(name, 1.0)[:, 0]
            assert_array_equal(read, values[:, 1].swapaxes(1, 2))

        same("velocity_y", fields["velocity"][..., 1])
        same("stress_xy", fields["stress"][..., 0, 1])
        same("stress_yx", fields["stress"][..., 1, 0])
        same("flat_yx", fields["flat"][..., 2])
        same("species_2", fields["species"][..., 2])


def test_a_field_that_is_not_listed_is_a_field(tmp_path):
    path = plain(tmp_path / "x.h5")
    with h5py.File(path, "r+") as file:
        file["t0_fields/v"] = 2 * U
    with dataset.open(path, "neumann") as file:
        assert file.field_names == ("u", "v")


@pytest.mark.parametrize("by_sample", [True, False])
@pytest.mark.parametrize("by_time", [True, False])
@pytest.mark.parametrize("dims", [(True, True), (True, False), (False, True), (False, False)])
@pytest.mark.parametrize("components", [0, 2])
def test_what_does_not_vary_is_the_same_everywhere(tmp_path, by_sample, by_time, dims, components):
    keep = (by_sample, by_time, *dims)
    full = smooth((5, 2, 6, 4) + (components,) * bool(components), 7)
    stored = full[tuple(slice(None) if varies else 0 for varies in keep)]
    expected = full[tuple(slice(None) if varies else slice(0, 1) for varies in keep)]
    expected = np.broadcast_to(expected, full.shape)
    says = {"sample_varying": by_sample, "time_varying": by_time, "dim_varying": list(dims)}
    path = plain(
        tmp_path / "x.h5", fields={"u": U, "k": stored}, attributes={"k": says},
        order={"k": int(bool(components))},
    )  # fmt: skip
    with dataset.open(path, "x=periodic,y=neumann") as file:
        for name, values in (
            [("k_x", expected[..., 0]), ("k_y", expected[..., 1])] if components
            else [("k", expected)]
        ):  # fmt: skip
            for i, time in enumerate((0.0, 1.0)):
                read = file.fields(name, time)[:, 0]
                assert_array_equal(read, values[:, i].swapaxes(1, 2))
            whole = file.view.data(3)[...][..., file.channel(name)]
            assert_array_equal(whole, values[3].swapaxes(1, 2))


def test_positions_are_read_once_and_not_for_every_sample(tmp_path, monkeypatch):
    """Reading them again for each of ten thousand samples took ten times as long as the values."""
    asked = []
    plain_numbers = stacked.numbers

    def counting(stored, what, *rest):
        asked.append(what)
        return plain_numbers(stored, what, *rest)

    monkeypatch.setattr(stacked, "numbers", counting)
    with dataset.open(plain(tmp_path / "x.h5"), "x=periodic,y=neumann") as file:
        assert file.fields("u", 1.0).shape[0] == len(U)
    assert len(asked) == len(set(asked)) == 3


def test_statistics_of_a_field_that_does_not_vary(tmp_path):
    says = {"sample_varying": False, "time_varying": False, "dim_varying": [True, False]}
    k = smooth((6,), 3)
    path = plain(tmp_path / "x.h5", fields={"u": U, "k": k}, attributes={"k": says})
    found = normalisation(path)
    assert_allclose([found["mean"]["k"], found["std"]["k"]], [k.mean(), k.std()], rtol=1e-6)
    assert found["std_delta"]["k"] == 0.0


def test_a_shape_that_does_not_fit_is_refused(tmp_path):
    path = plain(tmp_path / "x.h5", fields={"u": U, "v": U[..., :3]})
    said = refused(path)
    assert "t0_fields/v has shape (5, 2, 6, 3), which does not fit" in said
    assert "6 along x, 4 along y" in said
    path = plain(tmp_path / "y.h5", fields={"u": U, "v": U[:3]})
    assert "different numbers of samples: 5 in u, 3 in v" in refused(path)
    path = plain(tmp_path / "z.h5", times=[0.0, 1.0, 2.0])
    assert "the fields have 2 times, dimensions/time has 3" in refused(path)


@pytest.mark.parametrize(
    "stored", [("x", "y"), ("y", "x"), ("z", "y"), ("x", "y", "z"), ("z", "x", "y"), ("x",)]
)
def test_axes_are_those_of_the_file_by_name(tmp_path, stored):
    sizes = {"x": 5, "y": 4, "z": 3}
    positions = {name: centres(sizes[name], float(sizes[name]) / 4) for name in stored}
    values = smooth((2, 1, *(sizes[name] for name in stored)))
    path = tmp_path / "x.h5"
    well(path, {"u": values}, positions, dict.fromkeys(stored, "PERIODIC"), times=[0.0])
    grid, found, _ = read(path)
    ours = [name for name in ("z", "y", "x") if name in stored]
    assert grid.shape == tuple(sizes[name] for name in ours)
    assert_allclose(grid.lengths, [sizes[name] / 4 for name in ours])
    turned = np.moveaxis(values, [2 + stored.index(name) for name in ours],
                         range(2, 2 + len(ours)))  # fmt: skip
    assert_array_equal(found[:, 0], turned[:, 0])


def test_samples_with_other_times_are_refused(tmp_path):
    times = np.tile([0.0, 1.0], (5, 1))
    assert read(plain(tmp_path / "x.h5", times=times))[0].shape == (4, 6)
    times[3, 1] = 2.0
    assert "sample 0003 has other times than sample 0000" in refused(
        plain(tmp_path / "x.h5", times=times)
    )


def test_scalars_are_parameters(tmp_path):
    r = np.linspace(0, 1, 5)
    path = plain(tmp_path / "x.h5", scalars={"r": r, "nu": 0.25})
    with dataset.open(path, "neumann") as file:
        assert_allclose(file.parameters(["r"])["r"], r)
        assert_allclose(file.parameters(["r"], "train")["r"], r[:4])
        assert_allclose(file.parameters(["nu"])["nu"], np.full(5, 0.25))
        with pytest.raises(ValueError, match="it records nu, r"):
            file.parameters(["q"])


def test_verify_reads_a_file_whose_boundary_is_not_known(tmp_path):
    from fdiff.dataset.verify import verify

    path = plain(tmp_path / "x.h5", boundary={"x": "PERIODIC", "y": None})
    report = verify(path)
    assert (report["unknown"], report["damaged"], report["unreadable"]) == (5, {}, {})


SMALL = """
[network]
hidden_channels = 4
n_layers = 1
n_modes = 4
[training]
levels = [6]
steps = [1]
batch_size = [2]
"""


@pytest.fixture
def flow(tmp_path):
    """Periodic along x, walls along y without an entry; smooth fields of one variance."""
    grid = fdiff.Grid((6, 6), 1.0, ("neumann", "periodic"))
    u = fdiff.BesselCovariance(20.0, 60.0, 2.5).sample(grid, 24, seed=1)
    fields = {"u": u.swapaxes(1, 2)[:, None].astype("f4")}
    positions = {"x": np.arange(6) / 6, "y": centres(6)}
    paths = []
    for i, part in enumerate((slice(0, 12), slice(12, 24))):
        paths.append(well(tmp_path / f"{i}.h5", {"u": fields["u"][part]}, positions,
                          {"x": "PERIODIC", "y": None}, times=[0.0]))  # fmt: skip
    return paths


def test_the_commands_ask_for_a_boundary_and_take_it(flow, tmp_path, capfd):
    pytest.importorskip("torch")
    data, others = map(str, flow)
    (tmp_path / "t.toml").write_text(SMALL)
    run, picture = tmp_path / "run", str(tmp_path / "a.png")
    train = ["train", data, "--config", str(tmp_path / "t.toml"), "--out", str(run)]
    for command in (
        ["show", data, "--out", picture],
        train,
        ["evaluate", data, "--against", others],
    ):
        assert main(command) == 1
        said = capfd.readouterr().err
        assert said.count("\n") == 1
        assert "axis y: say with --boundary" in said
        assert main([*command, "--boundary", "y=neumann"]) == 0
        capfd.readouterr()
    from fdiff import nn

    assert nn.load_run(run, device="cpu").grid.boundary == ("neumann", "periodic")
    capfd.readouterr()
    assert main(["show", data, "--out", picture, "--boundary", "solid"]) == 1
    assert "got 'solid'" in capfd.readouterr().err


def test_a_wall_is_said_in_one_line(tmp_path, capfd):
    path = plain(tmp_path / "x.h5")
    assert main(["show", str(path), "--out", str(tmp_path / "a.png")]) == 0
    lines = capfd.readouterr().err.splitlines()
    assert sum("no-flux for all fields" in line for line in lines) == 1
    assert lines[0].startswith(f"warning: {path}: ")
    assert "UserWarning" not in "".join(lines)
    assert main(["show", str(path), "--out", str(tmp_path / "a.png"), "--boundary", "neumann"]) == 0
    assert "no-flux" not in capfd.readouterr().err


def test_a_file_of_fdiff_records_its_boundary(tmp_path):
    from fdiff.dataset import factory, recipe

    base = recipe.load("gray-scott").override(resolution=(8, 8), samples=2, times="0:2:1")
    factory.generate(recipe.from_dict(base.as_dict() | {"format": "well"}), tmp_path / "x.h5")
    with dataset.open(tmp_path / "x.h5", "periodic") as file:
        assert file.grid.boundary == ("periodic", "periodic")
    with pytest.raises(ValueError, match="the file records that axis y is periodic: leave out"):
        dataset.open(tmp_path / "x.h5", "neumann")


def test_frames_of_the_well_that_were_never_written_are_named(tmp_path):
    path = plain(tmp_path / "x.h5")
    with dataset.open(path) as file:
        name, shape = file.field_names[0], (len(file), len(file.times))
    with h5py.File(path, "r+") as file:
        values = file[f"t0_fields/{name}"][...]
        attributes = dict(file[f"t0_fields/{name}"].attrs)
        del file[f"t0_fields/{name}"]
        chunks = (1, 1, *values.shape[2:])
        array = file.create_dataset(f"t0_fields/{name}", values.shape, "f4", chunks=chunks)
        array.attrs.update(attributes)
        for row, frame in np.ndindex(shape):
            if (row, frame) != (1, 0):
                array[row, frame] = values[row, frame]
    with dataset.open(path) as file:
        assert np.isfinite(file.fields(name)).all()
        with pytest.raises(ValueError, match=r"sample 0001, .* unwritten"):
            file.fields(name, file.times[0])


def test_times_of_the_well_increase(tmp_path):
    path = plain(tmp_path / "x.h5", times=[1.0, 0.0])
    assert "the stored times must increase; number 0 is 1, number 1 is 0" in refused(path)


def test_a_grid_type_that_is_not_stated_is_said(tmp_path):
    path = plain(tmp_path / "x.h5", boundary={"x": "PERIODIC", "y": "PERIODIC"})
    assert read(path)[2] == []
    with h5py.File(path, "r+") as file:
        del file.attrs["grid_type"]
    (said,) = read(path)[2]
    assert said.endswith("no grid_type, and its positions were read as Cartesian coordinates")


def test_one_parameter_may_be_named_by_itself(tmp_path):
    values = np.linspace(0, 1, 5)
    with dataset.open(plain(tmp_path / "x.h5", scalars={"alpha": values})) as file:
        assert_allclose(file.parameters("alpha")["alpha"], values, rtol=1e-6)
        assert list(file.parameters("alpha")) == list(file.parameters(["alpha"])) == ["alpha"]
        with pytest.raises(ValueError, match="'beta'"):
            file.parameters("beta")
