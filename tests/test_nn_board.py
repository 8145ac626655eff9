"""What TensorBoard gets to see of a training, and what happens without it."""

import json
import sys

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")

from test_nn_trainer import GRID, TINY, two_humps  # noqa: E402

from fdiff import nn  # noqa: E402


class Notebook:
    """A writer that remembers."""

    def __init__(self):
        self.scalars, self.closed = [], False

    def add_scalar(self, tag, value, step):
        self.scalars.append((tag, value, step))

    def close(self):
        self.closed = True

    def of(self, tag):
        return [(step, value) for name, value, step in self.scalars if name == tag]


def train(folder, **options):
    return nn.train(
        two_humps(12), GRID, TINY, folder, validation=two_humps(4, 1), tensorboard=True, **options
    )


def test_every_step_and_every_validation_is_written(tmp_path, monkeypatch):
    book, opened = Notebook(), []

    def open_writer(directory, step):
        opened.append((directory, step))
        return book

    monkeypatch.setattr(nn.fitting, "open_writer", open_writer)
    losses = []
    train(tmp_path, progress=lambda p: losses.append(p.loss))
    assert opened == [(tmp_path / "tensorboard", 0)]
    assert book.closed
    assert book.of("loss/8x8") + book.of("loss/16x16") == list(enumerate(losses, 1))
    assert [step for step, _ in book.of("learning_rate")] == list(range(1, 11))
    records = [json.loads(x) for x in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    for level in ("8x8", "16x16"):
        expected = [(r["step"], r["validation"][level]) for r in records]
        assert book.of(f"validation/{level}") == expected


def test_without_tensorboard_a_sentence_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(ModuleNotFoundError, match=r'pip install "fdiff\[tensorboard\]"'):
        train(tmp_path / "run")
    assert not (tmp_path / "run").exists()
    with pytest.raises(ValueError, match="give out"):
        train(None)


def test_tensorboard_reads_the_files(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    losses = []
    train(tmp_path, progress=lambda p: losses.append(p.loss))
    found = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    values = [e.value for tag in ("loss/8x8", "loss/16x16") for e in found.Scalars(tag)]
    np.testing.assert_allclose(values, losses, rtol=1e-6)
