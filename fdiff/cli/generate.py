"""``fdiff generate``, ``verify``, ``regenerate``: datasets from recipes."""

from __future__ import annotations

import math
import os
import time as clock
from pathlib import Path
from typing import Annotated, Any

import typer

from fdiff import words
from fdiff.cli.output import print_json, progress, reads_files, say
from fdiff.cli.shape import HELP, parse_shape


def register(app: typer.Typer) -> None:
    @app.command()
    @reads_files
    def generate(
        recipe: Annotated[str, typer.Argument(help="A recipe's name, or a TOML file.")],
        out: Annotated[Path, typer.Option(help="File; with --format well also a folder.")],
        samples: Annotated[int | None, typer.Option(help="Trajectories. [the recipe's]")] = None,
        first: Annotated[int | None, typer.Option(help="Index of the first one.")] = None,
        resolution: Annotated[str | None, typer.Option(help=HELP)] = None,
        seed: Annotated[int | None, typer.Option(help="Seed: with the index it fixes all.")] = None,
        times: Annotated[str | None, typer.Option(help="Stored times: 2.5 | 0:5:0.05.")] = None,
        settings: Annotated[
            list[str] | None, typer.Option("--set", help="A parameter: --set Du=2e-3.")
        ] = None,
        initial: Annotated[
            str | None,
            typer.Option(help="Law: grf | pdebench | file:PATH | images:FOLDER | ..."),
        ] = None,
        tolerance: Annotated[float | None, typer.Option(help="Relative error in time.")] = None,
        workers: Annotated[int | None, typer.Option(help="Threads. [all cores]")] = None,
        shards: Annotated[str | None, typer.Option(help="i/n: one part, for job arrays.")] = None,
        dask: Annotated[str | None, typer.Option(help="Scheduler's address, or local.")] = None,
        format: Annotated[str | None, typer.Option(help="pdebench | well.")] = None,
        dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what it takes.")] = False,
        force: Annotated[bool, typer.Option("--force", help="Replace another file.")] = False,
        as_json: Annotated[bool, typer.Option("--json", help="One JSON value on stdout.")] = False,
    ) -> None:
        """Compute a dataset of trajectories, whole or not at all.

        The same command again verifies a complete file, goes on with an interrupted one, and
        extends one if more samples are asked for; a file of another recipe is refused. With
        --format well, a name that does not end in .h5 or .hdf5 is a folder: one file a split of
        the recipe in data/train, data/valid and data/test, and stats.yaml of the training split.
        """
        from fdiff.dataset.recipe import load

        chosen = load(recipe)
        chosen = chosen.override(
            samples=samples,
            first=first,
            seed=seed,
            times=times,
            initial=initial,
            tolerance=tolerance,
            format=format,
            settings=parse_settings(settings or []),
            resolution=None if resolution is None else parse_shape(resolution, chosen.resolution),
        )
        if dry_run:
            done = plan(chosen, out, workers)
        else:
            done = generate_to_file(chosen, out, workers, force, shards=shards, dask=dask)
        if as_json:
            print_json(done)

    @app.command()
    @reads_files
    def verify(
        file: Annotated[Path, typer.Argument(help="Dataset to check: a file, or a Well folder.")],
        as_json: Annotated[bool, typer.Option("--json", help="One JSON value on stdout.")] = False,
    ) -> None:
        """Check every sample of a dataset against its checksum.

        The file is read in a process of its own, so that damage which ends HDF5 itself is said.
        """
        from fdiff.dataset.apart import examine
        from fdiff.dataset.verify import remarks

        with progress(f"verifying {file.name}", "samples") as update:
            report, problems, poor = examine(file, update)
        if as_json:
            print_json({"file": str(file), **report, "unresolved": poor and poor.as_dict()})
        for index, reason in report["failed"].items():
            say(f"sample {index} is recorded as failed: {reason}")
        for remark in remarks(file, report):
            say(remark)
        if report["source"]:
            say(f"{file}: {report['source']}")
        if poor:
            say(f"warning: {poor.sentence(file)}")
        if problems:
            raise ValueError("; ".join(problems))
        if checked := report["samples"] - report["unknown"]:
            are = words.counted(checked, "sample is", "samples are")
            say(f"{file}: {are} intact")

    @app.command()
    @reads_files
    def regenerate(
        file: Annotated[Path, typer.Argument(help="A file of `fdiff generate`.")],
        sample: Annotated[int, typer.Option(help="Index of the trajectory.")],
        out: Annotated[Path | None, typer.Option(help="Also write it to this .npy file.")] = None,
        repair: Annotated[bool, typer.Option("--repair", help="Write it into the file.")] = False,
        as_json: Annotated[bool, typer.Option("--json", help="One JSON value on stdout.")] = False,
    ) -> None:
        """Compute one trajectory of a dataset again and compare it bit for bit."""
        import numpy as np

        from fdiff.dataset.verify import regenerate as again
        from fdiff.files import whole

        result = again(file, sample, repair)
        if out is not None:
            with whole(out) as partial, open(partial, "wb") as handle:
                np.save(handle, result["data"])
        if as_json:
            keys = ("same", "recorded", "repaired")
            print_json({"file": str(file), "sample": sample, **{k: result[k] for k in keys}})
        if not (result["same"] or result["repaired"]):
            if result["recorded"]:
                raise ValueError(
                    f"sample {sample} of {file} is damaged: --repair writes the recomputed one, "
                    "whose checksum is the recorded one"
                )
            raise ValueError(
                f"sample {sample} of {file} cannot be reproduced bit for bit here: it was made by "
                "another version or on another kind of processor"
            )
        say(
            f"sample {sample} of {file} was damaged and is repaired"
            if result["repaired"]
            else f"sample {sample} of {file} is reproduced bit for bit"
        )


def generate_to_file(
    recipe,
    out: Path,
    workers: int | None = None,
    force: bool = False,
    shards: str | None = None,
    dask: str | None = None,
) -> dict[str, Any]:
    """Makes the file of a `fdiff.dataset.recipe.Recipe` with a progress bar, and says what it did.

    Raises:
        ValueError, OSError: as `fdiff.dataset.factory.generate`.
        ArithmeticError: no trajectory could be computed to the end.
    """
    from fdiff.dataset import factory, resolved, tree
    from fdiff.dataset import shards as parts

    folders = tree.wanted(recipe, out)
    if folders and (dask is not None or shards is not None):
        raise ValueError("The Well's folders are made by one process: without --shards and --dask")
    workers = default_workers() if workers is None else workers
    begin = clock.perf_counter()
    with progress(f"generating {out.name}", "trajectories") as update:
        if folders:
            done = tree.generate(recipe, out, workers, force, update)
        elif dask is not None:
            from fdiff.dataset import cluster

            done = cluster.generate(recipe, out, dask, workers, force, update)
        elif shards is not None:
            done = parts.generate(recipe, out, *parts.parse(shards), workers, force, update)
        else:
            done = factory.generate(recipe, out, workers, force, update)
    seconds = clock.perf_counter() - begin
    made, out = done["samples"] - done["kept"], Path(done["out"])
    if done["status"] == "complete":
        say(f"{out} is complete: {counted(done['samples'], recipe)}, verified; nothing to do")
    else:
        kept = f" ({done['kept']} were there already)" if done["kept"] else ""
        say(f"{out}: {counted(made, recipe)}{kept} in {seconds:.1f} s, {_size(_bytes(out))}")
    for index, reason in list(done["failed"].items())[:5]:
        say(f"sample {index} failed and is NaN from there on: {reason}")
    if done["failed"]:
        count = len(done["failed"])
        are = words.by_number(count, "is", "are")
        say(f"{count} of {counted(done['samples'], recipe)} {are} recorded as failed")
    if len(done["failed"]) == done["samples"]:
        raise ArithmeticError(f"no trajectory of {out} could be computed to the end")
    poor = resolved.of_dataset(out, share=resolved.SHARE)
    if poor:
        say(f"warning: {poor.sentence(out)}")
    return {**done, "seconds": seconds, "unresolved": poor and poor.as_dict()}


def counted(samples: int, recipe) -> str:
    """``1 trajectory``, ``5 trajectories``; of a law without an equation ``5 fields``."""
    one, many = ("field", "fields") if recipe.system == "none" else ("trajectory", "trajectories")
    return words.counted(samples, one, many)


def plan(recipe, out: Path, workers: int | None) -> dict[str, Any]:
    """What `generate` would do: size on disk, and time from one trajectory; writes nothing."""
    from fdiff.dataset import factory, resolved, tree

    factory.check_available(recipe)
    files = tree.parts(recipe, out) if tree.wanted(recipe, out) else {}
    workers = default_workers() if workers is None else workers
    layout, data = factory.layout_of(recipe), factory.buffer(recipe)
    tiny = recipe.override(
        resolution=(8,) * len(recipe.resolution), times=recipe.stored_times[:2].tolist()
    )
    factory.simulate(tiny, tiny.first, factory.buffer(tiny))  # loads and compiles
    begin = clock.perf_counter()
    record = factory.simulate(recipe, recipe.first, data)
    each = clock.perf_counter() - begin
    size = layout.sample_bytes * recipe.samples
    seconds = each * recipe.samples / workers
    r = recipe
    law = f"the law {r.initial['name']}" if r.system == "none" else r.system
    say(
        f"{out}: {counted(r.samples, r)} of {law} on {'×'.join(map(str, r.resolution))}, "
        f"{_times(r.stored_times)}, format {r.format}"
    )
    for path, part in files.items():
        say(f"{path}: samples {part.first} to {part.first + part.samples - 1}")
    say(
        f"about {_size(size)} on disk; {each * 1e3:.1f} ms a sample, so {seconds:.1f} s on "
        f"{workers} workers, without the disk"
    )
    poor = resolved.assess(recipe, [record], patience=math.inf)
    if poor:
        say(f"warning: {poor.sentence(out)}")
    return {
        "out": str(out),
        "recipe": r.as_dict(),
        "bytes": size,
        "seconds": seconds,
        "seconds_each": each,
        "failed": record.get("failed"),
        "unresolved": poor and poor.as_dict(),
    }


def _times(times) -> str:
    if len(times) == 1:
        return f"at the time {times[0]:g}"
    return f"{len(times)} times from {times[0]:g} to {times[-1]:g}"


def parse_settings(settings: list[str]) -> dict[str, float]:
    """``["Du=2e-3"]`` as a table."""
    values = {}
    for text in settings:
        name, _, value = text.partition("=")
        try:
            values[name.strip()] = float(value)
        except ValueError:
            raise ValueError(f"--set takes NAME=NUMBER, such as Du=2e-3; got {text!r}") from None
    return values


def default_workers() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _bytes(out: Path) -> int:
    """Bytes that a file with its shards, or the files of a folder, take on the disk."""
    shards = out.parent.glob(f"{out.stem}.*-of-*{out.suffix}")
    files = [path for path in out.rglob("*") if path.is_file()] if out.is_dir() else [out, *shards]
    return sum(path.stat().st_size for path in files)


def _size(count: float) -> str:
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"
