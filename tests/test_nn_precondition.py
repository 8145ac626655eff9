"""The untrained denoiser is the exact linear one; predictions convert; the spectrum is found."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from problems import TP1  # noqa: E402

import fdiff  # noqa: E402
from fdiff.nn import (  # noqa: E402
    FNO,
    PREDICTIONS,
    NetworkScore,
    PlainDenoiser,
    ShellSpectrum,
    WienerDenoiser,
    denoising_loss,
    estimate_mean,
    estimate_spectrum,
    from_x0,
    to_x0,
)
from fdiff.nn.loss import mean_and_std, shell_weights  # noqa: E402

BOX = fdiff.Grid((12, 9), (2.0, 1.5), ("neumann", "periodic"))
NOISE = fdiff.BesselCovariance(40.0, 15.0, 1.75)
DATA = fdiff.BesselCovariance(9.0, 30.0, 2.5)
SCHEDULE = fdiff.LinearSchedule()


def bump(y, x):
    return np.cos(np.pi * y / 2) * (1 + np.sin(2 * np.pi * x / 1.5))


def network(inputs=2, box=BOX, seed=0):
    return FNO(box, inputs, 1, hidden_channels=6, n_layers=2, n_modes=6, mixing="full", seed=seed)


def untrained(mean=0.0, dtype=torch.float64):
    return WienerDenoiser(network(), NOISE, mean, DATA, BOX).to(dtype)


def trained_like(denoiser):
    with torch.no_grad():
        denoiser.network.project[-1].weight.normal_(generator=torch.Generator().manual_seed(5))
    return denoiser


def score_of(denoiser):
    return NetworkScore(fdiff.ForwardProcess(NOISE, SCHEDULE), denoiser)


@pytest.mark.parametrize("shape", [(12, 9), (24, 18), (7, 10)])
@pytest.mark.parametrize("mean", [0.3, bump], ids=["constant", "function"])
@pytest.mark.parametrize("t", [1e-3, 0.2, 1.0])
def test_the_untrained_denoiser_is_the_exact_one_of_gaussian_data(shape, mean, t):
    grid = BOX.with_shape(shape)
    exact = fdiff.GaussianScore(fdiff.ForwardProcess(NOISE, SCHEDULE), mean, DATA)
    x = np.random.default_rng(0).standard_normal((3, *shape))
    found = score_of(untrained(mean)).denoise(t, x, grid)
    np.testing.assert_allclose(found, exact.denoise(t, x, grid), rtol=0, atol=1e-11)


def test_untrained_sampling_gives_the_samples_of_the_linear_model():
    mine = fdiff.sample(score_of(untrained(bump)), BOX, 3, steps=4, seed=2)
    exact = fdiff.GaussianScore(fdiff.ForwardProcess(NOISE, SCHEDULE), bump, DATA)
    theirs = fdiff.sample(exact, BOX, 3, steps=4, seed=2)
    np.testing.assert_allclose(mine.fields, theirs.fields, rtol=0, atol=1e-10)


def test_numpy_and_torch_states_give_the_same_samples_in_any_batch():
    score = score_of(trained_like(untrained()))
    whole = fdiff.sample(score, BOX, 5, steps=3, seed=1, channels=1)
    torch_fields = fdiff.sample(score, BOX, 5, steps=3, seed=1, channels=1, backend="torch").fields
    np.testing.assert_allclose(torch_fields.numpy(), whole.fields, rtol=0, atol=1e-11)
    one = fdiff.sample(score, BOX, 1, steps=3, seed=1, first=3).fields
    np.testing.assert_allclose(one[0], whole.fields[3, 0], rtol=0, atol=1e-11)


def test_one_time_for_all_and_one_time_a_sample_agree():
    score = score_of(trained_like(untrained()))
    x = np.random.default_rng(1).standard_normal((2, 1, *BOX.shape))
    both = score.denoise(np.array([0.1, 0.7]), x, BOX)
    for i, t in enumerate((0.1, 0.7)):
        np.testing.assert_allclose(both[i], score.denoise(t, x[i : i + 1], BOX)[0], atol=1e-12)


def test_scales_are_the_same_numbers_on_every_grid_and_the_traces():
    denoiser = untrained()
    volume = BOX.volume
    for operator, found in zip((DATA, NOISE), denoiser.variances(BOX)):
        fine = BOX.refine(16)
        assert operator.trace(fine) / volume == pytest.approx(found, rel=2e-3)
    lam = torch.tensor([-4.0, 0.0, 3.0], dtype=torch.float64)
    m, s = mean_and_std(lam)
    fine = BOX.refine(2)
    c, q = (torch.tensor(o.eigenvalues(fine)) for o in (DATA, NOISE))
    for i in range(3):
        marginal = m[i] ** 2 * c + s[i] ** 2 * q
        posterior = torch.where(marginal > 0, c * s[i] ** 2 * q / marginal, 0.0)
        total = float((posterior * torch.tensor(fine.basis.weights)).sum())
        assert float(denoiser.posterior_trace(lam).flatten()[i]) == pytest.approx(total, rel=1e-3)


def test_the_correction_reaches_no_mode_further_than_its_posterior_allows():
    """|w_k| <= reach p_k / sqrt(|D|): a network of unit output cannot fill the fine modes."""
    denoiser = untrained()

    class Ones(torch.nn.Module):
        def forward(self, x, t, condition=None):
            generator = torch.Generator().manual_seed(0)
            return torch.randn(x[:, :1].shape, generator=generator, dtype=x.dtype)

    lam = torch.tensor([1.0], dtype=torch.float64)
    fine = BOX.refine(4)
    denoiser.network = Ones()
    c = torch.zeros((1, 1, *fine.basis.shape), dtype=torch.complex128)
    correction = denoiser.denoise_centred(lam, c, fine)
    p = denoiser.posterior_variance(lam, c, fine).sqrt() * denoiser.reach / BOX.volume**0.5
    output = fine.basis.forward(Ones()(torch.zeros(1, 1, *fine.shape, dtype=torch.float64), lam))
    assert (correction.abs() <= p * output.abs() * (1 + 1e-12)).all()
    # Low modes: flat, not bounded by p.
    assert correction.abs()[0, 0, 0, 0] < (p * output.abs())[0, 0, 0, 0]


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_predictions_convert_exactly(prediction):
    rng = np.random.default_rng(0)
    x0, noise = rng.standard_normal((2, 50))
    m, s = 0.6, 0.8
    x = m * x0 + s * noise
    value = {"x0": x0, "noise": noise, "velocity": m * noise - s * x0, "score": -noise / s}
    np.testing.assert_allclose(to_x0(prediction, value[prediction], x, m, s), x0, atol=1e-13)
    np.testing.assert_allclose(from_x0(prediction, x0, x, m, s), value[prediction], atol=1e-13)


def test_unknown_predictions_are_refused():
    with pytest.raises(ValueError, match="prediction must be one of"):
        to_x0("epsilon", 0, 0, 1, 0)
    with pytest.raises(ValueError, match="prediction"):
        PlainDenoiser(network(1), NOISE, 0.0, DATA, BOX, "score")


@pytest.mark.parametrize("prediction", ["noise", "x0", "velocity"])
def test_the_plain_loss_of_a_zero_network_is_the_variance_of_its_target(prediction):
    grid = BOX.refine(2)
    denoiser = PlainDenoiser(network(1), NOISE, 0.0, DATA, BOX, prediction).double()
    x0, z = (
        torch.from_numpy(q.sample_coefficients(grid, 400, seed=i, channels=1))
        for i, q in enumerate((DATA, NOISE))
    )
    lam = torch.full((400,), 0.4, dtype=torch.float64)
    losses = denoising_loss(denoiser, x0, z, lam, grid)
    # The grid lacks the tail of the trace; the error of 400 samples is below 3 %.
    missing = 1 - NOISE.trace(grid) / (NOISE.trace(grid) + NOISE.tail_trace(grid))
    assert abs(float(losses.detach().mean()) - 1) < missing + 0.03


def test_the_loss_of_the_linear_model_on_gaussian_data_is_one():
    grid = BOX.refine(2)
    denoiser = untrained()
    x0, z = (
        torch.from_numpy(q.sample_coefficients(grid, 2000, seed=i, channels=1))
        for i, q in enumerate((DATA, NOISE))
    )
    lam = torch.linspace(-5, 4.6, 2000, dtype=torch.float64)
    plain = denoising_loss(denoiser, x0, z, lam, grid)
    both = denoising_loss(denoiser, x0, z, lam, grid, shell_weight=0.5)
    plain, shells = (losses.detach().numpy() for losses in (plain, both - plain))
    assert abs(plain.mean() - 1) < 5 * plain.std() / 2000**0.5
    # Each shell's share is one too.
    assert abs(shells.mean() - 0.5) < 5 * shells.std() / 2000**0.5


def test_shell_weights_share_one_among_the_shells():
    for grid in (BOX, fdiff.Grid((8,), 1.0, "dirichlet"), fdiff.Grid((5, 6, 4))):
        weights = shell_weights(grid)
        assert weights.sum() == pytest.approx(1.0)
        assert not weights[~grid.basis.retained].any()


@pytest.mark.parametrize("boundary", ["periodic", "neumann", "dirichlet"])
@pytest.mark.parametrize(
    "truth",
    [fdiff.BesselCovariance(5.0, 300.0, 2.0), fdiff.SquaredExponentialCovariance(1.0, 0.04)],
    ids=["power", "exponential"],
)
def test_the_spectrum_is_found_within_sampling_error(boundary, truth):
    grid = fdiff.Grid((24, 24), 1.0, boundary)
    c = truth.sample_coefficients(grid, 600, seed=3)
    found = estimate_spectrum(c, grid)
    q, mine = truth.eigenvalues(grid), found.eigenvalues(grid)
    inside = grid.basis.retained & (grid.basis.laplacian < (0.9 * found.kappa[-1]) ** 2)
    # A shell's mean lies off a mode's value by the curvature of the spectrum across the shell.
    assert np.abs(np.log(mine[inside] / q[inside])).max() < 0.35
    assert found.trace(grid) == pytest.approx(truth.trace(grid), rel=0.03)


def test_rough_data_get_a_power_law_and_the_right_tail_beyond_their_grid():
    truth = fdiff.BesselCovariance(1.0, 100.0, 2.0)
    grid = fdiff.Grid((48, 48), 1.0, "neumann")
    found = estimate_spectrum(truth.sample_coefficients(grid, 400, seed=1), grid)
    assert found.tail == "power"
    assert found.slope == pytest.approx(-4.0, abs=0.15)
    assert found.tail_trace(grid) == pytest.approx(truth.tail_trace(grid), rel=0.15)
    fine = grid.refine(2)
    beyond = fine.basis.laplacian > grid.basis.laplacian.max()
    ratio = found.eigenvalues(fine)[beyond] / truth.eigenvalues(fine)[beyond]
    assert abs(np.log(ratio)).max() < 0.2


def test_a_rising_spectrum_is_not_extrapolated_upward():
    grid = fdiff.Grid((32,), 1.0, "neumann")
    kappa = np.sqrt(grid.basis.laplacian)
    c = np.random.default_rng(0).standard_normal((500, 32)) * (1 + kappa)
    found = estimate_spectrum(c, grid)
    assert found.slope < 0
    assert found.at(np.array([10 * kappa.max()])) < found.at(np.array([kappa.max()]))
    assert found.is_trace_class(1)


def test_the_mean_keeps_what_the_data_say_and_drops_what_is_noise():
    grid = fdiff.Grid((16, 12), 1.0, "neumann")
    covariance = fdiff.BesselCovariance(30.0, 40.0, 2.0)
    noise = covariance.sample_coefficients(grid, 300, seed=1)
    wave = grid.basis.forward(
        2.0 + np.cos(np.pi * grid.coordinates()[0]) + 0 * grid.coordinates()[1]
    )
    constant = estimate_mean(noise + grid.basis.forward(np.full(grid.shape, 2.0)), grid)
    plain = grid.basis.inverse(noise).mean(0)
    assert np.std(constant.values) < 0.3 * np.std(plain)
    shaped = estimate_mean(noise + wave, grid)
    error = shaped.values - grid.basis.inverse(wave)
    assert np.abs(error - error.mean()).max() < 3 * np.abs(plain - plain.mean()).max()
    assert np.corrcoef(shaped.values.ravel(), grid.basis.inverse(wave).ravel())[0, 1] > 0.99


def test_a_process_of_another_noise_is_refused():
    with pytest.raises(ValueError, match="trained for the noise"):
        NetworkScore(TP1.process(), untrained())


def test_white_noise_is_refused_for_networks():
    with pytest.raises(ValueError, match="not trace class"):
        WienerDenoiser(network(), fdiff.WhiteNoise(), 0.0, DATA, BOX)
    with pytest.raises(ValueError, match='"limit" or "grid"'):
        PlainDenoiser(network(1), NOISE, 0.0, DATA, BOX, scale="none")


def test_a_scale_of_each_grid_takes_white_noise_and_keeps_the_inputs_size():
    """sigma^2 = m^2 tr C_n + s^2 tr Q_n per unit volume: the data's share falls with the grid."""
    seen = []

    class Spy(torch.nn.Module):
        def forward(self, x, half_log_snr, condition=None):
            seen.append(x)
            return torch.zeros_like(x)

    denoiser = PlainDenoiser(Spy(), fdiff.WhiteNoise(), 0.0, DATA, BOX, scale="grid")
    lam, share = torch.tensor([-0.3], dtype=torch.float64), []
    m, s = mean_and_std(lam)
    for grid in (BOX, BOX.refine(4)):
        data = DATA.sample_coefficients(grid, 1, seed=1)
        white = fdiff.WhiteNoise().multiplier(grid, 0.5)
        noise = fdiff.noise.white_coefficients(grid, 1, fdiff.noise.PERTURBATION, 1, root=white)
        c = torch.from_numpy(float(m) * data + float(s) * noise)[:, None]
        denoiser.denoise_centred(lam, c, grid)
        assert float(seen[-1].square().mean()) == pytest.approx(1.0, rel=0.3)
        variances = denoiser.variances(grid)
        assert variances[1] == fdiff.WhiteNoise().trace(grid) / grid.volume
        share.append(variances[0] / variances[1])
    assert share[1] < share[0] / 10
    limit = PlainDenoiser(Spy(), NOISE, 0.0, DATA, BOX)
    assert limit.variances(BOX) == limit.variances(BOX.refine(4))


def test_spectra_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match="two shells"):
        ShellSpectrum((1.0,), (1.0,), "power", -3.0, 0.0)
    with pytest.raises(ValueError, match="positive"):
        ShellSpectrum((1.0, 2.0), (1.0, 0.0), "power", -3.0, 0.0)
    with pytest.raises(ValueError, match="do not vary"):
        estimate_spectrum(np.zeros((4, 8)), fdiff.Grid((8,), 1.0, "neumann"))
