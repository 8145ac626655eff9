"""``fdiff evaluate``: samples against held-out truth, in numbers with intervals and pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fdiff.cli.output import BOUNDARY_HELP, print_json, print_table, reads_files, say
from fdiff.words import by_number

if TYPE_CHECKING:
    from fdiff.dataset import Dataset
    from fdiff.dataset.fingerprint import Fingerprints

# What the printed table shows; metrics.json and the report hold all of them.
HEADLINE = ("energy_distance", "spectrum_error", "kurtosis", "std", "pointwise_w1", "gradient_w1")


def register(app: typer.Typer) -> None:
    @app.command()
    @reads_files
    def evaluate(
        samples: Annotated[Path, typer.Argument(help="File of samples, as `fdiff sample` writes.")],
        against: Annotated[Path, typer.Option(help="Data to compare with.")],
        field: Annotated[str | None, typer.Option(help="Field; the samples' first.")] = None,
        time: Annotated[float | None, typer.Option(help="Time of the data; the samples'.")] = None,
        split: Annotated[str | None, typer.Option(help="train, test, or all by default.")] = None,
        boundary: Annotated[str | None, typer.Option(help=BOUNDARY_HELP)] = None,
        report: Annotated[Path | None, typer.Option(help="Folder for the HTML report.")] = None,
        seed: Annotated[int, typer.Option(help="Seed of directions and bootstrap.")] = 0,
        as_json: Annotated[bool, typer.Option("--json", help="One JSON value on stdout.")] = False,
    ) -> None:
        """Compare samples with held-out data: distances, spectra, shapes, each with an interval.

        Sets on different grids are compared on the coarser one, by restriction. Samples that
        are among the data given, or whose training data are, are refused: such numbers mean
        nothing. They are known by name, and copies without names by their coarsest
        coefficients: in float32 or float64, in any file format, at any resolution that holds the
        same modes. Not noticed are cell averages, shifted, mirrored or transposed copies, other
        units, and some copies in float16.
        """
        rows = evaluate_files(
            samples, against, field=field, time=time, split=split, boundary=boundary,
            report=report, seed=seed,
        )  # fmt: skip
        if as_json:
            print_json({"rows": rows})
        else:
            print_table(
                f"{samples} against {against}",
                ["metric", "value", "95 % interval"],
                [[r["metric"], *_number(r)] for r in rows],
            )


def _number(row: dict) -> tuple[str, str]:
    return f"{row['value']:.4g}", f"[{row['low']:.4g}, {row['high']:.4g}]"


def evaluate_files(
    samples: Path,
    against: Path,
    *,
    field: str | None = None,
    time: float | None = None,
    split: str | None = None,
    boundary: str | None = None,
    report: Path | None = None,
    seed: int = 0,
) -> list[dict]:
    """Rows of all metrics of a file of samples against a file of data.

    ``boundary`` is for a file that does not record its own, as `fdiff.dataset.open` takes it.

    Raises:
        ValueError: different boxes, a missing field or time, or data that were trained on.
    """
    from fdiff import dataset, levels, metrics
    from fdiff.dataset.fingerprint import Fingerprints

    with dataset.open(samples, boundary) as drawn, dataset.open(against, boundary) as truth:
        unfinished = drawn.provenance.get("unfinished")
        if unfinished:
            say(f"warning: the network of {samples} was {unfinished}")
        name = drawn.field_names[0] if field is None else field
        moment = float(drawn.times[-1]) if time is None else time
        x, y = drawn.fields(name), truth.fields(name, moment, split)
        grid, truth_grid = drawn.grid, truth.grid
        common = metrics.common_grid(grid, truth_grid)
        refuse_overlap(
            drawn,
            truth,
            Fingerprints.of(x, grid, [name]),
            Fingerprints.of(y, truth_grid, [name]),
            split,
        )
    if grid.shape != truth_grid.shape:
        say(f"grids {grid.shape} and {truth_grid.shape}: compared on {common.shape}, restricted")
    rows = [row.as_dict() for row in metrics.compare(x, y, grid, truth_grid, seed=seed)]
    if report is not None:
        pictures = [
            ("samples", levels.resample_field(x[:6], grid, common)[:, 0], common),
            ("truth", levels.resample_field(y[:6], truth_grid, common)[:, 0], common),
        ]
        _write_report(report, samples, against, rows, pictures, unfinished)
    return rows


def refuse_overlap(
    samples: Dataset,
    truth: Dataset,
    drawn: Fingerprints,
    fields: Fingerprints,
    split: str | None,
) -> None:
    """Raises ValueError where data to compare with were trained on, or are the samples.

    ``drawn`` and ``fields``: the fingerprints of what is compared, of the file of samples and of
    the data.
    """
    from fdiff.dataset import shared

    same = shared.in_both(samples, truth, drawn, fields, split)
    if same:
        raise ValueError(
            f"{same} of the fields of {truth.path} {by_number(same, 'is', 'are')} in "
            f"{samples.path} too: compare with "
            "others (another seed; PDEBench's own initial numbers need seeds further apart than "
            "there are samples)"
        )
    trained, told = shared.trained_on(samples, truth, fields, split)
    if trained:
        raise ValueError(
            f"{trained} of the fields of {truth.path} {by_number(trained, 'was', 'were')} in the "
            f"training data of {samples.path}: compare with held-out data (another seed, or "
            "--split test)"
        )
    if not told and samples.provenance.get("trained_on"):
        say(
            f"{samples.path} names the fields that its network was trained on, but has no "
            "fingerprints of them that could be compared: a copy of them in another file format "
            "would not be noticed (an earlier version trained or sampled: the training's command "
            "with --resume adds them to a finished run, and new samples have them)"
        )


def _write_report(
    folder: Path, samples: Path, against: Path, rows, pictures, unfinished: str | None
) -> None:
    import json

    from fdiff import plots
    from fdiff.files import write_text
    from fdiff.report import Report

    page = Report(f"{samples.name} against {against.name}")
    page.text("Distances are between laws: 0 is best, and truth against truth is not exactly 0.")
    if unfinished:
        page.text(f"The network of these samples was {unfinished}.")
    page.table(["metric", "value", "95 % interval"], [[r["metric"], *_number(r)] for r in rows])
    if all(len(grid.shape) == 2 for _, _, grid in pictures):
        page.figure(plots.gallery(pictures), "Samples and truth, one colour scale.")
    page.write(folder / "report.html")
    write_text(folder / "metrics.json", json.dumps({"rows": rows}, indent=1, allow_nan=False))
    say(f"report: {folder / 'report.html'}")


def summary_table(rows: Sequence[dict], metrics: Sequence[str] = HEADLINE) -> tuple[list, list]:
    """Header and rows (resolution, samples, one column a metric) of `metrics.json`'s rows."""
    header = ["resolution", "samples", *metrics]
    places = dict.fromkeys((tuple(r["resolution"]), r["samples"]) for r in rows)
    table = []
    for resolution, kind in places:
        found = {
            r["metric"]: r
            for r in rows
            if tuple(r["resolution"]) == resolution and r["samples"] == kind
        }
        cells = [_interval(found[m]) if m in found else "" for m in metrics]
        table.append(["×".join(map(str, resolution)), kind, *cells])
    return header, table


def _interval(row: dict) -> str:
    """Value and half-width with as many digits as the interval supports."""
    half = (row["high"] - row["low"]) / 2
    digits = 4 if half < 0.005 else 3
    return f"{row['value']:.{digits}f} ± {half:.{digits}f}"
