"""Symmetries of a box: group elements keyed by the sample, the same function on every level."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")

from test_nn_trainer import TINY, nn_trainer, two_humps  # noqa: E402

import fdiff  # noqa: E402
from fdiff import nn  # noqa: E402
from fdiff.nn import augment  # noqa: E402

ALL = ("reflections", "transpositions", "translations")
PERIODIC = fdiff.Grid((16, 16), 2.0)


def test_every_level_sees_the_same_function():
    trainer = nn_trainer(two_humps(grid=PERIODIC), grid=PERIODIC, training__symmetries=ALL)
    coarse, fine = (trainer.fields(level, 5, 8)[0] for level in (0, 1))
    restricted = fdiff.levels.restrict(fine, PERIODIC, PERIODIC.coarsen(2))
    torch.testing.assert_close(restricted, coarse, rtol=0, atol=1e-5)
    still = nn_trainer(two_humps(grid=PERIODIC), grid=PERIODIC).fields(1, 5, 8)[0]
    assert (fine - still).abs().max() > 0.01


@pytest.mark.parametrize("boundary", ["periodic", "neumann", ("periodic", "dirichlet")])
def test_the_mean_over_the_group_is_left_by_every_element(boundary):
    grid = fdiff.Grid((6, 6), 1.0, boundary)
    names = [n for n in ALL if n != "translations" or "periodic" in grid.boundary]
    names = tuple(n for n in names if n != "transpositions" or len(set(grid.boundary)) == 1)
    u = np.random.default_rng(0).standard_normal((2, 6, 6))
    mean = augment.symmetrised(u, grid, names)
    batch = torch.from_numpy(np.broadcast_to(mean, (16, 2, 6, 6)).copy())
    moved = augment.transform(batch, grid, names, 3, 0)
    torch.testing.assert_close(moved, batch, rtol=0, atol=1e-13)
    np.testing.assert_allclose(mean.mean((1, 2)), u.mean((1, 2)), atol=1e-14)
    # It is the mean over many elements, to their sampling error.
    many = torch.from_numpy(np.broadcast_to(u, (4000, 2, 6, 6)).copy())
    found = augment.transform(many, grid, names, 3, 0).mean(0).numpy()
    assert np.abs(found - mean).max() < 0.1
    np.testing.assert_array_equal(augment.symmetrised(u, grid, ()), u)


def test_a_run_with_symmetries_has_a_symmetric_mean(tmp_path):
    grid = fdiff.Grid((16, 16), 2.0, "neumann", -1.0)
    ramp = np.cos(np.pi * (grid.coordinates()[0] + 1) / 2) + 0.3
    data = (two_humps(60) * 0.05 + ramp).astype(np.float32)
    plain = nn.train(data, grid, TINY).denoiser.mean.values
    config = TINY.replace(training__symmetries=("reflections",))
    mean = nn.train(data, grid, config).denoiser.mean.values
    assert np.abs(plain - plain[::-1]).max() > 1
    np.testing.assert_allclose(mean, mean[::-1], atol=1e-12)
    np.testing.assert_allclose(mean, mean[:, ::-1], atol=1e-12)
    assert mean.mean() == pytest.approx(0.3, abs=0.05)
