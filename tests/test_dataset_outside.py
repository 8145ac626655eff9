"""Datasets through xarray and on a Dask cluster, where these are installed."""

import json

import h5py
import numpy as np
import pytest

from fdiff import dataset
from fdiff.cli import main
from fdiff.dataset import factory, recipe
from fdiff.dataset.verify import verify


def small(**changes):
    values = {"resolution": (8, 12), "times": "0:1:0.25", "samples": 6} | changes
    return recipe.load("fitzhugh-nagumo").override(**values)


@pytest.mark.parametrize("layout", ["pdebench", "well"])
def test_xarray_reads_what_is_asked_for(tmp_path, layout):
    pytest.importorskip("xarray")
    path = tmp_path / "x.h5"
    factory.generate(small(format=layout, first=3), path)
    with dataset.open(path) as file:
        data = file.to_xarray()
        assert dict(data.sizes) == {"sample": 6, "time": 5, "y": 8, "x": 12}
        assert np.allclose(data["x"], file.grid.points(1))
        u = file.fields("u", 0.5)[:, 0]
        assert (data["u"].sel(time=0.5).values == u).all()
        assert (data["u"].isel(sample=[4, 1], time=2).values == u[[4, 1]]).all()
        one = data["v"].isel(sample=2, time=slice(1, 4), y=3)
        assert one.shape == (3, 12)
        assert (one.values[1] == file.fields("v", 0.5)[2, 0, 3]).all()
        assert json.loads(data.attrs["fdiff"])["kind"] == "generated"
        if layout == "pdebench":
            assert data["sample"].values.tolist() == [3, 4, 5, 6, 7, 8]
        assert data["u"].mean().values == pytest.approx(
            file.provenance["statistics"]["u"]["mean"], abs=1e-6
        )


def test_a_local_cluster_extends_and_refuses_without_noise(tmp_path, capfd):
    pytest.importorskip("distributed")
    out, whole = tmp_path / "x.h5", tmp_path / "whole.h5"
    command = ["generate", "paper-mixture", "--resolution", "8", "--workers", "1"]
    words = [*command, "--out", str(out), "--dask", "local", "--samples"]
    assert main([*words, "3"]) == 0
    assert main([*words, "5"]) == 0
    assert "2 fields (3 were there already)" in capfd.readouterr().err
    assert main([*command, "--out", str(whole), "--samples", "5"]) == 0
    with dataset.open(out) as a, dataset.open(whole) as b:
        assert (a.fields() == b.fields()).all()
    assert verify(out)["damaged"] == {}
    # Shards of other samples, begun before there was a master: refused in one sentence.
    (tmp_path / "y.0-of-2.h5").write_bytes((tmp_path / "x.from-3.1-of-2.h5").read_bytes())
    capfd.readouterr()
    assert main([*command, "--out", str(tmp_path / "y.h5"), "--dask", "local"]) == 1
    said = capfd.readouterr().err
    assert said.count("\n") == 1
    assert "y.0-of-2.h5 holds another dataset: first is 4, not 0" in said


@pytest.mark.slow
def test_a_cluster_that_loses_a_worker_makes_the_same_dataset(tmp_path):
    distributed = pytest.importorskip("distributed")
    from fdiff.dataset import cluster

    r = small(resolution=(64, 64), samples=48, times="0:5:0.05")
    out, calm = tmp_path / "x.h5", tmp_path / "calm.h5"
    killed = []

    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None
    ) as local:

        def kill_one(done, total):
            if not killed:
                worker = next(iter(local.workers.values()))
                killed.append(worker.process.process.pid)
                worker.process.process.kill()

        done = cluster.generate(r, out, local.scheduler_address, progress=kill_one)
    assert killed
    assert done["samples"] == 48
    assert verify(out)["damaged"] == {}
    factory.generate(r, calm, workers=2)
    with h5py.File(out) as a, h5py.File(calm) as b:
        assert list(a) == list(b)
        for key in a:
            assert (a[key]["data"][...] == b[key]["data"][...]).all()
            assert dict(a[key].attrs) == dict(b[key].attrs)
    assert cluster.generate(r, out, "local", 2)["status"] == "complete"
