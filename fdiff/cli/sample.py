"""``fdiff sample``: draws fields from a trained run, at any resolution."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from fdiff.cli.generate import parse_settings
from fdiff.cli.output import print_json, progress, reads_files, say, spoken_warnings
from fdiff.cli.shape import HELP, parse_shape
from fdiff.words import counted

BATCH = 32  # samples at a time: bounds the memory, changes no number


def register(app: typer.Typer) -> None:
    @app.command()
    @reads_files
    def sample(
        run: Annotated[Path, typer.Argument(help="Run directory of `fdiff train`.")],
        out: Annotated[Path, typer.Option(help="File to write.")],
        resolution: Annotated[str | None, typer.Option(help=f"{HELP} [the finest trained]")] = None,
        samples: Annotated[int, typer.Option(help="Number of fields.")] = 64,
        first: Annotated[int, typer.Option(help="Index of the first field.")] = 0,
        solver: Annotated[str, typer.Option(help="Scheme, e.g. dpm-2m.")] = ("gaussian-exact"),
        steps: Annotated[int, typer.Option(help="Steps.")] = 10,
        settings: Annotated[
            list[str] | None,
            typer.Option("--set", help="A parameter of a conditional run: --set k=0.01."),
        ] = None,
        seed: Annotated[int, typer.Option(help="Seed: with the index it fixes the field.")] = 0,
        device: Annotated[str | None, typer.Option(help="cpu or cuda; cuda if present.")] = None,
        force: Annotated[bool, typer.Option("--force", help="Replace another file.")] = False,
        as_json: Annotated[bool, typer.Option("--json", help="One JSON value on stdout.")] = False,
    ) -> None:
        """Draw fields from a trained network.

        The same seed and index give the same field at every resolution (up to the network's own
        resolution error), however many are drawn at a time.
        """
        with spoken_warnings() as said:
            done = sample_to_file(
                run, out, resolution, samples, first, solver, steps, seed, device, force,
                parse_settings(settings or []),
            )  # fmt: skip
        if as_json:
            print_json({**done, "warnings": said})


def sample_to_file(
    run: Path,
    out: Path,
    resolution: str | None = None,
    samples: int = 64,
    first: int = 0,
    solver: str = "gaussian-exact",
    steps: int = 10,
    seed: int = 0,
    device: str | None = None,
    force: bool = False,
    parameters: dict[str, float] | None = None,
) -> dict[str, Any]:
    """Draws, writes and reports; a complete file of the same recipe is left as it is."""
    import fdiff
    from fdiff import dataset, nn
    from fdiff.dataset import shared

    scheme = solver_named(solver)
    trained = nn.load_run(run, device=device)
    grid = trained.grid
    if resolution is not None:
        grid = grid.with_shape(parse_shape(resolution, grid.shape))
    recipe = {
        "kind": "samples", "run": trained.identity, "solver": solver, "steps": steps, "seed": seed,
        "first": first, "samples": samples, "resolution": list(grid.shape),
        "trained_on": trained.training_data,
    }  # fmt: skip
    if trained.unfinished:
        recipe["unfinished"] = trained.unfinished
    drawn_at = f"{counted(samples, 'field')} at {_times(grid.shape)}"
    score = trained.score_at(**(parameters or {}))
    if parameters:
        recipe["parameters"] = parameters
    if out.exists() and not force and already_there(out, recipe):
        say(f"{out} is complete: {drawn_at}; nothing to do")
        return {"out": str(out), "evaluations": None, "recipe": recipe}
    with progress(f"sampling at {_times(grid.shape)}", "steps") as update:
        drawn = fdiff.sample(
            score, grid, samples, steps, scheme, seed, first=first,
            channels=len(trained.fields), batch=BATCH, backend="torch", device=trained.device,
            dtype="float32", progress=update,
        )  # fmt: skip
    dataset.write_fields(
        out, drawn.fields.cpu().numpy(), grid, trained.fields, trained.time, recipe,
        shared.record(trained.fingerprints),
    )  # fmt: skip
    say(f"{out}: {drawn_at}, {counted(drawn.evaluations, 'evaluation')} each")
    return {"out": str(out), "evaluations": drawn.evaluations, "recipe": recipe}


def already_there(out: Path, recipe: dict[str, Any]) -> bool:
    """Whether ``out`` holds these samples.

    Raises:
        ValueError: it holds something else; the difference is named.
    """
    from fdiff import dataset

    with dataset.open(out) as existing:
        known = existing.provenance
    differences = [
        f"{key} {known.get(key)!r} instead of {value!r}"
        for key, value in recipe.items()
        if known.get(key) != value
    ]
    if not differences:
        return True
    shown = "; ".join(text if len(text) < 120 else text.split(" ")[0] for text in differences)
    raise ValueError(f"{out} exists with {shown}: choose another --out")


def solver_named(name: str):
    """A solver with its default parameters from its name in `fdiff.solvers.SCHEMES`."""
    from fdiff.solvers import SCHEMES

    if name not in SCHEMES:
        raise ValueError(f"unknown solver {name!r}; known: {', '.join(SCHEMES)}")
    return SCHEMES[name]()


def _times(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape))
