"""What an earlier version wrote is read as it was written: datasets, shards, samples and runs."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

import fdiff
from fdiff import dataset

CORPUS = Path(__file__).parent / "corpus"
EXPECTED = json.loads((CORPUS / "expected.json").read_text())
FILES = [name for name in EXPECTED if not name.startswith("run_")]
RUNS = [name for name in EXPECTED if name.startswith("run_")]


@pytest.mark.parametrize("name", FILES)
def test_a_dataset_of_an_earlier_version_reads_as_it_was_written(name):
    known = EXPECTED[name]
    with dataset.open(CORPUS / name) as file:
        fields = file.fields(list(file.field_names))
        assert list(file.field_names) == known["fields"]
        for part in ("lengths", "boundary", "origin"):
            assert list(getattr(file.grid, part)) == known[part]
        np.testing.assert_array_equal(file.times, known["times"])
        assert list(file.identities())[:2] == known["identities"]
    assert list(fields.shape) == known["shape"]
    assert hashlib.sha256(fields.astype("<f4").tobytes()).hexdigest() == known["sha256"]


@pytest.mark.parametrize("name", RUNS)
def test_a_run_of_an_earlier_version_draws_the_same_fields(name):
    from fdiff import nn

    known = EXPECTED[name]
    run = nn.load_run(CORPUS / name, device="cpu")
    assert list(run.fields) == known["fields"]
    assert run.time == known["time"]
    drawn = fdiff.sample(
        run.score_at(**known["told"]), run.grid.with_shape((6, 6)), 2, steps=3, seed=5,
        channels=len(run.fields), backend="torch", dtype="float32",
    )  # fmt: skip
    # Float32 networks differ by round-off from processor to processor.
    scale = np.abs(known["values"]).max()
    np.testing.assert_allclose(drawn.fields, known["values"], rtol=0, atol=1e-4 * scale)
