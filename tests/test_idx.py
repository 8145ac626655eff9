"""IDX files: exact values back, and each kind of damage named."""

import gzip

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from problems import shared_data

import fdiff
from fdiff.dataset.idx import find_images, read_idx, read_images
from fdiff.dataset.images import resize


def encode(array: np.ndarray) -> bytes:
    header = bytes([0, 0, 8, array.ndim])
    return header + b"".join(n.to_bytes(4, "big") for n in array.shape) + array.tobytes()


@given(
    shape=st.lists(st.integers(1, 5), min_size=1, max_size=4),
    zipped=st.booleans(),
    seed=st.integers(0, 99),
)
def test_reading_gives_back_what_was_written(tmp_path_factory, shape, zipped, seed):
    values = np.random.default_rng(seed).integers(0, 256, shape, np.uint8)
    raw = encode(values)
    path = tmp_path_factory.mktemp("idx") / "file"
    path.write_bytes(gzip.compress(raw) if zipped else raw)
    assert np.array_equal(read_idx(path), values)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda raw: raw[:-1], "truncated"),
        (lambda raw: raw + b"\x00", "longer"),
        (lambda raw: b"\x01" + raw[1:], "two zero bytes"),
        (lambda raw: raw[:2] + b"\x0d" + raw[3:], "unsigned bytes"),
        (lambda raw: raw[:6], "header"),
        (lambda raw: b"", "two zero bytes"),
        (lambda raw: gzip.compress(raw)[:-9], "damaged gzip"),
    ],
)
def test_damage_is_named(tmp_path, damage, message):
    path = tmp_path / "file"
    path.write_bytes(damage(encode(np.zeros((3, 4, 4), np.uint8))))
    with pytest.raises(ValueError, match=message):
        read_idx(path)


def test_a_folder_without_images_says_what_it_should_hold(tmp_path):
    with pytest.raises(ValueError, match="train-images-idx3-ubyte"):
        find_images(tmp_path)


def test_mnist_has_its_known_mean_and_standard_deviation():
    folder = shared_data("mnist")
    (path,) = find_images(folder)
    images = read_images(path)
    assert images.shape == (10000, 28, 28)
    assert abs(255 * images.mean(dtype=float) - 33.791) < 1e-3
    assert abs(255 * images.std(dtype=float) - 79.172) < 1e-3


def test_resizing_keeps_linear_functions_between_the_first_and_last_cell():
    centres = (np.arange(28) + 0.5) / 28
    image = (2 * centres[:, None] - 3 * centres)[None]
    fine = (np.arange(64) + 0.5) / 64
    inner = (fine >= centres[0]) & (fine <= centres[-1])
    expected = 2 * fine[:, None] - 3 * fine
    assert np.allclose(resize(image, 64)[0][np.ix_(inner, inner)], expected[np.ix_(inner, inner)])


def test_resizing_is_that_of_torch():
    functional = pytest.importorskip("torch.nn.functional")
    import torch

    image = np.random.default_rng(1).random((2, 28, 28))
    for side in (64, 128, 50):
        theirs = functional.interpolate(
            torch.from_numpy(image[:, None]), (side, side), mode="bilinear", align_corners=False
        )
        assert np.allclose(resize(image, side), theirs[:, 0].numpy(), atol=1e-14)


def test_blur_of_the_paper_is_the_identity():
    """Seven pixels, standard deviation 0.1 pixels; the neighbour's weight is exp(-50)."""
    kernel = np.exp(-0.5 * (np.arange(-3, 4) / 0.1) ** 2)
    kernel /= kernel.sum()
    rows = np.pad(np.random.default_rng(0).random((64, 64)), 3, mode="reflect")
    views = np.lib.stride_tricks.sliding_window_view(rows, (7, 7))
    weights = np.outer(kernel, kernel)
    centre = weights[3, 3] * views[..., 3, 3]
    weights[3, 3] = 0.0
    rest = np.einsum("ijab,ab->ij", views, weights)
    assert np.array_equal(centre, rows[3:-3, 3:-3])
    assert 0 < rest.max() < 1e-21


def test_full_set_splits_by_file_and_a_zipped_twin_counts_once(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (9, 28, 28), np.uint8)
    (tmp_path / "t10k-images-idx3-ubyte.gz").write_bytes(gzip.compress(encode(pixels[6:])))
    (tmp_path / "train-images-idx3-ubyte").write_bytes(encode(pixels[:6]))
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(encode(pixels[:6])))
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(encode(np.zeros(6, np.uint8)))
    with fdiff.dataset.open(tmp_path) as images:
        assert (images.indices("train"), images.indices("test")) == (range(6), range(6, 9))
        expected = resize(pixels[6:, ::-1] / np.float32(255), 64)
        assert np.allclose(images.fields(split="test")[:, 0], expected, atol=1e-6)


def test_images_of_two_sizes_or_not_square_are_refused(tmp_path):
    (tmp_path / "t10k-images-idx3-ubyte").write_bytes(encode(np.zeros((2, 28, 20), np.uint8)))
    with pytest.raises(ValueError, match=r"expected square images of one size .* 28×20"):
        fdiff.dataset.open(tmp_path).fields()
    (tmp_path / "t10k-images-idx3-ubyte").write_bytes(encode(np.zeros((2, 28, 28), np.uint8)))
    (tmp_path / "train-images-idx3-ubyte").write_bytes(encode(np.zeros((2, 32, 32), np.uint8)))
    with pytest.raises(ValueError, match="expected square images of one size"):
        len(fdiff.dataset.open(tmp_path))


def test_an_mnist_folder_reads_like_a_dataset(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (20, 28, 28), np.uint8)
    (tmp_path / "t10k-images-idx3-ubyte").write_bytes(encode(pixels))
    with fdiff.dataset.open(tmp_path) as images:
        assert images.fields("image", split="train").shape == (18, 1, 64, 64)
        assert list(images.indices("test")) == [9, 19]
        everything = sorted([*images.indices("train"), *images.indices("test")])
        assert everything == list(images.indices())
        assert np.array_equal(images.fields(split="test")[1], images.state(19, ["image"]))
        assert images.grid == fdiff.Grid((64, 64), 1.0, "neumann")
        assert not set(images.identities("train")) & set(images.identities("test"))
        with pytest.raises(ValueError, match="image"):
            images.fields("u")


def test_one_file_alone_is_split_into_two_samples_of_one_law():
    """Its last tenth is of another law than its first nine."""
    from fdiff.metrics import energy_distance

    with fdiff.dataset.open(shared_data("mnist")) as images:
        assert (len(images.indices("train")), len(images.indices("test"))) == (9000, 1000)
        train, held_out, grid = (
            images.fields(split="train"),
            images.fields(split="test"),
            images.grid,
        )
        everything = images.fields()
    ends = energy_distance(everything[:9000:23], everything[9000::3], grid)
    assert ends.low > 0.005
    assert abs(energy_distance(train[::23], held_out[::3], grid).value) < 0.005


@pytest.fixture
def folder(tmp_path):
    pixels = np.random.default_rng(3).integers(0, 256, (20, 8, 8), np.uint8)
    (tmp_path / "t10k-images-idx3-ubyte").write_bytes(encode(pixels))
    return tmp_path


def test_a_folder_reads_like_a_file_everywhere(folder):
    """What takes a dataset takes a folder of images: pictures, torch, xarray."""
    from fdiff import trajectory_plots

    trajectory = trajectory_plots.load(folder, 3)
    with fdiff.dataset.open(folder) as images:
        first = images.fields(time=0.0)
        assert np.array_equal(trajectory.values, first[3])
        with pytest.raises(ValueError, match="no parameters"):
            images.parameters(["k"])
        with pytest.raises(ValueError, match="no time"):
            images.fields(time=2.5)
    assert trajectory.title.endswith("sample 00003, image")
    torch_data = pytest.importorskip("fdiff.nn.data")
    items = torch_data.TrajectoryDataset(folder, split="test", resolution=32)
    assert items[1].shape == (1, 32, 32)
    assert len(items) == 2
    pytest.importorskip("xarray")
    stacked = fdiff.dataset.open(folder).to_xarray()
    assert stacked.sizes == {"sample": 20, "time": 1, "y": 64, "x": 64}
    assert np.array_equal(stacked["image"][3, 0], first[3, 0])
