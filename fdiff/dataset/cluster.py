"""Generating a dataset on a Dask cluster: one task a shard, retries harmless by construction.

A shard is a complete file or absent, and resumes where a killed worker left it; two tasks cannot
write one file, since the ledger is locked. So a lost worker costs the trajectories in its hands.
The workers and this process see one file system.
"""

from __future__ import annotations

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
        if existing.samples == recipe.samples:
            return factory.generate(recipe, out, progress=progress)
    with _client(address, workers) as client:
        count = count or _count(recipe, out, client)
        values = recipe.as_dict()
        tasks = [
            client.submit(
                _shard, values, str(out), i, count, force, pure=False, retries=_RETRIES,
                key=f"fdiff-{recipe.digest}-{i}-of-{count}",
            )
            for i in range(count)
        ]  # fmt: skip
        done: list[dict[str, Any]] = []
        for task in as_completed(tasks):
            done.append(task.result())
            if progress is not None:
                progress(sum(d["samples"] for d in done), recipe.samples)
    if not shards.complete(recipe, out, count):
        raise ValueError(f"not all shards of {out} are visible here: workers need its file system")
    shards.write_master(recipe, out, count)
    return {
        "status": "written",
        "out": str(out),
        "samples": recipe.samples,
        "kept": sum(d["kept"] for d in done),
        "failed": {i: reason for d in done for i, reason in d["failed"].items()},
    }


def _shard(values: dict[str, Any], out: str, i: int, count: int, force: bool) -> dict[str, Any]:
    """One task."""
    return shards.generate(from_dict(values), out, i, count, 1, force)


def _count(recipe: Recipe, out: Path, client) -> int:
    """As many shards as an interrupted run began, else four a worker."""
    for path in sorted(out.parent.glob(f"{out.stem}.*-of-*{out.suffix}*")):
        digits = path.name.split("-of-", 1)[1].split(".", 1)[0]
        if digits.isdigit():
            return int(digits)
    workers = max(1, len(client.scheduler_info()["workers"]))
    return min(recipe.samples, _SHARDS_A_WORKER * workers)


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
        LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        yield client
