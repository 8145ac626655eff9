"""On a box of unequal sides every law has its own axis: covariances, tails, means and scores.

4×6 nodes of a 1×4 box and 3×4×5 nodes of a 1×2×3 box with mixed boundaries: no exchange of axes,
side lengths or boundaries, and no conjugate pair counted once, leaves these sums as they are. The
other side of each claim is summed here over the modes of the infinite box, from their definition.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import product

import numpy as np

import fdiff
from fdiff import noise, pde
from validation.claim import Claim, at_most, close, equal
from validation.problem import SCHEDULE

SOURCE = "sums over the eigenfunctions of the Laplacian on a box"
BOXES = {
    "1x4, periodic x no-flux": fdiff.Grid((4, 6), (1.0, 4.0), ("periodic", "neumann"), (-0.5, 2.0)),
    "1x4, no-flux x periodic": fdiff.Grid((4, 6), (1.0, 4.0), ("neumann", "periodic"), (-0.5, 2.0)),
    "1x2x3, mixed": fdiff.Grid(
        (3, 4, 5), (1.0, 2.0, 3.0), ("periodic", "neumann", "dirichlet"), (-0.5, 2.0, 1.0)
    ),
}  # fmt: skip
Q = fdiff.BesselCovariance(2.0, 3.0, 2.2)
DATA = fdiff.BesselCovariance(3.0, 2.0, 2.6)
PROCESS = fdiff.ForwardProcess(Q, SCHEDULE)
T = 0.2


def run(quick: bool) -> Iterator[Claim]:
    for name, grid in BOXES.items():
        yield from covariance(name, grid)
        yield from score(name, grid)
        yield exact_start(name, grid, 2000 if quick else 20000)
    name, grid = next(iter(BOXES.items()))
    yield linear_mean(name, grid)
    yield from round_spots()
    yield float32(name, grid)


def modes(grid: fdiff.Grid) -> Iterator[tuple[tuple[int, ...], float]]:
    """``(k, mu_k)`` of every mode that the grid retains, both of a conjugate pair."""
    lines = []
    for n, kind in zip(grid.shape, grid.boundary):
        half = (n - 1) // 2
        first, last = {"periodic": (-half, half), "neumann": (0, n - 1)}.get(kind, (1, n - 1))
        lines.append(range(first, last + 1))
    turns = [2 if kind == "periodic" else 1 for kind in grid.boundary]
    for k in product(*lines):
        yield k, sum((t * math.pi * i / side) ** 2 for t, i, side in zip(turns, k, grid.lengths))


def function(grid: fdiff.Grid, k: tuple[int, ...], at: list) -> np.ndarray:
    """``e_k`` at points, one array of coordinates an axis."""
    value = np.ones(())
    for i, x, kind, side, start in zip(k, at, grid.boundary, grid.lengths, grid.origin):
        angle = math.pi * i * (np.asarray(x) - start) / side
        if kind == "periodic":
            value = value * np.exp(2j * angle) / math.sqrt(side)
        elif kind == "neumann":
            value = value * math.sqrt((2 - (i == 0)) / side) * np.cos(angle)
        else:
            value = value * math.sqrt(2 / side) * np.sin(angle)
    return value


def covariance(name: str, grid: fdiff.Grid) -> Iterator[Claim]:
    q = {k: 2.0 * (3.0 + mu) ** -2.2 for k, mu in modes(grid)}
    fine = grid.refine(5)
    rest = sum(2.0 * (3.0 + mu) ** -2.2 for k, mu in modes(fine)) - sum(q.values())
    norms = {"trace": Q.trace(grid), "Hilbert-Schmidt norm": Q.hilbert_schmidt(grid)}
    norms["trace beyond"] = Q.tail_trace(grid) - Q.tail_trace(fine)
    sums = {"trace": sum(q.values()), "trace beyond": rest}
    sums["Hilbert-Schmidt norm"] = math.sqrt(sum(v * v for v in q.values()))
    values = np.arange(1.0, 1 + math.prod(n + 2 for n in grid.shape))
    finite = fdiff.FiniteRankCovariance(values.reshape([n + 2 for n in grid.shape]))
    norms["finite rank, trace beyond"] = finite.tail_trace(grid)
    sums["finite rank, trace beyond"] = finite.trace(fine) - finite.trace(grid)
    here = [start + side / 2 for start, side in zip(grid.origin, grid.lengths)]
    for axis in range(grid.dim):
        r = np.linspace(0, grid.lengths[axis] / 2, 2001)
        line = [x + r * (i == axis) for i, x in enumerate(here)]
        kernel = sum(v * (function(grid, k, line) * np.conj(function(grid, k, here))).real
                     for k, v in q.items())  # fmt: skip
        below = np.flatnonzero(kernel < kernel[0] / math.e)
        length = Q.correlation_length(grid, axis)
        if below.size or math.isfinite(length):
            yield equal(
                f"{name}: correlation length of axis {axis}", SOURCE, observed=length,
                declared=float(r[below[0]]) if below.size else math.inf, tolerance=float(r[1]),
            )  # fmt: skip
    for what, value in norms.items():
        yield close(f"{name}: {what}", SOURCE, declared=sums[what], observed=value, relative=1e-7)


def score(name: str, grid: fdiff.Grid) -> Iterator[Claim]:
    """The Wiener filter's error, and a mixture's component, from the modes one by one."""
    m, s = PROCESS.mean_factor(T), PROCESS.std(T)
    error = 0.0
    points = np.meshgrid(*map(grid.points, range(grid.dim)), indexing="ij")
    x = np.cos(points[-1]) + 0.3 * np.sin(3 * points[0])
    means = [0.3 * np.sin(points[0] + points[-1]), 0.4 * np.cos(2 * points[0]) + 0 * points[-1]]
    logits = np.zeros(2)
    for k, mu in modes(grid):
        c, q = 3.0 * (2.0 + mu) ** -2.6, 2.0 * (3.0 + mu) ** -2.2
        sigma = m * m * c + s * s * q
        error += c * s * s * q / sigma
        e = np.conj(function(grid, k, points))
        state, *centres = (grid.cell_volume * (u * e).sum() for u in (x, *means))
        logits -= [0.5 * abs(state - m * centre) ** 2 / sigma for centre in centres]
    yield close(
        f"{name}: error of the best linear denoiser", SOURCE, declared=error, relative=1e-9,
        observed=fdiff.WienerScore(PROCESS, 0.0, DATA).mean_square_error(T, grid),
    )  # fmt: skip
    mixture = fdiff.MixtureScore(PROCESS, [fdiff.Field(u, grid) for u in means], DATA)
    found = mixture.responsibilities(T, x[None], grid)[0]
    yield close(
        f"{name}: log odds of two components", SOURCE, declared=logits[1] - logits[0],
        observed=math.log(found[1] / found[0]), relative=1e-7,
    )  # fmt: skip


def exact_start(name: str, grid: fdiff.Grid, size: int) -> Claim:
    """The law that sampling starts from: mean m mu, variance m^2 c + s^2 q, worst mode."""
    m, s = PROCESS.mean_factor(T), PROCESS.std(T)
    mean = fdiff.Field(np.full(grid.shape, 2.0), grid)
    white = noise.white_coefficients(grid, 1, noise.START, size)
    worst = 0.0
    kept = grid.basis.retained
    variance = m * m * DATA.eigenvalues(grid) + s * s * Q.eigenvalues(grid)
    for score in (fdiff.GaussianScore(PROCESS, mean, DATA),
                  fdiff.MixtureScore(PROCESS, [mean], DATA)):  # fmt: skip
        c = score.marginal(T, white, grid, 1, 0)
        about = c - m * grid.basis.forward(mean.values)
        ratio = (np.abs(about) ** 2).mean(0)[kept] / variance[kept]
        worst = max(worst, float(np.abs(ratio - 1).max()) * math.sqrt(size / 2))
    return at_most(
        f"{name}: exact start, worst mode (deviations)", SOURCE, bound=5.0,
        observed=worst,
    )  # fmt: skip


def linear_mean(name: str, grid: fdiff.Grid) -> Claim:
    """A linear function's coefficients against those of its values on a fine grid."""
    mean = pde.LinearMean(offset=0.5, slope=(1.0, -2.0))
    fine = grid.with_shape((512, 768))
    xi = [(x - o) / side for x, o, side in zip(fine.coordinates(), fine.origin, fine.lengths)]
    values = 0.5 + xi[0] - 2.0 * xi[1]
    c = fdiff.levels.restrict(fine.basis.forward(values), fine, grid)
    gap = np.abs(mean.coefficients(grid, fdiff.WhiteNoise()) - grid.basis.project(c)).max()
    return at_most(
        f"{name}: coefficients of a linear mean", SOURCE, bound=0.01, observed=float(gap)
    )


def round_spots() -> Iterator[Claim]:
    """Spots are round in the units of the box, around its periodic axes."""
    for kinds in (("periodic", "neumann"), ("neumann", "periodic")):
        grid = fdiff.Grid((64, 96), (1.0, 4.0), kinds)
        system = pde.system("none")
        worst = 0.0
        for sample in range(4):
            state = pde.SpotsInitial(1, 0.4).draw(system, grid, 3, sample)[0]
            centre = np.unravel_index(state.argmax(), grid.shape)
            log = np.log(state / state.max())
            for axis, kind in enumerate(kinds):
                line = np.moveaxis(log, axis, 0)[:, centre[1 - axis]]
                h, n = grid.spacing[axis], grid.shape[axis]
                distance = h * np.abs(np.arange(n) - centre[axis])
                if kind == "periodic":
                    distance = np.minimum(distance, grid.lengths[axis] - distance)
                # The centre lies within half a cell of its node.
                slack = h * (distance + h) / 0.4**2
                worst = max(worst, float((np.abs(line + distance**2 / 0.32) / slack).max()))
        yield at_most(
            f"1x4, {' x '.join(kinds)}: a spot's logarithm (slacks)",
            "definition of the law", bound=1.0, observed=worst,
        )  # fmt: skip


def float32(name: str, grid: fdiff.Grid) -> Claim:
    """A float32 state between two means, near t = 0: the denoiser of the same state in float64."""
    t = 1e-4
    points = np.meshgrid(*map(grid.points, range(grid.dim)), indexing="ij")
    means = [np.sin(3 * points[0] + points[-1]), np.cos(2 * points[0]) - 0.2 * points[-1]]
    fields = [fdiff.Field(u, grid) for u in means]
    # A score keeps its means for a grid: each precision asks one that was asked nothing before.
    single, double = (fdiff.MixtureScore(PROCESS, fields, 1e-6 * Q) for _ in range(2))
    one, two = (grid.basis.project(grid.basis.forward(u)) for u in means)
    shares = 0.5 + np.linspace(-1e-5, 1e-5, 9)[:, None, None]
    states = PROCESS.mean_factor(t) * ((1 - shares) * one + shares * two)
    narrow = states.astype(np.complex64)
    found = single.denoise_coefficients(t, narrow, grid)
    wide = double.denoise_coefficients(t, narrow.astype(complex), grid)
    gap = np.abs(found - wide).max() / np.abs(wide).max()
    return at_most(f"{name}: a float32 state", SOURCE, bound=1e-6, observed=float(gap))
