"""Data whose spectrum does not say how it goes on: a noise floor, fields rough on their grid."""

import warnings

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import fdiff  # noqa: E402
from fdiff import nn  # noqa: E402
from fdiff.nn.spectrum import SpectrumWarning, estimate_spectrum  # noqa: E402

GRIDS = [
    fdiff.Grid((48,), 2.0, "periodic"),
    fdiff.Grid((33,), 1.0, "dirichlet"),
    fdiff.Grid((16, 16), 1.0, "neumann"),
    fdiff.Grid((8, 24), (1.0, 3.0), ("periodic", "neumann")),
    fdiff.Grid((8, 10, 12), (1.0, 1.25, 1.5), ("dirichlet", "periodic", "neumann")),
]


def with_floor(grid: fdiff.Grid, size: int, floor: float, seed: int = 0) -> np.ndarray:
    """Smooth fields of standard deviation one and independent noise at every node."""
    smooth = fdiff.SquaredExponentialCovariance(1.0, 0.3).sample(grid, size, seed=seed)
    white = np.random.default_rng(seed).standard_normal(smooth.shape)
    return smooth / smooth.std() + floor * white


def coefficients(fields: np.ndarray, grid: fdiff.Grid) -> np.ndarray:
    c = grid.basis.project(grid.basis.forward(fields))
    return c - c.mean(0)


@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_a_noise_floor_keeps_its_variance_on_the_grid_and_is_bounded_beyond(grid):
    floor = 0.5
    c = coefficients(with_floor(grid, 300, floor), grid)
    with pytest.warns(SpectrumWarning, match="Samples on this grid keep that spectrum"):
        found = estimate_spectrum(c, grid)
    measured = (grid.basis.weights * np.abs(c) ** 2).mean(0).sum()
    assert found.trace(grid) == pytest.approx(measured, rel=0.05)
    # The finest quarter of the modes holds noise alone: c_k = floor^2 w, the cells' volume.
    fine = grid.basis.laplacian > np.quantile(grid.basis.laplacian, 0.75)
    mine = found.eigenvalues(grid)[fine & grid.basis.retained]
    assert mine.mean() == pytest.approx(floor**2 * grid.cell_volume, rel=0.1)
    # A level as high as the floor up to the corners' frequency, and kappa^-(2 dim + 2) from there,
    # times the surface of the sphere: d / (2 d + 2 - d) times what the ball of modes holds.
    d = grid.dim
    spacings = [
        (2 if kind == "periodic" else 1) * np.pi / length
        for kind, length in zip(grid.boundary, grid.lengths)
    ]
    ball = {1: 2.0, 2: np.pi, 3: 4 * np.pi / 3}[d] * found.kappa[-1] ** d
    signs = 2 ** sum(kind != "periodic" for kind in grid.boundary)
    modes = ball / np.prod(spacings) / signs
    bound = max(found.values[-8:]) * modes * (1 + d / (d + 2))
    assert 0 < found.tail_trace(grid) < 1.3 * bound
    assert found.is_trace_class(d)


def test_a_tail_that_is_known_is_left_as_it_is():
    truth = fdiff.BesselCovariance(1.0, 100.0, 2.0)
    grid = fdiff.Grid((32, 32), 1.0, "neumann")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = estimate_spectrum(truth.sample_coefficients(grid, 200, seed=1), grid)
    assert found.kappa[-1] < np.pi * 32
    assert found.slope == pytest.approx(-4.0, abs=0.2)


def test_more_variance_beyond_the_grid_than_on_it_is_no_measurement():
    """A law of exponent -2.1 in 2D is trace class, but nearly all of its fit lies beyond."""
    grid = fdiff.Grid((24, 24), 1.0, "neumann")
    rough = fdiff.BesselCovariance(1.0, 1.0, 1.05)
    c = rough.sample_coefficients(grid, 200, seed=2)
    c[:, 0, 0] = 0.0
    with pytest.warns(SpectrumWarning):
        found = estimate_spectrum(c, grid)
    assert found.tail_trace(grid) < found.trace(grid)


def test_noisy_fields_train_and_come_back_with_their_variance():
    grid = fdiff.Grid((16, 16), 1.0, "neumann")
    fields = with_floor(grid, 80, 0.5)[:, None]
    config = nn.Config.from_dict(
        {
            "network": {"hidden_channels": 4, "n_layers": 1, "n_modes": 8},
            "training": {"levels": [16], "steps": [2], "batch_size": [4]},
        }
    )
    with pytest.warns(SpectrumWarning):
        run = nn.train(fields, grid, config)
    drawn = fdiff.sample(run.score, grid, 200, steps=4, seed=3, dtype="float64").fields
    # Mean squares of 200 fields scatter by some per cent.
    assert drawn.var() == pytest.approx(fields.var(), rel=0.1)


@pytest.mark.parametrize("lengths", [(1.0, 4.0), (4.0, 1.0)])
def test_shells_reach_the_highest_frequency_of_any_axis(lengths):
    """As many nodes on a box of 1 x 4: a band beyond the long side's frequencies counts."""
    grid = fdiff.Grid((32, 32), lengths, "neumann")
    kappa = np.sqrt(grid.basis.laplacian) / np.pi
    # Along the long side frequencies end at 8 pi, along the short one at 32 pi.
    band = (kappa > 14) & (kappa < 18)
    spectrum = np.where(band, 1e-2, np.exp(-kappa))
    signs = np.random.default_rng(0).choice([-1.0, 1.0], (8, *grid.basis.shape))
    found = estimate_spectrum(signs * np.sqrt(spectrum), grid).eigenvalues(grid)
    inside = (kappa > 15) & (kappa < 17)
    np.testing.assert_allclose(found[inside], spectrum[inside], rtol=1e-6)
