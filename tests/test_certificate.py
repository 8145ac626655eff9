"""The covariance certificate: kernel, lengths, regularity, Cameron-Martin norm, command."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from numpy.testing import assert_allclose

import fdiff
from tests.strategies import covariances, field, grids


@given(grids(max_side=6), covariances())
def test_the_kernel_is_the_operator_on_a_delta(grid, covariance):
    node = tuple(n // 2 for n in grid.shape)
    delta = np.zeros(grid.shape)
    delta[node] = 1 / grid.cell_volume
    at = [grid.points(axis)[i] for axis, i in enumerate(node)]
    column = covariance.apply(delta, grid)
    got = covariance.kernel(grid, at)
    assert_allclose(got, column, rtol=0, atol=1e-10 * (1e-300 + np.abs(column).max()))
    assert got[node] == pytest.approx(covariance.pointwise_variance(grid)[node], rel=1e-10)


@pytest.mark.parametrize("boundary", ["periodic", "neumann", "dirichlet"])
@pytest.mark.parametrize("dim", [1, 2])
def test_correlation_lengths_are_those_of_the_kernels(boundary, dim):
    """1/e of exp(-r^2 / 2 l^2) at sqrt(2) l; of exp(-r / l) at l, up to what the grid resolves."""
    grid = fdiff.Grid((96, 128)[:dim], (1.0, 2.0)[:dim], boundary)
    gauss = fdiff.SquaredExponentialCovariance(2.0, 0.06)
    for axis in range(dim):
        assert gauss.correlation_length(grid, axis) == pytest.approx(math.sqrt(2) * 0.06, rel=1e-6)
    rough = fdiff.MaternCovariance(1.0, 0.05, 0.5)
    fine = fdiff.Grid((4096,), boundary=boundary)
    assert rough.correlation_length(fine) == pytest.approx(0.05, rel=0.01)


def test_a_correlation_that_does_not_fall_has_no_length():
    grid = fdiff.Grid((16,))
    assert fdiff.SquaredExponentialCovariance(1.0, 5.0).correlation_length(grid) == math.inf
    assert fdiff.FiniteRankCovariance(np.zeros(3)).correlation_length(grid) == math.inf
    with pytest.raises(ValueError, match="1 coordinates"):
        fdiff.WhiteNoise().correlation_length(grid, at=(0.5, 0.5))


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_sobolev_regularity(dim):
    closed = {
        fdiff.BesselCovariance(power=2.5): 2.5 - dim / 2,
        fdiff.LaplaceCovariance(power=1.75): 1.75 - dim / 2,
        fdiff.MaternCovariance(smoothness=0.7): 0.7,
        fdiff.SquaredExponentialCovariance(): math.inf,
        fdiff.WhiteNoise(): -dim / 2,
        fdiff.MaternCovariance(smoothness=0.7) + fdiff.BesselCovariance(power=9.0): 0.7,
        3.0 * fdiff.MaternCovariance(smoothness=1.2): 1.2,
    }
    for Q, expected in closed.items():
        assert Q.sobolev_regularity(dim) == pytest.approx(expected)
    measured = fdiff.SpectralDensity(lambda mu: (4.0 + mu) ** -2.5)
    assert measured.sobolev_regularity(dim) == pytest.approx(2.5 - dim / 2, abs=0.03)
    assert fdiff.SpectralDensity(lambda mu: np.exp(-mu / 50)).sobolev_regularity(dim) == math.inf


def test_regularity_is_where_the_norm_of_samples_diverges():
    """E |u|^2_{H^b} on finer and finer grids: bounded for b = .9 of the limit, not at 1.1."""
    Q = fdiff.MaternCovariance(1.0, 0.2, 1.0)

    def norm(n, b):
        grid = fdiff.Grid((n, n))
        return (grid.basis.weights * grid.basis.laplacian**b * Q.eigenvalues(grid)).sum()

    below = [norm(n, 0.5) for n in (64, 128, 256)]
    above = [norm(n, 1.5) for n in (64, 128, 256)]
    assert (below[2] - below[1]) / (below[1] - below[0]) == pytest.approx(0.5, abs=0.05)
    assert above[2] / above[1] == pytest.approx(2.0, abs=0.2)


@given(grids(max_side=6), covariances())
def test_cameron_martin_norm_is_the_dual_norm(grid, covariance):
    """``|u|_CM^2 = <u, Q^-1 u>``, and ``|Q^(1/2) v|_CM = |v|`` on retained modes."""
    u = covariance.apply(field(grid, 0, (2,)), grid)
    inner = grid.cell_volume * (u * covariance.apply(u, grid, -1.0)).sum(
        tuple(range(1, 1 + grid.dim))
    )
    assert_allclose(covariance.cameron_martin_norm(u, grid) ** 2, inner, rtol=1e-6, atol=1e-12)


def test_cameron_martin_norm_counts_modes_and_refuses_the_rest():
    grid = fdiff.Grid((24, 24))
    Q = fdiff.BesselCovariance(power=2.0)
    samples = Q.sample(grid, 400, seed=1)
    square = Q.cameron_martin_norm(samples, grid) ** 2
    assert square.mean() == pytest.approx(23 * 23, rel=0.01)  # one a mode: no sample has a norm
    x = grid.coordinates()[0] + 0 * grid.coordinates()[1]
    wave = np.cos(2 * np.pi * x)
    expected = 0.5 * (25 + 4 * math.pi**2) ** 2
    assert Q.cameron_martin_norm(wave, grid) ** 2 == pytest.approx(expected, rel=1e-10)
    centred = fdiff.LaplaceCovariance()
    assert centred.cameron_martin_norm(wave + 1, grid) == math.inf
    assert centred.cameron_martin_norm(wave, grid) ** 2 == pytest.approx(2 * math.pi**2)


def test_the_summary_tells_what_there_is():
    grid = fdiff.Grid((64, 48), (1.0, 2.0), ("periodic", "dirichlet"))
    Q = fdiff.MaternCovariance(1.5, 0.1, 1.0)
    summary = Q.summary(grid)
    assert summary.trace == Q.trace(grid)
    assert summary.tail_trace == Q.tail_trace(grid)
    assert summary.resolved == pytest.approx(1 - Q.tail_trace(grid) / (1.5**2 * 2), rel=0.05)
    assert summary.modes == 63 * 47
    assert summary.null_modes == 0
    assert summary.lowest_std < 0.7 < 1.2 < summary.highest_std < 1.51
    assert summary.std**2 == pytest.approx(Q.trace(grid) / grid.volume)
    text = str(summary)
    for part in ("64 x 48 nodes", "periodic x dirichlet", "b < 1", "yes, in 2D", "u^2 x^2"):
        assert part in text
    assert "NO: samples have no limit" in str(fdiff.WhiteNoise().summary(grid))
    assert "1 of 31" in str(fdiff.LaplaceCovariance().summary(fdiff.Grid(32)))
    json.dumps(fdiff.WhiteNoise().summary(grid).as_dict(), allow_nan=False)


# The command


def run(arguments, capsys):
    pytest.importorskip("typer")
    from fdiff.cli import main

    status = main(["covariance", *arguments])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def test_the_command_prints_the_summary(capsys):
    status, out, _ = run(["matern", "--smoothness", "0.5", "--resolution", "32,16"], capsys)
    assert status == 0
    assert out.startswith("MaternCovariance(std=1.0, length=0.1, smoothness=0.5)\non 32 x 16 nodes")


def test_the_command_speaks_json(capsys):
    arguments = ["bessel", "--power", "1.1", "--shift", "8", "--dim", "2", "--json"]
    status, out, _ = run([*arguments, "--resolution", "32"], capsys)
    assert status == 0
    row = json.loads(out)
    assert round(100 * (1 - row["resolved"])) == 46
    assert row["grid"]["shape"] == [32, 32]


@pytest.mark.parametrize("family", ["bessel", "matern", "laplace", "squared-exponential", "white"])
@pytest.mark.parametrize("resolution", ["64", "16,12", "8,7,6"])
def test_the_command_draws(family, resolution, capsys, tmp_path):
    pytest.importorskip("matplotlib")
    path = tmp_path / "picture.png"
    dim = str(resolution.count(",") + 1)
    arguments = [family, "--resolution", resolution, "--dim", dim, "--plot", str(path)]
    status, _, err = run(arguments, capsys)
    assert status == 0
    assert path.read_bytes().startswith(b"\x89PNG")
    assert "wrote" in err
    assert [p.name for p in tmp_path.iterdir()] == ["picture.png"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["mattern"], "family must be one of"),
        (["white", "--std", "2"], "white does not take --std; it takes no options"),
        (["laplace", "--shift", "2"], "it takes --scale, --power, --zero-mode"),
        (["bessel", "--power", "-1"], "power must be positive"),
        (["bessel", "--resolution", "a"], "numbers separated by commas"),
        (["bessel", "--boundary", "walls"], "boundary must be one of"),
        (["bessel", "--resolution", "8,8", "--dim", "3"], "one per axis"),
        (["bessel", "--plot", "picture.gif"], "ends in .png, .pdf or .svg"),
        (["matern", "--plot", "/proc/x/y.png"], "cannot use"),
    ],
)
def test_wrong_options_end_in_one_sentence(arguments, message, capsys):
    status, out, err = run(arguments, capsys)
    assert status == 1
    assert out == ""
    assert message in err
    assert err.count("\n") == 1
