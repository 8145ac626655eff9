"""The validation suite: its frame, its fast scripts, and the errors that it must find."""

import json
import math
import sys
import types

import numpy as np
import pytest

import fdiff
from fdiff import noise
from fdiff.convergence import Verdict, order
from fdiff.grid import Basis
from validation import (
    __main__,
    claim,
    covariance_truncation,
    forward_truncation,
    noise_spectrum,
    restriction_consistency,
    runner,
)


def script(monkeypatch, run, name: str = "a_script") -> None:
    """A validation script that exists for one test."""
    module = types.ModuleType(f"validation.{name}", "The theorem.")
    module.run = run
    monkeypatch.setitem(sys.modules, f"validation.{name}", module)
    monkeypatch.setattr(runner, "names", lambda: [name])


def good(quick):
    steps = [0.1, 0.05, 0.025]
    estimate = order(steps, np.square(steps), declared=2)

    def figure():
        from fdiff.convergence import order_figure

        return order_figure({"exact": estimate})

    yield claim.of_order("order 2", "by hand", estimate, figure)
    yield claim.equal("one", "by hand", declared=1.0, observed=1.01, tolerance=0.1)


def bad(quick):
    yield from good(quick)
    yield claim.at_most("too large", "by hand", bound=1.0, observed=2.0)
    yield claim.at_most("on the edge", "by hand", bound=1.0, observed=0.9, error=0.2)


def broken(quick):
    yield from good(quick)
    raise FloatingPointError("no way")


def test_all_pass_exits_0_and_leaves_a_report(monkeypatch, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    script(monkeypatch, good)
    assert __main__.main(["a_script", "--quick", "--report", str(tmp_path)]) == 0
    assert "2 claims" in capsys.readouterr().out
    records = json.loads((tmp_path / "records.json").read_text())
    keys = {"claim", "source", "declared", "observed", "low", "high", "verdict", "seconds"}
    assert all(keys <= set(record) for record in records)
    page = (tmp_path / "report.html").read_text()
    assert "The theorem." in page
    assert page.count("data:image/png") == 1


@pytest.mark.parametrize(
    ("run", "verdicts"),
    [(bad, ["PASS", "PASS", "FAIL", "INCONCLUSIVE"]), (broken, ["PASS", "PASS", "FAIL"])],
)
def test_anything_but_pass_exits_1(monkeypatch, tmp_path, capsys, run, verdicts):
    script(monkeypatch, run)
    assert __main__.main(["--report", str(tmp_path)]) == 1
    records = json.loads((tmp_path / "records.json").read_text())
    assert [record["verdict"] for record in records] == verdicts
    if run is broken:
        assert "FloatingPointError: no way" in capsys.readouterr().out


def test_no_claim_at_all_is_not_a_pass(monkeypatch, tmp_path):
    script(monkeypatch, lambda quick: iter(()))
    assert __main__.main(["--report", str(tmp_path)]) == 1


def test_unknown_names_are_named(capsys):
    assert __main__.main(["flat_earth"]) == 2
    assert "unknown: flat_earth" in capsys.readouterr().err


def test_every_script_states_a_theorem_and_runs():
    for module in runner.load([]):
        assert len(module.__doc__) > 80, module.__name__
        assert callable(module.run), module.__name__


@pytest.mark.parametrize("module", [restriction_consistency, noise_spectrum, forward_truncation])
def test_fast_scripts_pass(module):
    for result in module.run(quick=True):
        assert result.verdict is Verdict.PASS, result


def verdicts(claims) -> dict[str, Verdict]:
    return {result.claim: result.verdict for result in claims}


def test_swapped_side_lengths_are_found(monkeypatch):
    assert covariance_truncation.unequal_sides().verdict is Verdict.PASS

    def swapped(self, axis):
        other = self.grid.dim - 1 - axis
        turn = 2.0 if self.grid.boundary[axis] == "periodic" else 1.0
        return (turn * math.pi / self.grid.lengths[other] * self.wavenumbers(axis)) ** 2

    q = fdiff.BesselCovariance(1.0, 25.0, 2.0)
    grid = fdiff.Grid((32, 24), (1.0, 2.0), ("periodic", "neumann"))
    fine = grid.refine(8)
    tail = q.tail_trace(grid) - q.tail_trace(fine)
    np.testing.assert_allclose(q.trace(fine) - q.trace(grid), tail, rtol=1e-8)
    monkeypatch.setattr(Basis, "axis_laplacian", swapped)
    monkeypatch.setattr(fdiff.grid, "_laplacian", fdiff.grid._laplacian.__wrapped__)
    q = fdiff.BesselCovariance(1.0, 25.0, 2.0 + 1e-15)  # another operator: nothing from a cache
    grid, fine = (fdiff.Grid(g.shape, g.lengths, g.boundary) for g in (grid, fine))
    assert abs((q.trace(fine) - q.trace(grid)) / tail - 1) > 0.01


def planted(monkeypatch, change) -> None:
    """``change(coefficients, grid)`` applied to all keyed noise, coefficients and fields."""
    coefficients, fields = noise.white_coefficients, noise.white_fields

    def wrong_coefficients(grid, *args, **options):
        return change(coefficients(grid, *args, **options), grid)

    def wrong_fields(grid, *args, **options):
        c = grid.basis.forward(fields(grid, *args, **options))
        return grid.basis.inverse(change(c, grid))

    monkeypatch.setattr(noise, "white_coefficients", wrong_coefficients)
    monkeypatch.setattr(noise, "white_fields", wrong_fields)


def test_noise_without_the_cell_volume_is_found(monkeypatch):
    planted(monkeypatch, lambda c, grid: c * math.sqrt(grid.cell_volume))
    fine, shape = restriction_consistency.PAIRS["no-flux"]
    result = restriction_consistency.shared_modes("", fine, fine.with_shape(shape))
    assert result.verdict is Verdict.FAIL
    assert restriction_consistency.pointwise_variance("neumann", 200).verdict is Verdict.FAIL


def test_uncoupled_noise_is_found(monkeypatch):
    right = noise.white_coefficients

    def uncoupled(grid, seed, *args, **options):
        return right(grid, seed + grid.size, *args, **options)

    monkeypatch.setattr(noise, "white_coefficients", uncoupled)
    fine, shape = restriction_consistency.PAIRS["periodic, even"]
    result = restriction_consistency.shared_modes("", fine, fine.with_shape(shape))
    assert result.verdict is Verdict.FAIL
    assert covariance_truncation.sampled_tail("periodic", quick=True).verdict is Verdict.FAIL


def test_half_variance_on_a_zero_plane_is_found(monkeypatch):
    def halved(c, grid):
        c = c.copy()
        c[..., 0] *= math.sqrt(0.5)  # the last axis is the halved one where it is periodic
        return c

    planted(monkeypatch, halved)
    grids = {"periodic, even": noise_spectrum.GRIDS["periodic, even"]}
    monkeypatch.setattr(noise_spectrum, "GRIDS", grids)
    found = verdicts(noise_spectrum.run(quick=True))
    assert found["variance / q, zero plane: periodic, even"] is Verdict.FAIL
    assert found["variance / q, inside: periodic, even"] is Verdict.PASS
    assert found["smallest p-value of all modes, -log10: periodic, even"] is Verdict.FAIL
