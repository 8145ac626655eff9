"""The table of all metrics: complete, finite, the same for any batch, order, library and grid."""

import subprocess
import sys

import numpy as np
import pytest
from numpy.testing import assert_allclose

from fdiff import metrics
from fdiff.covariance import MaternCovariance, SquaredExponentialCovariance
from fdiff.grid import Grid
from fdiff.levels import prolong_field, restrict_field
from fdiff.metrics import METRICS, Estimate, Reference, compare, fields

GRID = Grid((32, 32), 2.0, "neumann", -1.0)
Q = MaternCovariance(1.0, 0.3, 2.0)
REQUIRED = {
    "energy_distance",
    "spectrum_error",
    "kurtosis",
    "std",
    "pointwise_w1",
    "gradient_w1",
}


def values(rows) -> dict[str, float]:
    return {row.metric: row.value for row in rows}


@pytest.fixture(scope="module")
def sets():
    return 1.1 * Q.sample(GRID, 60, seed=1) + 0.05, Q.sample(GRID, 90, seed=2)


@pytest.fixture(scope="module")
def rows(sets):
    return compare(*sets, GRID)


def test_table_is_complete_finite_and_ordered(rows):
    assert set(METRICS) == {row.metric for row in rows} >= REQUIRED
    for row in rows:
        assert np.isfinite([row.value, row.low, row.high]).all()
        assert row.low <= row.value <= row.high
        assert row.as_dict()["resolution"] == [32, 32]


def test_rows_are_the_functions_of_the_same_names(sets, rows):
    x, y = sets
    for name in ("energy_distance", "energy_distance_h1", "approximate_sliced_wasserstein"):
        assert_allclose(values(rows)[name], getattr(metrics, name)(x, y, GRID).value, rtol=1e-9)
    for name in ("sliced_wasserstein", "spectrum_error", "pointwise_w1", "gradient_w1"):
        assert_allclose(values(rows)[name], getattr(metrics, name)(x, y, GRID).value, rtol=1e-9)
    for name in ("perimeter_error", "euler_error"):
        assert_allclose(values(rows)[name], getattr(metrics, name)(x, y, GRID).value, rtol=1e-9)
    for name in ("std", "kurtosis", "vendi_cosine"):
        assert_allclose(values(rows)[name], getattr(metrics, name)(x, GRID).value, rtol=1e-9)


def test_kurtosis_does_not_see_an_offset_from_the_truth(sets):
    x, y = sets
    row = compare(x + 3, y, GRID, metrics=["kurtosis"])[0]
    centred = x - x.mean()
    assert_allclose(row.value, np.mean(centred**4) / x.var() ** 2, rtol=1e-10)


def test_truth_against_truth_is_close_and_another_law_is_not(sets):
    truth = Q.sample(GRID, 400, seed=3)
    reference = Reference(truth[100:], GRID)
    same, other = values(reference.compare(truth[:100])), values(reference.compare(sets[0]))
    for name in ("energy_distance", "pointwise_w1", "std"):
        assert abs(same[name] - (name == "std")) < abs(other[name] - (name == "std"))
    assert values(reference.compare(1.5 * truth[:100]))["gradient_w1"] > 5 * same["gradient_w1"]


def test_order_of_samples_does_not_matter(sets, rows):
    x, y = sets
    again = compare(x[::-1], np.roll(y, 7, axis=0), GRID)
    for before, after in zip(rows, again):
        assert_allclose(after.value, before.value, rtol=1e-8, err_msg=before.metric)


def test_blocks_do_not_matter(sets, rows, monkeypatch):
    monkeypatch.setattr(fields, "BLOCK_VALUES", 7 * 1024)
    for before, after in zip(rows, compare(*sets, GRID)):
        assert_allclose(after.value, before.value, rtol=1e-9, err_msg=before.metric)
        assert_allclose(after.low, before.low, rtol=1e-6, atol=1e-9, err_msg=before.metric)


def test_tensors_and_channels_pass_through(sets, rows):
    torch = pytest.importorskip("torch")
    x, y = (torch.tensor(u)[:, None] for u in sets)
    for before, after in zip(rows, compare(x, y, GRID)):
        assert_allclose(after.value, before.value, rtol=1e-12, err_msg=before.metric)


def test_channels_count_alike(sets, rows):
    x, y = (np.stack([u, 1e3 * u - 5e4], axis=1) for u in sets)
    expected = values(rows)
    for name, value in values(compare(x, y, GRID)).items():
        if name in ("std", "vendi_cosine", "sliced_wasserstein", "vendi_gaussian"):
            continue  # the first two see units, the third draws directions for each channel
        assert_allclose(value, expected[name], rtol=1e-6, err_msg=name)


def test_same_functions_give_the_same_numbers_at_every_resolution():
    # Fourth powers of cosine modes below 8 are summed exactly by 32 points.
    smooth, coarse = SquaredExponentialCovariance(1.0, 0.5), Grid((8, 8), 2.0, "neumann", -1.0)
    x, y = 1.2 * smooth.sample(coarse, 40, seed=1), smooth.sample(coarse, 50, seed=2)
    table = []
    for n in (32, 64, 128):
        grid = coarse.with_shape((n, n))
        table.append(values(compare(*(prolong_field(u, coarse, grid) for u in (x, y)), grid)))
    exact = ("energy_distance", "energy_distance_h1", "approximate_sliced_wasserstein")
    exact += ("sliced_wasserstein", "std", "kurtosis", "vendi_cosine", "vendi_gaussian")
    exact += ("gradient_w1",)
    second_order = ("pointwise_w1", "perimeter_error")
    for other in table[1:]:
        for name in exact:
            assert_allclose(other[name], table[0][name], rtol=1e-7, atol=1e-9, err_msg=name)
        for name in second_order:
            assert_allclose(other[name], table[0][name], rtol=0.02, err_msg=name)


def test_sets_on_two_grids_are_compared_on_the_coarser(sets):
    fine = GRID.refine(2)
    x, y = Q.sample(fine, 30, seed=1), Q.sample(GRID, 40, seed=2)
    rows = compare(x, y, fine, truth_grid=GRID)
    assert {row.resolution for row in rows} == {(32, 32)}
    assert rows == compare(restrict_field(x, fine, GRID), y, GRID)
    swapped = compare(y, x, GRID, truth_grid=fine, metrics=["energy_distance"])
    assert_allclose(swapped[0].resolution, (32, 32))


@pytest.mark.parametrize(
    "grid",
    [
        Grid((24,), 1.0, "periodic"),
        Grid((20, 33), (1.0, 2.0), ("dirichlet", "periodic")),
        Grid((8, 6, 7), 1.0, "neumann"),
    ],
    ids=str,
)
def test_every_box_has_a_table(grid):
    rows = compare(Q.sample(grid, 12, seed=1), Q.sample(grid, 15, seed=2), grid)
    assert {row.metric for row in rows} >= REQUIRED
    assert ("perimeter_error" in {row.metric for row in rows}) == (grid.dim == 2)


def test_precision_of_the_fields_hardly_matters(sets, rows):
    single = compare(*(u.astype(np.float32) for u in sets), GRID)
    for before, after in zip(rows, single):
        assert_allclose(after.value, before.value, rtol=1e-3, atol=1e-5, err_msg=before.metric)


def test_errors_say_what_is_wrong(sets):
    x, y = sets
    broken = x.copy()
    broken[[3, 5], 0, 0] = np.nan
    cases = [
        (
            (broken, y, GRID),
            {},
            "2 of the 60 fields to compare hold NaN or infinite values, the first is number 3",
        ),
        ((x[:, :16], y, GRID), {}, "need fields of shape"),
        ((x[:2], y, GRID), {}, "at least 3 samples, got 2"),
        ((x, np.ones_like(y), GRID), {}, "the truth is constant"),
        ((x, y, GRID), {"metrics": ["fid"]}, "unknown metrics"),
        ((np.stack([x, x], 1), y, GRID), {}, "2 channels, the truth 1"),
        ((x, y, GRID), {"truth_grid": Grid((32, 32))}, "different boxes"),
    ]
    for arguments, options, message in cases:
        with pytest.raises(ValueError, match=message):
            compare(*arguments, **options)
    with pytest.raises(TypeError, match="fields are real"):
        compare(x + 1j, y, GRID)
    with pytest.raises(ValueError, match="outside its interval"):
        Estimate(1.0, 2.0, 3.0)
    with pytest.raises(ValueError, match="finite"):
        Estimate(np.nan, 0.0, 1.0)


def test_metrics_load_neither_torch_nor_numba():
    code = (
        "import sys, fdiff.metrics\n"
        "loaded = {'torch', 'numba', 'matplotlib', 'scipy'} & set(sys.modules)\n"
        "assert not loaded, loaded"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("level", [0.0, 3.0])
def test_samples_that_do_not_vary_are_measured(level):
    """What a collapsed generator gives: every shell lacks all of its energy."""
    grid = Grid((16, 16), 1.0, "neumann")
    truth = SquaredExponentialCovariance(1.0, 0.2).sample(grid, 30, seed=0)
    rows = {row.metric: row for row in compare(np.full((20, 16, 16), level), truth, grid)}
    assert rows["spectrum_error"].value == 1.0
    assert rows["std"].value < 1e-7
    assert "kurtosis" not in rows
    assert rows["vendi_gaussian"].value == pytest.approx(1.0)


def test_values_beyond_the_fourth_powers_of_float64_are_refused():
    grid = Grid((8, 8))
    u = 1e100 * np.random.default_rng(0).standard_normal((5, 8, 8))
    with pytest.raises(ValueError, match=r"up to .*e\+100, whose fourth powers"):
        compare(u, u, grid)
