"""Spectral layers: both paths agree, no mode is lost, one operator on all grids."""

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import fdiff  # noqa: E402
from fdiff.nn import (  # noqa: E402
    FNO,
    UNO,
    FullMixing,
    OrientedFNO,
    RadialMixing,
    UNet,
    fno,
    from_modes,
    spectral,
    to_modes,
)
from fdiff.nn.fno import run_blocks  # noqa: E402
from fdiff.nn.scratch import _kept, room, scratch  # noqa: E402
from fdiff.nn.spectral import mode_count  # noqa: E402
from fdiff.nn.stack import Projection  # noqa: E402

BOXES = [
    fdiff.Grid((9,), 2.0, "periodic"),
    fdiff.Grid((8,), 1.0, "neumann"),
    fdiff.Grid((8, 9), (1.0, 2.0), "periodic"),
    fdiff.Grid((9, 8), (1.0, 2.0), ("periodic", "neumann")),
    fdiff.Grid((8, 7), (2.0, 1.0), ("dirichlet", "periodic")),
    fdiff.Grid((7, 8), 1.0, ("neumann", "dirichlet")),
    fdiff.Grid((6, 5, 7), 1.0, ("periodic", "neumann", "periodic")),
    fdiff.Grid((5, 6, 7), 1.0, ("neumann", "dirichlet", "neumann")),
]
IDS = ["-".join(f"{b[0]}{n}" for b, n in zip(g.boundary, g.shape)) for g in BOXES]
boxes = pytest.mark.parametrize("box", BOXES, ids=IDS)
# An oriented network needs all axes periodic, or none.
STACKS = [(FNO, box) for box in BOXES] + [
    (OrientedFNO, box) for box in BOXES if len({b == "periodic" for b in box.boundary}) == 1
]


def nodes(grid, channels=3, batch=2, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn((batch, *grid.shape, channels), generator=generator, dtype=dtype)


def smooth(grid, n_modes, channels=2, batch=2, seed=0):
    """The same random band-limited functions on every grid of a box, ``(batch, channels, ...)``."""
    small = grid.with_shape(n_modes)
    generator = np.random.default_rng(seed)
    u = generator.standard_normal((batch, channels, *small.shape))
    c = small.basis.project(small.basis.forward(u))
    c *= np.exp(-0.5 * np.sqrt(small.basis.laplacian) * max(grid.lengths) / math.pi)
    return torch.from_numpy(grid.basis.inverse(fdiff.levels.prolong(c, small, grid)))


@boxes
def test_matrix_products_and_ffts_give_the_same_modes_and_the_same_nodes(box):
    modes = tuple(n - 1 for n in box.shape)
    u = nodes(box)
    by_matrices, by_fft = (to_modes(u, box, modes, matrices=m) for m in (True, False))
    torch.testing.assert_close(by_matrices, by_fft, rtol=0, atol=1e-13)
    c = by_fft + 0.1
    torch.testing.assert_close(
        from_modes(c, box, modes, matrices=True),
        from_modes(c, box, modes, matrices=False),
        rtol=0,
        atol=1e-12,
    )


@boxes
def test_modes_of_a_band_limited_function_bring_it_back(box):
    modes = tuple(max(2, n - 2) for n in box.shape)
    u = smooth(box, modes).movedim(1, -1)
    assert to_modes(u, box, modes).shape[1:-1] == mode_count(box, modes)
    torch.testing.assert_close(
        from_modes(to_modes(u, box, modes), box, modes), u, rtol=0, atol=1e-12
    )


@boxes
def test_the_constant_has_coefficient_one_on_every_box(box):
    if "dirichlet" in box.boundary:
        pytest.skip("the constant is no function of a Dirichlet box's basis")
    c = to_modes(torch.ones((1, *box.shape, 1), dtype=torch.float64), box, (3,) * box.dim)
    assert abs(complex(c.flatten()[0]) - 1) < 1e-14
    assert c.abs().sum() < 1 + 1e-12


@boxes
@pytest.mark.parametrize("mixing", ["full", "radial"])
def test_a_spectral_layer_is_the_same_operator_on_a_finer_grid(box, mixing):
    modes = tuple(n - 2 for n in box.shape)
    kind = {"full": FullMixing, "radial": RadialMixing}[mixing]
    layer = kind(box, 2, 2, modes).double()
    fine = box.with_shape(tuple(2 * n + 1 for n in box.shape))

    def apply(grid):
        u = smooth(grid, modes).movedim(1, -1)
        return from_modes(layer(to_modes(u, grid, modes)), grid, modes).movedim(-1, 1)

    restricted = fdiff.levels.restrict_field(apply(fine).detach().numpy(), fine, box)
    np.testing.assert_allclose(apply(box).detach().numpy(), restricted, rtol=0, atol=1e-12)


def random_network(box, modes, kind=FNO, **options):
    options.setdefault("n_layers", 2 if kind is FNO else 1)
    options.setdefault("hidden_channels", 6)
    network = kind(box, 2, 1, n_modes=modes, **options).double()
    with torch.no_grad():
        network.project[-1].weight.normal_(generator=torch.Generator().manual_seed(1))
    return network


def resolution_error(network, grid, modes):
    """RMS of ``network on n - restriction of network on 2n`` on one band-limited input."""
    t = torch.tensor([0.3, -1.0], dtype=torch.float64)
    with torch.no_grad():
        coarse = network(smooth(grid, modes), t).numpy()
        fine = network(smooth(grid.refine(2), modes), t).numpy()
    difference = coarse - fdiff.levels.restrict_field(fine, grid.refine(2), grid)
    return float(np.sqrt((difference**2).mean()) / coarse.std())


@pytest.mark.parametrize(
    "boundary", ["periodic", "neumann", ("periodic", "neumann"), ("neumann", "dirichlet")]
)
@pytest.mark.parametrize(
    ("kind", "mixing"), [(FNO, "full"), (FNO, "radial"), (UNO, "full"), (UNO, "radial")]
)
def test_the_resolution_error_of_a_network_falls_fast_under_refinement(boundary, kind, mixing):
    modes = (6, 5)
    box = fdiff.Grid((9, 11), (1.0, 1.5), boundary)  # odd and not square
    network = random_network(box, modes, kind, mixing=mixing, coordinates=True)
    errors = [resolution_error(network, box.refine(f), modes) for f in (1, 2, 4)]
    # Aliasing of a smooth activation falls faster than any power where the layers' own functions
    # are smooth. On a Dirichlet axis the activation does not vanish at the wall, where its sine
    # series converges in L2 with order 1/2 only.
    factor = 1.4 if "dirichlet" in boundary else 200.0
    assert errors[0] < 0.2
    assert errors[2] < errors[0] / factor, errors


@pytest.mark.parametrize("boundary", ["periodic", "neumann"])
def test_oversampled_activations_remove_the_aliasing(boundary):
    grid = fdiff.Grid((9, 11), 1.0, boundary)
    h = smooth(grid, grid.shape)
    fine = grid.refine(8)
    exact = torch.nn.functional.silu(smooth(fine, grid.shape))
    exact = torch.from_numpy(fdiff.levels.restrict_field(exact.numpy(), fine, grid))
    errors = []
    for factor in (1, 2, 4):
        block = random_network(grid, 4, oversampling=factor).blocks[0]
        found = block._activate(h.movedim(1, -1), grid).movedim(-1, 1)
        errors.append(float((found - exact).square().mean().sqrt()))
    assert errors[1] < 0.1 * errors[0], errors
    assert errors[2] < 0.01 * errors[1], errors


@pytest.mark.parametrize("boundary", ["periodic", "neumann"])
def test_a_radial_network_commutes_with_reflection_and_transposition(boundary):
    grid = fdiff.Grid((8, 8), 1.0, boundary)
    network = random_network(grid, 6)
    x, t = nodes(grid, 2).movedim(-1, 1), torch.tensor([0.1, 2.0], dtype=torch.float64)
    for move in (lambda u: u.flip(2), lambda u: u.flip(3), lambda u: u.transpose(2, 3)):
        torch.testing.assert_close(network(move(x), t), move(network(x, t)), rtol=0, atol=1e-12)


def test_the_number_of_weights_hardly_depends_on_the_boundary():
    boxes = [fdiff.Grid((64, 64), 1.0, b) for b in ("periodic", "neumann", "dirichlet")]
    counts = [FullMixing(box, 4, 4, (28, 28)).entries.numel() for box in boxes]
    assert max(counts) < 1.1 * min(counts), counts


@boxes
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_networks_run_in_both_precisions_and_have_gradients(box, dtype):
    modes = tuple(min(4, n) for n in box.shape)
    network = random_network(box, modes, mixing="full", condition_channels=2).to(dtype)
    x = nodes(box, 2, dtype=dtype).movedim(-1, 1)
    out = network(x, torch.zeros(2, dtype=dtype), torch.ones(2, 2, dtype=dtype))
    assert out.dtype == dtype
    assert out.shape == (2, 1, *box.shape)
    out.square().sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in network.parameters())


@pytest.mark.parametrize("kind", [FNO, UNO])
def test_saving_memory_changes_no_gradient(kind):
    grid = fdiff.Grid((9, 8), 1.0, ("neumann", "periodic"))
    x, t = smooth(grid, (6, 6)), torch.zeros(2, dtype=torch.float64)
    gradients = []
    for save in (False, True):
        network = random_network(grid, 6, kind)
        if save:
            assert network.save_memory() is network
        network(x, t).square().sum().backward()
        gradients.append([p.grad for p in network.parameters()])
    for plain, saved in zip(*gradients):
        torch.testing.assert_close(saved, plain, rtol=0, atol=1e-12)


def gradients(output, *inputs):
    """Of a fixed functional of ``output``."""
    weight = torch.randn(output.shape, generator=torch.Generator().manual_seed(5)).to(output)
    return torch.autograd.grad((weight * output).sum(), inputs, retain_graph=True)


@pytest.mark.parametrize(("kind", "box"), STACKS)
@pytest.mark.parametrize("mixing", ["full", "radial"])
@pytest.mark.parametrize("matrices", [True, False])
def test_a_stack_of_blocks_is_its_formula_with_its_gradients(
    kind, box, mixing, matrices, monkeypatch
):
    monkeypatch.setattr(spectral, "uses_matrices", lambda *_: matrices)
    modes = tuple(n - 2 for n in box.shape)
    width = 6 if kind is FNO else 2**box.dim
    blocks = random_network(
        box, modes, kind, n_layers=3, mixing=mixing, hidden_channels=width
    ).blocks
    x = nodes(box, width, batch=3).requires_grad_()
    embedded = nodes(box, 2, batch=3).flatten(1)[:, :width]
    inputs = [x, *blocks.parameters()]
    weights = {block.mixing: block.mixing.weight() for block in blocks}
    expected = x
    for block in blocks:
        expected = block(expected, embedded, box, weights[block.mixing])
    found = run_blocks(blocks, x, embedded, box, weights)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-13)
    for ours, plain in zip(gradients(found, *inputs), gradients(expected, *inputs)):
        torch.testing.assert_close(ours, plain, rtol=1e-12, atol=1e-12)
    with torch.no_grad():
        again = run_blocks(blocks, x.detach().clone(), embedded, box, weights)
    torch.testing.assert_close(again, expected, rtol=0, atol=1e-13)


def test_the_projection_has_the_gradients_of_its_formula():
    generator = torch.Generator().manual_seed(0)
    shapes = [(2, 3, 4, 5), (7, 5), (7,), (2, 7), (2,)]
    inputs = [torch.randn(s, generator=generator, dtype=torch.float64) for s in shapes]
    x, w1, b1, w2, b2 = (u.requires_grad_() for u in inputs)
    expected = torch.nn.functional.silu(x @ w1.T + b1) @ w2.T + b2
    torch.testing.assert_close(Projection.apply(x, w1, b1, w2, b2), expected)
    assert torch.autograd.gradcheck(Projection.apply, (x, w1, b1, w2, b2))


@pytest.mark.parametrize("kind", [FNO, UNO, OrientedFNO])
@pytest.mark.parametrize("boundary", ["neumann", "periodic"])
def test_pieces_of_a_batch_give_what_the_whole_batch_gives(kind, boundary, monkeypatch):
    grid = fdiff.Grid((9, 8), 1.0, boundary)
    network = random_network(grid, 6, kind, coordinates=True, hidden_channels=8)
    x, t = smooth(grid, (6, 6), batch=5), torch.linspace(-1, 1, 5, dtype=torch.float64)
    found = []
    for samples in (5, 2, 1):  # 2 leaves a rest of 1
        monkeypatch.setattr(fno, "piece_size", lambda *_, samples=samples: samples)
        output = network(x, t)
        with torch.no_grad():
            torch.testing.assert_close(network(x, t), output, rtol=0, atol=1e-13)
        torch.testing.assert_close(network(x[3:4], t[3:4]), output[3:4], rtol=0, atol=1e-13)
        found.append([output, *gradients(output, *network.parameters())])
    for other in found[1:]:
        for whole, pieces in zip(found[0], other):
            torch.testing.assert_close(pieces, whole, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kind", [FNO, OrientedFNO])
def test_passes_do_not_share_memory_that_another_pass_needs(kind):
    coarse, fine = (fdiff.Grid((n, n), 1.0, "neumann") for n in (8, 12))
    network, t = (
        random_network(coarse, 6, kind, hidden_channels=8),
        torch.zeros(2, dtype=torch.float64),
    )
    inputs = [smooth(grid, (6, 6)) for grid in (coarse, fine)]
    alone = [gradients(network(x, t), *network.parameters()) for x in inputs]
    with torch.no_grad():
        values = [network(x, t).clone() for x in inputs]
    outputs = [network(x, t) for x in inputs]  # both before either backward pass
    with torch.no_grad():
        kept = [network(x, t) for x in inputs]
    for output, expected in zip(outputs, alone):
        for _ in range(2):
            for ours, other in zip(gradients(output, *network.parameters()), expected):
                assert torch.equal(ours, other)
    for value, output in zip(values, kept):
        assert torch.equal(value, output)


@pytest.mark.parametrize("kind", [FNO, OrientedFNO])
@pytest.mark.parametrize("boundary", ["neumann", "periodic"])
def test_what_inference_mode_made_first_trains_later(kind, boundary):
    grid = fdiff.Grid((11, 13), 1.0, boundary)  # no other test's, so that no table is there yet
    t, scratch_before = torch.zeros(2, dtype=torch.float64), dict(_kept.__dict__)
    _kept.__dict__.clear()
    network = random_network(grid, 5, kind, hidden_channels=8, coordinates=True)
    with torch.inference_mode():
        x = smooth(grid, (6, 6))
        c = grid.basis.forward(network(x, t))
    again = grid.basis.forward(network(smooth(grid, (6, 6)), t))
    torch.testing.assert_close(again, c)
    assert all(torch.isfinite(g).all() for g in gradients(again.abs(), *network.parameters()))
    _kept.__dict__.update(scratch_before)


def test_second_derivatives_are_refused_not_wrong():
    grid = fdiff.Grid((8, 8), 1.0, "neumann")
    network, t = random_network(grid, 6), torch.zeros(2, dtype=torch.float64)
    x = smooth(grid, (6, 6)).requires_grad_()
    (slope,) = torch.autograd.grad(network(x, t).sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="differentiate twice"):
        slope.square().sum().backward()


def test_scratch_memory_is_kept_and_room_is_not():
    like = torch.empty(0, dtype=torch.float64)
    first, smaller = scratch("a", (4, 5), like), scratch("a", (3, 2), like)
    assert first.shape == (4, 5)
    assert smaller.data_ptr() == first.data_ptr()
    assert scratch("b", (4, 5), like).data_ptr() != first.data_ptr()
    assert scratch("a", (4, 5), like.float()).dtype == torch.float32
    large = [room((3, 1 << 20), like) for _ in range(2)]
    assert large[0].shape == (3, 1 << 20)
    assert large[0].dtype == torch.float64
    assert all(u.data_ptr() % 64 == 0 for u in large)
    assert large[0].data_ptr() != large[1].data_ptr()


@pytest.mark.parametrize("boundary", ["periodic", "neumann", "dirichlet", ("periodic", "neumann")])
def test_the_padding_of_the_unet_continues_functions_over_the_boundary(boundary):
    from fdiff.nn.unet import pad

    grid = fdiff.Grid((4, 6), 1.0, boundary)
    x = torch.arange(24.0).reshape(1, 1, 4, 6) + 1
    padded = pad(x, grid.boundary)
    assert padded.shape == (1, 1, 6, 8)
    before = {"periodic": x[0, 0, -1], "neumann": x[0, 0, 0], "dirichlet": 0 * x[0, 0, 0]}
    assert torch.equal(padded[0, 0, 0, 1:-1], before[grid.boundary[0]])
    assert torch.equal(padded[0, 0, 1:-1, 1:-1], x[0, 0])


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_the_unet_keeps_shapes_and_is_not_one_operator(dim):
    box = fdiff.Grid((8,) * dim, 1.0, "periodic")
    network = UNet(box, 2, 1, hidden_channels=4, condition_channels=1).double()
    x, t = smooth(box, (4,) * dim), torch.zeros(2, dtype=torch.float64)
    condition = torch.ones(2, 1, dtype=torch.float64)
    assert not network(x, t, condition).any()
    with torch.no_grad():
        network.project.weight.normal_(generator=torch.Generator().manual_seed(0))
    assert network(x, t, condition).shape == (2, 1, *box.shape)
    errors = []
    for factor in (1, 2):
        grid = box.refine(factor)
        with torch.no_grad():
            coarse = network(smooth(grid, (4,) * dim), t, condition).numpy()
            fine = network(smooth(grid.refine(2), (4,) * dim), t, condition).numpy()
        difference = coarse - fdiff.levels.restrict_field(fine, grid.refine(2), grid)
        errors.append(float(np.sqrt((difference**2).mean()) / coarse.std()))
    assert min(errors) > 0.1, errors
    with pytest.raises(ValueError, match="divisible by 4"):
        network(torch.zeros(1, 2, *[6] * dim), torch.zeros(1))


def test_the_inner_grids_of_the_u_shaped_operator_do_not_depend_on_the_resolution():
    network = random_network(fdiff.Grid((16, 12), 1.0, "neumann"), (8, 6), UNO)
    assert [grid.shape for grid in network.inner] == [(8, 6), (4, 3)]


def test_a_new_network_is_zero_and_leaves_the_global_generator_alone():
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    network = FNO(fdiff.Grid((8, 8), 1.0, "neumann"), n_modes=4, hidden_channels=4, seed=1)
    assert torch.rand(1) == expected
    assert not network(torch.randn(2, 1, 8, 8), torch.zeros(2)).any()


def test_more_modes_than_nodes_are_refused_with_both_numbers():
    network = FNO(fdiff.Grid((16, 16), 1.0, "neumann"), n_modes=12, hidden_channels=4)
    with pytest.raises(ValueError, match=r"n_modes \(12, 12\).*\(8, 16\)"):
        network(torch.zeros(1, 1, 8, 16), torch.zeros(1))
    with pytest.raises(ValueError, match="expected"):
        network(torch.zeros(1, 2, 16, 16), torch.zeros(1))
    with pytest.raises(ValueError, match="mixing"):
        FNO(fdiff.Grid((16,)), mixing="other")
    with pytest.raises(ValueError, match="condition"):
        FNO(fdiff.Grid((16,)), n_modes=4, condition_channels=2)(
            torch.zeros(1, 1, 16), torch.zeros(1)
        )


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_networks_agree_between_cpu_and_cuda():
    grid = fdiff.Grid((16, 12), 1.0, ("periodic", "neumann"))
    network = random_network(grid, 8)
    x, t = smooth(grid, (8, 8)), torch.zeros(2, dtype=torch.float64)
    expected = network(x, t)
    torch.testing.assert_close(network.cuda()(x.cuda(), t.cuda()).cpu(), expected)
