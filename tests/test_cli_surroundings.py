"""The command line in awkward surroundings: Ctrl-C, no cache, ASCII terminals, ``~``."""

import inspect
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import fdiff
from fdiff import dataset
from fdiff.cli import build, main

ROOT = Path(fdiff.__file__).parents[1]
COMMANDS = sorted(c.name or c.callback.__name__ for c in build().registered_commands)
ASCII = {"PYTHONIOENCODING": "ascii", "LC_ALL": "C", "TERM": "dumb", "PYTHONUTF8": "0",
         "PYTHONCOERCECLOCALE": "0"}  # fmt: skip


def fdiff_process(*words, cwd, **environment):
    return subprocess.Popen(
        [sys.executable, "-m", "fdiff", *map(str, words)], cwd=cwd, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
    )  # fmt: skip


def interrupted(process, begun):
    """Status, output and errors of a process that gets SIGINT when it has begun."""
    end = time.monotonic() + 240
    while not begun():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


def test_an_interrupted_generate_says_how_it_goes_on_and_does(tmp_path, capfd):
    out = tmp_path / "x.h5"
    words = (
        "generate",
        "fitzhugh-nagumo",
        "--resolution",
        96,
        "--times",
        "0:5:2.5",
        "--workers",
        1,
    )
    words = (*words, "--out", out, "--samples")
    ledger = tmp_path / "x.h5.partial.ledger"

    def begun():
        return ledger.exists() and ledger.read_bytes().count(b"\n") > 2

    status, said, err = interrupted(fdiff_process(*words, 5000, cwd=tmp_path), begun)
    assert (status, said) == (130, "")
    assert err == (
        "fdiff: interrupted; the same command goes on with the trajectories that are finished\n"
    )
    assert not out.exists()
    finished = ledger.read_bytes().count(b"\n") - 1
    assert main([str(w) for w in (*words, finished + 1)]) == 0  # fewer, for the test's sake
    said = capfd.readouterr().err
    assert f"{out}: 1 trajectory ({finished} were there already)" in said
    assert main(["verify", str(out)]) == 0
    assert [p.name for p in tmp_path.iterdir()] == ["x.h5"]


def test_an_interrupted_training_says_how_it_goes_on_and_does(tmp_path, capfd):
    data, run = tmp_path / "data.h5", tmp_path / "run"
    grid = fdiff.Grid((8, 8), 2.0, "neumann")
    u = fdiff.BesselCovariance(20.0, 60.0, 2.5).sample(grid, 12, seed=1, channels=1)
    dataset.write_fields(data, u, grid, ["u"], 2.5, {})
    config = tmp_path / "t.toml"
    config.write_text(
        "[network]\nn_modes = 4\nhidden_channels = 4\n[training]\nlevels = [8]\n"
        "steps = [1000000]\nbatch_size = [4]\nsave_every = 2\n"
    )
    words = ("train", data, "--config", config, "--field", "u", "--out", run)
    checkpoint = run / "optimizer.safetensors"
    before = -1

    def begun():
        return checkpoint.exists() and checkpoint.stat().st_mtime_ns != before

    for resume in ((), ("--resume",)):
        status, said, err = interrupted(fdiff_process(*words, *resume, cwd=tmp_path), begun)
        assert (status, said) == (130, "")
        assert err.splitlines()[-1] == (
            "fdiff: interrupted; the same command with --resume goes on from the last checkpoint, "
            "or from the start where there is none"
        )
        assert "Traceback" not in err
        assert not list(run.glob("*.partial*"))
        before = checkpoint.stat().st_mtime_ns
    steps = [json.loads(line)["step"] for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert steps == sorted(set(steps))  # gone on with, not begun again
    assert main([str(w) for w in words]) == 1
    assert "continue it with resume" in capfd.readouterr().err


@pytest.mark.parametrize("command", COMMANDS)
def test_every_path_of_a_command_may_begin_with_the_home(command, monkeypatch, tmp_path):
    """Every parameter of type Path reaches the command's function without its ``~``."""
    import typing

    import typer

    monkeypatch.setenv("HOME", str(tmp_path))
    seen = {}
    # The function below the wrapper, with its own body replaced.
    app = build()
    (info,) = [c for c in app.registered_commands if (c.name or c.callback.__name__) == command]
    inner = inspect.unwrap(info.callback)
    monkeypatch.setattr(inner, "__code__", _recorder(inner, seen).__code__)
    monkeypatch.setitem(inner.__globals__, "_seen", seen)
    hints = typing.get_type_hints(inner)
    paths = {k for k, hint in hints.items() if hint in (Path, Path | None)}
    required = [p for p in inspect.signature(inner).parameters.values() if p.default is p.empty]
    given = {p.name: "~/x" if p.name in paths else "text" for p in required}
    given |= dict.fromkeys(paths, "~/x")
    group = typer.main.get_command(app)
    parameters = {p.name: p for p in group.commands[command].params}
    words = [command]
    for name, value in given.items():
        parameter = parameters[name]
        if parameter.param_type_name == "argument":
            words.append(value)
        else:
            words.append(f"{parameter.opts[0]}={'1' if hints[name] is int else value}")
    with pytest.raises(SystemExit) as end:
        app(args=words, prog_name="fdiff")
    assert end.value.code in (0, None)
    assert {k: seen.get(k) for k in paths} == dict.fromkeys(paths, tmp_path / "x")


def _recorder(function, seen):
    """A function of the same parameters that keeps its arguments in the global ``_seen``."""
    names = list(inspect.signature(function).parameters)
    scope: dict = {}
    exec(f"def command({', '.join(names)}):\n    _seen.update(locals())", scope)
    return scope["command"]


def test_states_and_recipes_are_found_in_the_home(tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.toml").write_text(
        'system = "fitzhugh-nagumo"\nresolution = [8, 8]\ntimes = "0.1"\nsamples = 2\n'
    )
    assert main(["generate", "~/mine.toml", "--out=~/a.h5", "--workers", "1"]) == 0
    command = ["generate", "~/mine.toml", "--initial", "file:~/a.h5", "--workers", "1"]
    assert main([*command, "--out=~/b.h5"]) == 0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.h5", "b.h5", "mine.toml"]
    with dataset.open(tmp_path / "b.h5") as file:
        assert len(file) == 2


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_needs_no_more_than_ascii(command, tmp_path):
    process = fdiff_process(*([command] if command else []), "--help", cwd=tmp_path, **ASCII)
    out, err = process.communicate(timeout=120)
    assert (process.returncode, err) == (0, "")
    assert "Usage" in out
    assert out.isascii()


def test_messages_need_no_more_than_ascii(tmp_path):
    words = ("generate", "fitzhugh-nagumo", "--resolution", "8", "--dry-run", "--out", "x.h5")
    process = fdiff_process(*words, cwd=tmp_path, **ASCII)
    _, err = process.communicate(timeout=240)
    assert process.returncode == 0
    assert "fitzhugh-nagumo on 8x8" in err
    assert err.isascii()


WITHOUT_CACHE = """
import sys
from numba.core import caching
def refuse(self): raise PermissionError(13, "read-only")
caching._CacheLocator.ensure_cache_path = refuse
from fdiff.cli import main
sys.exit(main(sys.argv[1:]))
"""


def test_a_read_only_installation_computes_without_the_cache_and_says_so_once(tmp_path):
    """As numba finds it where neither the package nor the home can be written to."""
    words = ["generate", "paper-mixture", "--samples", "1", "--resolution", "8", "--workers", "1"]
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_CACHE, *words, "--out", "x.h5"],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("warning: ") == 1
    assert "set NUMBA_CACHE_DIR to a folder that can be written to\n" in done.stderr
    assert main([*words, "--out", str(tmp_path / "y.h5")]) == 0
    with dataset.open(tmp_path / "x.h5") as ours, dataset.open(tmp_path / "y.h5") as usual:
        assert (ours.fields("u") == usual.fields("u")).all()
