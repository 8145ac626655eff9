"""Gradients through ``score.denoise`` on torch tensors: closed forms, and differences of values."""

import copy

import numpy as np
import pytest
from numpy.testing import assert_allclose

torch = pytest.importorskip("torch")

import fdiff  # noqa: E402
from fdiff import nn  # noqa: E402

GRIDS = [
    fdiff.Grid((9,), 1.5, "neumann"),
    fdiff.Grid((8,)),
    fdiff.Grid((7, 6), (1.0, 2.0), ("periodic", "neumann")),
    fdiff.Grid((6, 6)),
    fdiff.Grid((5, 4), (1.0, 3.0), "dirichlet"),
    fdiff.Grid((4, 3, 5), boundary=("dirichlet", "periodic", "neumann")),
]
PROCESS = fdiff.ForwardProcess(
    fdiff.BesselCovariance(scale=30.0, shift=25.0, power=2.0), fdiff.LinearSchedule()
)
DATA = fdiff.BesselCovariance(scale=900.0, shift=25.0, power=2.5)
EXACT = ["gaussian", "wiener", "mixture", "empirical"]
T = 0.3


def means(grid):
    return 3.0 * DATA.sample(grid, 3, seed=5) + 0.3


def exact_score(kind, grid):
    """A score and, as Gaussians with one covariance, what its data are."""
    mean = fdiff.Field(means(grid)[0], grid)
    if kind == "gaussian":
        return fdiff.GaussianScore(PROCESS, mean, DATA), means(grid)[:1], DATA
    if kind == "wiener":
        return fdiff.WienerScore(PROCESS, mean, DATA), means(grid)[:1], DATA
    if kind == "mixture":
        score = fdiff.MixtureScore(PROCESS, fdiff.Field(means(grid), grid), DATA, (0.2, 0.5, 0.3))
        return score, means(grid), DATA
    return fdiff.EmpiricalScore(PROCESS, means(grid), grid), means(grid), 0.0 * DATA


def state(grid):
    """A field of ``X_t``, so that several components have a say."""
    x0 = grid.basis.inverse(grid.basis.project(grid.basis.forward(means(grid).mean(0))))
    return PROCESS.perturb(x0[None], T, grid, seed=3)[0]


def jacobian(score, t, x, grid):
    """``d denoise / d x`` at the nodes, a row an output."""
    x = torch.from_numpy(x).requires_grad_()
    y = score.denoise(t, x, grid).flatten()
    rows = [torch.autograd.grad(one, x, retain_graph=True)[0].flatten() for one in y]
    return torch.stack(rows).numpy()


def operator(covariance, grid, factor=1.0):
    """The matrix at the nodes of a covariance with eigenvalues times ``factor``."""
    eye = np.eye(grid.size).reshape(-1, *grid.shape)
    c = grid.basis.project(grid.basis.forward(eye))
    values = grid.basis.inverse(c * covariance.eigenvalues(grid) * factor)
    return values.reshape(grid.size, grid.size).T


def posterior_covariance(score, centres, data, t, x, grid):
    """``Cov(X_0 | X_t = x)`` as a matrix at the nodes, from the components of the law."""
    m, s = PROCESS.mean_factor(t), PROCESS.std(t)
    c, q = data.eigenvalues(grid), PROCESS.covariance.eigenvalues(grid)
    marginal = m * m * c + s * s * q
    inside = operator(data, grid, np.divide(s * s * q, marginal, where=marginal > 0, out=0 * q))
    if len(centres) == 1:
        return inside
    parts = np.stack([
        fdiff.GaussianScore(PROCESS, fdiff.Field(centre, grid), data).denoise(t, x, grid)
        for centre in centres
    ])  # fmt: skip
    weight = score.responsibilities(t, x[None], grid)[0]
    assert weight.max() < 0.99, "the test needs a posterior of several components"
    apart = (parts - np.tensordot(weight, parts, 1)).reshape(len(parts), -1)
    return inside + grid.cell_volume * np.einsum("i,ij,ik->jk", weight, apart, apart)


@pytest.mark.parametrize("grid", GRIDS, ids=str)
@pytest.mark.parametrize("kind", EXACT)
def test_the_jacobian_times_q_is_the_posterior_covariance(kind, grid):
    """``D E[X_0 | x] = (m / s^2) Cov(X_0 | x) Q^-1``."""
    score, centres, data = exact_score(kind, grid)
    t = T if len(centres) == 1 else 1.0
    x = state(grid)
    found = jacobian(score, t, x, grid) @ operator(PROCESS.covariance, grid)
    m, s = PROCESS.mean_factor(t), PROCESS.std(t)
    expected = m / s**2 * posterior_covariance(score, centres, data, t, x, grid)
    assert_allclose(found, expected, rtol=0, atol=1e-10 * np.abs(expected).max())


@pytest.mark.parametrize("kind", EXACT)
def test_gradients_do_not_depend_on_who_asked_first(kind):
    """What is kept for the next call is made outside inference mode."""
    grid = GRIDS[2]
    score, fresh = (exact_score(kind, grid)[0] for _ in range(2))
    with torch.inference_mode():
        score.denoise(T, torch.from_numpy(state(grid)), grid)
    assert_allclose(
        jacobian(score, T, state(grid), grid), jacobian(fresh, T, state(grid), grid), rtol=1e-12
    )


def network_score(grid, kind, wiener, batch=2, channels=1, told=0):
    """A network of random weights, in double precision."""
    options = {"n_levels": 0} if kind == "unet" else {"n_layers": 2, "n_modes": min(grid.shape)}
    around = nn.DenoiserConfig(wiener=wiener, noise_power=2.0)
    network = nn.NetworkConfig(kind=kind, hidden_channels=8, **options).build(
        grid, around.network_channels(channels), channels, 0, told
    )
    generator = torch.Generator().manual_seed(1)
    for weights in network.parameters():
        torch.nn.init.normal_(weights, std=0.3, generator=generator)
    built = around.build(network, around.noise(grid, DATA), 0.3, DATA, grid).double()
    process = fdiff.ForwardProcess(built.noise, fdiff.LinearSchedule())
    condition = torch.full((told,), 0.7, dtype=torch.float64) if told else None
    return nn.NetworkScore(process, built, condition, batch)


CASES = [
    (grid, kind, wiener)
    for grid in GRIDS
    for kind in ("fno", "oriented", "uno", "unet")
    for wiener in (True, False)
    if kind != "oriented" or (len({b == "periodic" for b in grid.boundary}) == 1 and grid.dim < 3)
]


@pytest.mark.parametrize(("grid", "kind", "wiener"), CASES)
def test_the_gradient_through_a_network_is_the_difference_of_its_values(grid, kind, wiener):
    score, generator = network_score(grid, kind, wiener), torch.Generator().manual_seed(2)

    def random(shape):
        return torch.randn(shape, dtype=torch.float64, generator=generator)

    # Three samples in calls of two.
    x = torch.from_numpy(DATA.sample(grid, 3, seed=1)).requires_grad_()
    t = torch.tensor([0.1, 0.3, 0.6], dtype=torch.float64, requires_grad=True)
    value = score.denoise(t, x, grid)
    weight, step, later = random(x.shape), random(x.shape), random(t.shape)
    of_x, of_t = torch.autograd.grad(value, (x, t), weight)
    h = 1e-5
    with torch.no_grad():
        assert torch.equal(score.denoise(t, x, grid), value)
        by_x = score.denoise(t, x + h * step, grid) - score.denoise(t, x - h * step, grid)
        by_t = score.denoise(t + h * later, x, grid) - score.denoise(t - h * later, x, grid)
    for gradient, direction, difference in ((of_x, step, by_x), (of_t, later, by_t)):
        expected = (weight * difference).sum() / (2 * h)
        scale = (weight * difference).abs().sum() / (2 * h)
        assert ((gradient * direction).sum() - expected).abs() < 1e-6 * scale


def test_channels_and_the_condition_have_gradients_and_the_weights_have_none():
    grid = GRIDS[3]
    score = network_score(grid, "fno", True, channels=2, told=2)
    score.condition.requires_grad_()
    score.denoiser.requires_grad_(True)
    x = torch.from_numpy(DATA.sample(grid, 3, seed=1, channels=2)).requires_grad_()
    weight = torch.randn(x.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    (score.denoise(T, x, grid) * weight).sum().backward()
    assert all(p.grad is None for p in score.denoiser.parameters())
    h, found = 1e-5, []
    for i in range(2):
        values = []
        for sign in (1, -1):
            moved = score.condition.detach().clone()
            moved[i] += sign * h
            other = nn.NetworkScore(score.process, score.denoiser, moved, 2)
            values.append((other.denoise(T, x.detach(), grid) * weight).sum())
        found.append((values[0] - values[1]) / (2 * h))
    assert_allclose(score.condition.grad, found, rtol=1e-6)
    step = torch.ones_like(x)
    up, down = (score.denoise(T, x.detach() + s * h * step, grid) for s in (1, -1))
    expected = ((up - down) * weight).sum().item() / (2 * h)
    assert (x.grad * step).sum().item() == pytest.approx(expected, rel=1e-6)


def test_values_are_the_same_bits_whether_or_not_a_gradient_is_asked_for():
    grid = fdiff.Grid((32, 32), 2.0, "neumann")
    double = network_score(grid, "fno", True)
    single = nn.NetworkScore(double.process, copy.deepcopy(double.denoiser).float(), None, 2)
    x = torch.from_numpy(DATA.sample(grid, 3, seed=1)).float()
    plain = single.denoise(T, x, grid)
    assert not plain.requires_grad
    assert torch.equal(single.denoise(T, x.clone().requires_grad_(), grid), plain)
    assert_allclose(single.denoise(T, x.numpy(), grid), plain, rtol=0, atol=1e-5)  # another FFT
    with torch.inference_mode():
        assert torch.equal(single.denoise(T, x, grid), plain)


@pytest.mark.parametrize("loss", [torch.sum, lambda y: y.pow(2).sum()], ids=["linear", "square"])
def test_second_derivatives_are_refused_rather_than_zero(loss):
    grid = GRIDS[0]
    x = torch.from_numpy(DATA.sample(grid, 2, seed=1)).requires_grad_()
    y = network_score(grid, "fno", True).denoise(T, x, grid)
    (first,) = torch.autograd.grad(loss(y), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        first.sum().backward()
