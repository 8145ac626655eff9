"""Fields of several channels: a spectrum for each, so that the linear model is each one's own."""

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")

from test_nn_trainer import TINY  # noqa: E402

import fdiff  # noqa: E402
from fdiff import nn  # noqa: E402
from fdiff.nn import checkpoint  # noqa: E402

CORPUS = Path(__file__).parent / "corpus"
GRID = fdiff.Grid((16, 16), 2.0, "neumann", -1.0)
# A rough and a smooth channel, the second thirty times smaller.
LAWS = (fdiff.BesselCovariance(20.0, 60.0, 2.0), fdiff.BesselCovariance(400.0, 60.0, 4.0))


def fields(size, seed=0, grid=GRID):
    return np.stack([law.sample(grid, size, seed=seed + i) for i, law in enumerate(LAWS)], 1)


def spectra(size=400):
    return nn.estimate_spectra(GRID.basis.forward(fields(size)), GRID)


def test_each_channel_gets_its_own_spectrum():
    found = spectra()
    for line, law in zip(found.eigenvalues(GRID), LAWS):
        low = GRID.basis.laplacian < (8 * np.pi / 2) ** 2
        np.testing.assert_allclose(line[low], law.eigenvalues(GRID)[low], rtol=0.35)
    # What is estimated from one channel does not depend on the other.
    alone = nn.estimate_spectrum(GRID.basis.forward(fields(400))[:, 1], GRID)
    np.testing.assert_array_equal(found.eigenvalues(GRID)[1], alone.eigenvalues(GRID))
    assert found.trace(GRID)[1] == alone.trace(GRID)
    assert checkpoint.object_from_json(checkpoint.to_json(found)) == found


def zero(channels):
    return TINY.network.build(GRID, 2 * channels, channels)


def test_a_denoiser_of_two_channels_is_two_denoisers_before_training():
    noise, both = fdiff.BesselCovariance(1.0, 15.0, 1.75), spectra()
    double = nn.WienerDenoiser(zero(2), noise, 0.0, both, GRID)
    x = torch.randn(3, 2, 16, 16, generator=torch.Generator().manual_seed(1))
    c, lam = GRID.basis.forward(x), torch.tensor([-2.0, 0.0, 2.0])
    for i, spectrum in enumerate(both.channels):
        single, one = nn.WienerDenoiser(zero(1), noise, 0.0, spectrum, GRID), slice(i, i + 1)
        mine = c[:, one]
        found = double.denoise_centred(lam, c, GRID)[:, one]
        torch.testing.assert_close(found, single.denoise_centred(lam, mine, GRID))
        found = double.posterior_trace(lam)[:, one]
        torch.testing.assert_close(found, single.posterior_trace(lam))
        found = double.posterior_variance(lam, c, GRID)[:, one]
        torch.testing.assert_close(found, single.posterior_variance(lam, mine, GRID))


def test_the_loss_is_the_mean_of_the_channels_losses_whatever_their_units():
    noise, both = fdiff.BesselCovariance(1.0, 15.0, 1.75), spectra()
    c = torch.from_numpy(GRID.basis.forward(fields(6, 5))).float()
    z = torch.from_numpy(noise.sample_coefficients(GRID, 6, seed=3, channels=2)).float()
    lam = torch.linspace(-2, 2, 6)
    double = nn.WienerDenoiser(zero(2), noise, 0.0, both, GRID)
    found = nn.denoising_loss(double, c, z, lam, GRID, 0.3)
    singles = []
    for i, spectrum in enumerate(both.channels):
        single, one = nn.WienerDenoiser(zero(1), noise, 0.0, spectrum, GRID), slice(i, i + 1)
        singles.append(nn.denoising_loss(single, c[:, one], z[:, one], lam, GRID, 0.3))
    torch.testing.assert_close(found, torch.stack(singles).mean(0))
    for kind in ("noise", "x0", "velocity"):
        plain = nn.PlainDenoiser(TINY.network.build(GRID, 2, 2), noise, 0.0, both, GRID, kind)
        assert torch.isfinite(nn.denoising_loss(plain, c, z, lam, GRID, 0.3)).all()


def test_samples_have_each_channels_spectrum_beyond_the_networks_modes(tmp_path):
    data = fields(200)
    nn.train(data, GRID, TINY, tmp_path, names=("u", "v"))
    run = nn.load_run(tmp_path, device="cpu")
    assert isinstance(run.denoiser.covariance, fdiff.ChannelCovariance)
    drawn = fdiff.sample(run.score, GRID, 200, steps=5, channels=2, seed=2).fields
    fine = (GRID.basis.wavenumbers(0)[:, None] >= 8) & (GRID.basis.wavenumbers(1)[None] >= 8)
    for i in range(2):
        power = [(GRID.basis.forward(u[:, i].astype(float)) ** 2).mean(0)[fine].sum()
                 for u in (drawn, data)]  # fmt: skip
        assert power[0] == pytest.approx(power[1], rel=0.1), i


def test_a_run_of_two_fields_samples_both_without_being_told():
    run = nn.load_run(CORPUS / "run_two", device="cpu")
    assert run.score.channels == 2
    told = fdiff.sample(run.score, run.grid, 3, steps=2, channels=2).fields
    for size in (2, 3):
        drawn = fdiff.sample(run.score, run.grid, size, steps=2).fields
        assert drawn.shape == (size, 2, *run.grid.shape)
        np.testing.assert_allclose(drawn, told[:size], rtol=0, atol=1e-5 * np.abs(told).max())
    with pytest.raises(ValueError, match="have 2 channels, got channels=1"):
        fdiff.sample(run.score, run.grid, 2, channels=1)
    for x in (told[:, 0], told[:, [0, 1, 0]]):
        with pytest.raises(ValueError, match="have 2 channels: expected"):
            run.score.denoise(0.3, x, run.grid)
    # A field without an axis of samples.
    one = run.score.denoise(0.3, told[0], run.grid)
    np.testing.assert_allclose(one, run.score.denoise(0.3, told, run.grid)[0], atol=1e-5)
    covariance = run.score.reference[1]
    assert covariance.sample(run.grid, 4).shape == (4, 2, *run.grid.shape)
    assert len(covariance.summary(run.grid).channels) == 2
    # The linear model's law has no error of the sampler, only modes that the grid lacks.
    budget = fdiff.error_budget(run.process, *run.score.reference, run.grid)
    assert budget.retained_modes == 2 * run.grid.size
    assert budget.total == pytest.approx(np.sqrt(covariance.tail_trace(run.grid).sum()), rel=1e-3)


def test_a_run_of_one_field_takes_fields_with_and_without_the_axis():
    run = nn.load_run(CORPUS / "run_one", device="cpu")
    plain = fdiff.sample(run.score, run.grid, 2, steps=2).fields
    axis = fdiff.sample(run.score, run.grid, 2, steps=2, channels=1).fields
    np.testing.assert_array_equal(plain, axis[:, 0])
    with pytest.raises(ValueError, match="have 1 channel, got channels=2"):
        fdiff.sample(run.score, run.grid, 2, channels=2)


def test_a_channel_that_does_not_vary_is_named():
    data = fields(8)
    data[:, 1] = 0.0
    with pytest.raises(ValueError, match="field1: the data do not vary"):
        nn.train(data, GRID, TINY)
