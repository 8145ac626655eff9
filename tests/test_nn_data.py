"""The torch dataset over generated files."""

import numpy as np
import pytest
import torch

from fdiff import dataset
from fdiff.dataset import factory, recipe
from fdiff.levels import restrict_field
from fdiff.nn.data import TrajectoryDataset


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    out = tmp_path_factory.mktemp("data") / "x.h5"
    r = recipe.load("fitzhugh-nagumo").override(resolution=(16, 16), times="0:1:0.5", samples=10)
    factory.generate(r, out)
    return out


def test_items_are_samples_at_times(path):
    data = TrajectoryDataset(path)
    assert len(data) == 30
    assert data[0].shape == (2, 16, 16)
    assert data[0].dtype == torch.float32
    with dataset.open(path) as file:
        assert (data[3 * 4 + 1].numpy() == file.fields(["u", "v"], 0.5)[4]).all()
    assert (data[-1] == data[29]).all()
    with pytest.raises(IndexError):
        data[30]


def test_selection_by_field_time_split_and_resolution(path):
    data = TrajectoryDataset(path, "v", 1.0, "train", 8)
    assert len(data) == 9
    with dataset.open(path) as file:
        fine = file.fields("v", 1.0, "train")
        expected = restrict_field(fine, file.grid, data.grid)
    assert np.allclose(data[5].numpy(), expected[5], atol=1e-6)
    for wrong, words in (
        ({"fields": "w"}, "has fields u, v"),
        ({"times": 0.3}, "has no time 0.3"),
        ({"split": "valid"}, "has splits"),
        ({"resolution": 32}, "at most that"),
    ):
        with pytest.raises(ValueError, match=words):
            TrajectoryDataset(path, **wrong)


def test_workers_read_what_one_process_reads(path):
    data = TrajectoryDataset(path, "u", [0.5, 1.0])
    data[0]  # an open file must not travel
    plain = torch.cat(list(torch.utils.data.DataLoader(data, batch_size=4)))
    loader = torch.utils.data.DataLoader(
        data, batch_size=4, num_workers=2, multiprocessing_context="spawn"
    )
    assert (torch.cat(list(loader)) == plain).all()
