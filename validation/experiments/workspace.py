"""Results of the long tasks of an experiment, kept on disk: an interrupted one goes on."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from fdiff.files import whole

Results = Mapping[str, Any]  # arrays and numbers, as a task gives them


class Workspace:
    """A folder for one form of one experiment, and the processes that its tasks run in.

    A task is a module-level function of plain arguments (numbers, strings, dictionaries of them)
    that returns a dictionary of arrays. It runs in a process of its own with one thread, which on
    small grids serves the cores better than threads, so its result depends on nothing but its
    arguments.
    """

    def __init__(self, folder: Path, jobs: int = 1):
        self.folder, self.jobs = folder, jobs
        folder.mkdir(parents=True, exist_ok=True)

    def map(
        self, function: Callable[..., Results], tasks: Mapping[str, dict[str, Any]]
    ) -> dict[str, dict[str, np.ndarray]]:
        """``function(**arguments)`` for every named task, in the order of ``tasks``.

        Results are written as they come, one file a task, and read where they are there already.

        Raises:
            RuntimeError: a task failed; those that ended are kept.
        """
        missing = {key: task for key, task in tasks.items() if not self._path(key).is_file()}
        start, done = time.perf_counter(), 0
        with ProcessPoolExecutor(
            max(1, min(self.jobs, len(missing))),
            mp_context=get_context("spawn"),
            initializer=_one_thread,
        ) as pool:
            futures = {pool.submit(function, **task): key for key, task in missing.items()}
            for future in as_completed(futures):
                key = futures[future]
                try:
                    self._write(key, future.result())
                except Exception as error:
                    pool.shutdown(wait=False, cancel_futures=True)
                    raise RuntimeError(f"{key}: {type(error).__name__}: {error}") from error
                done += 1
                spent = time.perf_counter() - start
                left = spent / done * (len(missing) - done)
                print(
                    f"  {key}: {done} of {len(missing)} tasks, {spent:.0f} s, {left:.0f} s left",
                    file=sys.stderr, flush=True,
                )  # fmt: skip
        return {key: self._read(key) for key in tasks}

    def one(self, key: str, function: Callable[..., Results], **arguments: Any):
        """`map` of a single task."""
        return self.map(function, {key: arguments})[key]

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}.npz"

    def _write(self, key: str, results: Results) -> None:
        with whole(self._path(key)) as partial, open(partial, "wb") as file:
            np.savez(file, **{name: np.asarray(value) for name, value in results.items()})

    def _read(self, key: str) -> dict[str, np.ndarray]:
        with np.load(self._path(key), allow_pickle=False) as file:
            return {name: file[name] for name in file.files}


def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)


def stack(results: Iterable[Results], name: str) -> np.ndarray:
    """One entry of several results, along a new first axis (the seeds)."""
    return np.stack([result[name] for result in results])
