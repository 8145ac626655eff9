"""``fdiff demo``: the main job from nothing to a report."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from fdiff.cli.evaluate import HEADLINE, summary_table
from fdiff.cli.output import print_json, print_table, progress, say
from fdiff.cli.sample import sample_to_file

RESOLUTIONS = (32, 64, 128)  # trained at 32² and 64², never at 128²
NATIVE = 128  # coarser data are restrictions: the solver itself depends on the grid at 32²
TIME = 2.5
STEPS = 10
QUICK_STEPS = (120, 40)
TRAIN_SEED, HELD_OUT_SEED, SAMPLE_SEED = 0, 1, 7
CLASSIFIER_FROM = 1024  # samples; the classifier's error is then .02


@dataclass(frozen=True)
class Sizes:
    """How much of everything: fields to train on, held out, and samples a resolution."""

    train: int
    held_out: int
    samples: int
    quick: bool


def register(app: typer.Typer) -> None:
    @app.command()
    def demo(
        out: Annotated[Path, typer.Option(help="Folder for data, run, samples, report.")] = Path(
            "demo"
        ),
        quick: Annotated[bool, typer.Option("--quick", help="A small form, for tests.")] = False,
        train: Annotated[int | None, typer.Option(help="Training fields. [2048]")] = None,
        held_out: Annotated[int | None, typer.Option(help="Held-out fields. [1024]")] = None,
        samples: Annotated[int | None, typer.Option(help="Samples a resolution. [192]")] = None,
        as_json: Annotated[bool, typer.Option("--json", help="One JSON value on stdout.")] = False,
    ) -> None:
        """Data, training, samples at 32², 64² and 128², and a report: about ten minutes.

        FitzHugh-Nagumo trajectories are computed at 128²; the network is trained on their
        restrictions to 32², then 64², and draws fields at 32², 64² and 128². They are compared
        with held-out truth, beside the linear model and truth itself. The same command again goes
        on where it stopped.
        """
        small = Sizes(192, 128, 48, True)
        full = Sizes(2048, 1024, 192, False)
        base = small if quick else full
        sizes = Sizes(
            base.train if train is None else train,
            base.held_out if held_out is None else held_out,
            base.samples if samples is None else samples,
            quick,
        )
        rows = run(out, sizes)
        if as_json:
            print_json({"rows": rows})
        else:
            header, table = summary_table(rows)
            print_table("Samples against held-out truth (± half the 95 % interval)", header, table)
            say(f"report: {out / 'report.html'}")


def run(out: Path, sizes: Sizes) -> list[dict]:
    """All stages; each leaves its file, and is skipped where the file is complete."""
    out.mkdir(parents=True, exist_ok=True)
    clock = _Clock()
    with clock.stage("data"):
        _generate(out / "data.h5", sizes.train, TRAIN_SEED)
        _generate(out / "held_out.h5", sizes.held_out, HELD_OUT_SEED)
        # A second set of truth, of the samples' size: how near two sets of truth come.
        _generate(out / "truth.h5", sizes.samples, HELD_OUT_SEED, first=sizes.held_out)
    with clock.stage("training"):
        _train(out, sizes.quick)
    with clock.stage("sampling"):
        for n in RESOLUTIONS:
            sample_to_file(
                out / "run", out / f"samples_{n}.h5", resolution=str(n), samples=sizes.samples,
                steps=STEPS, seed=SAMPLE_SEED,
            )  # fmt: skip
    with clock.stage("metrics"):
        sets = _Sets(out, sizes)
        rows = sets.rows()
    with clock.stage("report"):
        _report(out, sizes, sets, rows, clock)
    from fdiff.files import write_text

    write_text(out / "metrics.json", json.dumps({"rows": rows}, indent=1, allow_nan=False))
    say(clock.summary())
    return rows


def _generate(out: Path, samples: int, seed: int, first: int = 0) -> None:
    from fdiff.cli.generate import generate_to_file
    from fdiff.dataset.recipe import load

    recipe = load("fitzhugh-nagumo").override(
        samples=samples, seed=seed, first=first, times=str(TIME), resolution=(NATIVE, NATIVE)
    )
    generate_to_file(recipe, out)


def _train(out: Path, quick: bool) -> None:
    from fdiff.cli.train import train_from_file

    # The square's symmetries are those of the equation and of the initial law.
    training: dict[str, Any] = {"symmetries": ["reflections", "transpositions"]}
    if quick:
        training |= {"steps": list(QUICK_STEPS), "save_every": sum(QUICK_STEPS) // 4}
    run = out / "run"
    train_from_file(
        out / "data.h5", run, {"training": training}, field=["u"], time=TIME, split=None,
        held_out=out / "held_out.h5", resume=(run / "state.json").is_file(),
    )  # fmt: skip


def _log(out: Path) -> list[dict]:
    """The lines of the run's ``metrics.jsonl``, the objective in units of the linear model's."""
    training = json.loads((out / "run" / "run.json").read_text())["config"]["training"]
    coarse, fine = training["levels"]
    later = f"trained at {fine}²" + (f" and {coarse}² in turn" * (training["schedule"] != "warm"))
    lines = (out / "run" / "metrics.jsonl").read_text().splitlines()
    return [
        {
            **row,
            # The linear model scores one in the H-norm, and one in the part that sees every shell.
            "loss": row["loss"] / (1 + training["shell_weight"]),
            "phase": f"trained at {coarse}²" if row["step"] <= training["steps"][0] else later,
        }
        for row in map(json.loads, lines)
    ]


class _Sets:
    """Held-out truth, and what is compared with it at every resolution."""

    def __init__(self, out: Path, sizes: Sizes):
        import fdiff
        from fdiff import dataset, levels, metrics, nn

        self.sizes = sizes
        with dataset.open(out / "held_out.h5") as file:
            self.grid = file.grid
            self.reference_fields = file.fields("u", TIME)
        with dataset.open(out / "truth.h5") as file:
            truth = file.fields("u", TIME)
        self.reference = metrics.Reference(self.reference_fields, self.grid)
        trained = nn.load_run(out / "run")
        self.modes = int(np.max(trained.config.network.n_modes))
        # The network's last layer starts at zero: untrained, it is the linear model.
        mean, covariance = trained.score.reference
        linear = fdiff.GaussianScore(trained.score.process, mean, covariance)
        self.grids = {n: self.grid.with_shape((n, n)) for n in RESOLUTIONS}
        self.fields: dict[tuple[int, str], np.ndarray] = {}
        for n, grid in self.grids.items():
            with dataset.open(out / f"samples_{n}.h5") as file:
                self.fields[n, "trained"] = file.fields("u")
            drawn = fdiff.sample(
                linear, grid, sizes.samples, STEPS, seed=SAMPLE_SEED, channels=1, batch=64
            )
            self.fields[n, "untrained"] = drawn.fields.astype(np.float32)
            self.fields[n, "truth"] = levels.resample_field(truth, self.grid, grid)

    def rows(self) -> list[dict]:
        """The rows of ``metrics.json``."""
        out = []
        with progress("metrics", "sets") as update:
            for i, ((n, kind), fields) in enumerate(self.fields.items()):
                rows = self.reference.compare(fields, self.grids[n])
                if n == min(RESOLUTIONS) and self.sizes.samples >= CLASSIFIER_FROM:
                    rows.append(self._classifier(n, fields))
                for row in rows:
                    out.append({**row.as_dict(), "samples": kind})
                update(i + 1, len(self.fields))
        return out

    def _classifier(self, n: int, fields: np.ndarray):
        from fdiff import metrics
        from fdiff.levels import resample_field
        from fdiff.nn.classifier import classifier_accuracy

        grid = self.grids[n]
        count = min(len(fields), len(self.reference_fields))
        truth = resample_field(self.reference_fields[:count], self.grid, grid)
        accuracy = classifier_accuracy(fields[:count], truth, grid)
        return metrics.Row(grid.shape, "classifier", accuracy.value, accuracy.low, accuracy.high)

    def spectra(self):
        """Panels of `fdiff.plots.spectra`."""
        from fdiff.levels import resample_field
        from fdiff.metrics import spectrum_ratio

        for n, grid in self.grids.items():
            truth = resample_field(self.reference_fields, self.grid, grid)
            ratio = {
                kind: spectrum_ratio(self.fields[n, kind], truth, grid)
                for kind in ("truth", "trained", "untrained")
            }
            yield f"{n}²", ratio.pop("truth"), ratio


class _Clock:
    """Seconds of each stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        say(f"[{len(self.seconds) + 1}/5] {name}")
        start = time.perf_counter()
        yield
        self.seconds[name] = time.perf_counter() - start

    def summary(self) -> str:
        parts = ", ".join(f"{name} {seconds:.0f} s" for name, seconds in self.seconds.items())
        return f"{parts}; {sum(self.seconds.values()) / 60:.1f} minutes in all"


def _report(out: Path, sizes: Sizes, sets: _Sets, rows: list[dict], clock: _Clock) -> None:
    from fdiff import plots
    from fdiff.report import Report

    page = Report("Function-space diffusion of FitzHugh–Nagumo patterns")
    page.text(
        f"{sizes.train} solutions u at t = {TIME} of PDEBench's reaction–diffusion system, "
        "computed at 128² from a random initial field that is the same function at every "
        "resolution. A Fourier neural operator corrects the linear (Wiener) denoiser; it was "
        "trained on restrictions to 32², then 64², and never saw 128². "
        f"{sizes.samples} fields were drawn at each resolution with {STEPS} evaluations a sample, "
        f"and are compared with {sizes.held_out} held-out solutions. “Untrained” is the same "
        "sampler before training, the linear model; “truth” is a second set of solutions: no "
        "number can be better than its."
    )
    grids = sets.grids
    pictures = [("truth, 128²", sets.fields[128, "truth"][:, 0], grids[128])]
    pictures += [(f"samples, {n}²", sets.fields[n, "trained"][:, 0], grids[n]) for n in RESOLUTIONS]
    pictures.append(("untrained, 128²", sets.fields[128, "untrained"][:, 0], grids[128]))
    page.heading("Fields")
    page.figure(
        plots.gallery(pictures),
        "One seed gives one function: each column of samples is one field drawn at three "
        "resolutions, and below it what the linear model makes of the same noise.",
    )
    page.heading("Numbers")
    page.table(*summary_table(rows))
    page.text(
        "Each number with half its 95 % interval over fields. Energy distance is unbiased, so "
        "truth scatters around 0, and it is nearly blind to shape; kurtosis, the laws of the "
        "values (pointwise_w1) and of the gradient (gradient_w1) see it. Definitions stand in the "
        "documentation of fdiff.metrics."
    )
    others = sorted({r["metric"] for r in rows} - set(HEADLINE))
    for block in (others[:5], others[5:10], others[10:]):
        if block:
            page.table(*summary_table(rows, block))
    page.heading("Spectra")
    page.figure(
        plots.spectra(list(sets.spectra()), sets.modes),
        "Energy by shell of wave numbers relative to held-out truth, with 95 % bands.",
    )
    page.heading("Training")
    page.figure(plots.losses(_log(out)), "Loss in units of the linear model's, by level.")
    page.heading("Time")
    page.table(["stage", "seconds"], [[k, f"{v:.0f}"] for k, v in clock.seconds.items()])
    page.write(out / "report.html")
