"""The sound files that are damaged, which of their parts, and how they are used."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from . import uses
from .damage import FILES, IMAGES, Damager
from .structure import HDF5
from .tensors import TENSORS
from .text import JSON, LINES, TOML, YAML

CORPUS = Path(__file__).parents[1] / "corpus"
RECIPES = Path(__file__).parents[2] / "data_generation"


@dataclass(frozen=True)
class Subject:
    """``main`` is what is opened, ``parts`` what belongs to it, ``target`` what is damaged."""

    main: str
    parts: tuple[str, ...]
    target: str
    ways: tuple[Damager, ...]
    uses: tuple[Callable, ...]
    weight: int = 1
    mends: bool = False  # makes again what is damaged

    @property
    def name(self) -> str:
        return self.main if self.target == self.main else f"{self.main}: {self.target}"


def prepare(folder: Path) -> list[Subject]:
    """Copies the corpus into ``folder``, makes what it lacks, and lists what is to be damaged."""
    shutil.copytree(CORPUS, folder, dirs_exist_ok=True)
    _foreign(folder)
    _raw_images(folder)
    _interrupted(folder)
    recipes = []
    for path in sorted(RECIPES.glob("*.toml")):
        shutil.copy(path, folder / f"recipe_{path.name}")
        recipes.append(f"recipe_{path.name}")
    (folder / "from_file.toml").write_text(
        'system = "fitzhugh-nagumo"\nresolution = [18, 18]\ntimes = "1"\nsamples = 4\n'
        'initial = {name = "file", path = "in/dataset.h5"}\n'
    )
    read, verify, mend = uses.read_dataset, uses.verify_dataset, uses.repair
    made: tuple[Callable, ...] = (read, verify, mend)
    subjects = [
        Subject(
            "dataset.h5", ("from_file.toml",), "dataset.h5", HDF5, (*made, uses.draw_from_recipe), 8
        ),
        Subject("conditional_data.h5", (), "conditional_data.h5", HDF5, made, 4),
        Subject("law.h5", (), "law.h5", HDF5, made, 4),
        Subject("samples.h5", (), "samples.h5", HDF5, (read, verify), 4),
        Subject("foreign.h5", (), "foreign.h5", HDF5, (read, verify), 6),
        Subject("foreign_well.hdf5", (), "foreign_well.hdf5", HDF5, (read, verify), 6),
        Subject("gray-scott.hdf5", (), "gray-scott.hdf5", HDF5, made, 6),
    ]
    shards = ("sharded.0-of-2.h5", "sharded.1-of-2.h5")
    subjects += [Subject("sharded.h5", shards, "sharded.h5", HDF5, made, 4)]
    subjects += [Subject("sharded.h5", shards, name, HDF5, made, 2) for name in shards]
    tree = ("well/manifest.json", "well/stats.yaml", "well/data/valid/gray-scott.hdf5")
    for name, ways in zip(tree, (JSON, YAML, HDF5)):
        subjects.append(Subject("well", (), name, ways, (uses.verify_tree,)))
    for kind in ("images", "raw_images"):
        for name in sorted(path.name for path in (folder / kind).glob("*images*")):
            subjects.append(Subject(kind, (), f"{kind}/{name}", IMAGES, (uses.read_images,), 2))
    run_files = {"run.json": (JSON, 8), "state.json": (JSON, 1), "metrics.jsonl": (LINES, 1),
                 "model.safetensors": (TENSORS, 3),
                 "optimizer.safetensors": (TENSORS, 3)}  # fmt: skip
    for run in ("run_one", "run_two", "run_conditional", "run_images"):
        for name, (ways, weight) in run_files.items():
            # Weights are read by who samples, the optimiser's state by who goes on.
            both = {
                "model.safetensors": (uses.load_run,),
                "optimizer.safetensors": (uses.resume_run,),
            }.get(name, (uses.load_run, uses.resume_run))
            # How far a run came is no more than a remark, which a warning may take the place of.
            free = name == "state.json"
            subjects.append(Subject(run, (), f"{run}/{name}", ways, both, weight, free))
    subjects += [Subject(name, (), name, TOML, (uses.load_recipe,)) for name in recipes]
    subjects += [Subject("train.toml", (), "train.toml", TOML, (uses.read_config,), 4)]
    begun = ("begun.h5.partial", "begun.h5.partial.ledger", "recipe.toml")
    for name, ways in ((begun[0], HDF5), (begun[1], LINES)):
        others = tuple(part for part in begun if part != name)
        subjects.append(Subject("begun.h5", others, name, ways, (uses.go_on_generating,), 2, True))
    return subjects


def _foreign(folder: Path) -> None:
    """The same data without fdiff's records, as somebody else's files."""
    shutil.copy(folder / "dataset.h5", folder / "foreign.h5")
    with h5py.File(folder / "foreign.h5", "r+") as file:
        del file.attrs["fdiff"]
        for key in file:
            del file[key].attrs["fdiff"]
    train = folder / "well" / "data" / "train" / "gray-scott.hdf5"
    shutil.copy(train, folder / "gray-scott.hdf5")
    shutil.copy(train, folder / "foreign_well.hdf5")
    with h5py.File(folder / "foreign_well.hdf5", "r+") as file:
        for name in [n for n in file.attrs if n.startswith("fdiff")]:
            del file.attrs[name]


def _raw_images(folder: Path) -> None:
    import gzip

    (folder / "raw_images").mkdir(exist_ok=True)
    for path in (folder / "images").glob("*images*.gz"):
        (folder / "raw_images" / path.stem).write_bytes(gzip.decompress(path.read_bytes()))


def _interrupted(folder: Path) -> None:
    """A dataset whose making stopped after three of five samples, and the whole one."""
    from fdiff.dataset import factory
    from fdiff.dataset.recipe import load

    text = 'system = "fitzhugh-nagumo"\nresolution = [8, 8]\ntimes = "0.5,1"\nsamples = 5\n'
    (folder / "recipe.toml").write_text(text)
    recipe = load(folder / "recipe.toml")
    for name in ("whole.h5", "begun.h5"):
        (folder / name).unlink(missing_ok=True)
    factory.generate(recipe, folder / "whole.h5")
    done: list[int] = []

    class Stop(Exception):
        pass

    def stop(count: int, total: int) -> None:
        done.append(count)
        if count == 3:
            raise Stop

    with contextlib.suppress(Stop):
        factory.generate(recipe, folder / "begun.h5", progress=stop)
    if not (folder / "begun.h5.partial.ledger").exists():
        raise RuntimeError("the interrupted dataset left no ledger")


def outside(folder: Path) -> None:
    """What lies beside an input and is nobody's business: a dataset, a text, a pipe."""
    import os

    folder.mkdir(parents=True)
    with h5py.File(folder / "victim.h5", "w") as file:
        for i in range(2):
            file[f"{i:04d}/data"] = np.full((2, 18, 18, 2), 42.0, "f4")
            for name in ("t", "x", "y"):
                file[f"{i:04d}/grid/{name}"] = np.arange(2.0 if name == "t" else 18.0, dtype="f4")
    (folder / "notes.txt").write_bytes(b"private " * 10_000)
    os.mkfifo(folder / "pipe")


__all__ = ["FILES", "Subject", "outside", "prepare"]
