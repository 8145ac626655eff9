"""One seed serves every purpose, and all that it gives is independent.

The start of a sampler, the draws within one step and in successive ones, corrections, channels,
initial states and forcing, points of a bridge: over samples and modes the correlation of any two
has mean 0 and variance one over their number. A number used twice adds up where it should average,
so samples of every stochastic scheme, in few long steps on a box of unequal sides, must also have
the exact law of their scheme, mode by mode; batches and offsets cut one sequence.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import numpy as np

import fdiff
from fdiff import laws, noise, pde, solvers
from fdiff.pde import etdrk4, forcing
from fdiff.solvers.draws import StepNoise
from validation.claim import Claim, at_most, close, equal
from validation.problem import SCHEDULE

SOURCE = "independence of keyed numbers"
GRID = fdiff.Grid((4, 6), (1.0, 4.0), ("periodic", "neumann"))
KEPT = GRID.basis.retained
PROCESS = fdiff.ForwardProcess(fdiff.BesselCovariance(3.0, 4.0, 2.0), SCHEDULE)
DATA = fdiff.BesselCovariance(2.0, 2.0, 2.0)
SCORE = fdiff.GaussianScore(PROCESS, 0.5, DATA)
DEVIATIONS = 5.0  # of a false alarm: 6e-7


def run(quick: bool) -> Iterator[Claim]:
    size = 300 if quick else 3000
    yield apart("draws of two steps of a sampler", sampler_draws(size))
    for name in ("bridge", "transition"):
        yield apart(f"two draws of a {name}", path_draws(name, size))
    yield apart("initial states and forcing", equation_draws(size))
    yield uniforms(size)
    for name, solver in STOCHASTIC.items():
        yield scheme(name, solver, 2000 if quick else 20000)
    yield from batches()
    yield from bridges()
    yield forced_times()
    yield forced_variance()
    yield apart("pushes of a heat equation", heat_steps(size))
    yield spots(200 if quick else 2000)


def apart(what: str, draws: dict) -> Claim:
    """The largest of all correlations between two draws, in standard deviations of each."""
    worst = 0.0
    for a, b in itertools.combinations(draws.values(), 2):
        a, b = (c[:, KEPT] / np.sqrt((np.abs(c[:, KEPT]) ** 2).mean(0)) for c in (a, b))
        worst = max(worst, abs(complex((a * b.conj()).mean())) * math.sqrt(a.size))
    return at_most(f"correlations of {what}", SOURCE, bound=DEVIATIONS, observed=worst)


def sampler_draws(size: int) -> dict:
    x = np.zeros((size, *GRID.basis.shape), complex)
    problem = solvers.Problem(SCORE, GRID)
    draws = {"start": noise.white_coefficients(GRID, 7, noise.START, size)}
    for step in range(2):
        step_noise = StepNoise(problem, x, 7, 0, None, step)
        for purpose, count in itertools.product((noise.STEPS, noise.CORRECTOR), range(2)):
            draws[step, purpose, count] = step_noise(purpose)
    return draws


def path_draws(name: str, size: int) -> dict:
    """Numbers 0 and 1 of what moves fields of zeros from 0.3 to 0.7, or back between them."""
    zero = np.zeros((size, *GRID.shape))
    given = (zero, zero) if name == "bridge" else (zero,)
    move = getattr(PROCESS, name)
    return {
        time: GRID.basis.forward(move(*given, 0.3, 0.7, GRID, seed=4, time=time))
        for time in range(2)
    }


def equation_draws(size: int) -> dict:
    """Two fields of an initial state, and their pushes in two steps, one sample after another."""
    system = pde.system("linear")
    law = pde.GaussianInitial({"family": "bessel", "scale": 1.0, "shift": 3.0, "power": 2.0})
    states = np.array([law.draw(system, GRID, 9, i) for i in range(size + 1)])
    pushes = np.array([[forcing.keyed(GRID, 2, 9, i)(n) for n in range(2)]
                       for i in range(size + 1)])  # fmt: skip
    draws = {}
    for field in range(2):
        draws["state", field] = GRID.basis.forward(states[:size, field])
        for step in range(2):
            draws["push", field, step] = pushes[:size, step, field]
    return draws | {"push of the next sample": pushes[1:, 0, 0]}


def uniforms(size: int) -> Claim:
    """The numbers by which two Metropolis steps at one time accept or reject."""
    x = np.zeros((size, *GRID.basis.shape), complex)
    draws = StepNoise(solvers.Problem(SCORE, GRID), x, 7, 0, None, 0)
    found = np.corrcoef(np.exp([draws.log_uniforms() for _ in range(3)]))
    worst = np.abs(found - np.eye(3)).max() * math.sqrt(size)
    return at_most("correlations of Metropolis numbers", SOURCE, bound=DEVIATIONS, observed=worst)


STOCHASTIC = {
    name: make() for name, make in solvers.SCHEMES.items() if make().draws and make().affine
}
STOCHASTIC["three corrections"] = solvers.PredictorCorrector(corrections=3, step_size=0.3)


def scheme(name: str, solver: solvers.Solver, size: int) -> Claim:
    """Variance of sampled modes against the exact one, from the prior in three long steps."""
    times = [1.0, 0.6, 0.4, 0.25]
    mu = GRID.basis.forward(np.full(GRID.shape, 0.5))
    data = (PROCESS, mu, DATA.eigenvalues(GRID), GRID)
    law = laws.sampler_law(solver, *data, times, "prior")
    options = {"solver": solver, "times": times, "start": "prior", "seed": 3, "close": False}
    c = GRID.basis.forward(fdiff.sample(SCORE, GRID, size, **options).fields)
    ratio = (np.abs(c - law.mean) ** 2).mean(0)[KEPT] / law.variance[KEPT]
    return at_most(
        f"variance of samples, {name} (deviations)", SOURCE,
        bound=DEVIATIONS, observed=float(np.abs(ratio - 1).max()) * math.sqrt(size / 2),
    )  # fmt: skip


def batches() -> Iterator[Claim]:
    """Samples 5 to 8 alone are samples 5 to 8 of nine, drawn in batches of four or at once."""
    means = [fdiff.Field(np.full(GRID.shape, v), GRID) for v in (-3.0, 3.0)]
    mixture = fdiff.MixtureScore(PROCESS, means, 0.01 * DATA, [0.3, 0.7])
    corrected = {"corrections": 2, "step_size": 1.0}
    for what, score, options in (
        ("corrections", SCORE, {"solver": solvers.PredictorCorrector(**corrected)}),
        ("Metropolis steps", SCORE,
         {"solver": solvers.PredictorCorrector(**corrected, metropolis=True)}),
        ("components of a mixture", mixture, {"start": "exact"}),
    ):  # fmt: skip
        options = options | {"steps": 3, "seed": 5}
        whole = fdiff.sample(score, GRID, 9, **options).fields
        parts = fdiff.sample(score, GRID, 9, batch=4, **options).fields
        alone = fdiff.sample(score, GRID, 4, first=5, **options).fields
        gap = max(np.abs(whole - parts).max(), np.abs(whole[5:] - alone).max())
        yield equal(
            f"batches and offsets, {what}", SOURCE, declared=0.0, observed=float(gap),
            tolerance=1e-12,
        )  # fmt: skip
    zero = np.zeros((9, *GRID.shape))
    path = fdiff.OrnsteinUhlenbeckPath(PROCESS, seed=5)

    def moved(first: int, count: int) -> np.ndarray:
        bridge = PROCESS.bridge(zero[:count], zero[:count], 0.3, 0.7, GRID, seed=4, first=first)
        start = GRID.basis.forward(zero[:count])
        *_, last = path.along([0.2, 0.5], start, GRID, first=first)
        return np.concatenate([bridge, GRID.basis.inverse(last)], 1)

    gap = np.abs(moved(0, 9)[5:] - moved(5, 4)).max()
    yield equal("batches and offsets, paths", SOURCE, declared=0.0, observed=float(gap),
                tolerance=1e-12)  # fmt: skip


def bridges() -> Iterator[Claim]:
    """The noise of an ancestral step is the forward bridge's; DDIM's is eta times that."""
    problem = solvers.Problem(SCORE, GRID)
    whole = laws.step_map(solvers.Ancestral(), problem, 0.6, 0.4).noise[0, 0][KEPT]
    part = laws.step_map(solvers.DDIM(0.5), problem, 0.6, 0.4).noise[0, 0][KEPT]
    declared = PROCESS.bridge_factors(0.4, 0.6)[2]
    for name, eta, noise_factor in (("ancestral step", 1.0, whole), ("DDIM, eta = 1/2", 0.5, part)):
        yield close(
            f"noise of the bridge, {name}", "Song, Meng and Ermon (2021)", relative=1e-9,
            declared=eta * declared, observed=float(np.median(noise_factor)),
        )  # fmt: skip


def forced_times() -> Claim:
    """Stored times in between do not change the path of a forced equation."""
    system, q = pde.system("linear"), DATA.eigenvalues(GRID)
    ends = []
    for times in ([0.4], [0.1, 0.2, 0.4]):
        out = np.empty((len(times), *GRID.shape, 2))
        draw = forcing.keyed(GRID, 2, 3, 1)
        start = np.ones((2, *GRID.shape))
        forcing.trajectory(system, start, GRID, np.array(times), 0.1, q, draw, out)
        ends.append(out[-1])
    gap = float(np.abs(ends[1] - ends[0]).max())
    return equal("a forced path does not depend on what is stored", SOURCE, declared=0.0,
                 observed=gap, tolerance=1e-10)  # fmt: skip


def forced_variance() -> Claim:
    """The noise of a step of length h: ``q (1 - e^(-2 L h)) / (2 L)``, ``L = D mu``; worst mode."""
    problem, q, h = etdrk4.Spectral(pde.system("linear"), GRID), DATA.eigenvalues(GRID), 40.0
    rate = pde.system("linear").diffusivities[1] * GRID.basis.laplacian
    damped = KEPT & (rate > 0)
    exact = q[damped] * -np.expm1(-2 * h * rate[damped]) / (2 * rate[damped])
    ratio = forcing.convolution_std(problem, q, h)[1][damped] ** 2 / exact
    return close("variance of a forced step", "Jentzen and Kloeden (2009)", declared=1.0,
                 observed=float(ratio[np.abs(ratio - 1).argmax()]), relative=1e-9)  # fmt: skip


def heat_steps(size: int) -> dict:
    """Increments of an equation without damping over four steps."""
    heat = fdiff.LinearSPDE(lambda mu: 0.0 * mu, DATA)
    states = list(heat.coefficients([0.1, 0.2, 0.3, 0.4], GRID, size, seed=6))
    return dict(enumerate(np.diff([0 * states[0], *states], axis=0)))


def spots(size: int) -> Claim:
    """The places of a spot along two axes."""
    grid = fdiff.Grid((16, 24), (1.0, 4.0), "neumann")
    law, system = pde.SpotsInitial(1, 0.2), pde.system("none")
    places = [
        np.unravel_index(law.draw(system, grid, 4, i)[0].argmax(), grid.shape) for i in range(size)
    ]
    observed = abs(float(np.corrcoef(np.array(places).T)[0, 1])) * math.sqrt(size)
    return at_most("correlation of a spot's coordinates", SOURCE, bound=DEVIATIONS,
                   observed=observed)  # fmt: skip
