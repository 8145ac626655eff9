"""``fdiff train``: a multilevel operator network from a dataset to a run directory."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any

import typer

from fdiff.cli.output import BOUNDARY_HELP, print_json, reads_files, say, spoken_warnings
from fdiff.described import named
from fdiff.inputs import read_toml
from fdiff.words import by_number

HELD_OUT = 256  # fields of the split "test" that the validation loss uses


def register(app: typer.Typer) -> None:
    @app.command()
    @reads_files
    def train(
        data: Annotated[Path, typer.Argument(help="HDF5 file, or a folder of MNIST images.")],
        out: Annotated[Path, typer.Option(help="Run directory.")],
        config: Annotated[Path | None, typer.Option(help="See docs/training.md.")] = None,
        field: Annotated[str | None, typer.Option(help="Names, comma-separated.")] = None,
        time: Annotated[float | None, typer.Option(help="Time of the data.")] = None,
        condition: Annotated[
            str | None, typer.Option(help="Parameters to tell the network, e.g. k,Du.")
        ] = None,
        split: Annotated[str, typer.Option(help="Part of the data to train on.")] = "train",
        boundary: Annotated[str | None, typer.Option(help=BOUNDARY_HELP)] = None,
        levels: Annotated[str | None, typer.Option(help="Coarse to fine, e.g. 32,64.")] = None,
        seed: Annotated[int | None, typer.Option(help="Of weights, order and noise.")] = None,
        device: Annotated[str | None, typer.Option(help="cpu or cuda; cpu by default.")] = None,
        resume: Annotated[bool, typer.Option("--resume", help="Continue a run.")] = False,
        tensorboard: Annotated[
            bool, typer.Option("--tensorboard", help="Write RUN/tensorboard too.")
        ] = False,
        as_json: Annotated[bool, typer.Option("--json", help="One JSON value on stdout.")] = False,
    ) -> None:
        """Train a score network coarse to fine, with preconditioning by the linear denoiser.

        The same command with --resume continues an interrupted run bit for bit.
        """
        from fdiff import nn

        # Joined before anything can fail, so that of several processes one speaks.
        with nn.team(device) as team, spoken_warnings() as said:
            names = None if field is None else field.split(",")
            changes: dict[str, Any] = {}
            if levels is not None:
                changes["levels"] = _numbers(levels)
            if seed is not None:
                changes["seed"] = seed
            done = train_from_file(
                data, out, _config(config), changes, names, time, split, device, resume,
                tensorboard=tensorboard, condition=condition.split(",") if condition else [],
                boundary=boundary,
                config_file=config,
            )  # fmt: skip
            if as_json and team.leads:
                print_json({**done, "warnings": said})


def train_from_file(
    data: Path,
    out: Path,
    config: dict[str, Any] | None = None,
    changes: dict[str, Any] | None = None,
    field: list[str] | None = None,
    time: float | None = None,
    split: str | None = "train",
    device: str | None = None,
    resume: bool = False,
    held_out: Path | None = None,
    tensorboard: bool = False,
    condition: Sequence[str] = (),
    boundary: str | None = None,
    config_file: Path | None = None,
) -> dict[str, Any]:
    """Reads, trains, reports. ``config``: tables as in train.toml (``config_file`` is where they
    stand, for what is said of them); ``changes``: keys of its
    table "training" that win over it. Validation uses ``held_out``, or the split "test" of
    ``data`` where that is not trained on."""
    from fdiff import dataset, nn

    with dataset.open(data, boundary) as file:
        grid, present, names = file.grid, file.field_names, field or [file.field_names[0]]
        stored, asked = len(file), len(file.indices(split))
        with named(config_file) if config_file else nullcontext():
            settings = _settings(config or {}, changes or {}, grid.dim, file.holds_images)
        nn.check_fit(settings, grid, len(names))
        time = _time(file, time)
        one = names[0] if len(names) == 1 else names
        fields = file.fields(one, time, split)
        identities = list(file.identities(split))
        told = file.parameters(condition, split) if condition else {}
        validation, known = None, {}
        if held_out is None and split == "train":
            validation = file.fields(one, time, "test")[:HELD_OUT]
            known = file.parameters(condition, "test") if condition else {}
    if held_out is not None:
        with dataset.open(held_out, boundary) as file:
            if not file.grid.same_nodes(grid):
                raise ValueError(
                    f"held-out fields are on the grid of the training data: {held_out} has "
                    f"{file.grid}, {data} has {grid}"
                )
            validation = file.fields(one, time)[:HELD_OUT]
            known = file.parameters(condition) if condition else {}
    training_data = {"file": data.name, "split": split, "identities": identities}
    with nn.team(device) as team, TrainingBar(shown=team.leads) as update:
        if team.leads and len(names) < len(present):
            say(_choice(data, present, names, chosen=field is not None))
        run = nn.train(
            fields, grid, settings, out, validation=validation, names=names, time=time,
            training_data=training_data, resume=resume, device=device, progress=update,
            tensorboard=tensorboard, parameters=told, validation_parameters=known,
        )  # fmt: skip
        losses = nn.run.last_validation(out)
        if team.leads:
            shown = ", ".join(f"{k} {v:.3f}" for k, v in losses.items()) or "no held-out fields"
            what = f"{by_number(len(names), 'field', 'fields')} {', '.join(names)}"
            say(
                f"{out}: trained on {_part(len(fields), stored)} in {data} ({what})"
                f"{_left_out(stored - asked, asked - len(fields), split)}; validation loss "
                f"in units of the linear model's: {shown}"
            )
    return {
        "out": str(out), "validation": losses, "identity": run.identity,
        "fields": {"stored": list(present), "trained": list(names)},
        "samples": {
            "stored": stored, "trained": len(fields), "split": split,
            "validation": 0 if validation is None else len(validation),
        },
    }  # fmt: skip


def _choice(data: Path, present: Sequence[str], names: Sequence[str], chosen: bool) -> str:
    """Which of the stored fields are trained on."""
    what = f"{data} holds the fields {', '.join(present)}; training on {', '.join(names)}"
    return what if chosen else f"{what} alone (--field {','.join(present)} takes all)"


def _part(trained: int, stored: int) -> str:
    """``5 of the 6 samples``, ``all 6 samples``, ``the only sample``."""
    if trained < stored:
        return f"{trained} of the {stored} samples"
    return "the only sample" if stored == 1 else f"all {stored} samples"


def _left_out(others: int, failed: int, split: str | None) -> str:
    """What became of the samples that were not trained on."""
    reasons = []
    if others and split == "train":
        reasons.append(
            f"{others} {by_number(others, 'is', 'are')} kept back for validation and comparison "
            '(split "test")'
        )
    elif others:
        reasons.append(f'{others} {by_number(others, "is", "are")} not in the split "{split}"')
    if failed:
        reasons.append(f"{failed} failed when {by_number(failed, 'it was', 'they were')} generated")
    if not reasons:
        return ""
    return ("; the other " if len(reasons) == 1 else "; of the others ") + " and ".join(reasons)


def _config(path: Path | None) -> dict[str, Any]:
    """The tables of ``train.toml``."""
    if path is None:
        return {}
    return read_toml(path)


def _settings(config: dict[str, Any], changes: dict[str, Any], dim: int, images: bool):
    """The configuration; ``--levels`` alone spreads the default work over the levels."""
    from fdiff import nn

    if not isinstance(config.get("training", {}), dict):
        return nn.Config.from_dict(config)  # which says what is wrong
    training = {**config.get("training", {}), **changes}
    levels = training.get("levels")
    if not isinstance(levels, list) or not all(type(n) is int and n > 0 for n in levels):
        levels = None  # absent, or refused with the rest
    if levels is not None and "steps" not in training:
        steps = nn.default_steps(levels, dim)
        on_all_levels = training.get("schedule") == "mlmc"
        training["steps"] = steps[-1:] * len(steps) if on_all_levels else steps
    if levels is not None and "batch_size" not in training:
        training["batch_size"] = [nn.TrainingConfig().batch_size[0]] * len(levels)
    return nn.Config.from_dict({**config, "training": training}, images)


def _numbers(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise ValueError(f"--levels takes whole numbers such as 32,64; got {text!r}") from None


def _time(file, time: float | None) -> float:
    """The stored time nearest to the one asked for; the only one by default."""
    if time is None and len(file.times) > 1:
        raise ValueError(
            f"{file.path} holds {len(file.times)} times from {file.times[0]:g} to "
            f"{file.times[-1]:g}: choose one with --time"
        )
    return float(file.times[0]) if time is None else time


class TrainingBar:
    """A bar with loss, speed and remaining time on standard error; plain lines elsewhere."""

    def __init__(self, shown: bool = True):
        self.shown = shown

    def __enter__(self):
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

        console = Console(stderr=True)
        self.live = self.shown and console.is_terminal
        columns = (
            TextColumn("training"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}"),
        )
        self.bar = Progress(*columns, console=console, disable=not self.live)
        self.bar.__enter__()
        self.task = self.bar.add_task("training", note="")
        self.loss = None
        return self.update

    def __exit__(self, *exception):
        self.bar.__exit__(*exception)

    def update(self, p) -> None:
        self.loss = p.loss if self.loss is None else 0.98 * self.loss + 0.02 * p.loss
        level = "×".join(map(str, p.level))
        note = f"{level}  loss {self.loss:.3f}  {p.speed:.1f} steps/s  {p.remaining:.0f} s left"
        self.bar.update(self.task, completed=p.step, total=p.total, note=note)
        if not self.live and p.step % max(1, p.total // 10) == 0:
            say(f"step {p.step}/{p.total}  {note}")
