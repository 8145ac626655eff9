"""The oriented operator: its synthesis against sums written out, one function on every grid."""

from itertools import product

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from fdiff.grid import Grid  # noqa: E402
from fdiff.nn.config import NetworkConfig  # noqa: E402
from fdiff.nn.fno import FNO  # noqa: E402
from fdiff.nn.oriented import OrientedFNO  # noqa: E402
from fdiff.nn.parity import add_from_parities, from_parities, parities, write_parities  # noqa: E402
from fdiff.nn.spectral import adjoint_weights, mode_count, mode_major  # noqa: E402

BOUNDARIES = ("neumann", "dirichlet", "periodic")


def coefficients(grid: Grid, modes: tuple[int, ...], channels: int):
    """Random ones of a real field."""
    from fdiff.nn.spectral import to_modes

    shape = (2, *grid.shape, channels)
    return to_modes(torch.from_numpy(np.random.default_rng(0).standard_normal(shape)), grid, modes)


def conjugate(boundary: str, k: int, x: np.ndarray, odd: int):
    """The basis function number k on (0, 1), mean square one, or its conjugate."""
    if boundary == "periodic":
        return np.exp(2j * np.pi * k * x) * (1j * np.sign(k) if odd else 1.0)
    sine = (boundary == "dirichlet") != bool(odd)
    values = np.sin(np.pi * k * x) if sine else np.cos(np.pi * k * x)
    return values * (1.0 if k == 0 and not sine else np.sqrt(2.0))


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_synthesis_is_the_sum_written_out(boundary):
    grid, modes = Grid((9, 8), 1.0, boundary), (7, 6)
    c = coefficients(grid, modes, 4)
    u = from_parities(c, grid, modes).numpy()
    count = [np.abs(grid.basis.wavenumbers(axis)) for axis in (0, 1)]
    kept = [
        grid.basis.wavenumbers(axis)[2 * k < n if boundary == "periodic" else k < n]
        for axis, (k, n) in enumerate(zip(count, modes))
    ]
    for channel, parity in enumerate(parities(2)):
        expected = np.zeros((2, *grid.shape))
        for i, j in product(range(len(kept[0])), range(len(kept[1]))):
            first, second = (
                conjugate(boundary, k[place], grid.points(axis), parity[axis])
                for axis, (k, place) in enumerate(zip(kept, (i, j)))
            )
            # A stored mode k_2 > 0 of a periodic axis stands for its partner too.
            weight = 2.0 if boundary == "periodic" and kept[1][j] > 0 else 1.0
            term = c[:, i, j, channel].numpy()[:, None, None] * np.multiply.outer(first, second)
            expected += weight * term.real
        np.testing.assert_allclose(u[..., channel], expected, atol=1e-12)


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_synthesis_is_one_function_on_every_grid(boundary):
    """Nodes of n cells are among those of 3 n: at 3 j + 1 in cells' centres, at 3 j otherwise."""
    grid, modes = Grid((8, 10), 1.0, boundary), (7, 7)
    first = 0 if boundary == "periodic" else 1
    c = coefficients(grid, modes, 8)
    fine = from_parities(c, grid.refine(3), modes)[:, first::3, first::3]
    torch.testing.assert_close(fine, from_parities(c, grid, modes), rtol=0, atol=1e-12)
    assert tuple(c.shape[1:-1]) == mode_count(grid, modes)


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("shape", [(9,), (8, 7), (5, 6, 4)])
def test_synthesis_in_place_and_its_adjoint(shape, boundary):
    grid, modes = Grid(shape, 1.0, boundary), tuple(n - 1 for n in shape)
    channels = 3 * 2 ** len(shape)
    c = coefficients(grid, modes, channels)
    u = torch.from_numpy(np.random.default_rng(1).standard_normal((2, *shape, channels)))
    added = u.clone()
    add_from_parities(added, mode_major(c), grid, modes)
    torch.testing.assert_close(added, u + from_parities(c, grid, modes), rtol=0, atol=1e-12)
    # <S c, u> = <c, weights S* u> over nodes and over modes, a stored one for its partner too.
    adjoint = write_parities(torch.empty_like(mode_major(c)), u, grid, modes)
    weighted = adjoint_weights(grid, modes, u.dtype, u.device) * adjoint
    nodes = (from_parities(c, grid, modes) * u).sum()
    torch.testing.assert_close((weighted.conj() * mode_major(c)).sum().real, nodes)


def trained_a_little(network):
    """Random last weights: networks begin as zero."""
    with torch.no_grad():
        for parameter in network.project[-1].parameters():
            parameter.copy_(
                torch.from_numpy(np.random.default_rng(1).standard_normal(parameter.shape))
            )
    return network.double()


@pytest.mark.parametrize("boundary", ["neumann", "periodic"])
def test_it_tells_a_shape_from_its_mirror_image_and_fno_does_not(boundary):
    grid = Grid((12, 12), 1.0, boundary)
    x = torch.from_numpy(np.random.default_rng(2).standard_normal((2, 1, 12, 12)))
    # The reflection about a node of a periodic axis keeps node 0.
    shift = 1 if boundary == "periodic" else 0
    t = torch.zeros(2, dtype=torch.float64)
    gaps = []
    for kind in (FNO, OrientedFNO):
        network = trained_a_little(kind(grid, hidden_channels=8, n_layers=2, n_modes=12))
        mirrored = network(x.flip(2).roll(shift, 2), t)
        gaps.append(float((mirrored - network(x, t).flip(2).roll(shift, 2)).detach().abs().max()))
    assert gaps[0] < 1e-12
    assert gaps[1] > 0.1


def test_gradients_are_those_of_the_function():
    network = OrientedFNO(Grid((6, 6), 1.0, "neumann"), hidden_channels=4, n_layers=1, n_modes=5)
    network = trained_a_little(network)
    x = torch.randn(2, 1, 6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    t = torch.tensor([0.1, -1.0], dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x: network(x, t), x.requires_grad_())


@pytest.mark.parametrize("kind", [FNO, OrientedFNO])
@pytest.mark.parametrize("oversampling", [1, 2])
@pytest.mark.parametrize("mixing", ["full", "radial"])
@pytest.mark.parametrize("boundary", ["neumann", "periodic"])
def test_operations_can_be_counted(boundary, mixing, oversampling, kind):
    from torch.utils.flop_counter import FlopCounterMode

    grid = Grid((8, 8), 1.0, boundary)
    options = {"mixing": mixing, "oversampling": oversampling}
    network = kind(grid, hidden_channels=8, n_layers=1, n_modes=8, **options)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.zeros(1, 1, 8, 8), torch.zeros(1))
    assert counter.get_total_flops() > 0


def test_configuration_builds_it_and_refusals_say_why():
    box = Grid((8, 8), 1.0, "neumann")
    built = NetworkConfig(kind="oriented", hidden_channels=8, n_modes=8).build(box, 2, 1)
    assert isinstance(built, OrientedFNO)
    with pytest.raises(ValueError, match="multiple of 4"):
        OrientedFNO(box, hidden_channels=6, n_modes=8)
    with pytest.raises(ValueError, match="all axes periodic, or none"):
        OrientedFNO(Grid((8, 8), 1.0, ("periodic", "neumann")), n_modes=8)
