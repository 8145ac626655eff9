"""The frame of the experiments: settings, kept results, the report, what counts as proven."""

import json
import sys
import types

import numpy as np
import pytest

from fdiff.metrics.estimate import Estimate, student
from validation.experiments import __main__, outcome, runner
from validation.experiments import setting as settings
from validation.experiments.workspace import Workspace

pytest.importorskip("torch")


def square(x: float) -> dict:
    return {"square": np.array([x, x * x])}


def broken(x: float) -> dict:
    raise FloatingPointError("no way")


def test_kept_results_are_read_and_not_computed_again(tmp_path):
    work = Workspace(tmp_path, jobs=2)
    first = work.map(square, {"a": {"x": 2.0}, "b": {"x": 3.0}})
    assert list(first) == ["a", "b"]
    assert first["b"]["square"].tolist() == [3.0, 9.0]
    again = work.map(broken, {"b": {"x": 3.0}})  # would fail if it ran
    assert again["b"]["square"].tolist() == [3.0, 9.0]


def test_a_failed_task_is_named_and_the_others_are_kept(tmp_path):
    work = Workspace(tmp_path)
    work.one("good", square, x=1.0)
    with pytest.raises(RuntimeError, match="bad: FloatingPointError: no way"):
        work.one("bad", broken, x=1.0)
    assert [p.name for p in tmp_path.iterdir()] == ["good.npz"]


def test_setting_takes_one_form_and_names_what_is_amiss(monkeypatch, tmp_path):
    monkeypatch.setattr(settings, "HERE", tmp_path)
    (tmp_path / "one.toml").write_text("a = 1\n[quick]\nseeds = 1\n[full]\nseeds = 3\n")
    setting = settings.load("one", "full")
    assert (setting["a"], list(setting.seeds), setting.quick) == (1, [0, 1, 2], False)
    with pytest.raises(ValueError, match="no key 'steps'"):
        setting["steps"]
    assert setting.digest() != settings.load("one", "quick").digest()
    assert setting.digest() != settings.load("one", "full", tmp_path).digest()
    (tmp_path / "two.toml").write_text("[quick]\nseeds = 1\nb = 2\n[full]\nseeds = 3\n")
    with pytest.raises(ValueError, match="'b' stands in only one"):
        settings.load("two", "quick")


def test_smaller_needs_an_interval():
    better = outcome.smaller("x", "", [1.0, 1.1, 0.9], [2.0, 2.1, 1.9])
    assert better.verdict == "PASS"
    assert better.high < 1
    assert outcome.smaller("x", "", [2.0, 2.1, 1.9], [1.0, 1.1, 0.9]).verdict == "FAIL"
    assert outcome.smaller("x", "", [1.0, 2.0, 0.5], [1.1, 1.0, 1.0]).verdict == "INCONCLUSIVE"
    assert outcome.smaller("x", "", [1.0], [2.0]).verdict == "INCONCLUSIVE"


def test_within_and_shown():
    assert outcome.within("x", "", Estimate(0.5, 0.4, 0.6), 0.0, 1.0).verdict == "PASS"
    assert outcome.within("x", "", Estimate(0.9, 0.8, 1.1), 0.0, 1.0).verdict == "INCONCLUSIVE"
    assert outcome.within("x", "", Estimate(2.0, 1.9, 2.1), 0.0, 1.0).verdict == "FAIL"
    assert outcome.shown(student([1.0, 1.0, 1.3])) == "1.1 ± 0.4"
    assert outcome.shown(student([100.0, 140.0, 165.0])) == "135 ± 80"
    assert outcome.shown(student([0.1, 0.1, 0.1])) == "0.1"
    assert outcome.shown([1.0, 1.0, 1.3]) == "1.1 ± 0.4"
    assert outcome.shown([1.1]) == "1.1"  # not "± 0"


def script(monkeypatch, tmp_path, run) -> None:
    name = "an_experiment"
    module = types.ModuleType(f"validation.experiments.{name}", "What is asked.")
    module.run, module.__file__ = run, __file__
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(runner, "names", lambda: [name])
    monkeypatch.setattr(settings, "HERE", tmp_path)
    (tmp_path / f"{name}.toml").write_text("[quick]\nseeds = 2\n[full]\nseeds = 3\n")


def test_report_has_all_items_and_status_0(monkeypatch, tmp_path, capsys):
    plt = pytest.importorskip("matplotlib.pyplot")

    def run(setting, work):
        value = work.one("a", square, x=2.0)["square"][1]
        yield outcome.Text("A sentence.")
        yield outcome.Table("Squares", ["x", "square"], [["2", value]])
        yield outcome.Picture("line", lambda: plt.figure(), "A line.")
        yield outcome.observed("four", "by hand", Estimate(value, value, value))
        yield outcome.smaller("by luck", "by hand", [1.0], [2.0])

    script(monkeypatch, tmp_path, run)
    report = tmp_path / "report"
    assert __main__.main(["--quick", "--report", str(report), "--jobs", "1"]) == 0
    text = (report / "experiments.md").read_text()
    assert "| 2 | 4.0 |" in text
    assert "seeds 0, 1." in text
    assert (report / "figures" / "an_experiment_line.png").is_file()
    assert len(json.loads((report / "records.json").read_text())) == 2
    assert "one run has no interval" in capsys.readouterr().out


def test_failures_and_what_cannot_run_here(monkeypatch, tmp_path, capsys):
    def fails(setting, work):
        yield outcome.within("no", "by hand", Estimate(2.0, 1.9, 2.1), 0.0, 1.0)
        raise OSError("disk")

    script(monkeypatch, tmp_path, fails)
    assert __main__.main(["--report", str(tmp_path / "r")]) == 1
    assert "OSError: disk" in capsys.readouterr().out

    def skips(setting, work):
        raise runner.Skipped("give --data DIR")
        yield

    script(monkeypatch, tmp_path, skips)
    assert __main__.main(["--full", "--report", str(tmp_path / "s")]) == 0
    assert "skipped: give --data DIR" in capsys.readouterr().out
    assert __main__.main(["nothing"]) == 2
    assert "unknown: nothing; known: an_experiment" in capsys.readouterr().err
