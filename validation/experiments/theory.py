"""Does the theory show? Three figures on the fields of the reaction-diffusion experiment (u at
t = 2.5 of PDEBench's system) and the paper's schedule, with Bessel priors. Truncation: what the
forward process loses beyond n x n cells against m² tr(C - C_n) + s² tr(Q - Q_n), C estimated from
other fields. Budget: where the error of a trained sampler comes from: initial law, time steps and
truncation from the laws on Gaussian data of the same spectrum, the network's part estimated from
a network trained four times as long. Smoothness: the error over the power of the prior, with the
power from which modes are lost."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np

import fdiff
from fdiff import convergence, solvers
from fdiff.budget import error_budget
from fdiff.metrics.estimate import student
from validation.claim import Claim, equal, of_order
from validation.experiments import patterns, theory_figures, theory_tasks
from validation.experiments.outcome import Picture, Table, Text, observed, ratio_of, shown, smaller
from validation.experiments.setting import Setting
from validation.experiments.workspace import Results, Workspace, stack

THEORY = "fdiff.budget"
SLOPE = 0.1  # by which a slope may miss one


def run(setting: Setting, work: Workspace) -> Iterator[Claim | Text | Table | Picture]:
    folder = work.folder / "data"
    patterns.make(folder, setting["train"], setting["held_out"], {}, work.jobs)
    networks = trained(setting, work, str(folder))
    yield from truncation(setting, str(folder))
    split = parts(setting, work, str(folder), networks)
    yield from generated(setting, split, str(folder))
    yield from budget(setting, split, str(folder))
    yield from smoothness(setting, networks, str(folder))


def trained(setting: Setting, work: Workspace, folder: str) -> dict[str, Results]:
    """Networks by power and seed, and ``best``, trained for longer and with a seed of its own."""
    shared = {"folder": folder, "v": setting.values}
    best = {"power": setting["power"], "seed": 100, "steps": setting["best_steps"]}
    tasks = {"best": best | shared} | {
        f"power-{power}-{seed}": {"power": power, "seed": seed, "steps": setting["steps"]} | shared
        for seed in setting.seeds
        for power in setting["powers"]
    }
    return work.map(theory_tasks.trained, tasks)


def parts(setting: Setting, work: Workspace, folder: str, networks) -> list[Results]:
    shared = {"folder": folder, "v": setting.values, "best": networks["best"]["weights"]}
    tasks = {
        f"parts-{seed}": {
            "seed": seed,
            "weights": networks[f"power-{setting['power']}-{seed}"]["weights"],
            **shared,
        }
        for seed in setting.seeds
    }
    return list(work.map(theory_tasks.parts, tasks).values())


def truncation(setting: Setting, folder: str) -> Iterator[Claim | Text | Table | Picture]:
    v = setting.values
    data, noise = theory_tasks.tails(folder, v, v["power"])
    measured = np.stack([theory_tasks.truncated(folder, i, v) for i in range(v["sets"])])
    schedule = patterns.SCHEDULE
    predicted = [
        schedule.mean_factor(t) ** 2 * data + schedule.std(t) ** 2 * noise for t in v["times"]
    ]
    yield Text(
        "Truncation. E||X_t - X_t^n||² of held-out fields under the forward process, the same path "
        "with and without the modes beyond n x n cells, against m² tr(C - C_n) + s² tr(Q - Q_n). C "
        f"is the spectrum by shells of the training fields, so no number is fitted; {v['sets']} "
        "sets of held-out fields, each with noise of its own. Both sides end at the modes of 128² "
        "cells. At t = 0 the left side is the data's truncation error alone, at t = 1 the noise's, "
        "and the abscissa is tr(Q - Q_n) itself."
    )
    rows = [
        [f"{n}²", f"{q:.2e}", f"{c:.2e}", *map(shown, measured[:, :, k].T)]
        for k, (n, q, c) in enumerate(zip(v["truncations"], noise, data))
    ]  # fmt: skip
    times = [f"t = {t:g}" for t in v["times"]]
    yield Table(
        "E||X_t - X_t^n||² (units of u² length²)",
        ("grid", "tr(Q - Q_n)", "tr(C - C_n)", *times), rows,
    )  # fmt: skip
    yield Picture(
        "truncation", partial(theory_figures.truncation, v, predicted, noise, measured),
        "Truncation error of the forward process from real fields, measured over predicted (left) "
        "and over the grid (right). Bars: 95 % over sets, mostly smaller than the marks.",
    )  # fmt: skip
    for t, line, runs in zip(v["times"], predicted, measured.transpose(1, 0, 2)):
        estimate = convergence.order(line, declared=1.0, tolerance=SLOPE, samples=runs, power=1)
        yield of_order(
            f"E||X_t - X_t^n||² is proportional to m² tr(C - C_n) + s² tr(Q - Q_n), t = {t:g}",
            f"{THEORY}, truncation", estimate,
        )  # fmt: skip


def generated(setting, split, folder) -> Iterator[Claim | Table | Picture]:
    """The same for samples of a trained network on coarser grids, where nothing is exact."""
    v = setting.values
    values = stack(split, "generated")
    C = patterns.training_set(folder, v["level"]).covariance
    finest = patterns.grid_of(v["finest"])
    tails = np.array([C.tail_trace(patterns.grid_of(n)) for n in v["generated"]])
    tails = tails - C.tail_trace(finest)
    rows = [
        [f"{n}²", f"{tail:.2e}", shown(values[:, i]), shown(values[:, i] / tail, 2)]
        for i, (n, tail) in enumerate(zip(v["generated"], tails))
    ]
    yield Table(
        f"Generated fields: E||X^N - X^n||² between n x n and {v['finest']}² cells, one seed, one "
        "function (the network was trained on "
        f"{v['level']}²; what exceeds the tail is its own error between grids)",
        ("grid", "tr(C - C_n)", "E||X^N - X^n||²", "ratio"), rows,
    )  # fmt: skip
    yield observed(
        f"generated fields: E||X^N - X^n||² over tr(C - C_n) at {v['generated'][0]}²",
        f"{THEORY}, truncation", student(values[:, 0] / tails[0]),
    )  # fmt: skip


def budget(setting, split, folder) -> Iterator[Claim | Text | Table | Picture]:
    v = setting.values
    data = patterns.training_set(folder, v["level"])
    prior = theory_tasks.prior_of(folder, v, v["power"])
    process = fdiff.ForwardProcess(prior, patterns.SCHEDULE)
    law = (process, data.mean, data.covariance, data.grid)
    times = solvers.times(process, v["em_steps"], "time", end=0.0)
    few = error_budget(*law, steps=v["evaluations"])
    slow = error_budget(*law, solvers.EulerMaruyama(), times=times, start="prior", close=False)
    columns = {}
    for title, gaussian, steps in (
        (f"GaussianExact, {v['evaluations']} evaluations", few, stack(split, "steps")),
        (f"Euler-Maruyama, {v['em_steps']} steps", slow, None),
    ):
        relative = {name: np.array([x / gaussian.scale]) for name, x in gaussian.parts.items()}
        if steps is not None:
            # Gaussian data cost this scheme no steps: what it errs on these data is measured.
            relative["time steps"] = steps
        columns[title] = relative | {"network": stack(split, "network")}
    yield Text(
        "Budget. W_2 between generated and true fields, relative to the root mean square of the "
        "data, split by cause. Initial law, early stop and Euler-Maruyama's time steps: exact laws "
        "on Gaussian data with the training fields' mean and spectrum, an estimate for these "
        "fields. Truncation: the tail of the same spectrum. Time steps of GaussianExact, which "
        "Gaussian data cost nothing: root mean square difference of samples to "
        f"{v['many']} evaluations from the same start, an upper bound of W_2. Network: the "
        "difference of its denoiser to one trained "
        f"{v['best_steps'] / v['steps']:.0f} times as long (which stands for the exact one and has "
        "an error of its own), on noised held-out fields, carried along the probability flow to "
        "first order and integrated over the half log signal-to-noise ratio, as if errors of all "
        "ratios added up: an estimate, and not a bound. The dashed line is the Wasserstein "
        "distance of the pooled values of samples and held-out truth, which the whole error "
        "cannot be below but for the scatter of sets of this size."
    )
    names = list(next(iter(columns.values())))
    rows = [[name, *(cell(part[name]) for part in columns.values())] for name in names]
    for label, key in (("measured", "marginal"), ("truth against truth", "marginal_truth")):
        rows.append([f"(pooled values, {label})", cell(stack(split, key)), ""])
    yield Table(
        f"Error budget at {v['level']}², prior power {v['power']}", ("part", *columns), rows
    )
    yield Picture(
        "budget", partial(theory_figures.budget, columns, stack(split, "marginal")),
        f"Error budget of the trained sampler at {v['level']}², two samplers. Bars over seeds "
        "where a part differs by seed: Student's 95 % interval.",
    )  # fmt: skip
    first = next(iter(columns.values()))
    others = sum(np.mean(values) for name, values in first.items() if name != "network")
    yield smaller(
        "the network's part (estimate) exceeds all others together: sum of those over it",
        f"{THEORY}, total error",
        others * np.ones(len(split)),
        stack(split, "network"),
    )  # fmt: skip
    yield observed(
        "the network's part: samples of the two networks from one start, root mean square "
        "difference over the estimate", f"{THEORY}, total error",
        ratio_of(stack(split, "coupled"), stack(split, "network")),
    )  # fmt: skip
    yield observed(
        "mean over lambda of the loss above that of the longer training (linear model's loss 1)",
        f"{THEORY}, losses", student(stack(split, "excess").mean(1)),
    )  # fmt: skip


def cell(values: np.ndarray) -> str:
    """An exact number alone, others with their interval."""
    return f"{values[0]:.2g}" if len(values) == 1 else shown(values, 2)


def smoothness(setting, networks, folder) -> Iterator[Claim | Text | Table | Picture]:
    v = setting.values
    first, last, step = v["curve"]
    powers = np.arange(first, last + step / 2, step)
    laws = theory_tasks.sweep(folder, powers, v)
    at = theory_tasks.threshold(powers, laws["ratio"])
    points = {
        power: np.array([networks[f"power-{power}-{s}"]["spectral"] for s in setting.seeds])
        for power in v["powers"]
    }
    yield Text(
        "Smoothness of the prior (shift - Laplacian)^-power. Lines: exact laws on Gaussian data "
        f"with the fields' spectrum at {v['level']}²: {v['em_steps']} Euler-Maruyama steps and "
        "the exact probability flow, both from N(0, Q). Modes with m_T² c_k above q_k come out "
        f"with too little variance: lost. The largest ratio passes one at power {at:.2f}. Points: "
        "networks trained with that prior, the same distance from their samples' spectrum by "
        "shells (which has a floor from the scatter of a finite set). GaussianExact starts from "
        "the data's own law at T and so loses none."
    )
    rows = [
        [f"{p:.2f}", f"{r:.1e}", f"{int(ls)}", f"{int(lo)}", f"{s:.3g}", f"{o:.3g}"]
        for p, r, ls, lo, s, o in zip(powers, laws["ratio"], laws["lost_sde"], laws["lost_ode"],
                                      laws["sde"], laws["ode"])
    ]  # fmt: skip
    yield Table(
        "Exact laws by power of the prior",
        ("power", "max m_T² c / q", "lost, reverse SDE", "lost, probability flow",
         "W_2, Euler-Maruyama", "W_2, probability flow"), rows[::2],
    )  # fmt: skip
    rows = [
        [f"{p}", shown([float(networks[f"power-{p}-{s}"]["validation"]) for s in setting.seeds]),
         shown(values[:, 0]), shown(values[:, 1]),
         *(shown([float(networks[f"power-{p}-{s}"]["pointwise"][i]) for s in setting.seeds])
           for i in range(2))]
        for p, values in points.items()
    ]  # fmt: skip
    yield Table(
        "Trained networks by power of the prior",
        ("power", "held-out loss (linear model 1)", "spectral distance, GaussianExact",
         "spectral distance, Euler-Maruyama", "pointwise_w1, GaussianExact",
         "pointwise_w1, Euler-Maruyama"), rows,
    )  # fmt: skip
    yield Picture(
        "smoothness", partial(theory_figures.smoothness, powers, laws, at, points),
        "Error over the smoothness of the prior: exact laws (lines), trained networks (points, "
        "95 % over seeds), and modes lost (below). Vertical line: max m_T² c / q = 1.",
    )  # fmt: skip
    miss = float(np.abs(laws["lost_ode"] - laws["beyond"]).max())
    yield equal(
        "modes lost by the probability flow are those with m_T² c > s_T² q, at every power",
        f"{THEORY}, lost modes", declared=0.0, observed=miss, tolerance=0.5,
    )  # fmt: skip
    below, above = (chosen(v["powers"]) for chosen in (min, max))
    em = [points[p][:, 1] for p in (below, above)]
    yield smaller(
        f"Euler-Maruyama, trained: spectral distance at power {below} (below the threshold) "
        f"against {above} (above)", f"{THEORY}, lost modes", *em,
    )  # fmt: skip
    yield smaller(
        f"power {above}, trained: GaussianExact from the data's own law at T against "
        "Euler-Maruyama from the prior", f"{THEORY}, lost modes", points[above][:, 0], em[1],
    )  # fmt: skip
    exact = laws["sde"][np.argmin(np.abs(powers - above))]
    yield observed(
        f"power {above}: spectral distance of trained samples over the exact law's W_2",
        f"{THEORY}, lost modes", ratio_of(em[1], np.full(len(em[1]), exact)),
    )  # fmt: skip
