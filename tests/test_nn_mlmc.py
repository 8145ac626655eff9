"""The telescoping gradient: unbiased, coupled, and its variances decay with the level."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")

from test_nn_trainer import GRID, nn_trainer, two_humps  # noqa: E402

from fdiff.nn import LevelVariances, level_variances  # noqa: E402
from fdiff.nn.mlmc import flat_gradient  # noqa: E402


def trainer(**changes):
    grid = GRID.refine(2)
    out = nn_trainer(
        two_humps(64, grid=grid),
        grid=grid,
        training__levels=(8, 16, 32),
        training__steps=(4, 4, 4),
        training__batch_size=(5, 5, 5),
        **changes,
    )
    with torch.no_grad():
        out.denoiser.network.project[-1].weight.normal_(
            0, 0.1, generator=torch.Generator().manual_seed(2)
        )
    return out


def test_the_sum_of_the_differences_on_the_same_fields_is_the_finest_gradient():
    t = trainer()
    total = 0.0
    for level in range(3):
        total = total + flat_gradient(t.denoiser, t._loss_of(level, 7, 4))
        if level:
            total = total - flat_gradient(t.denoiser, t._loss_of(level - 1, 7, 4))
    finest = flat_gradient(t.denoiser, t._loss_of(2, 7, 4))
    torch.testing.assert_close(total, finest, rtol=0, atol=1e-5 * float(finest.abs().max()))


def test_coupled_differences_vary_less_from_level_to_level():
    found = level_variances(trainer(), samples=24)
    assert found.difference[0] == pytest.approx(found.plain[0])
    assert (found.difference[1:] < 0.5 * found.plain[1:]).all(), found
    assert found.difference[2] < 0.5 * found.difference[1], found
    assert found.rate() > 1.0


def test_the_allocation_is_the_optimal_one():
    variances = LevelVariances(
        np.array([1.0, 1.0]), np.array([1.0, 0.04]), np.array([1.0, 4.0]), 10
    )
    # M ~ sqrt(V / C): 1 to 0.1; budget 140 = 100 * 1 + 10 * 4.
    np.testing.assert_array_equal(variances.allocation(140.0), [100, 10])
    assert variances.variance(np.array([100, 10])) == pytest.approx(0.014)
    for other in ([96, 11], [104, 9]):
        assert variances.variance(np.array(other)) > 0.014
    with pytest.raises(ValueError, match="three levels"):
        variances.rate()


def test_telescoping_training_lowers_the_loss_and_counts_both_levels():
    t = trainer(training__schedule="mlmc", training__learning_rate=3e-3, training__save_every=100)
    losses = []
    t.train(progress=lambda p: losses.append(p.loss))
    assert len(losses) == 4
    assert t.samples_before(4) == 4 * 15
    assert t._work_done() == 4 * 5 * (64 + (256 + 64) + (1024 + 256))
