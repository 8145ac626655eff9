"""What fdiff says: one of a thing and many, boxes, commands to copy, whose line a warning names."""

import re
import shlex
import warnings
from pathlib import Path

import h5py
import numpy as np
import pytest
from foreign import centres, smooth, well
from test_dataset import small

import fdiff
from fdiff import dataset, pde, values, words
from fdiff.cli import main
from fdiff.dataset import factory, tree
from fdiff.dataset.resolved import Unresolved
from fdiff.dataset.verify import complaints, verify

BOX = fdiff.Grid((16, 16), 2.0, "neumann", -1.0)  # FitzHugh-Nagumo's
OTHERS = {
    "corner": fdiff.Grid((16, 16), 2.0, "neumann"),
    "side": fdiff.Grid((16, 16), (2.0, 3.0), "neumann", -1.0),
    "walls": fdiff.Grid((16, 16), 2.0, ("periodic", "neumann"), -1.0),
    "dimension": fdiff.Grid((16,), 2.0, "neumann", -1.0),
}


def said(capsys, *command):
    """The one line of a command that fails."""
    assert main([*map(str, command)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    return line


def fields_on(grid, path, names=("u", "v"), samples=3):
    u = np.random.default_rng(0).standard_normal((samples, len(names), *grid.shape))
    return dataset.write_fields(path, u, grid, names, 1.0, {})


def test_numbers_and_boxes_read_as_sentences():
    assert [words.counted(n, "sample") for n in (0, 1, 2)] == ["0 samples", "1 sample", "2 samples"]
    assert words.counted(2, "trajectory", "trajectories") == "2 trajectories"
    assert [words.by_number(n, "is", "are") for n in (0, 1, 2)] == ["are", "is", "are"]
    assert words.box(BOX) == "[-1, 1]² (neumann)"
    assert words.box(fdiff.Grid((4,), 0.5)) == "[0, 0.5] (periodic)"
    assert words.box(fdiff.Grid((4, 4, 4))) == "[0, 1]³ (periodic)"
    assert words.box(OTHERS["side"]) == "[-1, 1] × [-1, 2] (neumann)"
    assert words.box(OTHERS["walls"]) == "[-1, 1]² (periodic, neumann)"


@pytest.mark.parametrize("bad", [1, 2])
def test_verbs_agree_with_their_number(bad):
    is_or_are = "is" if bad == 1 else "are"
    poor = Unresolved(0.1, 0, bad, 8, None, None)
    assert f"x.h5: {bad} of 8 samples {is_or_are} not resolved" in poor.sentence("x.h5")
    u = np.zeros((4, 3))
    u[:bad] = np.nan
    hold = ("holds", "regenerate it") if bad == 1 else ("hold", "regenerate them")
    with pytest.raises(ValueError, match=f"{bad} of the 4 fields {hold[0]} NaN .* {hold[1]}$"):
        values.require_finite(u, "fields")
    masked = np.ma.masked_invalid(u[:, 0])
    with pytest.raises(ValueError, match=f"{bad} of the 4 values of u {is_or_are} masked"):
        values.real_values(masked, "u")


def test_one_sample_is_intact(tmp_path, capsys):
    path = tmp_path / "x.h5"
    fields_on(BOX, path, samples=1)
    for command in (["verify", path], ["doctor", path]):
        assert main([*map(str, command)]) == 0
        printed = capsys.readouterr()
        assert "1 sample was read; without checksums" in printed.out + printed.err


@pytest.mark.parametrize("other", OTHERS)
def test_initial_states_of_another_box_are_refused_before_anything_is_written(
    tmp_path, capsys, other
):
    source, out = tmp_path / "fields.h5", tmp_path / "x.h5"
    fields_on(OTHERS[other], source)
    command = ("generate", "fitzhugh-nagumo", "--resolution", 16, "--samples", 2, "--times", 0.1)
    line = said(capsys, *command, "--initial", f"file:{source}", "--out", out)
    there, here = words.box(OTHERS[other]), words.box(BOX)
    assert f"{source} lies on {there}, fitzhugh-nagumo on {here}: generate on its box" in line
    assert sorted(tmp_path.iterdir()) == [source]
    # The keys that are named give the recipe the box of the file.
    keys = line.partition("(a recipe with ")[2].rpartition("), or")[0]
    toml = 'system = "fitzhugh-nagumo"\nsamples = 2\ntimes = 0.1\n'
    toml += f"resolution = {list(OTHERS[other].shape)}\n"
    keys = keys.replace("a resolution of 1 axis, ", "")
    if other != "dimension":
        given = {key: getattr(BOX, key) for key in ("lengths", "origin", "boundary")}
        toml += "".join(
            f"{key} = {list(value)}\n" for key, value in given.items() if f"{key} =" not in keys
        )
    recipe = tmp_path / "own.toml"
    recipe.write_text(toml + keys.replace("], ", "]\n") + "\n", encoding="utf-8")
    assert main(["generate", str(recipe), "--initial", f"file:{source}", "--out", str(out)]) == 0


def test_initial_states_without_the_fields_are_refused_before_anything_is_written(tmp_path, capsys):
    source = tmp_path / "fields.h5"
    fields_on(BOX, source, ("u",))
    line = said(
        capsys, "generate", "fitzhugh-nagumo", "--resolution", 16, "--samples", 2,
        "--initial", f"file:{source}", "--out", tmp_path / "x.h5",
    )  # fmt: skip
    assert "has fields u, not 'v'" in line
    assert sorted(tmp_path.iterdir()) == [source]


def test_the_repair_that_is_printed_repairs(tmp_path, capsys):
    path = tmp_path / "with a blank.h5"
    factory.generate(small(), path)
    good = path.read_bytes()
    with h5py.File(path, "r+") as file:
        for key in ("0001", "0003", "0004"):
            file[key]["data"][0, 0, 0, 0] += 1
    text = "; ".join(complaints(path, verify(path)))
    assert "and likewise the 2 others" in text
    for left in (2, 1, 0):
        command = text.split("`")[1]
        assert main(shlex.split(command)[1:]) == 0
        text = "; ".join(complaints(path, verify(path)))
        assert text.count("damaged") == min(left, 1)
    assert path.read_bytes() == good


def test_the_repair_of_a_folder_names_the_file(tmp_path):
    out = tmp_path / "well"
    tree.generate(small(samples=10, format="well"), out)
    (path,) = (out / "data" / "test").iterdir()
    with h5py.File(path, "r+") as file:
        file["t0_fields/u"][0, 0, 0, 0] += 1
    text = "; ".join(complaints(out, tree.verify(out)))
    assert f"{path} --sample 9 --repair" in text
    assert main(shlex.split(text.split("`")[1])[1:]) == 0
    assert complaints(out, tree.verify(out)) == []


@pytest.mark.parametrize(("same", "verb"), [(1, "is"), (2, "are")])
def test_fields_of_both_files_are_counted(tmp_path, capsys, same, verb):
    samples, truth = tmp_path / "samples.h5", tmp_path / "truth.h5"
    u = np.random.default_rng(1).standard_normal((8, 1, *BOX.shape))
    dataset.write_fields(samples, u[:4], BOX, ["u"], 1.0, {"kind": "samples"})
    dataset.write_fields(truth, u[4 - same :], BOX, ["u"], 1.0, {})
    line = said(capsys, "evaluate", samples, "--against", truth)
    assert f"{same} of the fields of {truth} {verb} in {samples} too" in line


def test_what_was_left_out_of_a_training_is_counted():
    from fdiff.cli.train import _left_out, _part

    parts = [_part(*numbers) for numbers in ((5, 6), (6, 6), (1, 1))]
    assert parts == ["5 of the 6 samples", "all 6 samples", "the only sample"]
    kept = 'kept back for validation and comparison (split "test")'
    for given, expected in (
        ((0, 0, "train"), ""),
        ((1, 0, "train"), f"; the other 1 is {kept}"),
        ((3, 0, "train"), f"; the other 3 are {kept}"),
        ((2, 0, "test"), '; the other 2 are not in the split "test"'),
        ((0, 1, None), "; the other 1 failed when it was generated"),
        ((0, 2, None), "; the other 2 failed when they were generated"),
        ((1, 2, "train"), f"; of the others 1 is {kept} and 2 failed when they were generated"),
    ):
        assert _left_out(*given) == expected


def test_a_run_in_the_place_of_data_is_called_one(tmp_path, capsys):
    run = tmp_path / "run"
    run.mkdir()
    (run / "run.json").write_text("{}")
    file = tmp_path / "x.h5"
    fields_on(BOX, file)
    for command in (
        ["show", run], ["verify", run], ["doctor", run], ["train", run, "--out", tmp_path / "new"],
        ["evaluate", run, "--against", file], ["evaluate", file, "--against", run],
    ):  # fmt: skip
        assert main([*map(str, command)]) == 1
        printed = capsys.readouterr()
        (line,) = (printed.out + printed.err).splitlines()
        assert f"{run} is a run of `fdiff train`, not data: `fdiff sample {run} --out" in line
    with pytest.raises(ValueError, match="is a run"):
        dataset.open(run)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--out", "x.h5"), r"a picture \(--out\) ends in \.png, .* got x\.h5"),
        (("--out", "x.gif"), r"a picture \(--out\) ends in \.png"),
        (("--out", "x"), r"a picture \(--out\) ends in \.png"),
        (("--movie", "x.avi"), r"a movie \(--movie\) ends in \.gif or \.mp4, got x\.avi"),
    ],
)
def test_names_of_pictures_say_how_they_may_end(tmp_path, capsys, monkeypatch, options, expected):
    monkeypatch.chdir(tmp_path)
    fields_on(BOX, tmp_path / "d.h5")
    assert re.search(expected, said(capsys, "show", "d.h5", *options))
    assert [path.name for path in tmp_path.iterdir()] == ["d.h5"]


@pytest.mark.parametrize("ending", [".png", ".PNG", ".pdf", ".svg", ".jpg", ".webp"])
def test_every_ending_that_is_named_is_written(tmp_path, ending):
    fields_on(BOX, tmp_path / "d.h5")
    picture = tmp_path / f"x{ending}"
    assert main(["show", str(tmp_path / "d.h5"), "--out", str(picture)]) == 0
    assert picture.stat().st_size > 1000


def test_solve_says_which_argument_is_in_the_wrong_place():
    system = pde.system("fitzhugh-nagumo")
    y = np.zeros((2, 16, 16))
    for given, expected in (
        ((system, BOX, y, [1.0]), "grid is a Grid, got ndarray"),
        ((BOX, y, system, [1.0]), "system is a System, got Grid"),
        ((system, y, [1.0], BOX), "grid is a Grid, got list"),
        ((system, y, BOX, BOX), "expected numbers for the times"),
        ((system, "y", BOX, [1.0]), "expected numbers for the initial state"),
        ((system, y + 1j, BOX, [1.0]), "complex"),
    ):
        with pytest.raises(TypeError, match=expected):
            pde.solve(*given)
    with pytest.raises(ValueError, match="masked"):
        pde.solve(system, np.ma.masked_equal(y, 0), BOX, [1.0])


def test_folders_of_one_time_are_told_to_take_two(tmp_path, capsys):
    command = ["generate", "fitzhugh-nagumo", "--resolution", 16, "--samples", 10]
    command += ["--format", "well", "--times"]
    line = said(capsys, *command, 5, "--out", tmp_path / "x")
    assert "give at least two times, as --times 0,5 does" in line
    for times, name in (("0,5", "x"), ("5", "y.hdf5")):  # both remedies that it names
        assert main([*map(str, command), times, "--out", str(tmp_path / name)]) == 0


def test_warnings_name_the_line_that_led_to_them(tmp_path):
    walls = tmp_path / "walls.hdf5"
    grouped = tmp_path / "groups.h5"
    factory.generate(small(), grouped)
    with h5py.File(grouped, "r+") as file:
        file["extra"] = 1.0
    rough = fdiff.WhiteNoise()
    well(walls, {"u": smooth((2, 2, 9))}, {"x": centres(9)}, {"x": "WALL"})
    for cause in (
        lambda: dataset.open(grouped),
        lambda: dataset.open(walls),
        lambda: rough.sample(BOX, 1, seed=0),
    ):
        with warnings.catch_warnings(record=True) as found:
            warnings.simplefilter("always")
            cause()
        assert [Path(one.filename).name for one in found] == [Path(__file__).name]
        assert [one.lineno for one in found] == [cause.__code__.co_firstlineno]


def test_every_warning_is_given_so():
    sources = sorted(Path(fdiff.__file__).parent.rglob("*.py"))
    own = [path for path in sources if "warnings.warn(" in path.read_text(encoding="utf-8")]
    assert [path.name for path in own] == ["words.py"]
