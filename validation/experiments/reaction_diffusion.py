"""Reaction-diffusion: the paper's protocol and ours side by side. Data: u at t = 2.5 of PDEBench's
system, 990 fields of 128 x 128 cells for training (restricted to 32 x 32), held-out fields to
compare with; 64 x 64 and 32 x 32 are restrictions, 256 x 256 are trajectories of their own. Ours:
function values on a no-flux box, a Fourier neural operator around the linear denoiser, 10
evaluations of GaussianExact, with the paper's five priors made operators on functions and with
other powers of the Bessel prior. The paper's: values that change with the grid, a periodic network
that predicts the noise, uniform times in training, 200 Euler-Maruyama steps from the prior.
Networks are small and trained for half a minute each (the paper's, which learns slowly, for some
minutes), so that all of it runs on two cores in some twenty minutes."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np

from fdiff.metrics.estimate import student
from validation.claim import Claim
from validation.experiments import patterns, reaction_figures, reaction_tasks
from validation.experiments.outcome import (
    Picture,
    Table,
    Text,
    observed,
    ratio_of,
    shown,
    smaller,
    within,
)
from validation.experiments.reaction_tasks import FLOORS, METRICS, NAMES, PUBLISHED, column
from validation.experiments.setting import Setting
from validation.experiments.workspace import Results, Workspace, stack

SOURCE = "arXiv 2303.04772, section 5"
FOR_README = "pointwise_w1"
BLIND = 0.02  # standard deviations by which the paper's metric may tell two kinds of sets apart
WORDS = {"standard": "standard (white)", "fno": "FNO, self-adjoint", "combined": "combined",
         "inverse_laplacian": "inverse Laplacian", "bessel": "Bessel",
         "periodic": "Bessel, periodic box", PUBLISHED: "the paper's, Bessel"}  # fmt: skip


def run(setting: Setting, work: Workspace) -> Iterator[Claim | Text | Table | Picture]:
    folder = work.folder / "data"
    fine = {int(n): count for n, count in setting["fine"].items() if int(n) in resolutions(setting)}
    patterns.make(folder, setting["train"], setting["held_out"], fine, work.jobs)
    floors, results = computed(setting, work, str(folder))
    yield from blindness(setting, floors)
    yield from by_prior(setting, results, floors)
    yield from samplers(setting, results, floors)
    yield from boundaries(setting, results, floors)
    yield from protocols(setting, results, floors)


def resolutions(setting: Setting) -> list[int]:
    return list(setting["resolutions"])


def computed(setting: Setting, work: Workspace, folder: str):
    """What truth and Gaussian fields score, and the results of every strategy, one a seed."""
    strategies = (PUBLISHED, *setting["strategies"])  # the longest tasks first
    names = {
        (strategy, seed): f"{strategy.replace(' ', '-')}-{seed}"
        for seed in setting.seeds
        for strategy in strategies
    }
    tasks = {FLOORS: {"strategy": FLOORS, "seed": 0}}
    tasks |= {key: {"strategy": strategy, "seed": seed} for (strategy, seed), key in names.items()}
    shared = {"folder": folder, "v": setting.values}
    kept = work.map(reaction_tasks.run, {key: task | shared for key, task in tasks.items()})
    return kept[FLOORS], {
        strategy: [kept[names[strategy, seed]] for seed in setting.seeds] for strategy in strategies
    }


def of(results: list[Results], table: str, metric: str) -> np.ndarray:
    """One number a seed from a table of quality."""
    return stack(results, table)[:, column(metric)]


def floor(floors: Results, table: str, metric: str) -> np.ndarray:
    """One number a set of truth, or of Gaussian fields."""
    return floors[table][:, column(metric)]


def words(strategy: str) -> str:
    name, _, power = strategy.partition(" ")
    return f"{WORDS[name]}, power {power}" if power else WORDS[name]


def blindness(setting: Setting, floors: Results) -> Iterator[Claim | Text | Table | Picture]:
    yield Text(
        "What a metric can see. Gaussian fields with the mean and the spectrum of the training "
        "fields, compared like samples: the paper's metric (approximate sliced Wasserstein to the "
        "training fields) sees the mean and the total variance and nothing else, so it ranks them "
        "with truth; the laws of the values and of the gradient, kurtosis and perimeters do not. "
        "The paper's number also falls with the number of samples, whatever they are, so every row "
        "of a table compares sets of one size."
    )
    rows = []
    for n, count in zip(resolutions(setting), setting["matched"]):
        for kind in ("truth", "gaussian"):
            numbers = [shown(floor(floors, f"{kind}_matched_{n}", name)) for name in NAMES]
            rows.append([f"{n}², {count} fields", kind, *numbers])
    yield Table("What the metrics see", ("set", "fields", *NAMES), rows)
    yield Picture(
        "blind", partial(reaction_figures.blindness, setting.values, floors),
        "Truth and Gaussian fields of the right mean and spectrum, each against held-out truth, "
        "relative to truth: the paper's metric does not tell them apart.",
    )  # fmt: skip
    n = setting["level"]
    kinds = [floor(floors, f"{kind}_matched_{n}", "training_sw") for kind in ("gaussian", "truth")]
    yield within(
        f"the paper's metric scores Gaussian fields as truth at {n}² (difference, "
        f"standard deviations)", SOURCE, student(kinds[0] - kinds[1]), -BLIND, BLIND,
    )  # fmt: skip
    for metric in ("pointwise_w1", "perimeter_error"):
        yield smaller(
            f"{metric} tells truth from Gaussian fields at {n}²", "fdiff.metrics",
            *(floor(floors, f"{kind}_matched_{n}", metric) for kind in ("truth", "gaussian")),
        )  # fmt: skip


def by_prior(setting, results, floors) -> Iterator[Claim | Text | Table | Picture]:
    yield Text(
        f"Priors, our protocol: {setting['steps']} steps of {setting['batch']} fields at "
        f"{setting['level']}², {setting['evaluations']} evaluations of GaussianExact a sample. All "
        f"priors have the trace of the data on the training level; the covariance is "
        f"(shift - Laplacian)^-{setting['power']} where nothing else is said. GaussianExact starts "
        "from the data's own Gaussian law at T, so modes without noise (FNO) are not lost here. "
        "Mean over seeds, ± half of Student's 95 % interval. Every seed is another training and "
        "draws from another noise, so that the intervals cover the scatter of a finite set; one "
        "seed is one noise for all priors and on all grids. In the rows (truth) and (gaussian) ± "
        "is over disjoint sets."
    )
    ours = {name: part for name, part in results.items() if name != PUBLISHED}
    for metric in ("pointwise_w1", "gradient_w1", "kurtosis", "perimeter_error", "training_sw"):
        rows = [
            [words(name), *(shown(of(part, f"quality_{n}", metric)) for n in resolutions(setting))]
            for name, part in ours.items()
        ]
        for kind in ("truth", "gaussian"):
            cells = [shown(floor(floors, f"{kind}_{n}", metric)) for n in resolutions(setting)]
            rows.append([f"({kind})", *cells])
        yield Table(f"{metric} by prior", ("prior", *map(sized, resolutions(setting))), rows)
    rows = [
        [words(name), shown(stack(part, "validation")), shown(stack(part, "training_seconds"), 2),
         shown(stack(part, f"same_{resolutions(setting)[-1]}"), 2)]
        for name, part in ours.items()
    ]  # fmt: skip
    yield Table(
        "Training", ("prior", "held-out loss (linear model 1)", "seconds of training",
                     f"{sized(resolutions(setting)[-1])} restricted, against "
                     f"{sized(resolutions(setting)[0])}, one seed"), rows,
    )  # fmt: skip
    yield Picture(
        "priors", partial(reaction_figures.priors, setting.values, ours, floors, words),
        "By prior and resolution; bars over seeds: Student's 95 % interval. Shaded: truth against "
        "truth.",
    )  # fmt: skip
    if "standard" in results and "bessel" in results:
        n = resolutions(setting)[-1]
        yield smaller(
            f"one noise is the same function on {n}² and {setting['level']}²: the Bessel prior's "
            "samples change less than the standard one's", "measured",
            *(stack(results[name], f"same_{n}") for name in ("bessel", "standard")),
        )  # fmt: skip


def sized(n: int) -> str:
    return f"{n}²"


def samplers(setting, results, floors) -> Iterator[Claim | Text | Table | Picture]:
    name = setting["euler_maruyama"]
    ours = results[name]
    steps, few = setting["em_steps"], setting["evaluations"]
    shared = [n for n in resolutions(setting) if f"em_seconds_{n}" in ours[0]]
    rows = []
    for n in shared:
        for label, prefix in ((f"Euler-Maruyama, {steps}", "em_"), (f"GaussianExact, {few}", "")):
            table = f"{prefix}matched_{n}"
            cells = [shown(of(ours, table, metric)) for metric in METRICS]
            seconds = 1e3 * stack(ours, f"{prefix}seconds_{n}")
            rows.append([f"{n}²", label, *cells, shown(seconds)])
        cells = [shown(floor(floors, f"truth_matched_{n}", metric)) for metric in METRICS]
        rows.append([f"{n}²", "(truth)", *cells, ""])
    yield Table(
        f"One network ({words(name)}), two samplers, the same number of samples",
        ("grid", "sampler, evaluations", *METRICS, "ms a field"), rows,
    )  # fmt: skip
    for n in shared[:2]:
        pair = [of(ours, f"{prefix}matched_{n}", "gradient_w1") for prefix in ("", "em_")]
        yield observed(
            f"gradient_w1 at {n}²: {few} evaluations of GaussianExact over {steps} Euler-Maruyama "
            "steps", "measured", ratio_of(*pair),
        )  # fmt: skip
        yield smaller(
            f"seconds a field at {n}²: {few} evaluations of GaussianExact against {steps} "
            "Euler-Maruyama steps", "measured",
            *(stack(ours, f"{prefix}seconds_{n}") for prefix in ("", "em_")),
        )  # fmt: skip


def boundaries(setting, results, floors) -> Iterator[Claim | Text | Table | Picture]:
    if "periodic" not in results:
        return
    pair = results["bessel"], results["periodic"]
    rows = []
    for n in resolutions(setting):
        walls = [shown(stack(part, f"seam_{n}")) for part in pair]
        values = [shown(of(part, f"quality_{n}", "pointwise_w1")) for part in pair]
        rows.append([f"{n}²", f"{float(floors[f'truth_seam_{n}']):.3g}", *walls, *values])
    yield Table(
        "No-flux basis and periodic basis: E |u(one wall) - u(opposite wall)|² / 2 Var, 1 where "
        "walls do not know of each other, and pointwise_w1",
        ("grid", "truth", "no-flux", "periodic", "pointwise_w1 no-flux", "periodic"), rows,
    )  # fmt: skip
    n = setting["level"]
    truth = float(floors[f"truth_seam_{n}"])
    errors = [np.abs(stack(part, f"seam_{n}") - truth) for part in pair]
    yield smaller(
        f"opposite walls at {n}²: error of the no-flux basis against the periodic one", SOURCE,
        *errors,
    )  # fmt: skip


def protocols(setting, results, floors) -> Iterator[Claim | Text | Table | Picture]:
    ours, theirs = results["bessel"], results[PUBLISHED]
    seconds = [np.mean(stack(part, "training_seconds")) for part in (theirs, ours)]
    last = student([result["losses"][-1, 1] for result in theirs])
    yield Text(
        f"The paper's protocol beside ours, sets of one size ({setting['matched'][-1]} fields on "
        "the finest grid, where the scatter of a set is large). Its values are brought back to "
        "function values before they are compared. Trained on "
        f"{setting['published_steps']} steps of {setting['published_batch']} fields "
        f"({seconds[0]:.0f} s a network) against {setting['steps']} of {setting['batch']} "
        f"({seconds[1]:.0f} s); its loss over the last tenth is {shown(last)} of that of "
        "predicting no noise. The paper trains its own larger network for 200 epochs of 990 "
        "fields, 24,800 steps, so these are not its best figures but what this effort gives: noise "
        "of 0.02 under fields of size 1, in its scaling, is slow to learn."
    )
    yield observed(
        "the paper's protocol: training loss over that of predicting no noise", SOURCE, last
    )
    rows = []
    for n in resolutions(setting):
        for label, cells in (
            ("the paper's", [shown(of(theirs, f"matched_{n}", m)) for m in NAMES]),
            ("ours", [shown(of(ours, f"matched_{n}", m)) for m in NAMES]),
            ("(truth)", [shown(floor(floors, f"truth_matched_{n}", m)) for m in NAMES]),
        ):
            rows.append([f"{n}²", label, *cells])
    yield Table("The two protocols, Bessel prior", ("grid", "protocol", *NAMES), rows)
    yield Picture(
        "protocols", partial(reaction_figures.protocols, setting.values, ours, theirs, floors),
        "Quality over resolution, trained at the leftmost one alone; bars: Student's 95 % "
        "interval over seeds. Sets of one size, smaller on finer grids.",
    )  # fmt: skip
    yield Picture(
        "fields", partial(reaction_figures.gallery, setting.values, ours[0], theirs[0], floors),
        "Truth, our samples (one column: one seed, hence one function) and samples of the paper's "
        "protocol, by resolution.",
    )  # fmt: skip
    yield Picture(
        "spectra", partial(reaction_figures.spectra, setting.values, ours[0], theirs[0], floors),
        "Energy by shell relative to held-out truth, first seed, with 95 % bands.",
    )  # fmt: skip
    for n in resolutions(setting):
        for metric in (FOR_README, "gradient_w1"):
            yield smaller(
                f"{metric} at {n}²: our protocol against the paper's", SOURCE,
                of(ours, f"matched_{n}", metric), of(theirs, f"matched_{n}", metric),
            )  # fmt: skip
    yield readme(setting, results, floors)


def readme(setting, results, floors) -> Table:
    """One metric, by prior and resolution."""
    rows = []
    for strategy, part in results.items():
        if strategy == PUBLISHED:
            continue
        for n in resolutions(setting):
            sets = [of(part, f"matched_{n}", FOR_README)]
            sets.append(floor(floors, f"truth_matched_{n}", FOR_README))
            theirs = "—"
            if strategy == "bessel":
                theirs = shown(of(results[PUBLISHED], f"matched_{n}", FOR_README), 2)
            cells = [theirs, *(shown(values, 2) for values in sets)]
            rows.append(["reaction-diffusion", words(strategy), f"{n}²", *cells])
    header = ("experiment", "prior", "resolution", "reference-compatible", "ours", "truth")
    title = f"For the README ({FOR_README} in the truth's standard deviations; smaller is better)"
    return Table(title, header, rows)
