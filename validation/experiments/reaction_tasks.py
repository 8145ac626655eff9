"""The long tasks of the reaction-diffusion experiment: each trains, draws and compares once."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from fdiff import compat, levels, solvers
from validation.experiments import patterns, published
from validation.experiments.patterns import SAMPLE_SEED, grid_of

METRICS = (
    "pointwise_w1", "gradient_w1", "kurtosis", "perimeter_error", "spectrum_error",
    "energy_distance",
)  # fmt: skip
NAMES = (*METRICS, "training_sw")  # columns of the tables of quality
FLOORS, PUBLISHED = "floors", "published"  # tasks that train nothing, or as the paper does
EXAMPLES = 4  # fields kept of every set, for the pictures


def column(name: str) -> int:
    return NAMES.index(name)


def run(folder: str, strategy: str, seed: int, v: Mapping[str, Any]) -> dict[str, Any]:
    """One task: `floors`, `paper` or, for every other strategy, `consistent`."""
    if strategy == FLOORS:
        return floors(folder, v)
    if strategy == PUBLISHED:
        return paper(folder, seed, v)
    return consistent(folder, strategy, seed, v)


def floors(folder: str, v: Mapping[str, Any]) -> dict[str, Any]:
    """Truth against truth and Gaussian fields against truth, on sets as large as the samples.

    ``truth_n``, ``gaussian_n``: ``(sets, metrics)`` for sets of ``counts``; ``..._matched_n`` for
    sets of ``matched``; ``truth_spectrum_n``: ratio to the reference, with its interval.
    """
    out: dict[str, Any] = {}
    for n, *sizes in zip(v["resolutions"], v["counts"], v["matched"]):
        rest = patterns.held_out(folder, n)[1]
        for size, suffix in zip(sizes, (f"{n}", f"matched_{n}")):
            blocks = range(min(v["blocks"], len(rest) // size))
            out[f"truth_{suffix}"] = [
                patterns.quality(folder, rest[b * size : (b + 1) * size], n, METRICS)
                for b in blocks
            ]
            drawn = patterns.gaussian(folder, n, size * len(blocks), v["level"])
            out[f"gaussian_{suffix}"] = [
                patterns.quality(folder, part, n, METRICS) for part in np.split(drawn, len(blocks))
            ]
        out[f"truth_seam_{n}"] = patterns.seam(rest)
        out[f"truth_examples_{n}"] = rest[:EXAMPLES, 0].astype(np.float16)
        out[f"gaussian_examples_{n}"] = patterns.gaussian(folder, n, EXAMPLES, v["level"])[:, 0]
        out |= spectrum(folder, rest, n, "truth")
    return out


def consistent(folder: str, strategy: str, seed: int, v: Mapping[str, Any]) -> dict[str, Any]:
    """Train one network with one prior on the coarse level, draw on all resolutions, compare.

    ``strategy``: one of `priors.NAMES`, with a power if it is not the usual one
    (``"bessel 3.0"``); or ``"periodic"``: the Bessel prior on the box without walls.
    """
    boundary = "periodic" if strategy == "periodic" else "neumann"
    name, _, power = strategy.replace("periodic", "bessel").partition(" ")
    data = patterns.training_set(folder, v["level"], boundary)
    noise = patterns.prior(name, float(power or v["power"]), data.grid, data.covariance, seed)
    trained = patterns.train(
        folder, noise, n=v["level"], steps=v["steps"], batch=v["batch"], seed=seed,
        network=v["network"], boundary=boundary,
    )  # fmt: skip
    out = Drawn(folder, v, boundary)
    for n, count in zip(v["resolutions"], v["counts"]):
        start = time.process_time()
        grid = grid_of(n, boundary)
        u = patterns.drawn(trained.score, grid, count, v["evaluations"], seed=seed)
        out.add(n, u, time.process_time() - start)
    em = {}
    if strategy == v["euler_maruyama"]:
        em = euler_maruyama(folder, trained.score, seed, v)
    return {
        **out.results(), **em, "validation": trained.validation, "losses": trained.losses,
        "training_seconds": trained.seconds,
    }  # fmt: skip


def euler_maruyama(folder: str, score, seed: int, v: Mapping[str, Any]) -> dict[str, Any]:
    """The paper's sampler for the same network: uniform steps in time from N(0, Q) to t = 0."""
    times = solvers.times(score.process, v["em_steps"], "time", end=0.0)
    out = Drawn(folder, v)
    for n, count in zip(v["resolutions"], v["matched"]):
        if n > patterns.NATIVE:
            continue
        start = time.process_time()
        u = patterns.drawn(
            score, grid_of(n), count, solver=solvers.EulerMaruyama(), seed=seed, times=times,
            start="prior", close=False,
        )  # fmt: skip
        out.add(n, u, time.process_time() - start)
    return {f"em_{name}": value for name, value in out.results().items()}


def paper(folder: str, seed: int, v: Mapping[str, Any]) -> dict[str, Any]:
    """The paper's protocol with its Bessel prior, in its own scaling; see `published`."""
    fields, _ = patterns.fields(folder, "train")
    trained = published.train(
        fields, compat.bessel(8.0, 0.55), n=v["level"], steps=v["published_steps"],
        batch=v["published_batch"], seed=seed, network=v["published_network"],
    )  # fmt: skip
    out = Drawn(folder, v)
    for n, count in zip(v["resolutions"], v["matched"]):
        start = time.process_time()
        u = published.sample(
            trained.score, n, count, v["em_steps"], SAMPLE_SEED + seed, patterns.NATIVE
        )
        out.add(n, u, time.process_time() - start)
    return {
        **out.results(), "validation": np.nan, "losses": trained.losses,
        "training_seconds": trained.seconds,
    }  # fmt: skip


class Drawn:
    """What is kept of the samples of one network: numbers by resolution, and a few fields."""

    def __init__(self, folder: str, v: Mapping[str, Any], boundary: str = "neumann"):
        self.folder, self.v, self.boundary = folder, v, boundary
        self.out: dict[str, Any] = {}
        self.coarse: np.ndarray | None = None

    def add(self, n: int, u: np.ndarray, seconds: float) -> None:
        """``u``: ``(samples, 1, n, n)``, drawn in ``seconds``."""
        if not np.isfinite(u).all():
            raise ArithmeticError(f"samples on {n} x {n} cells are not finite")
        matched = dict(zip(self.v["resolutions"], self.v["matched"]))[n]
        self.out |= {
            f"quality_{n}": patterns.quality(self.folder, u, n, METRICS),
            f"matched_{n}": patterns.quality(self.folder, u[:matched], n, METRICS),
            f"seconds_{n}": seconds / len(u),
            f"std_{n}": u.std(),
            f"seam_{n}": patterns.seam(u),
            f"examples_{n}": u[:EXAMPLES, 0].astype(np.float16),
            **spectrum(self.folder, u, n, "samples"),
        }
        self.coarse = u if self.coarse is None else self.coarse
        self.out[f"same_{n}"] = same_function(self.coarse, u, self.boundary)

    def results(self) -> dict[str, Any]:
        return self.out


def same_function(coarse: np.ndarray, fine: np.ndarray, boundary: str = "neumann") -> float:
    """``||R fine - coarse|| / ||coarse||`` about the mean over the samples that both sets have."""
    count, n, m = min(len(coarse), len(fine)), coarse.shape[-1], fine.shape[-1]
    a = coarse[:count].astype(float)
    b = fine[:count].astype(float)
    b = levels.resample_field(b, grid_of(m, boundary), grid_of(n, boundary))
    return float(np.linalg.norm(b - a) / np.linalg.norm(a - a.mean()))


def spectrum(folder: str, u: np.ndarray, n: int, name: str) -> dict[str, Any]:
    ratio = patterns.spectrum_of(folder, u, n)
    rows = [ratio.shells, ratio.value, ratio.low, ratio.high]
    return {f"{name}_spectrum_{n}": np.array(rows, np.float32)}
