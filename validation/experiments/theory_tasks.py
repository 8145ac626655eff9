"""The long tasks of the theory experiment, and the estimates that its figures show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

import fdiff
from fdiff import budget, levels, metrics, nn, solvers
from fdiff.grid import Grid
from fdiff.metrics.spectra import shell_energies
from fdiff.nn.fields import noise_tensor
from validation.experiments import patterns
from validation.experiments.patterns import NATIVE, grid_of

FAR = 2**30  # first sample of the noise on which networks are compared: training never gets there


def prior_of(folder: str, v: Mapping[str, Any], power: float) -> fdiff.CovarianceOperator:
    data = patterns.training_set(folder, v["level"])
    return patterns.prior("bessel", power, data.grid, data.covariance)


def tails(folder: str, v: Mapping[str, Any], power: float) -> tuple[np.ndarray, np.ndarray]:
    """``tr(C - C_n)`` of the training fields' spectrum and ``tr(Q - Q_n)``, of the modes up to 128.

    What lies beyond the finest grid is in neither the prediction nor the fields.
    """
    fine, Q = patterns.training_set(folder, NATIVE), prior_of(folder, v, power)
    grids = [grid_of(n) for n in v["truncations"]]
    return tuple(
        np.array([operator.tail_trace(g) - operator.tail_trace(fine.grid) for g in grids])
        for operator in (fine.covariance, Q)
    )  # type: ignore[return-value]


def truncated(folder: str, seed: int, v: Mapping[str, Any]) -> np.ndarray:
    """``E ||X_t - X_t^n||^2`` of the forward process from held-out fields: (times, truncations).

    ``X^n`` has the data's and the noise's modes of n x n cells and the same path otherwise, so
    that the difference is what lies beyond. Every seed has its own fields and noise.
    """
    u, grid = patterns.fields(folder, "held_out")
    u = np.array_split(u, v["sets"])[seed][:, 0].astype(float)
    process = fdiff.ForwardProcess(prior_of(folder, v, v["power"]), patterns.SCHEDULE)
    c = grid.basis.forward(u)
    mean = levels.resample_field(
        patterns.training_set(folder, NATIVE).mean.values, patterns.BOX, grid
    )
    c = c - grid.basis.forward(mean)
    rows = []
    for t in v["times"]:
        x = process.perturb_coefficients(c, t, grid, seed=seed) if t else c
        rows.append([beyond(x, grid, n) for n in v["truncations"]])
    return np.array(rows)


def beyond(c: np.ndarray, grid: Grid, n: int) -> float:
    """Mean over samples of the energy in the modes that n x n cells do not have."""
    coarse = grid.with_shape((n, n))
    rest = c - levels.prolong(levels.restrict(c, grid, coarse), coarse, grid)
    return float(grid.basis.inner(rest, rest).mean())


def weights_of(denoiser: torch.nn.Module) -> np.ndarray:
    parameters = [p.detach() for p in denoiser.parameters()]
    return torch.nn.utils.parameters_to_vector(parameters).numpy()


def restored(folder: str, v: Mapping[str, Any], power: float, weights) -> nn.NetworkScore:
    """The score of a network that `trained` kept."""
    denoiser = patterns.build(folder, prior_of(folder, v, power), v["level"], 0, v["network"])
    torch.nn.utils.vector_to_parameters(torch.from_numpy(weights), denoiser.parameters())
    return patterns.score_of(denoiser)


def trained(folder: str, power: float, seed: int, steps: int, v: Mapping[str, Any]):
    """A network for one power of the Bessel prior, and the spectral error of its samples.

    ``spectral``: `spectral_distance` to held-out truth of samples by GaussianExact, which starts
    from the data's own law at T, and by the paper's Euler-Maruyama steps from N(0, Q).
    """
    result = patterns.train(
        folder, prior_of(folder, v, power), n=v["level"], steps=steps, batch=v["batch"],
        seed=seed, network=v["network"],
    )  # fmt: skip
    grid, size = grid_of(v["level"]), v["samples"]
    truth = patterns.held_out(folder, v["level"])[0]
    times = solvers.times(result.score.process, v["em_steps"], "time", end=0.0)
    sets = [
        patterns.drawn(result.score, grid, size, v["evaluations"], seed=seed),
        patterns.drawn(
            result.score, grid, size, solver=solvers.EulerMaruyama(), seed=seed, times=times,
            start="prior", close=False,
        ),
    ]  # fmt: skip
    return {
        "weights": weights_of(result.score.denoiser),
        "validation": result.validation,
        "seconds": result.seconds,
        "spectral": [spectral_distance(u, truth, grid) for u in sets],
        "pointwise": [metrics.pointwise_w1(u, truth, grid).value for u in sets],
    }


def spectral_distance(u: np.ndarray, truth: np.ndarray, grid: Grid) -> float:
    """``W_2`` of Gaussian fields with these shells' energies, relative to the truth's size.

    ``sqrt(sum (sqrt(E_u) - sqrt(E_truth))^2 / sum E_truth)``: from below a bound of ``W_2`` of the
    laws themselves, but for the scatter of the energies.
    """
    a, b = (shell_energies(x, grid).mean(0) for x in (u, truth))
    return float(np.sqrt(((np.sqrt(a) - np.sqrt(b)) ** 2).sum() / b.sum()))


def parts(folder: str, seed: int, weights, best, v: Mapping[str, Any]) -> dict[str, Any]:
    """The network's part of the error and that of the steps, from samples and held-out fields.

    ``network``: `network_part`; ``coupled``: root mean square difference of samples of the two
    networks from one start; ``steps``: the same network with many steps instead of the usual few.
    ``generated``: ``E ||X^N - X^n||^2`` of samples on n x n and the finest grid. All but the last
    relative to the data's root mean square.
    """
    ours, reference = (restored(folder, v, v["power"], w) for w in (weights, best))
    grid, size, few = grid_of(v["level"]), v["samples"], v["evaluations"]
    truth, other = patterns.held_out(folder, v["level"])
    scale = rms(truth)
    mine = patterns.drawn(ours, grid, size, few, seed=seed)
    many = patterns.drawn(ours, grid, size, v["many"], seed=seed)
    theirs = patterns.drawn(reference, grid, size, v["many"], seed=seed)
    gap, excess = network_gap(folder, ours, reference, seed, v)
    finest = grid_of(v["finest"])
    fine = patterns.drawn(ours, finest, v["generated_samples"], few, seed=seed)
    generated = []
    for n in v["generated"]:
        u = patterns.drawn(ours, grid_of(n), v["generated_samples"], few, seed=seed)
        rest = fine - levels.resample_field(u.astype(float), grid_of(n), finest)
        generated.append(rms(rest) ** 2 * finest.volume)
    return {
        "network": path_integral(gap, folder, v) / (scale * np.sqrt(grid.volume)),
        "excess": excess,
        "coupled": rms(many - theirs) / scale,
        "steps": rms(mine - many) / scale,
        "marginal": marginal_w2(mine, truth) / scale,
        "marginal_truth": marginal_w2(other[:size], truth) / scale,
        "generated": generated,
    }


def rms(u: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(u, dtype=float))))


def marginal_w2(u: np.ndarray, truth: np.ndarray) -> float:
    """``W_2`` of the pooled values: not above ``W_2`` of the fields over ``|D|^(1/2)``."""
    q = (np.arange(4096) + 0.5) / 4096
    return float(np.sqrt(np.mean((np.quantile(u, q) - np.quantile(truth, q)) ** 2)))


@torch.no_grad()
def network_gap(folder: str, ours, reference, seed: int, v) -> tuple[np.ndarray, np.ndarray]:
    """``E |D - D_ref|_k^2`` of held-out fields, and how much more the loss of the first is.

    At every ``lambda`` of `grid_of_lambda`: by mode, and summed in the H-norm (its x0-loss less the
    reference's; relative to the linear model's).
    """
    u = patterns.held_out(folder, v["level"])[1][: v["fields"]]
    grid, Q = grid_of(v["level"]), ours.process.covariance
    mean = ours.denoiser.mean.values
    x0 = torch.from_numpy(grid.basis.forward(u - mean)).float()
    z = noise_tensor(Q, grid, len(u), 1, seed, FAR, torch.device("cpu"))
    gaps, excess = [], []
    for value in grid_of_lambda(v):
        lam = torch.full((len(u),), value)
        m, s = 1 / np.sqrt(1 + np.exp(-2 * value)), 1 / np.sqrt(1 + np.exp(2 * value))
        x = float(m) * x0 + float(s) * z
        a, b = (score.denoiser.denoise_centred(lam, x, grid) for score in (ours, reference))
        gaps.append((a - b).double().square().mean((0, 1)).numpy())
        losses = [float(grid.basis.inner(e - x0, e - x0).mean()) for e in (a, b)]
        excess.append((losses[0] - losses[1]) / float(ours.denoiser.posterior_trace(lam[:1])))
    return np.array(gaps), np.array(excess)


def grid_of_lambda(v: Mapping[str, Any]) -> np.ndarray:
    """Midpoints of equal parts of the half log signal-to-noise ratios of the sampler."""
    low, high = (float(patterns.SCHEDULE.half_log_snr(t)) for t in (1.0, 1e-3))
    count = v["lambdas"]
    return low + (high - low) * (np.arange(count) + 0.5) / count


def path_integral(gap: np.ndarray, folder: str, v: Mapping[str, Any]) -> float:
    """``int (sum_k m^2 c / Sigma E |D - D_ref|_k^2)^(1/2) d lambda``: what the gap does to samples.

    First order along the probability flow in the coordinates of `GaussianExact` (math of its
    docstring): errors at all lambda add up, and what the correction's own slope does to them is
    left out.
    """
    grid = grid_of(v["level"])
    c = patterns.training_set(folder, v["level"]).covariance.eigenvalues(grid)
    q = prior_of(folder, v, v["power"]).eigenvalues(grid)
    lam = grid_of_lambda(v)[:, None, None]
    m2, s2 = 1 / (1 + np.exp(-2 * lam)), 1 / (1 + np.exp(2 * lam))
    carried = m2 * c / (m2 * c + s2 * q) * gap * grid.basis.weights
    rates = np.sqrt(carried.sum((1, 2)))
    low, high = (float(patterns.SCHEDULE.half_log_snr(t)) for t in (1.0, 1e-3))
    return float(rates.mean() * (high - low))


def sweep(folder: str, powers: Sequence[float], v: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Exact laws of samplers on Gaussian data with the fields' spectrum, by power of the prior.

    ``sde``, ``ode``: ``W_2`` relative to the data, of the Euler-Maruyama steps and of the exact
    flow, both from N(0, Q); ``lost_...``: modes that come out with less than half their variance;
    ``ratio``: ``max_k m_T^2 c / q``; ``beyond``: modes where that ratio exceeds one.
    """
    data = patterns.training_set(folder, v["level"])
    grid, rows = data.grid, []
    for power in powers:
        process = fdiff.ForwardProcess(prior_of(folder, v, power), patterns.SCHEDULE)
        law = (process, data.mean, data.covariance, grid)
        times = solvers.times(process, v["em_steps"], "time", end=0.0)
        sde = budget.error_budget(
            *law, solvers.EulerMaruyama(), times=times, start="prior", close=False
        )
        ode = budget.error_budget(*law, steps=v["evaluations"], start="prior")
        m2 = process.mean_factor(process.T) ** 2
        ratio = m2 * data.covariance.eigenvalues(grid)
        ratio = ratio / (process.std(process.T) ** 2 * process.covariance.eigenvalues(grid))
        rows.append(
            (on_grid(sde), on_grid(ode), sde.lost_modes, ode.lost_modes, sde.snr_ratio,
             (ratio > 1).sum())
        )  # fmt: skip
    names = ("sde", "ode", "lost_sde", "lost_ode", "ratio", "beyond")
    return dict(zip(names, np.array(rows, float).T))


def on_grid(b: budget.ErrorBudget) -> float:
    """The error within the grid's modes, relative to the data."""
    return float(np.sqrt(max(b.total**2 - b.truncation**2, 0.0)) / b.scale)


def threshold(powers: Sequence[float], ratio: np.ndarray) -> float:
    """The power at which ``max m_T^2 c / q`` crosses one; infinite where it does not."""
    above = np.flatnonzero(ratio > 1)
    if not len(above) or above[0] == 0:
        return float("inf") if not len(above) else float(powers[0])
    i = above[0]
    a, b = np.log(ratio[i - 1]), np.log(ratio[i])
    return float(powers[i - 1] + (powers[i] - powers[i - 1]) * a / (a - b))
