"""The trace beyond a grid, tr(Q - Q_n), falls at the rate and with the constant of the spectrum.

Bessel and Matérn, smoothness s in d dimensions: tr(Q - Q_n) ~ c w_d(s) (2 pi/L)^(-2s)
(n/2)^(d-2s)/(2s-d) on a periodic box, with w_d(s) the integral of the largest component to the
power 2s-d over the unit sphere, and c 2^(-d) w_d(s) (pi/L)^(-2s) n^(d-2s)/(2s-d) between walls. The
squared exponential's tail is below d tr Q erfc(l pi (n-1)/(sqrt 2 L)), finite rank ends, the
identity has no trace at all.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial

import numpy as np
from scipy.integrate import quad
from scipy.special import erfc

import fdiff
from fdiff.convergence import order, order_figure
from fdiff.levels import prolong
from validation.claim import Claim, at_most, close, equal, of_order

SOURCE = "Karhunen-Loève truncation: tail sums of the spectrum"
BOUNDARIES = ("periodic", "neumann", "dirichlet")
LENGTH = 1.5  # of the box, so that a factor L is seen

# Families with an algebraic spectrum: the operator, its smoothness s and factor c in d dimensions.
ALGEBRAIC = {
    "Bessel": lambda dim: (fdiff.BesselCovariance(1.7, 25.0, 2.0), 2.0, 1.7),
    "inverse Laplacian": lambda dim: (fdiff.LaplaceCovariance(0.8, 1.75), 1.75, 0.8),
    "Matérn": lambda dim: matern(dim),
    "user density": lambda dim: (
        fdiff.SpectralDensity(lambda mu: 2.0 / (9.0 + mu**2)), 2.0, 2.0,
    ),
    "sum": lambda dim: (
        fdiff.BesselCovariance(1.0, 9.0, 1.5) + fdiff.SquaredExponentialCovariance(1.0, 0.2), 1.5,
        1.0,
    ),
}  # fmt: skip


def matern(dim: int):
    """Whittle-Matérn: c = sigma^2 (4 pi)^(d/2) Gamma(nu + d/2)/Gamma(nu) (2 nu/l^2)^nu."""
    std, length, nu = 1.3, 0.25, 1.0
    gammas = math.gamma(nu + dim / 2) / math.gamma(nu)
    factor = std**2 * (4 * math.pi) ** (dim / 2) * gammas * (2 * nu / length**2) ** nu
    return fdiff.MaternCovariance(std, length, nu), nu + dim / 2, factor


def run(quick: bool) -> Iterator[Claim]:
    for dim in (1, 2):
        for name, family in ALGEBRAIC.items():
            q, s, factor = family(dim)
            yield from algebraic(name, q, s, factor, dim, quick)
        yield from squared_exponential(dim)
        yield from finite_rank(dim)
        yield white_noise(dim)
    yield unequal_sides()
    for boundary in BOUNDARIES:
        yield sampled_tail(boundary, quick)


def box(n: int, dim: int, boundary: str) -> fdiff.Grid:
    return fdiff.Grid((n,) * dim, LENGTH, boundary)


def algebraic(name, q, s: float, factor: float, dim: int, quick: bool) -> Iterator[Claim]:
    # The tail of a user's density sums modes to grids eight times finer than the finest here.
    longest = (10 if quick else 12) if dim == 1 else (8 if quick else 9)
    sides = 2 ** np.arange(5, longest)
    estimates = {}
    for boundary in BOUNDARIES:
        tails = tail_by_sums(q, sides, dim, boundary)
        analytic = np.array([q.tail_trace(box(n, dim, boundary)) for n in sides])
        estimates[boundary] = order(1 / sides, analytic, declared=2 * s - dim, scale=1e-9)
        where = f"{name}, {dim}D {boundary}"
        yield equal(
            f"{where}: tail against summed modes", SOURCE, declared=0.0,
            observed=float(np.max(np.abs(tails / analytic - 1))),
            tolerance=1e-7 + stated_error(q, box(int(sides[-1]), dim, boundary)),
        )  # fmt: skip
        figure = (
            partial(rate_figure, f"{name}, {dim}D", estimates) if boundary == "dirichlet" else None
        )
        yield of_order(f"{where}: rate in 1/n", SOURCE, estimates[boundary], figure)
        yield close(
            f"{where}: constant", SOURCE, declared=factor * tail_constant(s, dim, boundary),
            observed=extrapolated(analytic * sides ** (2 * s - dim)), relative=0.02,
        )  # fmt: skip


def stated_error(q, grid: fdiff.Grid) -> float:
    """Twice the relative error that a density given by the user estimates for its own tail."""
    if not isinstance(q, fdiff.SpectralDensity):
        return 0.0
    value, error = q.tail_trace_with_error(grid)
    return 2 * error / value


def tail_by_sums(q, sides: np.ndarray, dim: int, boundary: str) -> np.ndarray:
    """Eigenvalues summed between two grids; only what lies beyond the finer one is analytic."""
    finest = box(int(2 * sides[-1]), dim, boundary)
    beyond, tails = q.eigenvalues(finest) * finest.basis.weights, []
    for n in sides:
        grid = box(int(n), dim, boundary)
        cut = 1.0 - prolong(grid.basis.retained.astype(float), grid, finest)
        tails.append(float((beyond * cut).sum()) + q.tail_trace(finest))
    return np.array(tails)


def extrapolated(values: np.ndarray) -> float:
    """The limit of values whose error halves from one to the next."""
    return float(2 * values[-1] - values[-2])


def tail_constant(s: float, dim: int, boundary: str) -> float:
    """The limit of tr(Q - Q_n) n^(2s-d) for q = mu^-s."""
    sphere = 2.0
    if dim == 2:
        sphere = 8 * quad(lambda angle: math.cos(angle) ** (2 * s - 2), 0, math.pi / 4)[0]
    if boundary == "periodic":
        return sphere * (2 * math.pi / LENGTH) ** (-2 * s) * 2 ** (2 * s - dim) / (2 * s - dim)
    return sphere * 2.0**-dim * (math.pi / LENGTH) ** (-2 * s) / (2 * s - dim)


def rate_figure(title: str, estimates: dict):
    return order_figure(estimates, step_label="$1/n$", error_label="tail trace", title=title)


def squared_exponential(dim: int) -> Iterator[Claim]:
    q = fdiff.SquaredExponentialCovariance(1.0, 0.1)
    for boundary in ("periodic", "neumann"):
        ratios = []
        for n in range(5, 48):
            grid = box(n, dim, boundary)
            tail = q.tail_trace(grid)
            whole = q.trace(grid) + tail
            argument = q.length * math.pi * (n - 1) / (math.sqrt(2) * LENGTH)
            ratios.append(tail / (dim * whole * erfc(argument)))
        yield at_most(
            f"squared exponential, {dim}D {boundary}: tail / bound", SOURCE,
            bound=1.0, observed=max(ratios),
        )  # fmt: skip


def finite_rank(dim: int) -> Iterator[Claim]:
    rank = 6
    q = fdiff.FiniteRankCovariance(np.ones((rank,) * dim))
    for boundary in BOUNDARIES:
        enough = 2 * rank - 1 if boundary == "periodic" else rank
        lost = q.trace(box(4 * rank, dim, boundary)) - q.trace(box(enough, dim, boundary))
        yield equal(
            f"finite rank, {dim}D {boundary}: tail at n = {enough}", SOURCE, declared=0.0,
            observed=lost + q.tail_trace(box(enough, dim, boundary)), tolerance=0.0,
        )  # fmt: skip


def unequal_sides() -> Claim:
    """A box whose axes differ in length, nodes and boundary: nothing may be swapped."""
    grid = fdiff.Grid((32, 24), (1.0, 2.0), ("periodic", "neumann"))
    q = fdiff.BesselCovariance(1.0, 25.0, 2.0)
    k, l = np.meshgrid(np.arange(-4096, 4097), np.arange(4096), indexing="ij")
    every = (25 + (2 * np.pi * k) ** 2 + (np.pi * l / 2) ** 2) ** -2.0
    beyond = every[(np.abs(k) >= 16) | (l >= 24)].sum()
    # Beyond the sum q ~ |kappa|^-4 with one mode in an area 2 pi^2 of wave vectors kappa; the cut
    # is the rectangle of half sides 2 pi 4096.5 and pi 4095.5 / 2.
    a, b = 2 * np.pi * 4096.5, np.pi * 4095.5 / 2
    angle = math.atan2(b, a)

    def outside(phi: float) -> float:
        radius = a / math.cos(phi) if phi < angle else b / math.sin(phi)
        return 1 / (2 * radius**2)

    rest = 2 * quad(outside, 0, math.pi / 2, points=[angle])[0] / (math.pi**2)
    return close(
        "Bessel, 1 x 2 periodic x no-flux: tail trace", SOURCE, declared=beyond + rest,
        observed=q.tail_trace(grid), relative=1e-9,
    )  # fmt: skip


def white_noise(dim: int) -> Claim:
    sides = 2 ** np.arange(5, 9) + 1  # odd: all modes are retained
    traces = [fdiff.WhiteNoise().trace(box(int(n), dim, "periodic")) for n in sides]
    estimate = order(1 / sides, traces, declared=-dim, tolerance=0.01)
    return of_order(f"identity, {dim}D: growth of the trace", SOURCE, estimate)


def sampled_tail(boundary: str, quick: bool) -> Claim:
    """The same functions on two grids differ by the tail between them."""
    q, fine, coarse = fdiff.BesselCovariance(1.0, 25.0, 1.0), 256, 32
    grids = box(fine, 1, boundary), box(coarse, 1, boundary)
    c = q.sample_coefficients(grids[0], size=2000 if quick else 20000, seed=1)
    lost = c - prolong(q.sample_coefficients(grids[1], size=len(c), seed=1), grids[1], grids[0])
    squares = grids[0].basis.inner(lost, lost)
    declared = q.tail_trace(grids[1]) - q.tail_trace(grids[0])
    return equal(
        f"sampled |X - X^n|^2, 1D {boundary}", SOURCE, declared=1.0,
        observed=squares.mean() / declared,
        error=1.96 * squares.std() / declared / math.sqrt(len(squares)), tolerance=0.05,
    )  # fmt: skip
