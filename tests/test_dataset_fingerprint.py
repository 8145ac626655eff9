"""Fields are recognised in every copy, and only there: leakage, overlap, held-out data."""

import json
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given
from numpy.testing import assert_allclose
from problems import shared_data
from strategies import field, grids, nested_grids, seeds
from test_dataset import small
from test_dataset_opening import copied
from test_dataset_source import by_name, source, started

import fdiff
from fdiff import dataset, levels
from fdiff.cli import main
from fdiff.dataset import factory, shared
from fdiff.dataset.fingerprint import COUNT, Fingerprints
from fdiff.errors import FileError

CORPUS = Path(__file__).parent / "corpus"


def prints(fields, grid, *names):
    return Fingerprints.of(fields, grid, names or ("u",))


@given(grid=grids(), seed=seeds)
def test_fields_are_known_in_any_order_type_and_number(grid, seed):
    u = field(grid, seed % 2**32, (9, 1)).astype(np.float32)
    known = prints(u, grid)
    if not known.comparable(known):
        assert not known.known(known).any()
        return
    asked = np.concatenate([u[[7, 2]], field(grid, (seed + 1) % 2**32, (5, 1)), u[[4]]])
    for copy in (asked.astype(">f8"), asked.astype(np.float32)):
        found = known.known(prints(copy, grid)).tolist()
        assert found == [True, True, *[False] * 5, True]
    assert known.same(prints(u.astype(">f8"), grid))
    assert not known.same(prints(u[::-1], grid))


@given(pair=nested_grids(), seed=seeds)
def test_restrictions_are_known(pair, seed):
    coarse, fine = pair
    u = field(fine, seed % 2**32, (6, 1))
    restricted = levels.restrict_field(u, fine, coarse).astype(np.float32)
    a, b = prints(u, fine), prints(restricted, coarse)
    for known, asked in ((a, b), (b, a)):
        expected = known.comparable(asked)
        assert (known.known(asked) == expected).all()
        others = prints(field(asked.grid, (seed + 1) % 2**32, (6, 1)), asked.grid)
        assert not known.known(others).any()


@given(grid=grids(max_side=12))
def test_modes_are_those_of_least_frequency(grid):
    basis, known = grid.basis, prints(field(grid, 0, (1, 1)), grid)
    retained = np.sort(basis.laplacian[basis.retained])
    numbers = [basis.wavenumbers(i).tolist() for i in range(grid.dim)]
    places = [tuple(n.index(k) for n, k in zip(numbers, mode)) for mode in known.modes.tolist()]
    assert len(set(places)) == len(places) == min(COUNT, len(retained))
    assert_allclose([basis.laplacian[p] for p in places], retained[: len(places)], rtol=1e-4)


def test_values_are_the_coefficients_of_the_unit_box():
    grid = fdiff.Grid((24, 20), (3.0, 0.5), ("neumann", "periodic"), (1.0, -2.0))
    x, y = grid.coordinates()
    u = 7.0 + 3.0 * np.cos(np.pi * (x - 1.0) / 3.0) + 0.0 * y
    u = u + 2.0 * np.sin(2 * np.pi * (y + 2.0) / 0.5)
    known = prints(u[None, None], grid)
    found = {tuple(k): v for k, v in zip(known.modes.tolist(), known.values[0, 0])}
    assert_allclose(found[0, 0], [7.0, 0.0], atol=1e-6)
    # e_1 = sqrt(2) cos(pi x), and sin(2 pi y) = Im e^{2 pi i y}.
    assert_allclose(found[1, 0], [3.0 / np.sqrt(2), 0.0], atol=1e-6)
    assert_allclose(found[0, 1], [0.0, -1.0], atol=1e-6)
    assert known.values.dtype == np.float32
    wide = fdiff.Grid((24, 20), (6.0, 0.5), ("neumann", "periodic"), (1.0, -2.0))
    assert not known.known(prints(u[None, None], wide)).any()


def law(count, seed, shape=(16, 16), mean=0.0, scale=1.0):
    grid = fdiff.Grid(shape, 1.0, "neumann")
    covariance = fdiff.BesselCovariance(1.0, 25.0, 2.0)
    values = mean + scale * covariance.sample(grid, count, seed=seed)[:, None]
    return values.astype(np.float32), grid


def test_a_difference_of_a_thousandth_is_another_field():
    u, grid = law(40, 1)
    v, _ = law(40, 2)
    known = prints(u, grid)
    assert known.known(prints(u + 1e-5 * v, grid)).all()
    assert not known.known(prints(u + 2e-3 * v, grid)).any()


@pytest.mark.parametrize("mean", [300.0, -1e-3])
def test_small_changes_of_a_large_mean_tell_fields(mean):
    u, grid = law(50, 1, mean=mean, scale=abs(mean) * 1e-3)
    v, _ = law(50, 2, mean=mean, scale=abs(mean) * 1e-3)
    known = prints(u, grid)
    assert known.known(prints(u.astype(float), grid)).all()
    assert not known.known(prints(v, grid)).any()


def test_small_changes_of_a_large_profile_tell_fields():
    u, grid = law(50, 1, scale=1e-4)
    v, _ = law(50, 2, scale=1e-4)
    profile = 5.0 * np.cos(np.pi * grid.points(0))[:, None]
    known = prints(u + profile, grid)
    assert known.known(prints((u + profile).astype(np.float32), grid)).all()
    assert not known.known(prints(v + profile, grid)).any()


def test_fields_that_say_nothing_are_never_known():
    """Solutions that have come to the same rest state are no copies of each other."""
    grid = fdiff.Grid((16, 12), 1.0, ("periodic", "neumann"))
    u = np.zeros((5, 1, *grid.shape), np.float32)
    u[1], u[2] = 1.0, 300.1
    u[3] = np.cos(11 * np.pi * grid.points(1))  # a mode that is none of the coarsest
    u[4] = np.nan
    known = prints(u, grid)
    assert np.isnan(known.values).all()
    assert not known.known(known).any()
    assert known.same(known)


def test_few_modes_are_not_compared():
    grid = fdiff.Grid((3,), 1.0, "neumann")
    known = prints(field(grid, 0, (4, 1)), grid)
    assert not known.comparable(known)
    assert not known.known(known).any()


def test_all_common_fields_of_a_sample_must_agree():
    u, grid = law(6, 1)
    v, _ = law(6, 2)
    both = Fingerprints.of(np.concatenate([u, v], 1), grid, ("u", "v"))
    mixed = Fingerprints.of(np.concatenate([u, v[::-1]], 1), grid, ("u", "v"))
    assert both.known(both).all()
    assert not both.known(mixed).any()
    assert both.known(mixed, "u").all()
    assert both.known(prints(v, grid, "v")).all()
    assert not both.known(prints(u, grid, "w")).any()


def test_the_modes_do_not_depend_on_rounding_of_the_box():
    """Of modes of one frequency, which rounding tells apart, the same ones are taken."""
    boxes = [(2 * np.pi, 2 * np.pi), (6.28319, 2 * np.pi), (2 * np.pi, 6.28319)]
    grids = [fdiff.Grid((16, 16), box, "neumann") for box in boxes]
    modes = [prints(np.zeros((1, 1, 16, 16)), grid).modes.tolist() for grid in grids]
    assert modes[0] == modes[1] == modes[2]


def test_different_fields_of_one_law_are_not_known():
    u, grid = law(2000, 1, (8, 8))
    v, _ = law(2000, 2, (8, 8))
    assert not prints(u, grid).known(prints(v, grid)).any()
    with dataset.open(shared_data("mnist")) as images:
        digits = prints(images.fields("image")[:4000], images.grid)
    half = [Fingerprints(digits.values[i::2], digits.modes, digits.grid, ("u",)) for i in (0, 1)]
    assert not half[0].known(half[1]).any()
    assert half[0].known(half[0]).all()


@pytest.fixture(scope="module")
def solutions(tmp_path_factory):
    """Trajectories, others of the same law, and a file of samples of a network trained on u."""
    folder = tmp_path_factory.mktemp("solutions")
    for name, seed in (("data", 0), ("other", 50)):
        factory.generate(small(samples=8, seed=seed), folder / f"{name}.h5")
    drawn(folder, folder / "samples.h5")
    return folder


def drawn(folder, out, names=("u",), told=True, identities=()):
    with dataset.open(folder / "data.h5") as file:
        known, grid = prints(file.fields(list(names), 1.0), file.grid, *names), file.grid
    values = field(grid, 3, (10, len(names)))
    trained_on = {"file": "data.h5", "identities": list(identities)}
    provenance = {"kind": "samples", "trained_on": trained_on}
    attributes = shared.record(known if told else None)
    return dataset.write_fields(out, values, grid, names, 1.0, provenance, attributes)


def foreign(path, out, **options):
    """A copy without anything that fdiff recorded."""
    copied(path, out, **options)
    with h5py.File(out, "r+") as file:
        groups = [file, *(g for g in file.values() if isinstance(g, h5py.Group))]
        for group in [*groups, *file.get("boundary_conditions", {}).values()]:
            for name in [n for n in group.attrs if n.startswith("fdiff")]:
                del group.attrs[name]
    return out


def as_well(path, out):
    factory.generate(small(samples=8, format="well"), out)
    return foreign(out, out.with_name("well.h5"))


def one_frame(path, out):
    with dataset.open(path) as file:
        dataset.write_fields(
            out, file.fields(["u", "v"], 1.0), file.grid, ["density", "v"], 0.0, {}
        )
    with h5py.File(out, "r+") as file:
        del file.attrs["fdiff"]
    return out


def subset(path, out):
    foreign(path, out)
    with h5py.File(out, "r+") as file:
        for i in (0, 1, 2, 5, 6):
            del file[f"{i:04d}"]
    return out


def coarser(path, out):
    with dataset.open(path) as file:
        grid = file.grid.coarsen(2)
        values = levels.restrict_field(file.fields("u", 1.0), file.grid, grid)
    return dataset.write_fields(out, values, grid, ["u"], 1.0, {})


COPIES = {
    "float64": (lambda a, b: foreign(a, b, dtype="f8"), 8),
    "big-endian": (lambda a, b: foreign(a, b, dtype=">f4"), 8),
    "packed": (lambda a, b: foreign(a, b, compression="gzip"), 8),
    "one frame": (one_frame, 8),
    "subset": (subset, 3),
    "Well": (as_well, 8),
    "coarser": (coarser, 8),
}


def test_what_a_fingerprint_does_not_notice_is_as_the_documentation_says():
    """docs/training.md, "Held-out data"."""
    grid = fdiff.Grid((32, 32), 2.0, "neumann")
    half = grid.coarsen(2)
    u = fdiff.BesselCovariance(1.0, 25.0, 2.0).sample(grid, 12, seed=3)[:, None]
    known = prints(u, grid)
    blocks = u.reshape(12, 1, 16, 2, 16, 2).mean((3, 5))
    for copy, box in (
        (u.astype("f4").astype(float), grid),
        (levels.restrict_field(u, grid, half), half),
        (levels.prolong_field(u, grid, grid.refine(2)), grid.refine(2)),
    ):
        assert known.known(prints(copy, box)).all()
    for copy, box in (
        (blocks, half),
        (u[..., ::2, ::2], half),
        (np.roll(u, 1, -1), grid),
        (u[..., ::-1], grid),
        (u.swapaxes(-1, -2), grid),
        (u / u.std() + 1, grid),
    ):
        assert not known.known(prints(copy, box)).any()
    assert known.known(prints(u.astype("f2").astype(float), grid)).all()
    high = u + 100
    assert not prints(high, grid).known(prints(high.astype("f2").astype(float), grid)).any()


@pytest.mark.parametrize("kind", COPIES)
def test_evaluate_refuses_copies_of_what_was_trained_on(solutions, tmp_path, capsys, kind):
    copy, count = COPIES[kind]
    path = copy(solutions / "data.h5", tmp_path / "copy.h5")
    words = ["evaluate", str(solutions / "samples.h5"), "--against", str(path)]
    if kind == "one frame":
        words += ["--time", "0"]
        with h5py.File(path, "r+") as file:  # fields without names, as `u` and `v`
            assert "fdiff" not in file.attrs
    assert main(words) == 1
    said = capsys.readouterr().err
    assert f"{count} of the fields of {path} were in the training data" in said
    if kind not in ("one frame", "coarser"):
        assert len(dataset.overlap(solutions / "data.h5", path)) == count
        assert len(dataset.overlap(path, solutions / "data.h5")) == count
        assert not dataset.overlap(solutions / "other.h5", path)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("fdiff_trained_on", "{", "fdiff_trained_on is not valid JSON"),
        ("fdiff_trained_on", 3.0, "fdiff_trained_on: expected text"),
        ("fdiff_trained_on", '{"grid": [[4], [1.0], ["x"], [0.0]], "names": ["u"]}', "'periodic'"),
        ("fdiff_trained_on_values", None, r"values: expected an array of shape \(any, 1, any, any"),
        (
            "fdiff_trained_on_values",
            np.zeros((8, 2, 32, 1), "f4"),
            "values: expected .* found float",
        ),
        ("fdiff_trained_on_modes", np.zeros((31, 2), "i4"), r"modes: expected .*\(32, 2\), found"),
        ("fdiff_trained_on_modes", np.zeros((32, 2)), "modes: expected .* found float64"),
    ],
)
def test_fingerprints_in_a_file_of_samples_are_read_whole_or_refused(
    solutions, tmp_path, name, value, words
):
    path = drawn(solutions, tmp_path / "s.h5")
    with dataset.open(path) as file:
        assert shared.recorded(file) is not None
    with h5py.File(path, "r+") as file:
        del file.attrs[name]
        if value is not None:
            file.attrs[name] = value
    with dataset.open(path) as file, pytest.raises(FileError, match=words):
        shared.recorded(file)


def test_evaluate_takes_other_solutions_of_the_same_law(solutions, capsys):
    words = ["evaluate", str(solutions / "samples.h5"), "--against", str(solutions / "other.h5")]
    assert main(words) == 0
    assert "fingerprints" not in capsys.readouterr().err
    # Of another time than the trained one, a copy is known by its name only.
    assert main([*words[:3], str(solutions / "data.h5"), "--time", "0.5"]) == 0


def test_a_field_among_several_is_compared_by_its_name(solutions, tmp_path, capsys):
    samples = drawn(solutions, tmp_path / "s.h5", ("u", "v"))
    copy = foreign(solutions / "data.h5", tmp_path / "copy.h5", dtype="f8")
    for name in ("u", "v"):
        words = ["evaluate", str(samples), "--against", str(copy), "--field", name]
        assert main(words) == 1
        assert "8 of the fields" in capsys.readouterr().err


def test_samples_that_name_what_was_trained_on_are_compared_by_name_and_say_so(
    solutions, tmp_path, capsys
):
    with dataset.open(solutions / "data.h5") as file:
        names = list(file.identities())
    samples = drawn(solutions, tmp_path / "s.h5", told=False, identities=names[:5])
    words = ["evaluate", str(samples), "--against"]
    assert main([*words, str(solutions / "data.h5")]) == 1
    assert "5 of the fields" in capsys.readouterr().err
    copy = foreign(solutions / "data.h5", tmp_path / "copy.h5")
    assert main([*words, str(copy)]) == 0
    said = capsys.readouterr().err
    assert "has no fingerprints of them that could be compared" in said


def test_samples_that_are_the_data_are_refused_in_any_format(solutions, tmp_path, capsys):
    copy = foreign(solutions / "data.h5", tmp_path / "copy.h5", dtype="f8")
    words = ["evaluate", str(solutions / "data.h5"), "--against", str(copy), "--field", "u"]
    assert main(words) == 1
    assert "8 of the fields" in capsys.readouterr().err


def test_files_that_record_the_name_of_their_source_overlap_by_their_fields(tmp_path):
    a, b = source(tmp_path / "a.h5"), source(tmp_path / "b.h5", seed=9)
    paths = [started(p, tmp_path / f"from_{p.name}", times="0:0.5:0.5") for p in (a, b)]
    again = tmp_path / "again.h5"
    again.write_bytes(paths[0].read_bytes())
    for path in paths:  # of one name, whose content changed in between
        by_name(path, "0123456789abcdef")
    by_name(again, "fedcba9876543210")  # of another name with the same content
    assert dataset.overlap(*paths) == set()
    assert len(dataset.overlap(paths[0], again)) == 8


def test_names_decide_where_no_time_is_common(tmp_path):
    a = source(tmp_path / "a.h5")
    times = ("0.1,0.2", "0.3,0.4")
    paths = [started(a, tmp_path / f"{i}.h5", times=t) for i, t in enumerate(times)]
    for path in paths:
        by_name(path, "0123456789abcdef")
    assert len(dataset.overlap(*paths)) == 8


def test_files_are_compared_at_the_last_time_that_both_store(tmp_path):
    a = source(tmp_path / "a.h5")
    paths = [started(a, tmp_path / f"{i}.h5", times=f"0.25,0.5,{i}") for i in (1, 2)]
    copies = [foreign(path, path.with_name(f"copy{path.name}")) for path in paths]
    assert len(dataset.overlap(*copies)) == 8


def test_what_a_run_stores_is_small_and_comes_back(tmp_path):
    torch = pytest.importorskip("torch")
    from test_nn_trainer import TINY, two_humps

    from fdiff import nn

    torch.manual_seed(0)
    grid = fdiff.Grid((16, 16), 1.0, "neumann")
    u = law(64, 5)[0]
    run = nn.train(u, grid, TINY, tmp_path / "run", names=("u",), time=2.5)
    found = nn.load_run(tmp_path / "run", device="cpu")
    assert found.fingerprints.known(prints(u.astype(float), grid)).all()
    assert run.fingerprints.same(found.fingerprints)
    assert not found.fingerprints.known(prints(two_humps(), grid)).any()
    file = tmp_path / "run" / "fingerprints.safetensors"
    assert file.stat().st_size < 64 * 32 * 4 + 2000
    # Many fields: the file of samples has them beside its text.
    many = Fingerprints(
        np.repeat(found.fingerprints.values, 200, axis=0), run.fingerprints.modes, grid, ("u",)
    )
    out = tmp_path / "s.h5"
    dataset.write_fields(out, u[:2], grid, ["u"], 0.0, {}, shared.record(many))
    with dataset.open(out) as samples:
        assert shared.recorded(samples).same(many)
        assert len(json.dumps(samples.provenance)) < 1000
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(ValueError, match=r"fingerprints.safetensors.* is truncated or damaged"):
        nn.load_run(tmp_path / "run", device="cpu")


def test_a_run_goes_on_with_the_fields_that_it_began_with(tmp_path):
    pytest.importorskip("torch")
    from test_nn_trainer import TINY

    from fdiff import nn

    u, grid = law(64, 5)
    nn.train(u, grid, TINY, tmp_path / "run")
    nn.train(u.astype(float), grid, TINY, tmp_path / "run", resume=True)
    for other in (law(64, 6)[0], u[::-1].copy(), u[:63]):
        with pytest.raises(ValueError, match="was trained on other fields than these"):
            nn.train(other, grid, TINY, tmp_path / "run", resume=True)
    with pytest.warns(UserWarning, match="3 of the 8 validation fields are among the training"):
        nn.train(u, grid, TINY, validation=np.concatenate([u[:3], law(5, 9)[0]]))


def test_a_run_of_an_earlier_version_has_no_fingerprints(tmp_path, capsys):
    pytest.importorskip("torch")
    from fdiff import nn

    assert nn.load_run(CORPUS / "run_one", device="cpu").fingerprints is None
    out, data = str(tmp_path / "s.h5"), CORPUS / "dataset.h5"
    assert main(["sample", str(CORPUS / "run_one"), "--out", out, "--samples", "4"]) == 0
    assert main(["evaluate", out, "--against", str(data), "--split", "train"]) == 1
    assert "of the fields" in capsys.readouterr().err
    copy = foreign(data, tmp_path / "copy.h5", dtype="f8")
    assert main(["evaluate", out, "--against", str(copy), "--split", "train"]) == 0
    assert "has no fingerprints of them" in capsys.readouterr().err
    # The training's command adds them, and trains nothing.
    run = shutil.copytree(CORPUS / "run_one", tmp_path / "run")
    weights = (run / "model.safetensors").read_bytes()
    words = ["train", data, "--time", 5, "--config", CORPUS / "train.toml", "--out", run]
    assert main([*map(str, words), "--resume"]) == 0
    assert (run / "model.safetensors").read_bytes() == weights
    out = str(tmp_path / "again.h5")
    assert main(["sample", str(run), "--out", out, "--samples", "4"]) == 0
    assert main(["evaluate", out, "--against", str(copy), "--split", "train"]) == 1
    assert "18 of the fields" in capsys.readouterr().err


def test_from_training_to_evaluation_a_copy_is_noticed(tmp_path, capsys):
    pytest.importorskip("torch")
    data, run, out = (tmp_path / name for name in ("data.h5", "run", "s.h5"))
    factory.generate(small(samples=40), data)
    (tmp_path / "t.toml").write_text(
        "[network]\nhidden_channels = 4\nn_layers = 1\nn_modes = 8\n"
        "[training]\nlevels = [8, 16]\nsteps = [2, 2]\nbatch_size = [4, 4]\n"
    )
    words = ["train", data, "--out", run, "--config", tmp_path / "t.toml", "--time", "1"]
    assert main([str(w) for w in words]) == 0
    assert main(["sample", str(run), "--out", str(out), "--samples", "4"]) == 0
    copy = foreign(data, tmp_path / "copy.h5", dtype=">f8")
    capsys.readouterr()
    assert main(["evaluate", str(out), "--against", str(copy)]) == 1
    assert "36 of the fields" in capsys.readouterr().err
    status = main(["evaluate", str(out), "--against", str(copy), "--split", "test"])
    assert (status, capsys.readouterr().err) == (0, "")
