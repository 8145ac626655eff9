"""bfloat16 in the network's products, float32 in the weights, transforms, loss and validation."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")

from test_nn_trainer import GRID, nn_trainer, two_humps  # noqa: E402

import fdiff  # noqa: E402
from fdiff import nn  # noqa: E402
from fdiff.nn.mlmc import flat_gradient  # noqa: E402

# Eight bits of mantissa, a few products one after the other.
GRADIENT_TOLERANCE = 0.03  # of the norm
LOSS_TOLERANCE = 0.01  # over ten steps
PERIODIC = fdiff.Grid((16, 16), 2.0)
DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(
    not torch.cuda.is_available(), reason="no CUDA device here"))]  # fmt: skip


def trained(precision, grid, **changes):
    trainer = nn_trainer(
        two_humps(16, grid=grid), two_humps(16, 1, grid), grid, training__precision=precision,
        training__learning_rate=2e-3, **changes,
    )  # fmt: skip
    losses = []
    trainer.train(progress=lambda p: losses.append(p.loss))
    return trainer, np.array(losses)


@pytest.mark.parametrize("kind", ["fno", "uno", "unet"])
@pytest.mark.parametrize(("grid", "mixing"), [(GRID, "radial"), (PERIODIC, "full")])
def test_losses_and_gradients_are_those_of_float32_to_eight_bits(kind, grid, mixing):
    options = {"network__kind": kind, "network__mixing": mixing}
    if kind == "unet":  # it has no modes
        options = {f"network__{k}": v for k, v in vars(nn.NetworkConfig(kind)).items()}
        options["network__hidden_channels"] = 6
    single, losses = trained("float32", grid, **options)
    short, short_losses = trained("bfloat16", grid, **options)
    assert np.abs(short_losses - losses).max() < LOSS_TOLERANCE
    assert (short_losses != losses).any()
    assert all(p.dtype == torch.float32 for p in short.denoiser.parameters())
    assert all(v.dtype != torch.bfloat16 for v in short.state_dict().values())
    # The same weights for both, so that only the arithmetic differs.
    short.load_state_dict(single.state_dict())
    gradients = [flat_gradient(t.denoiser, t._loss_of(1, 7, 4)) for t in (single, short)]
    error = (gradients[1] - gradients[0]).norm() / gradients[0].norm()
    assert 1e-5 < error < GRADIENT_TOLERANCE
    # Validation and the run's own scores are in float32.
    assert short.validate() == single.validate()


@pytest.mark.parametrize("device", DEVICES)
def test_products_are_short_and_transforms_are_not(device):
    trainer = nn_trainer(two_humps(4), training__precision="bfloat16")
    network = trainer.denoiser.network.to(device)
    seen = []
    network.lift.register_forward_hook(lambda m, inputs, output: seen.append(output.dtype))
    x = torch.zeros(2, 2, 16, 16, device=device)
    lam = torch.zeros(2, device=device)
    assert trainer.denoiser._ask(x, lam, None).dtype == torch.float32
    assert seen == [torch.bfloat16]
    u = torch.randn(2, 16, 16, 3, device=device, generator=torch.Generator(device).manual_seed(0))
    for grid in (GRID, PERIODIC):
        for matrices in (True, False):
            c = nn.to_modes(u, grid, (6, 6), matrices)
            with torch.autocast(device, torch.bfloat16):
                assert torch.equal(nn.to_modes(u, grid, (6, 6), matrices), c)
                back = nn.from_modes(c, grid, (6, 6), matrices)
                short = nn.to_modes(u.bfloat16(), grid, (6, 6), matrices)
            assert torch.equal(back, nn.from_modes(c, grid, (6, 6), matrices))
            assert short.dtype == c.dtype


def test_an_unknown_precision_is_refused():
    with pytest.raises(ValueError, match=r"one of \['bfloat16', 'float32'\], got 'fp16'"):
        nn.TrainingConfig(precision="fp16")
