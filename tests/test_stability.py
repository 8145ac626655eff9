"""Derivation of the stabilised schemes: it leads to TABLE; the polynomial is the optimal one."""

from fractions import Fraction
from itertools import combinations_with_replacement
from math import exp, factorial, prod

import numpy as np
import pytest
from numpy.polynomial import Polynomial, chebyshev
from numpy.testing import assert_allclose

from fdiff.pde import stability
from fdiff.pde.coefficients import TABLE
from fdiff.pde.stabilised import tableau

SMALL = [5, 6]
LARGE = [pytest.param(s, marks=pytest.mark.slow) for s in sorted(TABLE) if s not in SMALL]


@pytest.mark.parametrize("stages", SMALL + LARGE)
def test_the_derivation_leads_to_the_table(stages):
    """The links to 1e-8; the closing numbers, a flat minimum, to 5e-6."""
    interval, chain, closing = stability.derive(stages)
    expected = TABLE[stages]
    assert interval == pytest.approx(expected[0], abs=1.01e-4)  # rounded down to four decimals
    assert_allclose(chain, expected[1], rtol=1e-8)
    assert_allclose(closing, expected[2], rtol=0, atol=5e-6)


def bracketed(order):
    """Rooted trees of that many nodes, each a sorted tuple of its subtrees."""
    if order == 1:
        return {()}
    trees = set()
    smaller = [(size, tree) for size in range(1, order) for tree in bracketed(size)]
    for count in range(1, order):
        for children in combinations_with_replacement(smaller, count):
            if sum(size for size, _ in children) == order - 1:
                trees.add(tuple(sorted(tree for _, tree in children)))
    return trees


def nodes(tree):
    return 1 + sum(map(nodes, tree))


def density(tree):
    return nodes(tree) * prod(map(density, tree))


def stage_weights(tree, a):
    """Elementary weights of the stages: the product over the subtrees of a @ theirs."""
    return prod((a @ stage_weights(child, a) for child in tree), start=np.ones(len(a)))


def residuals(order, a, b):
    trees = bracketed(order)
    return np.array([b @ stage_weights(t, a) - float(Fraction(1, density(t))) for t in trees])


@pytest.mark.parametrize("stages", SMALL)
def test_a_derived_scheme_meets_the_condition_of_every_tree(stages):
    """Butcher: b . Phi(t) = 1 / gamma(t) for all 1 + 1 + 2 + 4 trees up to order 4, no further."""
    _, chain, closing = stability.derive(stages)
    a, b = tableau(np.array(chain), np.array(closing))
    assert [len(bracketed(order)) for order in range(1, 6)] == [1, 1, 2, 4, 9]
    for order in range(1, 5):
        assert np.abs(residuals(order, a, b)).max() < 1e-14
    assert np.abs(residuals(5, a, b)).max() > 1e-5


def test_the_residuals_are_those_of_all_trees():
    rng = np.random.default_rng(0)
    a, b = np.tril(rng.normal(size=(6, 6)), -1), rng.normal(size=6)
    fourth = np.concatenate([residuals(order, a, b) for order in range(1, 5)])
    assert_allclose(np.sort(stability.fourth_order(a, b)), np.sort(fourth), rtol=1e-12)
    symmetries = np.array([24, 2, 2, 1, 1, 6, 1, 2, 1])
    fifth = stability.fifth_order(a, b) * symmetries
    assert_allclose(np.sort(fifth), np.sort(residuals(5, a, b)), rtol=1e-12)


@pytest.mark.parametrize("stages", SMALL)
def test_the_polynomial_of_a_derived_scheme_keeps_the_bound(stages):
    """R(z) = det(I + z (1 b - a)) of the tableau, as det(I - z a) = 1."""
    interval, chain, closing = stability.derive(stages)
    a, b = tableau(np.array(chain), np.array(closing))
    z = np.linspace(-interval, stability.START, 5001)
    update = np.outer(np.ones(stages), b) - a
    values = np.linalg.det(np.eye(stages) + z[:, None, None] * update)
    assert np.abs(values).max() == pytest.approx(stability.BOUND, abs=2e-4)
    near = np.linspace(stability.START, 0, 11)
    assert_allclose(
        np.linalg.det(np.eye(stages) + near[:, None, None] * update), np.exp(near), atol=1e-8
    )


@pytest.mark.parametrize("stages", sorted(TABLE))
def test_no_inner_stage_of_a_chain_grows(stages):
    interval, chain, _ = TABLE[stages]
    z = -np.linspace(0, interval, 2001)
    assert np.abs(np.cumprod([1 + a * z for a in chain], axis=0)).max() <= 1


@pytest.mark.parametrize("stages", SMALL)
def test_no_polynomial_of_the_degree_does_better(stages):
    """The optimum of s - 4 free coefficients touches +-0.95 in turn at s - 3 points or more."""
    interval, _ = stability.longest_interval(stages)
    bound, coefficients = stability.minimax(stages, interval)
    r = Polynomial(chebyshev.cheb2poly(coefficients))(Polynomial([1.0, 2 / interval]))
    assert_allclose(r.coef[:5], [1 / factorial(k) for k in range(5)], rtol=1e-7)
    z = np.linspace(-interval, stability.START, 20001)
    extreme = r(z)[np.abs(r(z)) > bound - 1e-4]
    assert 1 + np.count_nonzero(np.diff(np.sign(extreme))) >= stages - 3
    assert bound == pytest.approx(stability.BOUND, abs=1e-6)
    assert stability.minimax(stages, 1.01 * interval)[0] > stability.BOUND
    assert r(stability.START) == pytest.approx(exp(stability.START), abs=1e-8)


def test_the_command_prints_the_entry_and_its_distance(capsys):
    stability.main(["--stages", "5"])
    entry, distance = capsys.readouterr().out.splitlines()
    assert entry.startswith("5: (5.998")
    assert float(distance.removeprefix("# from TABLE: ")) < 5e-6


@pytest.mark.parametrize("stages", [4, 17])
def test_only_schemes_of_the_table_are_derived(stages):
    with pytest.raises(ValueError, match=f"5 to 16 stages, got {stages}"):
        stability.derive(stages)
