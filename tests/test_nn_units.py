"""Fields of any size train alike: each is measured in the power of two nearest its deviation."""

import json

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import fdiff  # noqa: E402
from fdiff import dataset, nn  # noqa: E402
from fdiff.nn.loss import denoising_loss  # noqa: E402
from fdiff.nn.precondition import PlainDenoiser, WienerDenoiser  # noqa: E402
from fdiff.nn.progress import read_records  # noqa: E402

GRID = fdiff.Grid((16, 16), 1.0, "neumann")
CONFIG = nn.Config.from_dict(
    {
        "network": {"hidden_channels": 6, "n_layers": 2, "n_modes": 8},
        "training": {"levels": [8, 16], "steps": [4, 3], "batch_size": [4, 4], "save_every": 2},
    }
)


def fields(size: int = 40) -> np.ndarray:
    drawn = fdiff.SquaredExponentialCovariance(1.0, 0.15).sample(GRID, size, seed=4)
    return np.tanh(drawn)[:, None].astype(np.float32)


def trained(u: np.ndarray, folder) -> tuple[nn.Run, np.ndarray, np.ndarray]:
    run = nn.train(u[8:], GRID, CONFIG, folder, validation=u[:8])
    losses = [
        value
        for record in read_records(folder / "metrics.jsonl")
        for value in (record.loss, *record.validation.values())
    ]
    drawn = fdiff.sample(
        run.score, GRID, 3, steps=4, seed=1, channels=u.shape[1], backend="torch", dtype="float32"
    )
    return run, np.array(losses), drawn.fields.numpy().astype(float)


@pytest.mark.parametrize("power", [-60, -20, 3, 66])
def test_fields_times_a_power_of_two_train_to_the_same_network(power, tmp_path):
    one, losses, drawn = trained(fields(), tmp_path / "one")
    two, again, large = trained(fields() * np.float32(2.0**power), tmp_path / "two")
    assert two.denoiser.units == one.denoiser.units * 2.0**power
    # Logarithms of spectra are tabulated in float32: all else is the same to the bit.
    np.testing.assert_allclose(again, losses, rtol=2e-6)
    np.testing.assert_allclose(large / 2.0**power, drawn, rtol=0, atol=1e-5 * drawn.std())


@pytest.mark.parametrize("size", [1e-18, 1e20])
def test_tiny_and_huge_fields_train(size, tmp_path):
    _, losses, drawn = trained((fields() * size).astype(np.float32), tmp_path)
    assert np.isfinite(losses).all()
    assert 0.3 < drawn.std() / (fields().std() * size) < 3


def test_two_fields_of_very_different_size_train_together(tmp_path):
    u = fields(40)
    both = np.concatenate([u * np.float32(1e-12), u[::-1] * np.float32(1e6)], axis=1)
    run, losses, _ = trained(both, tmp_path)
    assert np.isfinite(losses).all()
    drawn = fdiff.sample(run.score, GRID, 100, steps=4, seed=1, channels=2, dtype="float64").fields
    np.testing.assert_allclose(drawn.std((0, 2, 3)) / both.std((0, 2, 3)), 1.0, rtol=0.15)


@pytest.mark.parametrize("power", [-50, -1, 1, 10, 60])
def test_on_few_shells_rounding_does_not_choose_the_spectrum(power):
    """Two tails of two parameters that meet all points they are fitted to differ by no residual."""
    grid = fdiff.Grid((8, 16), (1.0, 2.0))
    c = fdiff.BesselCovariance(1.0, 25.0, 2.0).sample_coefficients(grid, 20, seed=0)
    one, two = (nn.estimate_spectrum(factor * c, grid) for factor in (1.0, 2.0**power))
    assert one.tail == two.tail
    np.testing.assert_allclose(
        two.eigenvalues(grid.refine(2)) / 4.0**power, one.eigenvalues(grid.refine(2)), rtol=1e-9
    )


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ((1e-60,), r"field a range over .*e-60; networks compute in float32.*multiply the field"),
        ((1e37,), "field a range over .*multiply the field by a constant"),
        ((1.0, 1e-22), "those of field b over .*-22; all fields get one noise"),
    ],
)
def test_sizes_that_float32_does_not_hold_are_refused_by_name(sizes, message):
    u = np.concatenate([fields().astype(float) * size for size in sizes], axis=1)
    with pytest.raises(ValueError, match=message):
        nn.train(u, GRID, CONFIG, names=["a", "b"][: len(sizes)])


@pytest.mark.parametrize("kind", [WienerDenoiser, PlainDenoiser])
def test_units_change_no_bit_of_a_denoiser_or_its_loss(kind):
    """Against the same denoiser whose units are set to one, at a size that float32 holds."""
    torch.manual_seed(0)
    noise, data = fdiff.BesselCovariance(9.0, 60.0, 1.75), fdiff.BesselCovariance(300.0, 25.0, 2.5)
    inputs = 2 if kind is WienerDenoiser else 1
    network = nn.FNO(GRID, inputs, 1, hidden_channels=4, n_layers=1, n_modes=8, seed=3)
    for weight in network.parameters():
        torch.nn.init.normal_(weight, std=0.3)
    denoiser = kind(network, noise, 0.0, data, GRID)
    assert denoiser.units[0] != 1
    lam = torch.linspace(-4, 4, 5)
    x0, z = (
        torch.from_numpy(q.sample_coefficients(GRID, 5, seed=2, channels=1)).float()
        for q in (data, noise)
    )

    def values() -> list[torch.Tensor]:
        return [
            denoiser.denoise_centred(lam, x0 + z, GRID),
            denoising_loss(denoiser, x0, z, lam, GRID, 0.3),
            denoiser.posterior_trace(lam),
            denoiser.posterior_variance(lam, x0, GRID),
            denoiser.wiener(lam, x0, GRID),
        ]

    with torch.no_grad():
        found = values()
        denoiser.units = denoiser._posterior_units = np.ones(1)
        for a, b in zip(found, values(), strict=True):
            assert torch.equal(a, b)


def test_evaluation_of_tiny_and_huge_fields_is_that_of_usual_ones(tmp_path):
    from typer.testing import CliRunner

    from fdiff.cli import build

    tables = []
    for size in (1.0, 2.0**-60, 2.0**66):
        for name, part in (("x", fields()[:20]), ("y", fields()[20:])):
            path = tmp_path / f"{name}_{size:g}.h5"
            dataset.write_fields(path, part * np.float32(size), GRID, ("u",), 0.0, {"kind": name})
        found = CliRunner().invoke(
            build(),
            ["evaluate", str(tmp_path / f"x_{size:g}.h5"), "--against",
             str(tmp_path / f"y_{size:g}.h5"), "--json"],
        )  # fmt: skip
        assert found.exit_code == 0, found.output
        tables.append(found.stdout)
    usual, *others = (json.loads(text)["rows"] for text in tables)
    for rows, size in zip(others, (2.0**-60, 2.0**66), strict=True):
        for a, b in zip(usual, rows, strict=True):
            unit = size if a["metric"] == "std" else 1.0  # the only one in units of the data
            for key in ("value", "low", "high"):
                assert b[key] / unit == pytest.approx(a[key], rel=1e-4, abs=1e-6), a["metric"]
