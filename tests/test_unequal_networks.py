"""What a network sees and gives on boxes of unequal sides, mode by mode from definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")

from problems import box_name, unequal_boxes  # noqa: E402
from test_unequal_boxes import function, modes, shells  # noqa: E402

import fdiff  # noqa: E402
from fdiff import nn  # noqa: E402
from fdiff.nn.fields import level_grids  # noqa: E402
from fdiff.nn.loss import shell_weights  # noqa: E402
from fdiff.nn.spectral import from_modes, to_modes  # noqa: E402
from fdiff.shells import complete_shells, shell_index  # noqa: E402
from tests.strategies import field  # noqa: E402

ALL = unequal_boxes()
MODES = {2: (3, 5), 3: (2, 4, 3)}  # nodes of the grid whose modes a network mixes


def on(grids):
    return pytest.mark.parametrize("grid", grids, ids=box_name)


@on(ALL)
@pytest.mark.parametrize("matrices", [True, False])
def test_mixed_modes_are_means_against_the_basis(grid, matrices):
    """``c_k = mean_j u_j conj(e_k)`` with mean square one, on the modes of a grid of n_modes."""
    n_modes = MODES[grid.dim]
    u = field(grid, 1)
    c = to_modes(torch.from_numpy(u)[None, ..., None], grid, n_modes, matrices)[0, ..., 0].numpy()
    small = grid.with_shape(n_modes)
    points = np.meshgrid(*map(grid.points, range(grid.dim)), indexing="ij")
    basis = small.basis
    stored = [basis.wavenumbers(i)[basis.axis_retained(i)].tolist() for i in range(grid.dim)]
    expected, seen = 0.0, 0
    for k, _ in modes(small):
        e = function(grid, k, *points) * math.sqrt(grid.volume)
        value = (u * np.conj(e)).mean()
        expected = expected + value * e
        if all(i in line for i, line in zip(k, stored)):
            place = tuple(line.index(i) for i, line in zip(k, stored))
            assert_allclose(c[place], value, atol=1e-12)
            seen += 1
    assert seen == c.size
    back = from_modes(torch.from_numpy(c)[None, ..., None], grid, n_modes, matrices)
    assert_allclose(back[0, ..., 0].numpy(), expected.real, atol=1e-12)


class Anything(torch.nn.Module):
    """Has a part in every mode, whatever it sees; says that it mixes ``n_modes``."""

    def __init__(self, n_modes):
        super().__init__()
        self.n_modes = n_modes
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def forward(self, x, t, condition=None):
        generator = torch.Generator().manual_seed(0)
        return torch.randn(x[:, :1].shape, generator=generator, dtype=x.dtype) + self.weight


@on(ALL)
def test_a_correction_reaches_the_networks_modes_and_no_others(grid):
    n_modes = MODES[grid.dim]
    q = fdiff.BesselCovariance(1.0, 3.0, 2.5)
    denoiser = nn.WienerDenoiser(Anything(n_modes), q, 0.0, q, grid)
    c = torch.zeros(1, 1, *grid.basis.shape)
    c = c.to(torch.complex64) if grid.basis.is_complex else c
    found = denoiser.denoise_centred(torch.zeros(1), c, grid)[0, 0].detach().numpy()
    for index in np.ndindex(grid.basis.shape):
        k = [abs(int(grid.basis.wavenumbers(axis)[i])) for axis, i in enumerate(index)]
        inside = [
            2 * i < n if kind == "periodic" else i < n
            for i, n, kind in zip(k, n_modes, grid.boundary)
        ]
        assert (found[index] != 0) == all(inside), (index, k)


@on(ALL)
def test_shells_are_complete_up_to_the_first_mode_that_is_missing(grid):
    here, beyond = shells(grid), shells(grid.refine(4))
    first_missing = min(n for k, n in beyond.items() if k not in here)
    found = complete_shells(grid)
    walls = "dirichlet" in grid.boundary  # where the first missing mode lies beyond its axis's end
    assert found <= first_missing if walls else found == first_missing
    index, lines = shell_index(grid), [grid.basis.wavenumbers(i).tolist() for i in range(grid.dim)]
    halved = grid.basis.halved_axis
    for k, n in here.items():
        if halved is None or k[halved] >= 0:
            assert index[tuple(line.index(i) for line, i in zip(lines, k))] == n


def test_levels_keep_the_proportion_of_the_axes():
    grid = fdiff.Grid((4, 6), (1.0, 4.0))
    assert [level.shape for level in level_grids(grid, (3, 6))] == [(2, 3), (4, 6)]
    solid = fdiff.Grid((8, 16, 4), (1.0, 2.0, 3.0))
    assert [level.shape for level in level_grids(solid, (4, 8))] == [(2, 4, 1), (4, 8, 2)]
    assert all(level.lengths == (1.0, 2.0, 3.0) for level in level_grids(solid, (4, 8)))


@on(ALL)
def test_every_shell_has_the_same_share_of_the_loss(grid):
    """Counted over all modes, both of a conjugate pair; a stored mode has the share of its pair."""
    shell = shells(grid)
    members = {n: list(shell.values()).count(n) for n in shell.values()}
    weights = shell_weights(grid)
    total = dict.fromkeys(members, 0.0)
    lines = [grid.basis.wavenumbers(axis).tolist() for axis in range(grid.dim)]
    halved = grid.basis.halved_axis
    for k, n in shell.items():
        if halved is None or k[halved] >= 0:
            stored = weights[tuple(line.index(i) for line, i in zip(lines, k))]
            pair = 2 if halved is not None and k[halved] > 0 else 1
            assert_allclose(stored, pair / members[n] / len(members))
            total[n] += stored
    assert_allclose(list(total.values()), 1 / len(members))
