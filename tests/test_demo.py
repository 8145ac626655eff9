"""The main job, small: data, training, samples at a resolution never trained on, report."""

import json
import math

import pytest

from fdiff import dataset
from fdiff.cli import demo, main

pytest.importorskip("torch")

METRICS = {
    "energy_distance", "spectrum_error", "kurtosis", "std", "pointwise_w1", "gradient_w1",
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("demo")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(demo, "QUICK_STEPS", (6, 3))
        assert main(arguments(out)) == 0
    return out


def arguments(out):
    sizes = ["--train", "40", "--held-out", "30", "--samples", "6"]
    return ["demo", "--quick", "--out", str(out), *sizes]


def test_the_folder_holds_what_the_design_promises(folder):
    names = {path.name for path in folder.iterdir()}
    assert {
        "data.h5", "held_out.h5", "run", "samples_32.h5", "samples_64.h5", "samples_128.h5",
        "report.html", "metrics.json",
    } <= names  # fmt: skip
    assert not [name for name in names if "partial" in name]
    page = (folder / "report.html").read_text()
    assert page.count("data:image/png;base64,") == 3


def test_the_table_has_every_combination_with_an_interval(folder):
    rows = json.loads((folder / "metrics.json").read_text())["rows"]
    found = {(tuple(r["resolution"]), r["samples"], r["metric"]) for r in rows}
    for n in (32, 64, 128):
        for kind in ("trained", "untrained", "truth"):
            assert {((n, n), kind, metric) for metric in METRICS} <= found
    for row in rows:
        assert all(math.isfinite(row[key]) for key in ("value", "low", "high"))
        assert row["low"] <= row["value"] <= row["high"]


def test_samples_are_the_same_functions_at_every_resolution(folder):
    from fdiff import levels

    fields = {}
    for n in (64, 128):
        with dataset.open(folder / f"samples_{n}.h5") as file:
            fields[n], grid = file.fields("u"), file.grid
            fields[n] = levels.resample_field(fields[n], grid, grid.with_shape((64, 64)))
            assert list(file.times) == [2.5]
    # Up to the network's own resolution error; two unrelated samples differ by sqrt(2).
    difference = (fields[64] - fields[128]).std() / fields[128].std()
    assert difference < 0.02


def test_samples_evaluate_like_data_but_not_against_what_was_trained_on(folder, capsys):
    samples = str(folder / "samples_32.h5")
    held_out, data = (str(folder / name) for name in ("held_out.h5", "data.h5"))
    assert main(["evaluate", samples, "--against", held_out, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["rows"]
    assert main(["evaluate", samples, "--against", data]) == 1
    assert "training data" in capsys.readouterr().err


def test_the_same_command_again_trains_nothing_and_gives_the_same_numbers(folder):
    before = (folder / "metrics.json").read_text()
    weights = (folder / "run" / "model.safetensors").read_bytes()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(demo, "QUICK_STEPS", (6, 3))
        assert main(arguments(folder)) == 0
    assert (folder / "metrics.json").read_text() == before
    assert (folder / "run" / "model.safetensors").read_bytes() == weights


def test_sample_leaves_a_complete_file_and_refuses_another_recipe(folder, capsys):
    run, out = str(folder / "run"), str(folder / "samples_32.h5")
    same = ["sample", run, "--out", out, "--resolution", "32", "--samples", "6", "--seed", "7"]
    assert main(same) == 0
    assert "nothing to do" in capsys.readouterr().err
    assert main([*same[:-1], "8"]) == 1
    assert "seed" in capsys.readouterr().err


def test_sample_says_what_is_wrong(folder, tmp_path, capsys):
    run, out = str(folder / "run"), ["--out", str(tmp_path / "x.h5")]
    assert main(["sample", run, *out, "--resolution", "16"]) == 1  # fewer nodes than modes
    assert "n_modes" in capsys.readouterr().err
    assert main(["sample", run, *out, "--solver", "euler"]) == 1
    assert "euler-maruyama" in capsys.readouterr().err
    assert main(["sample", str(tmp_path), *out]) == 1
    assert "run" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
