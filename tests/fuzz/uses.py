"""How the owners of files use them; what each was given is checked by an independent read."""

from __future__ import annotations

import dis
import hashlib
import json
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from . import independent

# What fdiff never says of itself: pieces of other libraries' messages.
FOREIGN = re.compile(
    r"Unable to|[Cc]an't |errno|object has no attribute|unexpected keyword|positional argument|"
    r"not supported between|unhashable|invalid literal|could not convert|out of bounds|"
    r"out of range|Expecting|NoneType|' object |must be real number|codec|recursion|Traceback|"
    r"cannot reshape|broadcast|KeyError|size mismatch|Header|Exceeds the limit|Extra data|"
    r"while scanning|while parsing|unpack|not iterable|not subscriptable|inhomogeneous|"
    r"IncompleteMetadata|InvalidOffset|Invalid (?:initial|value|statement)|line \d+ column|"
    r"bad symbol table|wrong fractal|not enough values|ufunc|dtype|strides|StopIteration"
)


# Options without effect on a kind of network, which a run may record with any value.
IDLE = {"fno": ("n_levels",), "oriented": ("n_levels", "mixing")}


class WrongValues(AssertionError):
    """A damaged file was accepted, and what was read is not what stands in it."""


class Damaged(Exception):
    """A use that reports damage instead of raising: the words of the report."""


def _require(condition: bool, what: str) -> None:
    if not condition:
        raise WrongValues(what)


def read_dataset(path: Path, folder: Path) -> None:
    """All fields at the first and the last time, and everything that a training asks for."""
    from fdiff import dataset

    with dataset.open(path) as file:
        names, times = list(file.field_names), file.times
        rows = file.usable(None)
        first, last = (file.fields(names, time) for time in (float(times[0]), None))
        keys, grid = list(file.view.keys), file.grid
        list(file.identities())
        assert isinstance(file.config, dict)
        for split in file.provenance.get("splits") or ("train", "test"):
            file.indices(split)
        file.state(rows[0], names)
        told = file.provenance
    written_names, written, written_times = independent.samples(path)
    _require(len(keys) == len(written), f"{len(keys)} samples instead of {len(written)}")
    _require(np.array_equal(times, written_times), "other times")
    _require(not written_names or names == written_names, "other names")
    if "grid" in told:
        known = told["grid"]
        for part in ("lengths", "boundary", "origin"):
            _require(independent.agrees(getattr(grid, part), known[part]), f"another {part}")
    for i, row in enumerate(rows):
        with np.errstate(all="ignore"):
            want = np.moveaxis(written[row].astype(np.float32), -1, 1)
        _require(
            np.array_equal(first[i], want[0], equal_nan=True), "other values at the first time"
        )
        _require(np.array_equal(last[i], want[-1], equal_nan=True), "other values at the last time")


def verify_dataset(path: Path, folder: Path) -> None:
    """`fdiff verify`: where it finds nothing, every value is the one that was written."""
    from fdiff.dataset.verify import verify

    report = verify(path)
    kinds = ("damaged", "unreadable", "unfit")
    found = [reason for kind in kinds for reason in report[kind].values()]
    if found:
        raise Damaged("; ".join(map(str, found)))
    if not report["unknown"]:
        _, written, _ = independent.samples(path)
        _, original, _ = independent.samples(folder / path.name)
        for a, b in zip(written, original):
            _require(np.array_equal(a, b, equal_nan=True), "verified, but not what was written")


def repair(path: Path, folder: Path) -> None:
    from fdiff.dataset.verify import regenerate

    regenerate(path, 0, repair=True)


def verify_tree(path: Path, folder: Path) -> None:
    from fdiff.dataset import tree

    report = tree.verify(path)
    if report["damaged"] or report["problems"]:
        raise Damaged("; ".join([*map(str, report["damaged"].values()), *report["problems"]]))


def go_on_generating(path: Path, folder: Path) -> None:
    """The command that was interrupted, given again."""
    from fdiff.dataset import factory
    from fdiff.dataset.recipe import load
    from fdiff.dataset.verify import verify

    recipe = load(path.parent / "recipe.toml")
    factory.generate(recipe, path)
    report = verify(path)
    _require(not report["damaged"] and report["samples"] == recipe.samples, "not whole")
    _, written, _ = independent.samples(path)
    _, original, _ = independent.samples(folder / "whole.h5")
    _require(len(written) == len(original), "another number of samples")
    for a, b in zip(written, original):
        _require(np.array_equal(a, b), "goes on with other values than were written")
    _require(independent.everything(path) == independent.everything(folder / "whole.h5"), "grids")


def read_images(path: Path, folder: Path) -> None:
    from fdiff import dataset

    with dataset.open(path) as file:
        fields = file.fields()
        file.indices("train"), file.indices("test")
        list(file.identities())
        shown = file.view.pixels
    found = sorted(path.glob("*images*"), key=lambda p: (not p.name.startswith("train"), p.name))
    written = np.concatenate([independent.pixels(p) for p in found])
    _require(np.array_equal(shown, written), "other pixels")
    _require(len(fields) == len(written) and bool(np.isfinite(fields).all()), "other images")


def load_recipe(path: Path, folder: Path) -> None:
    from fdiff.dataset.recipe import load

    recipe = load(path)
    known = recipe.as_dict()
    for key, value in independent.toml(path).items():
        if key == "initial" and isinstance(value, str):
            continue
        if key == "times" and not isinstance(value, str):
            value = [value] if not isinstance(value, list) else value
        if value in ({}, [], "") or key == "name":
            continue
        _require(
            independent.agrees(known[key], value), f"recipe key {key}: {known[key]} for {value}"
        )


def draw_from_recipe(path: Path, folder: Path) -> None:
    """A recipe whose initial states come from a file that somebody else may have damaged."""
    from fdiff.dataset import factory
    from fdiff.dataset.recipe import load

    recipe = load(path.parent / "from_file.toml")
    factory.check_available(recipe)
    state = recipe.law.draw(recipe.system_of(0), recipe.grid, recipe.seed, 0)
    _, written, _ = independent.samples(path, most=1)
    with np.errstate(all="ignore"):
        want = np.moveaxis(written[0][-1].astype(np.float32), -1, 0)
    _require(
        np.allclose(state, want, rtol=1e-6, atol=1e-30, equal_nan=True), "another initial state"
    )


def read_config(path: Path, folder: Path) -> None:
    from fdiff.cli.train import _config, _settings
    from fdiff.described import named

    tables = _config(path)
    with named(path):
        config = _settings(tables, {}, 2, False).as_dict()
    _require(independent.agrees(config, independent.toml(path)), "another configuration")


def load_run(path: Path, folder: Path) -> None:
    """The run, its description and weights as they are written, and a field drawn from it."""
    import fdiff
    from fdiff import nn
    from fdiff.errors import DivergenceError

    run = nn.load_run(path, device="cpu")
    known = json.loads(independent.text(path / "run.json"))
    for part in ("shape", "lengths", "boundary", "origin"):
        _require(independent.agrees(getattr(run.grid, part), known["grid"][part]), f"grid.{part}")
    for key in ("scale", "shift", "power"):
        _require(getattr(run.process.covariance, key) == known["noise"][key], f"noise.{key}")
    for key in ("start", "stop", "T"):
        _require(getattr(run.process.schedule, key) == known["schedule"][key], f"schedule.{key}")
    _require(list(run.fields) == known["fields"] and run.time == known["time"], "fields or time")
    config = known["config"]
    for name in IDLE[config["network"]["kind"]]:
        del config["network"][name]
    _require(independent.agrees(run.config.as_dict(), config), "config")
    written = independent.tensors(path / "model.safetensors")
    for name, value in run.denoiser.named_parameters():
        _require(np.array_equal(value.detach().numpy(), written[name]), f"weights {name}")
    told = {name: 0.01 for name in run.conditions.names} if run.conditions else {}
    try:
        drawn = fdiff.sample(
            run.score_at(**told), run.grid, 1, steps=2, seed=5, channels=len(run.fields),
            backend="torch", dtype="float32",
        )  # fmt: skip
    except DivergenceError:
        return  # weights that are finite, as they stand in the file, and lead nowhere
    _require(bool(np.isfinite(drawn.fields.numpy()).all()), "a field that is not finite")


def resume_run(path: Path, folder: Path) -> None:
    """The training that was complete, given again: nothing is left to do but to read."""
    from fdiff.cli.train import train_from_file

    data = {"run_conditional": "conditional_data.h5", "run_images": "images"}
    config = independent.toml(folder / "train.toml")
    name = path.name
    done = train_from_file(
        folder / data.get(name, "dataset.h5"), path, config, resume=True,
        field=["u", "v"] if name == "run_two" else None,
        time=5.0 if name in ("run_one", "run_two") else None,
        condition=["k"] if name == "run_conditional" else (),
    )  # fmt: skip
    state = independent.tensors(path / "optimizer.safetensors")
    digest = hashlib.sha256()
    for key in sorted(key for key in state if key.startswith("average.")):
        digest.update(state[key].astype("<f4").tobytes())
    _require(done["identity"] == digest.hexdigest()[:16], "goes on with other weights")


def examine(path: Path, folder: Path) -> None:
    """`fdiff verify` as a command: it reads in a process of its own, which HDF5 may end."""
    from fdiff.dataset import apart

    apart.PATIENCE = 1.0
    apart.examine(path)


def use(call, path: Path, folder: Path, target: str) -> tuple[str, str]:
    """The verdict of one use of a damaged input, and what was said."""
    from safetensors import SafetensorError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            call(path, folder)
    except Damaged as report:
        foreign = FOREIGN.search(str(report))
        return ("other" if foreign else "clear"), f"reports: {report}"
    except WrongValues as error:
        return "other", f"wrong values: {error}"
    except BaseException as error:
        said = f"{type(error).__name__}: {error}"
        if isinstance(error, SafetensorError | SystemExit | KeyboardInterrupt):
            return "other", said
        return ("other" if _unclear(error, {target, path.name}) else "clear"), (
            f"{said} [{_unclear(error, {target, path.name}) or 'ours'}]"
        )
    return "accepted", ""


def _unclear(error: BaseException, names: set[str]) -> str:
    """Why an error is not one of ours that its reader understands; "" if it is."""
    text = str(error)
    if not isinstance(error, ValueError | OSError | ArithmeticError):
        return "a raw exception"
    if not _ours(error):
        return "raised by another library"
    if not any(name in text for name in names):
        return "the file is not named"
    if foreign := FOREIGN.search(text):
        return f"another library's words: {foreign[0]}"
    for below in _below(error):
        if not _ours(below) and len(str(below)) > 12 and str(below) in text:
            return "another library's sentence"
    return ""


def _ours(error: BaseException) -> bool:
    """Whether a ``raise`` of fdiff made it; what functions in C raise has our frame last too."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return False
    name = trace.tb_frame.f_globals.get("__name__", "").split(".")[0]
    step = trace.tb_frame.f_code.co_code[trace.tb_lasti]
    raised = step in (dis.opmap["RAISE_VARARGS"], dis.opmap["RERAISE"])
    return name in ("fdiff", "fdiff_kernels") and raised


def _below(error: BaseException) -> list[BaseException]:
    found: list[BaseException] = []
    at: Any = error
    while at is not None and len(found) < 20:
        at = at.__cause__ or at.__context__
        if at is not None:
            found.append(at)
    return found
