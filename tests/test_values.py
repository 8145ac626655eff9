"""Values that are missing, not finite or not real are refused by name wherever fields come in."""

import h5py
import numpy as np
import pytest
from foreign import centres, groups, smooth, well

import fdiff
from fdiff import dataset, metrics
from fdiff.cli import main
from fdiff.values import real_values

GRID = fdiff.Grid((4, 6), 1.0, "neumann")
SIDES = {"y": centres(4), "x": centres(6)}
TIMES = [0.0, 2.5]


def fields(count=12, seed=0):
    return fdiff.BesselCovariance(20.0, 60.0, 2.5).sample(GRID, count, seed, channels=2)


def write(path, layout, samples, attributes=(), kind="f4"):
    """Fields u and v at two times, in groups or stacked; ``attributes`` of the arrays."""
    samples = np.asarray(samples)
    if layout == "groups":
        values = np.moveaxis(samples, 1, -1)[:, None].repeat(2, axis=1)
        groups(path, values.astype(kind), SIDES, TIMES)
        arrays = [f"{i:04d}/data" for i in range(len(samples))]
    else:
        stacked = samples.swapaxes(2, 3)[:, :, None].repeat(2, axis=2).astype(kind)
        well(path, {"u": stacked[:, 0], "v": stacked[:, 1]}, {"x": SIDES["x"], "y": SIDES["y"]},
             {"x": "WALL", "y": "WALL"}, times=TIMES)  # fmt: skip
        arrays = ["t0_fields/u", "t0_fields/v"]
    with h5py.File(path, "r+") as file:
        for name in arrays:
            file[name].attrs.update(dict(attributes))
    return path


LAYOUTS = pytest.mark.parametrize("layout", ["groups", "stacked"])


@LAYOUTS
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_not_finite_is_named(tmp_path, layout, value):
    u = fields()
    u[3, 1, 2, 5] = value
    with dataset.open(write(tmp_path / "x.h5", layout, u), "neumann") as file:
        for use in (lambda: file.fields("v", 2.5), lambda: file.fields(["u", "v"], 2.5, "train"),
                    lambda: file.state(3, ["u", "v"], 2.5)):  # fmt: skip
            with pytest.raises(ValueError, match=r"x\.h5: sample 0003, field v, time 2\.5 holds"):
                use()
        assert np.isfinite(file.fields("u")).all()
        assert np.isfinite(file.fields("v", split="test")).all()
        assert np.isfinite(file.state(2, ["v"])).all()


@LAYOUTS
@pytest.mark.parametrize("mark", ["_FillValue", "missing_value"])
@pytest.mark.parametrize("number", [np.float64(-9999), np.float32(1e20), np.array([1e20, 7.0])])
def test_missing_values_are_no_numbers(tmp_path, layout, mark, number):
    u = fields()
    path = write(tmp_path / "x.h5", layout, u, {mark: number})
    with dataset.open(path, "neumann") as file:
        np.testing.assert_array_equal(file.fields(["u", "v"]), u.astype("f4"))
    u[5, 0, 1, 1] = np.ravel(number)[0]
    path = write(tmp_path / "y.h5", layout, u, {mark: number})
    shown = f"{float(np.ravel(number)[0]):g}"
    with dataset.open(path, "neumann") as file:
        with pytest.raises(ValueError, match="sample 0005, field u, time 0 holds") as error:
            file.fields("u", 0.0)
        assert f"missing ({shown}" in str(error.value).replace("\\", "")
        assert np.isnan(file.view.data(5)[0]).sum() == 1
        assert np.isfinite(file.fields("v")).all()


def test_missing_values_are_not_smeared_by_resampling(tmp_path):
    u = np.ones((4, 2, 4, 6))
    u[2, 0, 1, 1] = -999.0
    path = write(tmp_path / "x.h5", "groups", u, {"_FillValue": -999.0})
    with h5py.File(path, "r+") as file:
        for key in file:
            del file[f"{key}/grid/y"]
            file[f"{key}/grid/y"] = np.linspace(0, 1, 4).astype("f4")
    with dataset.open(path) as file:
        with pytest.raises(ValueError, match="sample 0002, field u"):
            file.fields("u")
        assert (file.fields("v") == 1).all()


@LAYOUTS
@pytest.mark.parametrize(
    ("kind", "words"),
    [("c8", "holds complex numbers"), ("i4", "holds whole numbers"), ("u1", "holds whole numbers"),
     ("?", "holds truth values")],
)  # fmt: skip
def test_arrays_that_are_no_real_fields_are_refused(tmp_path, capfd, layout, kind, words):
    path = write(tmp_path / "x.h5", layout, fields(), kind=kind)
    assert main(["show", str(path), "--out", str(tmp_path / "a.png")]) == 1
    # A file of somebody else's may be remarked on first.
    lines = capfd.readouterr().err.splitlines()
    (said,) = (line for line in lines if not line.startswith("warning: "))
    assert words in said
    assert str(path) in said


@LAYOUTS
def test_packed_values_are_refused(tmp_path, layout):
    path = write(tmp_path / "x.h5", layout, fields(), {"scale_factor": 0.1})
    said = r"is packed \(scale_factor\)"
    with pytest.raises(ValueError, match=said), dataset.open(path, "neumann") as file:
        file.fields()


@LAYOUTS
def test_what_float32_cannot_hold_is_refused(tmp_path, layout):
    u = fields()
    u[1, 0, 0, 0] = 1e39
    with dataset.open(write(tmp_path / "x.h5", layout, u, kind="f8"), "neumann") as file:
        with pytest.raises(ValueError, match=r"sample 0001, field u, time 0 holds .* float32"):
            file.fields("u", 0.0)
        assert file.state(1, ["u"])[0, 0, 0] == 1e39


def test_trajectories_recorded_as_failed_are_left_out_as_before(tmp_path):
    import json

    from fdiff.dataset import factory, recipe

    path = tmp_path / "x.h5"
    small = recipe.load("fitzhugh-nagumo").override(resolution=(8, 8), times="0:1:0.5", samples=4)
    factory.generate(small, path)
    with h5py.File(path, "r+") as file:
        file["0001/data"][-1] = np.nan
        root = json.loads(file.attrs["fdiff"])
        file.attrs["fdiff"] = json.dumps(root | {"failed": {"1": "it exploded"}})
    with dataset.open(path) as file:
        with pytest.warns(UserWarning, match="1 of 4 samples .* recorded as failed and left out"):
            assert file.fields().shape[0] == 3
        with pytest.raises(ValueError, match="sample 0001, field u, time 1 holds"):
            file.state(1, ["u"])
        assert np.isnan(file.values(1, ["u"])).all()
    # Other samples are recognised beside a failed one.
    assert len(dataset.overlap(path, path)) >= 3


def masked(values, at):
    """The values with a mask at one place, under which stands a number like the others."""
    mask = np.zeros(np.shape(values), bool)
    mask[at] = True
    return np.ma.MaskedArray(values, mask)


MASKED = "1 of the .* values of .* is masked"
NOT_FINITE = "NaN or infinite.*number 3"
BAD = {
    "masked": (lambda u: masked(u, (3, 0, 1, 1)), ValueError, MASKED),
    "list of masked": (
        lambda u: list(masked(u, (3, 0, 1, 1))), ValueError, MASKED
    ),
    "nan": (lambda u: np.where(u == u[3, 0, 1, 1], np.nan, u), ValueError, NOT_FINITE),
    "inf": (lambda u: np.where(u == u[3, 0, 1, 1], np.inf, u), ValueError, NOT_FINITE),
    "complex": (lambda u: u + 0j, TypeError, "complex array"),
    "text": (lambda u: u.astype(str), TypeError, "expected numbers"),
    "objects": (lambda u: u.astype(object), TypeError, "expected numbers"),
}  # fmt: skip


@pytest.mark.parametrize("what", BAD)
def test_arrays_are_refused_wherever_fields_come_in(tmp_path, what):
    change, error, words = BAD[what]
    u, good = fields(), fields(seed=1)
    bad = change(u)
    uses = [
        lambda: metrics.compare(bad, good, GRID),
        lambda: metrics.compare(good, bad, GRID),
        lambda: metrics.energy_distance(bad, good, GRID),
        lambda: dataset.write_fields(tmp_path / "x.h5", bad, GRID, ["u", "v"], 0.0, {}),
    ]
    for use in uses:
        with pytest.raises(error, match=words):
            use()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("what", BAD)
def test_training_refuses_them_too(tmp_path, what):
    pytest.importorskip("torch")
    from fdiff import nn

    change, error, words = BAD[what]
    u, good = fields(), fields(seed=1)
    config = nn.Config.from_dict(
        {
            "network": {"n_modes": 4, "hidden_channels": 4, "n_layers": 1},
            "training": {"levels": [6], "steps": [1], "batch_size": [2]},
        }
    )
    with pytest.raises(error, match=words):
        nn.train(change(u), GRID, config, tmp_path / "run", device="cpu")
    with pytest.raises(error, match=words):
        nn.train(good, GRID, config, tmp_path / "run", validation=change(u), device="cpu")
    assert not (tmp_path / "run").exists()


def test_a_mean_or_an_ensemble_with_gaps_is_refused():
    u = fields()[:, 0]
    with pytest.raises(ValueError, match="masked"):
        fdiff.Field(masked(u[0], (1, 1)), GRID)
    with pytest.raises(TypeError, match="complex"):
        fdiff.Field(u[0] + 0j, GRID)


def test_arrays_that_are_fields_pass():
    u = fields()
    assert real_values(u, "u") is u
    np.testing.assert_array_equal(real_values(np.ma.MaskedArray(u), "u"), u)
    np.testing.assert_array_equal(real_values([[1, 2], [3, 4]], "u"), [[1, 2], [3, 4]])
    x, y = (np.random.default_rng(i).integers(0, 255, (8, 4, 6)).astype(np.uint8) for i in (0, 1))
    for row, known in zip(metrics.compare(x, y, GRID), metrics.compare(x * 1.0, y * 1.0, GRID)):
        assert row == known


def test_values_beyond_float32_are_not_written(tmp_path):
    u = fields()
    u[2, 0, 0, 0] = 1e39
    with pytest.raises(ValueError, match=r"1 of the 12 fields to write \(as float32\).*number 2"):
        dataset.write_fields(tmp_path / "x.h5", u, GRID, ["u", "v"], 0.0, {})
    with pytest.raises(ValueError, match="time of the fields must be a finite number"):
        dataset.write_fields(tmp_path / "x.h5", fields(), GRID, ["u", "v"], np.nan, {})
    assert not list(tmp_path.iterdir())


@LAYOUTS
def test_the_commands_name_the_sample(tmp_path, capfd, layout):
    pytest.importorskip("torch")
    good = write(tmp_path / "good.h5", layout, fields())
    u = fields(seed=1)
    u[4, 0, 0, 0] = np.nan
    bad = write(tmp_path / "bad.h5", layout, u)
    options = ["--time", "2.5", "--boundary", "neumann"]
    (tmp_path / "t.toml").write_text("network = {n_modes = 4, hidden_channels = 4}")
    for command in (
        [
            "train",
            str(bad),
            "--levels",
            "6",
            "--config",
            str(tmp_path / "t.toml"),
            "--out",
            str(tmp_path / "run"),
            *options,
        ],
        ["evaluate", str(bad), "--against", str(good), *options],
        ["evaluate", str(good), "--against", str(bad), *options],
    ):
        assert main(command) == 1
        said = capfd.readouterr().err
        assert f"fdiff: {bad}: sample 0004, field u, time 2.5 holds values" in said
        assert "leave this sample out, or fill the gaps" in said


def test_times_that_are_not_finite_are_refused(tmp_path):
    for layout in ("groups", "stacked"):
        path = write(tmp_path / f"{layout}.h5", layout, fields())
        with h5py.File(path, "r+") as file:
            names = [f"{k}/grid/t" for k in file] if layout == "groups" else ["dimensions/time"]
            for name in names:
                file[name][1] = np.nan
        with pytest.raises(ValueError, match="times are not all finite"):
            dataset.open(path, "neumann")


@pytest.mark.parametrize("values", [[1.0, 2.0, 3.0], 5.0, ["a", "b"], [1j, 2j]])
def test_times_that_are_no_row_of_numbers_are_refused(tmp_path, values):
    for layout in ("groups", "stacked"):
        path = write(tmp_path / f"{layout}.h5", layout, fields())
        with h5py.File(path, "r+") as file:
            names = [f"{k}/grid/t" for k in file] if layout == "groups" else ["dimensions/time"]
            for name in names:
                del file[name]
                file[name] = values
        with (
            pytest.raises(ValueError, match=rf"{layout}\.h5: .*(time|grid/t)"),
            dataset.open(path, "neumann") as file,
        ):
            file.fields()


@pytest.mark.parametrize("values", [0.5, ["a"] * 6, np.zeros((2, 3, 4)), [0.5]])
def test_positions_that_are_no_row_of_numbers_are_refused(tmp_path, values):
    for layout, name in (("groups", "0000/grid/x"), ("stacked", "dimensions/x")):
        path = write(tmp_path / f"{layout}.h5", layout, fields())
        with h5py.File(path, "r+") as file:
            del file[name]
            file[name] = values
        with (
            pytest.raises(ValueError, match=rf"{layout}\.h5: "),
            dataset.open(path, "neumann") as file,
        ):
            file.fields()


def test_noise_of_a_file_stays_what_it_was(tmp_path):
    u = smooth((6, 2, 4, 6))
    with dataset.open(write(tmp_path / "x.h5", "groups", u)) as file:
        assert file.fields(["u", "v"]).dtype == np.float32
        np.testing.assert_array_equal(file.fields(["u", "v"]), u)
