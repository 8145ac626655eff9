"""Solutions that their grid does not resolve: who says so, and that the advice is right."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import grids

from fdiff.cli import main
from fdiff.dataset import factory, resolved
from fdiff.dataset.recipe import from_dict, load
from fdiff.dataset.statistics import FLOOR, sample_statistics

# Gray-Scott on 96 x 64 cells of a 3 x 2 box (y first): a tenth of the energy is beyond 2/3 of the
# grid's range.
COARSE = {
    "system": "gray-scott", "resolution": [64, 96], "lengths": [2.0, 3.0], "times": [0.0, 100.0],
    "initial": {"name": "spots", "count": 20, "width": 0.02}, "samples": 4,
}  # fmt: skip
TOML = """
system = "gray-scott"
resolution = [64, 96]
lengths = [2.0, 3.0]
times = [0.0, 100.0]
samples = 4
initial = { name = "spots", count = 20, width = 0.02 }
"""


def run(capfd, *words):
    assert main([str(w) for w in words]) == 0
    caught = capfd.readouterr()
    return caught.out, caught.err


def warnings_in(err):
    return [line for line in err.splitlines() if line.startswith("warning: ")]


def tails(recipe):
    data = factory.buffer(recipe)
    return [factory.simulate(recipe, i, data)["tail_energy"] for i in range(recipe.samples)]


@given(grid=grids(), seed=st.integers(0, 2**16), size=st.floats(-8.0, 0.0))
def test_the_tail_is_the_share_of_the_energy_beyond_two_thirds_of_an_axis(grid, seed, size):
    """Against the definition, by sums over nodes: a field less its part of low frequency."""
    rng = np.random.default_rng(seed)
    data = rng.standard_normal((1, *grid.shape, 2)).astype("f4")
    data[..., 1] *= 10.0**size
    u = np.moveaxis(data[0].astype(float), -1, 0)
    c = grid.basis.forward(u)
    for axis in range(grid.dim):
        n = grid.shape[axis] / (2 if grid.boundary[axis] == "periodic" else 1)
        line = [-1 if i == axis else 1 for i in range(grid.dim)]
        c = c * (np.abs(grid.basis.wavenumbers(axis)) <= 2 / 3 * n).reshape(line)
    smooth = grid.basis.inverse(c)
    energy, fine = ((x**2).reshape(2, -1).sum(1) for x in (u, u - smooth))
    expected = max(fine / np.maximum(energy, FLOOR**2 * energy.max()))
    assert math.isclose(
        sample_statistics(data, grid)["tail"], expected, rel_tol=1e-6, abs_tol=1e-12
    )


def test_every_command_says_it_once_with_a_grid_that_resolves(tmp_path, capfd):
    mine, out = tmp_path / "mine.toml", tmp_path / "x.h5"
    mine.write_text(TOML)
    recipe = from_dict(COARSE)
    worst = max(tails(recipe))
    dry, said = run(capfd, "generate", mine, "--out", out, "--dry-run", "--json")
    spoken = [warnings_in(said)]
    found = [json.loads(dry)["unresolved"]]
    assert (found[0]["sample"], found[0]["samples"], found[0]["of"]) == (0, 1, 1)
    for command in (
        ("generate", mine, "--out", out, "--workers", 1),
        ("generate", mine, "--out", out, "--workers", 1),  # complete already
        ("verify", out),
        ("show", out, "--sample", 2, "--out", tmp_path / "p.png"),
    ):
        text, said = run(capfd, *command, "--json")
        found.append(json.loads(text)["unresolved"])
        spoken.append(warnings_in(said))
    assert all(len(lines) == 1 for lines in spoken)
    for whole, (line,) in zip(found[1:4], spoken[1:4]):
        assert (whole["samples"], whole["of"]) == (4, 4)
        assert whole["tail_energy"] == worst
        assert "4 of 4 samples are not resolved" in line
    assert (found[4]["sample"], found[4]["of"]) == (2, 1)
    for one, (line,) in zip(found, spoken):
        assert one["threshold"] == resolved.THRESHOLD < 0.05 < one["tail_energy"] <= worst
        assert f"--resolution {','.join(map(str, one['resolution']))} resolves" in line
    # The advice is right, for all samples and not only for the one that was tried.
    advised = ",".join(map(str, found[1]["resolution"]))
    text, said = run(capfd, "generate", mine, "--resolution", advised, "--out", tmp_path / "y.h5",
                     "--json")  # fmt: skip
    assert json.loads(text)["unresolved"] is None
    assert warnings_in(said) == []
    assert max(tails(recipe.override(resolution=tuple(found[1]["resolution"])))) < 1e-4


def test_shards_and_folders_of_the_well_say_it_too(tmp_path, capfd):
    mine = tmp_path / "mine.toml"
    mine.write_text(TOML)
    for i in (0, 1):  # the last one makes the file of links
        text, said = run(capfd, "generate", mine, "--out", tmp_path / "x.h5", "--json",
                         "--shards", f"{i}/2")  # fmt: skip
        assert len(warnings_in(said)) == 1
        assert json.loads(text)["unresolved"]["of"] == 2
    for out, words in (
        (tmp_path / "x.h5", ()),
        (tmp_path / "folder", ("--format", "well", "--samples", "10")),
    ):
        if words:
            text, said = run(capfd, "generate", mine, "--out", out, "--json", *words)
            assert len(warnings_in(said)) == 1
            assert json.loads(text)["unresolved"]["of"] == 10
        text, said = run(capfd, "verify", out, "--json")
        assert len(warnings_in(said)) == 1
        assert json.loads(text)["unresolved"]["samples"] == (10 if words else 4)


SETTINGS = {
    "fitzhugh-nagumo": {"system": "fitzhugh-nagumo", "times": [5.0]},
    "allen-cahn": {"system": "allen-cahn", "times": [10.0]},
    "maze": {**COARSE, "lengths": [2.0], "times": [500.0], "parameters": {"F": 0.029, "k": 0.057}},
    "fisher-kpp": {"system": "fisher-kpp", "lengths": [40.0], "times": [5.0],
                   "initial": {"name": "spots", "count": 5, "width": 0.02}},
    "ginzburg-landau": {"system": "ginzburg-landau", "method": "etdrk4", "tolerance": 1e-4,
                        "times": [5.0]},
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "shape"),
    [("fitzhugh-nagumo", (24, 32)), ("fitzhugh-nagumo", (31, 27)), ("allen-cahn", (24, 24)),
     ("fisher-kpp", (12, 12)), ("fisher-kpp", (15,)), ("maze", (64, 96)),
     ("ginzburg-landau", (32, 32))],
)  # fmt: skip
def test_the_advised_grid_resolves_and_its_solution_is_nearer_to_the_finer_one(name, shape):
    recipe = from_dict({**SETTINGS[name], "resolution": list(shape), "samples": 1})
    data = factory.buffer(recipe)
    poor = resolved.assess(recipe, [factory.simulate(recipe, 0, data)], math.inf)
    assert poor is not None
    advised = poor.resolution
    assert advised is not None
    assert all(m > n for m, n in zip(advised, shape))
    assert max(tails(recipe.override(resolution=advised))) <= resolved.THRESHOLD
    assert _difference(recipe.override(resolution=advised)) < 0.6 * _difference(recipe)


def _difference(recipe):
    """Relative L2 difference of the worse field at the end to that on twice the nodes."""
    from fdiff import levels

    finer = recipe.override(resolution=tuple(2 * n for n in recipe.resolution))
    states = []
    for r in (recipe, finer):
        data = factory.buffer(r)
        factory.simulate(r, 0, data)
        states.append(np.moveaxis(data[-1].astype(float), -1, 0))
    fine = levels.resample_field(states[1], finer.grid, recipe.grid)
    norms = np.sqrt((fine**2).reshape(len(fine), -1).sum(1))
    errors = np.sqrt(((fine - states[0]) ** 2).reshape(len(fine), -1).sum(1))
    return max(errors / np.maximum(norms, FLOOR * norms.max()))


@pytest.mark.parametrize(
    "name",
    ["fitzhugh-nagumo", "pdebench-diff-react", "paper-reaction-diffusion", "fisher-kpp",
     "allen-cahn", "paper-mixture"],
)  # fmt: skip
def test_recipes_at_their_own_resolution_are_resolved(name):
    """PDEBench's white start is rough at first on any grid; the last stored time counts."""
    recipe = load(name)
    if recipe.system != "none":
        recipe = recipe.override(times=[0.0, float(recipe.stored_times[-1])], samples=2)
    recipe = recipe.override(samples=2, first=0)
    data = factory.buffer(recipe)
    records = [factory.simulate(recipe, i, data) for i in range(2)]
    assert resolved.assess(recipe, records) is None


def test_what_does_not_evolve_has_nothing_to_resolve():
    """The initial state alone, however rough, is what its law says."""
    recipe = load("pdebench-diff-react").override(times=[0.0], samples=1)
    record = factory.simulate(recipe, 0, factory.buffer(recipe))
    assert record["tail_energy"] > 0.1
    assert resolved.assess(recipe, [record]) is None


def test_a_field_that_vanished_is_no_unresolved_one():
    """Its round-off has a flat spectrum, and is not what the grid has to resolve."""
    grid = load("fitzhugh-nagumo").grid
    data = np.ones((1, *grid.shape, 2), "f4")
    data[..., 1] = 1e-6 * np.random.default_rng(0).standard_normal(grid.shape)
    assert sample_statistics(data, grid)["tail"] < 1e-7


def test_where_trying_is_too_much_work_the_dry_run_is_advised():
    recipe = from_dict({**COARSE, "samples": 1})
    record = factory.simulate(recipe, 0, factory.buffer(recipe))
    poor = resolved.assess(recipe, [record], patience=0.0)
    assert poor.resolution is None
    assert "--dry-run tries finer grids" in poor.sentence("x.h5")


def test_files_of_others_say_nothing_of_it(tmp_path, capfd):
    import fdiff
    from fdiff import dataset

    grid = fdiff.Grid((8, 8), 1.0)
    u = np.random.default_rng(0).standard_normal((2, 1, 8, 8))
    path = dataset.write_fields(tmp_path / "x.h5", u, grid, ["u"], 1.0, {})
    assert resolved.of_dataset(path) is None
    text, _ = run(capfd, "verify", path, "--json")
    assert json.loads(text)["unresolved"] is None
