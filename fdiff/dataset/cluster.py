"""Generating a dataset on a Dask cluster: one task a shard, retries harmless by construction.

A shard is a complete file or absent, and resumes where a killed worker left it; two tasks cannot
write one file, since the ledger is locked. So a lost worker costs the trajectories in its hands.
The workers and this process see one file system.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fdiff.dataset import factory, shards
from fdiff.dataset.recipe import Recipe, from_dict

# Shards a worker: so many that they end at about the same time, and little is lost with one.
_SHARDS_A_WORKER = 4
_RETRIES = 5


def generate(
    recipe: Recipe,
    out: Path | str,
    address: str,
    workers: int = 1,
    force: bool = False,
    progress: Callable[[int, int], None] | None = None,
    count: int | None = None,
) -> dict[str, Any]:
    """Makes ``out`` and its shards on the cluster at ``address``, or a ``"local"`` one.

    ``workers``: processes of a local cluster. ``count``: number of shards; by default four a worker
    the first time, and what is there later. Returns as `factory.generate`.
    """
    from distributed import as_completed

    out = Path(out).resolve()
    existing = None if force else factory.existing_recipe(out)
    if existing is not None:
        factory.check_same(existing, recipe, out)
        if existing.samples >= recipe.samples:
            return factory.generate(recipe, out, progress=progress)
    with _client(address, workers) as client:
        known, needed = _parts(recipe, out, count, client, existing is not None)
        there = sum(part.samples for _, part in known)
        digits = factory.layout_of(recipe).digits
        tasks = [
            client.submit(
                _shard, part.as_dict(), str(path), digits, force, pure=False, retries=_RETRIES,
                key=f"fdiff-{part.digest}-{i}-of-{len(needed)}",
            )
            for i, (path, part) in enumerate(needed)
        ]  # fmt: skip
        done: list[dict[str, Any]] = []
        for task in as_completed(tasks):
            done.append(task.result())
            if "refused" in done[-1]:
                raise ValueError(done[-1]["refused"])
            if progress is not None:
                progress(there + sum(d["samples"] for d in done), recipe.samples)
    if not shards.join(recipe, out, [*known, *needed]):
        raise ValueError(f"not all shards of {out} are visible here: workers need its file system")
    return {
        "status": "written",
        "out": str(out),
        "samples": recipe.samples,
        "kept": there + sum(d["kept"] for d in done),
        "failed": {i: reason for d in done for i, reason in d["failed"].items()},
    }


def _shard(values: dict[str, Any], path: str, digits: int, force: bool) -> dict[str, Any]:
    """One task. What a retry cannot change is no failure of the task, but its result."""
    try:
        return factory.generate(from_dict(values), path, 1, force, None, digits)
    except ValueError as error:
        return {"refused": str(error)}


def _parts(recipe: Recipe, out: Path, count: int | None, client, extends: bool):
    """Parts that are there, and parts to make: as many as an interrupted run began, else ``count``,
    else four a worker."""
    known, (first, *_) = (
        shards.parts(recipe, out, 1) if extends else ([], shards.afresh(recipe, out, 1))
    )
    stem = first[0].name.removesuffix(f".0-of-1{out.suffix}")
    for path in sorted(out.parent.glob(f"{stem}.0-of-*{out.suffix}*")):
        digits = path.name.split("-of-", 1)[1].split(".", 1)[0]
        if digits.isdigit():
            count = count or int(digits)
    workers = max(1, len(client.scheduler_info()["workers"]))
    count = count or min(first[1].samples, _SHARDS_A_WORKER * workers)
    needed = shards.parts(recipe, out, count)[1] if extends else shards.afresh(recipe, out, count)
    return known, needed


@contextmanager
def _client(address: str, workers: int):
    from distributed import Client, LocalCluster

    if address != "local":
        try:
            with Client(address, timeout="20s") as client:
                yield client
        except OSError as error:
            raise ValueError(f"no Dask scheduler answers at {address}: {error}") from None
        return
    # Threads within a worker would share the one that computes: a process a core.
    with (
        LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            dashboard_address=None,
            silence_logs=logging.ERROR,
        ) as cluster,
        Client(cluster) as client,
    ):
        yield client
