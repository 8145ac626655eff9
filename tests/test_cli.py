"""The command line as its users meet it: one clear sentence for what goes wrong, status 0 only on
success, results on standard output."""

import json

import numpy as np
import pytest

import fdiff
from fdiff import dataset
from fdiff.cli import explain, main
from fdiff.cli.shape import parse_shape

GRID = fdiff.Grid((16, 16), 2.0, "neumann", -1.0)


def fields_file(path, seed=0, grid=GRID, **provenance):
    u = fdiff.BesselCovariance(1.0, 9.0, 2.0).sample(grid, 12, seed=seed, channels=1)
    return dataset.write_fields(path, u, grid, ["u"], 2.5, provenance)


def sentence(capsys) -> str:
    captured = capsys.readouterr()
    assert captured.out == ""
    lines = captured.err.strip().splitlines()
    assert len(lines) == 1, captured.err
    assert lines[0].startswith("fdiff: ")
    return lines[0]


def test_doctor_finds_everything_in_order(capsys):
    assert main(["doctor", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert {row["status"] for row in rows} <= {"ok", "optional"}


@pytest.mark.parametrize("arguments", [["nonsense"], ["sample"], ["doctor", "--jsn"]])
def test_wrong_usage_has_status_two(arguments, capsys):
    assert main(arguments) == 2
    assert "Error" in capsys.readouterr().err


def test_a_missing_file_is_named(tmp_path, capsys):
    samples = fields_file(tmp_path / "s.h5")
    assert main(["evaluate", str(samples), "--against", str(tmp_path / "none.h5")]) == 1
    assert "none.h5" in sentence(capsys)


def test_a_truncated_file_is_named(tmp_path, capsys):
    samples = fields_file(tmp_path / "s.h5")
    damaged = tmp_path / "d.h5"
    damaged.write_bytes(samples.read_bytes()[:-100])
    assert main(["evaluate", str(samples), "--against", str(damaged)]) == 1
    assert "truncated" in sentence(capsys)


def test_evaluate_gives_every_metric_with_its_interval(tmp_path, capsys):
    samples, truth = fields_file(tmp_path / "s.h5"), fields_file(tmp_path / "t.h5", seed=1)
    report = tmp_path / "report"
    arguments = ["evaluate", str(samples), "--against", str(truth), "--json"]
    assert main([*arguments, "--report", str(report)]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert {"energy_distance", "kurtosis", "pointwise_w1"} <= {row["metric"] for row in rows}
    for row in rows:
        assert row["low"] <= row["value"] <= row["high"]
    assert json.loads((report / "metrics.json").read_text())["rows"] == rows
    page = (report / "report.html").read_text()
    assert "data:image/png;base64," in page
    assert "http" not in page


def test_evaluate_compares_on_the_coarser_grid_and_says_so(tmp_path, capsys):
    samples = fields_file(tmp_path / "s.h5", grid=GRID.coarsen(2))
    truth = fields_file(tmp_path / "t.h5", seed=1)
    assert main(["evaluate", str(samples), "--against", str(truth), "--json"]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["rows"][0]["resolution"] == [8, 8]
    assert "restricted" in captured.err


def test_evaluate_refuses_what_was_trained_on(tmp_path, capsys):
    truth = fields_file(tmp_path / "t.h5", seed=1)
    with dataset.open(truth) as file:
        trained_on = {"identities": list(file.identities())[:3]}
    samples = fields_file(tmp_path / "s.h5", trained_on=trained_on)
    assert main(["evaluate", str(samples), "--against", str(truth)]) == 1
    assert "3 of the fields" in sentence(capsys)


def test_evaluate_refuses_fields_that_are_in_both_files(tmp_path, capsys):
    """Seeds 0 and 1 of PDEBench's own initial numbers share all fields but one."""
    first, second = (str(tmp_path / f"{seed}.h5") for seed in (0, 1))
    common = ["pdebench-diff-react", "--samples", "3", "--resolution", "8", "--times", "0.1"]
    for seed, out in enumerate((first, second)):
        assert main(["generate", *common, "--seed", str(seed), "--workers", "1", "--out", out]) == 0
    capsys.readouterr()
    assert main(["evaluate", first, "--against", second]) == 1
    assert "2 of the fields" in sentence(capsys)


def test_evaluate_refuses_another_box(tmp_path, capsys):
    samples = fields_file(tmp_path / "s.h5", grid=fdiff.Grid((16, 16), 1.0, "neumann"))
    truth = fields_file(tmp_path / "t.h5", seed=1)
    assert main(["evaluate", str(samples), "--against", str(truth)]) == 1
    assert "boxes" in sentence(capsys)


def test_a_file_is_complete_or_absent(tmp_path):
    broken = np.zeros((2, 1, 16, 15))
    with pytest.raises(ValueError, match="shape"):
        dataset.write_fields(tmp_path / "x.h5", broken, GRID, ["u"], 0.0, {})
    with pytest.raises(TypeError):  # fails while writing: this provenance is no JSON
        fields_file(tmp_path / "x.h5", bad={1, 2})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(28, "No space left on device", "x.h5"), "disk is full"),
        (PermissionError(13, "Permission denied", "x.h5"), "permission"),
        (OSError(30, "Read-only file system", "x.h5"), "read-only"),
        (ModuleNotFoundError("No module named 'torch'", name="torch"), "fdiff[torch]"),
        (MemoryError(), "memory"),
    ],
)
def test_what_the_system_refuses_comes_with_advice(error, words):
    assert words in explain(error)


@pytest.mark.parametrize(
    ("text", "like", "shape"),
    [
        ("32", (128, 128), (32, 32)),
        ("64", (32, 128), (16, 64)),  # along the longest axis, in proportion
        ("256", (96, 64, 128), (192, 128, 256)),
        ("12,20", (128, 128), (12, 20)),
        ("7", (5,), (7,)),
    ],
)
def test_a_resolution_is_one_number_or_one_of_each_axis(text, like, shape):
    assert parse_shape(text, like) == shape


@pytest.mark.parametrize("text", ["", "x", "32x32", "0", "-4", "8,8,8", "2.5"])
def test_a_resolution_that_is_none_is_refused(text):
    with pytest.raises(ValueError, match="such as 32,128; got"):
        parse_shape(text, (32, 128))


def test_a_proportion_that_is_not_whole_is_refused():
    with pytest.raises(ValueError, match="give each axis its own"):
        parse_shape("30", (32, 128))


def test_generate_takes_a_rectangle(tmp_path):
    out = tmp_path / "r.h5"
    command = ["generate", "pdebench-diff-react", "--samples", "1", "--times", "0.1"]
    assert main([*command, "--resolution", "8,12", "--workers", "1", "--out", str(out)]) == 0
    with dataset.open(out) as file:
        assert file.grid.shape == (8, 12)
