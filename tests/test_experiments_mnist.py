"""The experiment on MNIST: its data, priors, measures and report, without training for long."""

import gzip
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

import fdiff
from fdiff.metrics.estimate import Estimate
from validation.experiments import digits, mnist, mnist_priors, mnist_results, runner
from validation.experiments import setting as settings
from validation.experiments.workspace import Workspace

PRIORS = ("standard", "fno", "inverse_laplacian", "bessel", "combined", "smooth", "short")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> str:
    """Ellipses of several shapes in the place of digits, as an IDX file."""
    draw = np.random.default_rng(0)
    x = (np.arange(28) + 0.5) / 28 - 0.5
    a, b = draw.uniform(0.08, 0.3, (2, 120, 1, 1))
    values = 255 * np.exp(-(((x[:, None] / a) ** 2 + (x / b) ** 2) ** 2))
    pixels = values.astype(np.uint8)
    header = bytes([0, 0, 8, 3]) + b"".join(n.to_bytes(4, "big") for n in pixels.shape)
    place = tmp_path_factory.mktemp("idx")
    (place / "t10k-images-idx3-ubyte.gz").write_bytes(gzip.compress(header + pixels.tobytes()))
    return str(place)


def test_digits_are_one_function_on_all_grids(folder):
    fine, grid = digits.digits(folder, "neumann", 64, "test", 99)
    coarse, coarse_grid = digits.digits(folder, "neumann", 32, "test", 99)
    assert fine.shape == (12, 1, 64, 64)
    expected = fdiff.levels.restrict_field(fine.astype(float), grid, coarse_grid)
    assert np.allclose(coarse, expected, atol=1e-6)
    beyond, finer_grid = digits.digits(folder, "neumann", 128, "test", 99)
    back = fdiff.levels.restrict_field(beyond.astype(float), finer_grid, grid)
    assert np.sqrt(np.mean((back - fine) ** 2)) < 0.01  # aliasing of the sampling at 64²
    few, _ = digits.digits(folder, "neumann", 64, "test", 3)
    assert np.array_equal(few, fine[[0, 5, 11]])


@pytest.mark.parametrize("name", PRIORS)
def test_priors_have_the_trace_of_the_data(name):
    grid = fdiff.Grid((32, 32), 1.0, "neumann")
    data = fdiff.BesselCovariance(0.7, 20.0, 2.0)
    total = data.trace(grid) + data.tail_trace(grid)
    noise = digits.noise(name, grid, data)
    if name == "standard":  # no trace: the variance of its values at 32²
        assert noise.pointwise_variance(grid) == pytest.approx(np.full((32, 32), total))
    else:
        assert noise.trace(grid) + noise.tail_trace(grid) == pytest.approx(total)
    assert (noise.eigenvalues(grid) > 0).all()


def test_our_noises_are_those_of_the_commands():
    pytest.importorskip("typer")
    from fdiff.nn import DenoiserConfig
    from fdiff.nn.config import IMAGES

    grid = fdiff.Grid((32, 32), 1.0, "neumann")
    data = fdiff.BesselCovariance(0.7, 20.0, 2.0)
    for name, settings_ in (("smooth", {}), ("short", IMAGES["denoiser"])):
        expected = DenoiserConfig(**settings_).noise(grid, data).eigenvalues(grid)
        assert np.allclose(digits.noise(name, grid, data).eigenvalues(grid), expected, rtol=1e-12)


def test_what_stands_out_of_the_noise(folder):
    """Ellipses are smooth: their shape stands out of rough noise, finer modes of smooth noise."""
    smooth, short = (digits.prominent(folder, name, 200) for name in ("smooth", "short"))
    assert 1 <= short < smooth <= 31


def test_the_published_digits_count_as_they_are_nearer(folder):
    setting = settings.load("mnist", "quick")
    at = digits.MEASURES.index("energy distance")
    rows = np.zeros((2, len(digits.MEASURES)))
    rows[0, at], rows[1, at] = 0.3, 0.2
    results = {"paper-bessel-0": {"measures_32": rows[0], "rescaled_32": rows[1]}}
    assert mnist_results.published(setting, results, "bessel", 32) == pytest.approx([0.2])
    results["paper-bessel-0"]["rescaled_32"] = 2 * rows[0]
    assert mnist_results.published(setting, results, "bessel", 32) == pytest.approx([0.3])


def test_unknown_prior_is_refused():
    grid = fdiff.Grid((32, 32), 1.0, "neumann")
    with pytest.raises(ValueError, match="inverse_laplacian, bessel"):
        digits.noise("laplace", grid, fdiff.BesselCovariance())


def test_frame_counts_what_is_near_the_walls_alone():
    fields = np.zeros((2, 1, 16, 16))
    fields[..., 2:-2, 2:-2] = 5.0
    assert digits.frame_rms(fields) == 0.0
    fields[..., 0, :] = 1.0  # 16 of the frame's 256 - 144 cells
    assert digits.frame_rms(fields) == pytest.approx(np.sqrt(16 / 112))


def test_rescaling_hides_amplitude_and_offset():
    fields = np.random.default_rng(0).random((3, 1, 8, 8))
    moved = digits.rescaled(0.1 * fields - 4.0)
    assert np.allclose(moved, digits.rescaled(fields))
    assert (moved.min(), moved.max()) == (0.0, 1.0)


def test_a_warm_start_that_never_gets_there_is_not_sooner():
    """Its training may end before the cold one's does."""
    cold = np.array([[0.0, 0, 1.0], [10.0, 30, 0.5], [20.0, 60, 0.4]])
    quick = np.array([[0.0, 0, 1.0], [5.0, 30, 0.4], [6.0, 40, 0.3]])
    never = np.array([[0.0, 0, 1.0], [5.0, 30, 0.7], [6.0, 40, 0.5]])
    found = mnist.sooner("x", [quick, 1.1 * quick], [cold, 1.1 * cold])
    assert found.observed == pytest.approx(0.25)
    assert mnist.sooner("x", [quick, never], [cold, cold]).verdict == "FAIL"
    assert mnist.sooner("x", [never], [cold]).verdict == "INCONCLUSIVE"


def test_measures_of_the_truth_itself(folder):
    truth, grid = digits.digits(folder, "neumann", 32, "train", 200)
    values = dict(zip(digits.MEASURES, digits.measure(truth[::2], truth[1::2], grid)))
    assert abs(values["energy distance"]) < 0.05
    assert values["pointwise W1"] < 0.1
    wrong = dict(zip(digits.MEASURES, digits.measure(truth[::2] + 0.3, truth[1::2], grid)))
    assert wrong["energy distance"] > 0.1
    assert wrong["frame"] > 0.25


def test_sentence_says_which_is_better_or_neither():
    assert "do not tell" in mnist.sentence("frame", Estimate(0.1, -0.1, 0.3), 3)
    assert "no-flux square is better" in mnist.sentence("frame", Estimate(-0.2, -0.3, -0.1), 3)
    assert "periodic square is better" in mnist.sentence("frame", Estimate(0.2, 0.1, 0.3), 3)
    assert "do not tell" in mnist.sentence("frame", Estimate(0.2, 0.2, 0.2), 1)  # one run


def test_difference_below_zero_needs_an_interval():
    assert mnist_priors.below_zero("x", np.array([1.0]), np.array([2.0])).verdict == "INCONCLUSIVE"
    first, second = np.array([-0.01, 0.01, 0.0]), np.array([1.0, 1.1, 0.9])
    assert mnist_priors.below_zero("x", first, second).verdict == "PASS"
    assert mnist_priors.below_zero("x", second, first).verdict == "FAIL"


def test_without_data_it_is_skipped_with_a_sentence(tmp_path):
    setting = settings.load("mnist", "quick")
    with pytest.raises(runner.Skipped, match="give --data DIR"):
        next(mnist.run(setting, Workspace(tmp_path)))
    with pytest.raises(runner.Skipped, match="holds no MNIST images"):
        digits.mnist_folder(tmp_path)


class Inline(Workspace):
    """Tasks in this process."""

    def map(self, function, tasks):
        return {key: function(**task) for key, task in tasks.items()}


def test_the_whole_report_from_a_few_steps(folder, tmp_path):
    setting = settings.load("mnist", "full", Path(folder))
    tiny = {
        "seeds": 2, "samples": 8, "sides": [28, 32, 64], "warm": [2, 1], "cold": 2, "points": 2,
        "validation": 8, "prior_steps": 1, "noise_seeds": 3, "paper_samples": 6,
        "paper_evaluations": 2, "evaluations": 2, "batch": 4, "priors": ["bessel"],
        "network": {
            "kind": "oriented", "mixing": "full", "hidden_channels": 4, "n_layers": 1,
            "n_modes": 28,
        },
    }  # fmt: skip
    assert tiny.keys() <= setting.values.keys()
    setting.values.update(tiny)
    items = list(mnist.run(setting, Inline(tmp_path)))
    kinds = [type(item).__name__ for item in items]
    assert kinds.count("Picture") == 4
    assert items[-1].title.startswith("For the README")
    assert [row[2] for row in items[-1].rows] == ["32²", "64²"] * 3
    for item in items:
        if isinstance(item, mnist.Table):
            assert all(len(row) == len(item.header) for row in item.rows)
        if isinstance(item, mnist.Picture):
            assert item.make().axes
