"""What it costs to reach one validation loss on the finest grid, by every training schedule.

FitzHugh-Nagumo fields u at t = 2.5, restricted from 128 x 128 cells. One architecture and one
loss (the H-norm's, of which the coarse levels' losses are restrictions) for all. Single-level
training on the finest grid sets the loss that counts: its held-out loss at the end of its budget,
which no other schedule is given. Times are processor seconds of the training process, in
which validation has no part; for multilevel Monte Carlo they include the pilot run that measures
the variances which set its number of fields a level. Every schedule has its own cosine decay of
the rate, and its own, smaller budget.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from fdiff import nn
from fdiff.convergence import Verdict
from fdiff.metrics.estimate import Estimate, student
from validation.claim import Claim
from validation.experiments import patterns
from validation.experiments.outcome import (
    Picture,
    Table,
    Text,
    observed,
    ratio_of,
    shown,
    within,
)
from validation.experiments.setting import Setting
from validation.experiments.training_cost_figures import loss_figure, variance_figure
from validation.experiments.workspace import Workspace, stack

STRATEGIES = ("single", "warm", "rehearsed", "mixed", "mlmc")
LABELS = {
    "single": "finest grid only",
    "warm": "warm start",
    "rehearsed": "rehearsed",
    "mixed": "mixed levels",
    "mlmc": "multilevel Monte Carlo",
}
GOAL = 0.4  # of the single-level time
SOURCE = "measured"


def run(setting: Setting, work: Workspace) -> Iterator[Claim | Text | Table | Picture]:
    data = work.folder / "data"
    patterns.make(data, setting["train"], setting["held_out"], {}, work.jobs)
    common = {
        "folder": str(data), "network": setting["network"], "rate": setting["rate"],
        "average": setting["average"], "held_out": setting["held_out"],
    }  # fmt: skip
    seeds = setting.seeds
    pilots = work.map(
        pilot,
        {
            f"pilot_{seed}": {**common, "seed": seed, **setting["pilot"]}
            for seed in seeds
        },
    )  # fmt: skip
    pilots = [pilots[f"pilot_{seed}"] for seed in seeds]
    tasks = {}
    for name in STRATEGIES:
        for seed in seeds:
            plan = dict(setting[name])
            if name == "mlmc":
                plan["batch_size"] = allocation(pilots[seed], plan.pop("nodes"))
                pilots[seed]["fields"] = plan["batch_size"]
            schedule = "warm" if name == "single" else name
            plan |= {"schedule": schedule, "points": setting["points"]}
            tasks[f"{name}_{seed}"] = {**common, "seed": seed, **plan}
    done = work.map(trained, tasks)
    runs = {name: [done[f"{name}_{seed}"] for seed in seeds] for name in STRATEGIES}
    for result, before in zip(runs["mlmc"], pilots):
        result["seconds"] = result["seconds"] + before["seconds"]
        result["samples"] = result["samples"] + before["samples"]
        result["flops"] = result["flops"] + before["flops"]
    yield from costs(runs, setting.quick)
    yield from decay(pilots, setting.quick)
    yield Picture(
        "loss",
        lambda: loss_figure(runs, LABELS),
        "Held-out loss on 128 x 128 cells, in units of the linear model's, against processor "
        "seconds of training; thin lines are single seeds, thick ones their mean. Dotted: the "
        "loss that single-level training reaches at the end of its budget.",
    )
    yield Picture(
        "variance",
        lambda: variance_figure(pilots, float(np.mean([decay_rate(p) for p in pilots]))),
        "Variance of a field's gradient on a level, and of its difference to the gradient of the "
        "same field, noise and time on the level of half as many cells an axis; mean over seeds.",
    )


def trained(
    folder: str, network: dict, rate: float, average: float, held_out: int, seed: int,
    schedule: str, levels: list[int], steps: list[int], batch_size: list[int], points: int,
) -> dict:  # fmt: skip
    """One training; the held-out loss on the finest level at ``points`` shares of its work."""
    trainer = make_trainer(
        folder, network, seed, schedule=schedule, levels=tuple(levels), steps=tuple(steps),
        batch_size=tuple(int(n) for n in batch_size), learning_rate=rate, average=average,
    )  # fmt: skip
    finest = trainer.grids[-1]
    truth = patterns.on_level(folder, "held_out", finest.shape[0])[:held_out]
    work = trainer.plan.work / trainer.plan.work[-1]
    stops = np.unique(np.searchsorted(work, np.arange(1, points + 1) / points - 1e-12))
    seconds, rows = 0.0, []
    for stop in stops:
        start = time.process_time()
        trainer.train(until=int(stop))
        seconds += time.process_time() - start
        loss = held_out_loss(trainer.average.module, truth, finest)
        rows.append((seconds, trainer.plan.samples[stop], trainer.plan.flops[stop], loss))
    names = ("seconds", "samples", "flops", "loss")
    return {name: np.array(column, float) for name, column in zip(names, zip(*rows))} | {
        "batch_size": np.array(batch_size), "steps": stops[-1],
    }  # fmt: skip


def pilot(
    folder: str, network: dict, rate: float, average: float, held_out: int, seed: int,
    steps: int, batch_size: int, fields: int, ladders: list[list[int]],
) -> dict:  # fmt: skip
    """Variances of gradients and of their differences between levels, after a short training.

    ``ladders``: levels, each twice as fine as the one before; the first ladder is that of the
    training, and only its seconds count.
    """
    coarsest = ladders[0][0]
    options = {
        "learning_rate": rate, "average": average, "decay": "constant", "schedule": "warm"
    }  # fmt: skip
    start = time.process_time()
    trainer = make_trainer(
        folder, network, seed, levels=(coarsest,), steps=(steps,), batch_size=(batch_size,),
        **options,
    )  # fmt: skip
    trainer.train()
    seconds = time.process_time() - start
    results: dict[str, np.ndarray] = {}
    for place, ladder in enumerate(ladders):
        start = time.process_time()
        nest = make_trainer(
            folder, network, seed, levels=tuple(ladder), steps=(1,) * len(ladder),
            batch_size=(fields,) * len(ladder), **options,
        )  # fmt: skip
        nest.denoiser.load_state_dict(trainer.denoiser.state_dict())
        found = nn.level_variances(nest, fields)
        if place == 0:
            seconds += time.process_time() - start
        for name in ("plain", "difference", "cost"):
            results[f"{name}_{place}"] = getattr(found, name)
        results[f"levels_{place}"] = np.array(ladder)
        # Operations of the fields' gradients, of both levels of a difference at once.
        if place == 0:
            flops = trainer.plan.flops[-1] + fields * gradient_flops(nest)
    samples = trainer.plan.samples[-1] + fields
    return results | {"seconds": seconds, "samples": samples, "flops": flops}


def gradient_flops(trainer: nn.MultilevelTrainer) -> float:
    """Of one field on every level."""
    return float(np.diff(trainer.plan.flops).sum() / trainer.config.batch_size[0])


def make_trainer(folder: str, network: dict, seed: int, **options) -> nn.MultilevelTrainer:
    """With mean and spectrum of the finest data, whatever the levels: one denoiser for all.

    Its loss is the H-norm's alone: the part that sees every shell alike counts the shells of each
    grid, so that its gradients would not meet as the grids are refined.
    """
    truth = patterns.training_set(folder, patterns.NATIVE)
    config = nn.TrainingConfig(
        seed=seed, shell_weight=0.0, symmetries=patterns.SYMMETRIES, save_every=10**9, **options
    )
    around = nn.DenoiserConfig()
    built = nn.NetworkConfig(**network).build(truth.grid, around.network_channels(1), 1, seed=seed)
    noise = around.noise(truth.grid, truth.covariance)
    denoiser = around.build(built, noise, truth.mean, truth.covariance, truth.grid)
    finest = max(config.levels)
    fields = patterns.on_level(folder, "train", finest)
    return nn.MultilevelTrainer(denoiser, fields, patterns.grid_of(finest), config)


def held_out_loss(denoiser, fields: np.ndarray, grid) -> float:
    """In units of the linear model's; the same noise for every denoiser."""
    import torch

    from fdiff.nn.validation import validation_ratio

    low_high = nn.TrainingConfig().half_log_snr
    return validation_ratio(denoiser, torch.from_numpy(fields), grid, low_high, 0, "cpu")


def allocation(result: dict, nodes: float) -> list[int]:
    """Fields a level of one step that costs ``nodes``, from the pilot's variances."""
    found = nn.LevelVariances(result["plain_0"], result["difference_0"], result["cost_0"], 0)
    return found.allocation(nodes).tolist()


def time_to(loss: float, losses: np.ndarray, costs: np.ndarray) -> float:
    """The cost at which the curve first is at ``loss``, linear in between; inf if it never is."""
    if losses[0] <= loss:
        return float(costs[0])
    for (l0, l1), (c0, c1) in zip(pairwise(losses), pairwise(costs)):
        if l1 <= loss:
            return float(c0 + (c1 - c0) * (l0 - loss) / (l0 - l1))
    return float("inf")


def costs(runs: dict, quick: bool) -> Iterator[Claim | Table]:
    """The goal's claims, and the table of what was spent up to the loss that counts."""
    targets = [result["loss"][-1] for result in runs["single"]]
    measures = ("seconds", "samples", "flops")
    reached = {
        (name, what): [
            # Of the single level: its whole budget, also where it passed the loss before.
            result[what][-1] if name == "single" else time_to(t, result["loss"], result[what])
            for result, t in zip(results, targets)
        ]
        for name, results in runs.items()
        for what in measures
    }
    rows = []
    for name, results in runs.items():
        cells = [LABELS[name], shown(stack(results, "loss")[:, -1])]
        for what, unit in zip(measures, (1.0, 1e3, 1e12)):
            value = np.array(reached[name, what])
            cells.append("not reached" if np.isinf(value).any() else shown(value / unit))
        share = reached[name, "seconds"]
        ratio = None if np.isinf(share).any() else ratio_of(share, reached["single", "seconds"])
        cells.append("-" if ratio is None else interval(ratio))
        rows.append(cells)
        if name == "single":
            continue
        sentence = (
            f"{LABELS[name]}: processor time to the loss of single-level training, as a share of "
            f"its time; the goal is {GOAL}"
        )
        yield judged(reached_claim(sentence, ratio, results, reached), quick)
    yield Table(
        "Spent until the held-out loss at 128 x 128 that single-level training ends with "
        "(mean ± half the 95 % interval over seeds)",
        ("schedule", "final loss", "seconds", "thousand fields", "TFLOP", "time ratio"),
        rows,
    )


def interval(estimate: Estimate) -> str:
    return f"{estimate.value:.2f} [{estimate.low:.2f}, {estimate.high:.2f}]"


def reached_claim(sentence: str, ratio: Estimate | None, results, reached) -> Claim:
    if ratio is not None:
        return within(sentence, SOURCE, ratio, -np.inf, GOAL)
    spent = np.array([result["seconds"][-1] for result in results])
    least = float(np.min(spent / np.array(reached["single", "seconds"])))
    reason = f"a seed did not reach the loss within {least:.2f} of the time"
    return Claim(sentence, SOURCE, GOAL, least, least, float("nan"), Verdict.FAIL, reason)


def decay(pilots: list[dict], quick: bool) -> Iterator[Claim | Text | Table]:
    """Rate of the differences' variance over all ladders, and what the allocation saves."""
    rates = [decay_rate(result) for result in pilots]
    yield judged(
        within(
            "variance of the gradient's level differences falls at least as n^-(2s - d) = n^-1.5",
            SOURCE, student(rates), 1.5, float("inf"),
        ),
        quick,
    )  # fmt: skip
    rows = []
    for place in range(sum(name.startswith("levels_") for name in pilots[0])):
        for level, n in enumerate(pilots[0][f"levels_{place}"]):
            plain = stack(pilots, f"plain_{place}")[:, level]
            difference = stack(pilots, f"difference_{place}")[:, level]
            cells = [f"{n} x {n}", shown(plain)]
            cells.append("-" if level == 0 else shown(difference))
            cells.append("-" if level == 0 else shown(difference / plain))
            rows.append(cells)
    yield Table(
        "Variance of one field's gradient (trace of the covariance)",
        ("level", "gradient", "difference to half the cells", "their ratio"),
        rows,
    )
    savings = [saving(result) for result in pilots]
    yield observed(
        "optimal allocation: cost of a gradient of equal variance, as a share of the finest "
        "level's alone",
        SOURCE,
        student(savings),
    )
    counts = [", ".join(map(str, result["fields"])) for result in pilots]
    yield Text(f"Fields a level and step that the allocation gave: {'; '.join(counts)}.")


def decay_rate(result: dict) -> float:
    """``r`` of ``Var(g_n - g_(n/2)) ~ n^-r`` over the differences of all ladders."""
    ladders = [name for name in result if name.startswith("levels_")]
    n = np.concatenate([result[name][1:] for name in ladders])
    variance = np.concatenate([result[f"difference_{name[7:]}"][1:] for name in ladders])
    return -float(np.polyfit(np.log(n), np.log(variance), 1)[0])


def saving(result: dict) -> float:
    """``(sum_l sqrt(V_l C_l))^2 / (Var g_L C)``, ``C`` the nodes of the finest level alone."""
    multilevel = np.sum(np.sqrt(result["difference_0"] * result["cost_0"])) ** 2
    return float(multilevel / (result["plain_0"][-1] * result["levels_0"][-1] ** 2))


def judged(claim: Claim, quick: bool) -> Claim:
    """Seconds of training on one seed decide nothing."""
    if not quick:
        return claim
    reason = "the quick form trains for seconds"
    return dataclasses.replace(claim, verdict=Verdict.INCONCLUSIVE, reason=reason)
