"""Vendi score: the effective number of fields where it is known."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from fdiff.grid import Grid
from fdiff.metrics import median_distance, vendi_cosine, vendi_gaussian
from fdiff.metrics.vendi import score

GRID = Grid((8, 8), 1.0, "neumann")


def modes(count: int) -> np.ndarray:
    """The first modes of the basis, orthogonal in L2 and of equal norm."""
    return GRID.basis.inverse(np.eye(64)[:count].reshape(count, 8, 8))


def test_copies_of_one_field_count_once():
    u = np.repeat(modes(3)[2:], 7, axis=0)
    assert_allclose(vendi_cosine(u, GRID).value, 1.0, rtol=1e-12)
    assert_allclose(vendi_gaussian(u, GRID, length=1.0).value, 1.0, rtol=1e-12)


def test_orthogonal_fields_count_fully():
    assert_allclose(vendi_cosine(modes(10), GRID).value, 10.0, rtol=1e-12)
    # All distances are equal to their median: off-diagonal exp(-1/2).
    off = np.exp(-0.5)
    share = np.array([1 + 9 * off] + [1 - off] * 9) / 10
    expected = np.exp(-np.sum(share * np.log(share)))
    assert_allclose(vendi_gaussian(modes(10), GRID).value, expected, rtol=1e-9)
    assert_allclose(vendi_gaussian(modes(10), GRID, length=0.01).value, 10.0, rtol=1e-12)


def test_groups_count_by_their_shares():
    u = np.repeat(modes(2), [30, 10], axis=0)
    expected = np.exp(-0.75 * np.log(0.75) - 0.25 * np.log(0.25))
    assert_allclose(vendi_cosine(u, GRID).value, expected, rtol=1e-10)


def test_interval_has_the_width_of_the_jackknife():
    u = np.random.default_rng(0).standard_normal((40, 4)) * [3, 2, 1, 1]
    norms = np.linalg.norm(u, axis=1)
    similarity = (u @ u.T) / np.outer(norms, norms)
    estimate = score(similarity)
    kept = [np.delete(np.arange(40), i) for i in range(40)]
    without = [score(similarity[np.ix_(k, k)]).value for k in kept]
    width = 1.96 * np.sqrt(39 * np.var(without))
    assert_allclose(estimate.high - estimate.value, width, rtol=0.15)


def test_median_distance_is_that_of_pairs():
    assert_allclose(median_distance(modes(5), GRID), np.sqrt(2), rtol=1e-12)


def test_fields_without_an_angle_are_refused():
    with pytest.raises(ValueError, match="no angle"):
        vendi_cosine(np.zeros((3, 8, 8)), GRID)
    with pytest.raises(ValueError, match="length > 0"):
        vendi_gaussian(np.ones((3, 8, 8)), GRID)


@pytest.mark.parametrize("size", [1.0, 37.0, 1e-18, 1e20])
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_the_median_distance_is_in_the_units_of_the_fields(size, dtype):
    """So that the length of one set serves for others, whose largest values are not its own."""
    u = (size * np.random.default_rng(0).standard_normal((7, *GRID.shape))).astype(dtype)
    wide = u.astype(float)
    pairs = [(i, j) for i in range(7) for j in range(i)]
    expected = np.median([np.sqrt(((wide[i] - wide[j]) ** 2).mean()) for i, j in pairs])
    assert_allclose(median_distance(u, GRID), expected, rtol=1e-5)
    assert_allclose(
        vendi_gaussian(u, GRID, length=expected).value, vendi_gaussian(u, GRID).value, rtol=1e-4
    )
