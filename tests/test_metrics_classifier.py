"""The classifier two-sample test: blind to nothing but luck, and reproducible."""

import numpy as np
import pytest

from fdiff.covariance import MaternCovariance
from fdiff.grid import Grid

torch = pytest.importorskip("torch")
classifier = pytest.importorskip("fdiff.nn.classifier")

GRID = Grid((12, 12), 2.0, "neumann", -1.0)
FIELDS = MaternCovariance(1.0, 0.4, 2.0).sample(GRID, 400, seed=1)


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setattr(classifier, "STEPS", 60)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # networks this small only wait for each other's threads
    yield
    torch.set_num_threads(threads)


def test_equal_laws_cannot_be_told_apart():
    accuracy = classifier.classifier_accuracy(FIELDS[:200], FIELDS[200:], GRID)
    assert accuracy.low < 0.5 < accuracy.high
    assert accuracy.high - accuracy.low < 0.2  # 120 fields held out


def test_another_shape_with_equal_moments_is_seen():
    flat = np.tanh(3 * FIELDS[:200])
    flat *= FIELDS.std() / flat.std()
    assert classifier.classifier_accuracy(flat, FIELDS[200:], GRID).low > 0.75


def test_a_seed_gives_one_number_and_leaves_the_global_generator_alone():
    before = torch.random.get_rng_state()
    x, y = FIELDS[:60], 1.2 * FIELDS[60:120]
    first = classifier.classifier_accuracy(x, y, GRID, seed=3)
    assert classifier.classifier_accuracy(x, y, GRID, seed=3) == first
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize("grid", [Grid((20,)), Grid((6, 5, 7)), Grid((48, 40))], ids=str)
def test_every_box_and_channels_pass(grid, monkeypatch):
    monkeypatch.setattr(classifier, "STEPS", 2)
    u = np.random.default_rng(0).standard_normal((40, 2, *grid.shape))
    accuracy = classifier.classifier_accuracy(u[:20], u[20:], grid)
    assert 0 <= accuracy.low <= accuracy.value <= accuracy.high <= 1


def test_kinds_are_balanced_on_both_sides_of_the_split():
    trained, held_out = classifier._split(50, seed=4)
    assert sorted([*trained, *held_out]) == list(range(100))
    assert np.sum(trained < 50) == np.sum(trained >= 50) == 35
