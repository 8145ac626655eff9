"""Laws with a full covariance: scores that couple modes, and those that have no such law."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from problems import TP1, PosteriorScore
from scipy.linalg import sqrtm

import fdiff
from fdiff import laws, solvers
from tests.strategies import field, grids

AFFINE = [name for name, scheme in solvers.SCHEMES.items() if scheme().affine]
GRIDS = [
    fdiff.Grid((9,)),
    fdiff.Grid((8,), 2.0, "neumann"),
    fdiff.Grid((4, 6), (1.0, 4.0), ("periodic", "dirichlet")),
    fdiff.Grid((6, 5), (1.0, 4.0)),
    fdiff.Grid((4, 3, 4), (1.0, 2.0, 0.5), ("periodic", "neumann", "periodic")),
]
PRIOR = fdiff.BesselCovariance(30.0, 25.0, 2.0)
DATA = fdiff.BesselCovariance(900.0, 25.0, 3.0)
PROCESS = fdiff.ForwardProcess(PRIOR, TP1.schedule)


def posterior(grid, nodes=(1, 5), values=(0.4, -0.2)):
    return PosteriorScore(PROCESS, 0.3, DATA, grid, list(nodes), values, noise=1e-3)


def mesh(steps, end=1e-3):
    return solvers.times(PROCESS, steps, end=end)


# Coordinates


@given(grids(max_dim=3, max_side=6), st.integers(0, 99), st.sampled_from([None, 1, 2]))
def test_real_coordinates_are_an_orthonormal_basis_of_the_retained_functions(grid, seed, channels):
    at, basis = laws.RealCoordinates(grid, channels), grid.basis
    u, v = field(grid, seed, (2, 3, *at.lead))
    a, b = (basis.project(basis.forward(w)) for w in (u, v))
    assert at.size == (channels or 1) * basis.weights[basis.retained].sum()
    inner = grid.cell_volume * (basis.inverse(a) * basis.inverse(b)).reshape(3, -1).sum(-1)
    assert_allclose((at.of(a) * at.of(b)).sum(-1), inner, rtol=1e-10, atol=1e-10)
    assert_allclose(at.coefficients(at.of(a)), a, atol=1e-12)
    # Every vector is that of a real function.
    w = np.random.default_rng(seed).standard_normal((2, at.size))
    fields = basis.inverse(at.coefficients(w))
    assert_allclose(at.of(basis.forward(fields)), w, atol=1e-12)
    q = PRIOR.eigenvalues(grid) + np.zeros((*at.lead, *basis.shape))
    assert_allclose(at.variances(at.of_variances(q)), q, rtol=1e-14)


def test_the_coordinates_of_a_pair_are_those_of_its_cosine_and_sine():
    grid = fdiff.Grid((8,), 2.0)
    at, angle = laws.RealCoordinates(grid), np.pi * 3 * grid.points(0)
    for function, place in ((np.cos, 3), (np.sin, 4 + 2)):  # constant, 3 cosines, 3 sines
        a = at.of(grid.basis.forward(function(angle)))  # of norm one on a box of length 2
        assert_allclose(a, np.eye(7)[place], atol=1e-14)


# Against the laws of independent modes


@pytest.mark.parametrize("start", ["exact", "prior"])
@pytest.mark.parametrize("name", AFFINE)
@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_where_modes_are_independent_the_dense_law_is_that_of_each_mode(grid, name, start):
    solver, mean = solvers.SCHEMES[name](), fdiff.Field(DATA.sample(grid, 1, 5)[0], grid)
    score = fdiff.GaussianScore(PROCESS, mean, DATA)
    c = (grid.basis.project(grid.basis.forward(mean.values)), DATA.eigenvalues(grid))
    expected = laws.sampler_law(solver, PROCESS, *c, grid, mesh(4), start, close=True)
    dense = laws.dense_law(solver, score, grid, mesh(4), start, close=True)
    assert_allclose(dense.by_mode().mean, expected.mean, atol=1e-12)
    scale = expected.variance.max()
    assert_allclose(dense.by_mode().variance, expected.variance, rtol=1e-9, atol=1e-12 * scale)
    off = dense.covariance - np.diag(np.diag(dense.covariance))
    assert np.abs(off).max() < 1e-12 * scale
    assert laws.wasserstein2(dense, expected, grid) < 1e-6 * math.sqrt(expected.variance.sum())


def test_channels_are_coordinates_one_after_another():
    grid, times, solver = GRIDS[2], mesh(3), solvers.SDEDPMSolverPP2M()
    both = fdiff.ChannelCovariance((DATA, 0.5 * PRIOR))
    mean = fdiff.Field(np.stack([field(grid, 1), 1.0 + field(grid, 2)]), grid)
    dense = laws.dense_law(solver, fdiff.GaussianScore(PROCESS, mean, both), grid, times, "prior")
    c = grid.basis.project(grid.basis.forward(mean.values))
    expected = laws.sampler_law(solver, PROCESS, c, both.eigenvalues(grid), grid, times, "prior")
    assert_allclose(dense.by_mode().mean, expected.mean, atol=1e-12)
    assert_allclose(dense.by_mode().variance, expected.variance, rtol=1e-9, atol=1e-14)
    assert laws.wasserstein2(dense, expected, grid) < 1e-6


# Scores that couple modes


@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_the_law_of_a_posterior_is_its_closed_form_at_all_times(grid):
    score = posterior(grid)
    for t in (0.0, 0.2, 1.0):
        mean, covariance = score.law(t)
        law = laws.dense_target_law(score, grid, t)
        assert_allclose(law.mean_field().ravel(), _resolved(mean, grid), atol=1e-9)
        assert_allclose(law.pointwise_variance().ravel(), np.diag(covariance), atol=1e-9)


def _resolved(flat, grid):
    """The part of values at the nodes that the retained modes carry."""
    return PRIOR.apply(flat.reshape(grid.shape), grid, power=0).ravel()


@pytest.mark.parametrize("grid", GRIDS, ids=str)
@pytest.mark.parametrize("name", ["ddim", "ancestral"])
def test_one_step_on_a_posterior_is_the_formula_between_nodes(grid, name):
    """``x' = kept x + m_u weight D + spread xi`` from N(0, Q), with D's matrix and mean."""
    score, t, u = posterior(grid), 0.6, 0.25
    (m, s), (m_u, s_u) = ((PROCESS.mean_factor(r), PROCESS.std(r)) for r in (t, u))
    h = PROCESS.half_log_snr(u) - PROCESS.half_log_snr(t)
    if name == "ddim":
        kept, weight, spread = s_u / s, m_u * (1 - math.exp(-h)), 0.0
    else:
        kept, weight = s_u / s * math.exp(-h), m_u * (1 - math.exp(-2 * h))
        spread = s_u * math.sqrt(1 - math.exp(-2 * h))
    gain = score.gain(t)
    matrix = kept * np.eye(grid.size) + weight * gain
    covariance = matrix @ score.noise @ matrix.T + spread**2 * score.noise
    mean = weight * (score.mean - m * gain @ score.mean)
    law = laws.dense_law(solvers.SCHEMES[name](), score, grid, [t, u], "prior")
    assert_allclose(law.mean_field().ravel(), _resolved(mean, grid), atol=1e-8)
    assert_allclose(law.pointwise_variance().ravel(), np.diag(covariance), atol=1e-8)


@pytest.mark.parametrize("start", ["exact", "prior"])
@pytest.mark.parametrize("name", AFFINE)
def test_samples_of_a_posterior_have_the_dense_law_at_every_node(name, start):
    grid, size, times = GRIDS[2], 6000, mesh(5)
    score, solver = posterior(grid), solvers.SCHEMES[name]()
    fields = fdiff.sample(score, grid, size, solver=solver, times=times, seed=3, start=start).fields
    law = laws.dense_law(solver, score, grid, times, start, close=True)
    std = np.sqrt(law.pointwise_variance())
    assert (np.abs(fields.mean(0) - law.mean_field()) < 5 * std / math.sqrt(size)).all()
    # The noise of a variance on top of the mean's: 5 standard errors.
    assert_allclose(fields.var(0) / std**2, 1, atol=5 * math.sqrt(2 / size))
    # The correlation of the first node with all others too, which independent modes do not have.
    columns = grid.basis.inverse(law.coordinates.coefficients(np.linalg.cholesky(_lifted(law)).T))
    expected = np.tensordot(columns[:, 0, 0], columns, (0, 0))
    centred = fields - fields.mean(0)
    found = np.tensordot(centred[:, 0, 0], centred, (0, 0)) / size
    assert np.abs(found - expected).max() < 6 * std[0, 0] * std.max() / math.sqrt(size)


def _lifted(law):
    """The covariance, positive definite in spite of rounding."""
    return law.covariance + 1e-12 * np.trace(law.covariance) * np.eye(len(law.covariance))


@pytest.mark.parametrize(("name", "order"), [("ddim", 1), ("dpm-2m", 2), ("gaussian-exact", 2)])
def test_schemes_converge_to_the_posterior_with_their_order(name, order):
    grid, solver = GRIDS[0], solvers.SCHEMES[name]()
    score = posterior(grid)
    target = laws.dense_target_law(score, grid, 0.05)
    errors = [
        laws.wasserstein2(laws.dense_law(solver, score, grid, mesh(n, 0.05)), target, grid)
        for n in (80, 160)
    ]
    assert math.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.25)


def test_modes_that_one_observation_couples_are_refused_where_modes_are_taken_alone():
    """Row sums are no gains: the map that ones give must fail on random signs."""
    grid = fdiff.Grid((5,), boundary="neumann")
    score = posterior(grid, nodes=[2], values=[0.5])
    problem, start = solvers.Problem(score, grid), laws.target_law(PROCESS, 0.0, 0.0, grid, 1.0)
    for solver in (solvers.DDIM(), solvers.GaussianExact(), solvers.PredictorCorrector()):
        with pytest.raises(ValueError, match=r"PosteriorScore couples modes, or is not affine"):
            laws.propagate(solver, problem, start, mesh(3))


def test_a_grid_of_128_modes_is_solved_and_one_that_is_too_large_refused():
    grid = fdiff.Grid((129,))  # odd: 129 retained coordinates
    score = posterior(grid, nodes=[10, 40, 90], values=[0.1, 0.2, -0.3])
    law = laws.dense_law(solvers.DPMSolverPP2M(), score, grid, mesh(40), close=True)
    target = laws.dense_target_law(score, grid, 0.0)
    size = math.sqrt(np.trace(target.covariance))
    assert laws.wasserstein2(law, target, grid) < 0.02 * size
    with pytest.raises(ValueError, match="up to 2048 real coordinates, this grid has 4225"):
        laws.dense_law(solvers.DDIM(), TP1.score(TP1.grid(8)), fdiff.Grid((65, 65)), mesh(2))


# Scores without such a law


class Odd(fdiff.Score):
    """Every mode by itself, by an odd function that is affine on no interval."""

    def __init__(self):
        self.process = PROCESS

    def denoise_coefficients(self, t, c, grid):
        return np.tanh(c.real)

    @property
    def reference(self):
        return 0.0, DATA


NOT_AFFINE = {
    "mixture": fdiff.MixtureScore(PROCESS, [1.0, -1.0], DATA),
    "empirical": fdiff.EmpiricalScore(PROCESS, field(GRIDS[1], 3, (4,)), GRIDS[1]),
    "odd": Odd(),
}


@pytest.mark.parametrize("scale", [1.0, 1e-12, 1e12])
@pytest.mark.parametrize("kind", NOT_AFFINE)
def test_scores_that_are_not_affine_are_refused_in_any_unit(kind, scale):
    score = NOT_AFFINE[kind]
    if kind == "mixture":
        process = fdiff.ForwardProcess(scale**2 * PRIOR, TP1.schedule)
        score = fdiff.MixtureScore(process, [scale, -scale], scale**2 * DATA)
    grid = GRIDS[1]
    solver, times = solvers.DDIM(), mesh(3)
    with pytest.raises(ValueError, match=rf"not affine.*{type(score).__name__} has no\s+Gaussian"):
        laws.dense_law(solver, score, grid, times, "prior")
    start = laws.target_law(score.process, 0.0, 0.0, grid, 1.0)
    with pytest.raises(ValueError, match="couples modes, or is not affine"):
        laws.propagate(solver, solvers.Problem(score, grid), start, times)


@pytest.mark.parametrize("scale", [2.0**-60, 2.0**66])
@pytest.mark.parametrize("name", ["gaussian-exact", "euler-maruyama", "dpm-3m"])
def test_laws_are_as_exact_in_any_unit(scale, name):
    """A power of two changes no digit: means of that size must not drown what is read off."""
    grid, solver = GRIDS[2], solvers.SCHEMES[name]()
    found = []
    for unit in (1.0, scale):
        process = fdiff.ForwardProcess(unit**2 * PRIOR, TP1.schedule)
        mean, c = grid.basis.forward(field(grid, 1)), DATA.eigenvalues(grid)
        mean = unit * grid.basis.project(mean)
        score = fdiff.GaussianScore(
            process, fdiff.Field(grid.basis.inverse(mean), grid), unit**2 * DATA
        )
        alone = laws.sampler_law(solver, process, mean, unit**2 * c, grid, mesh(5), "prior")
        dense = laws.dense_law(solver, score, grid, mesh(5), "prior").by_mode()
        found.append([(law.mean / unit, law.variance / unit**2) for law in (alone, dense)])
    for one, other in zip(*found):
        assert_allclose(other[0], one[0], rtol=1e-9, atol=1e-14)
        assert_allclose(other[1], one[1], rtol=1e-9, atol=1e-16)


def test_bad_input_is_refused_in_a_sentence():
    grid, score = GRIDS[0], posterior(GRIDS[0])
    with pytest.raises(ValueError, match="not affine in the state, so its law"):
        laws.dense_law(solvers.ProbabilityFlow(), score, grid, mesh(2))
    with pytest.raises(ValueError, match="start must be"):
        laws.dense_law(solvers.DDIM(), score, grid, mesh(2), "anywhere")
    other = laws.dense_target_law(posterior(GRIDS[1]), GRIDS[1], 1.0)
    with pytest.raises(ValueError, match="the law belongs to"):
        laws.dense_law(solvers.DDIM(), score, grid, mesh(2), other)


# Distances


def random_law(grid, seed, rank=None):
    at = laws.RealCoordinates(grid)
    rng = np.random.default_rng(seed)
    root = rng.standard_normal((at.size, rank or at.size)) / math.sqrt(at.size)
    return laws.DenseLaw(rng.standard_normal(at.size), root @ root.T, at)


@pytest.mark.parametrize("rank", [None, 3])
def test_the_distance_of_dense_laws_is_bures(rank):
    grid = GRIDS[0]
    a, b = random_law(grid, 1), random_law(grid, 2, rank)
    root = sqrtm(a.covariance).real
    cross = sqrtm(root @ b.covariance @ root).real
    squares = ((a.mean - b.mean) ** 2).sum() + np.trace(a.covariance + b.covariance - 2 * cross)
    assert laws.wasserstein2(a, b, grid) == pytest.approx(math.sqrt(squares), rel=1e-6)
    assert laws.wasserstein2(b, a, grid) == pytest.approx(math.sqrt(squares), rel=1e-6)
    assert laws.wasserstein2(b, b, grid) < 1e-6
    same = laws.DenseLaw(a.mean, 4.0 * a.covariance, a.coordinates)  # every std doubled
    assert laws.wasserstein2(a, same, grid) == pytest.approx(math.sqrt(np.trace(a.covariance)))


@given(grids(max_dim=2, max_side=5), st.integers(0, 99))
def test_the_distance_of_dense_laws_of_independent_modes_is_that_of_the_modes(grid, seed):
    shape = grid.basis.shape
    rng = np.random.default_rng(seed)
    a, b = (
        laws.Law(grid.basis.project(grid.basis.forward(field(grid, seed + i))), rng.random(shape))
        for i in range(2)
    )
    at = laws.RealCoordinates(grid)
    # Conjugate modes have one variance.
    a, b = (laws.Law(x.mean, at.variances(at.of_variances(x.variance))) for x in (a, b))
    dense = laws.DenseLaw(at.of(a.mean), np.diag(at.of_variances(a.variance)), at)
    expected = laws.wasserstein2(a, b, grid)
    assert laws.wasserstein2(dense, b, grid) == pytest.approx(expected, rel=1e-6, abs=1e-7)
