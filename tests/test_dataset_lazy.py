"""Ten thousand trajectories are read without being loaded."""

import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

SAMPLES, TIMES, SIDE = 10_000, 256, 4
VALUES = TIMES * SIDE**2 * 2 * 4  # bytes of a sample, 33 kB
# Growth from 3,000 samples on, by sample: the array that is asked for, and little else.
KEPT = 400

READ = """
import resource, sys
import numpy as np
from fdiff import dataset

def peak():
    line = next(x for x in open("/proc/self/status") if x.startswith("VmHWM"))
    return int(line.split()[1]) * 1024

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize()

def by_reader():
    with dataset.open(path) as file:
        assert len(file) == 10_000
        for row in (0, 5_000, 9_999):
            assert (file.state(row, ["u", "v"], 0.5) == row).all()
        u = file.fields("u", 0.5)
        assert u.shape == (10_000, 1, 4, 4)
        assert (u[:, 0, 1, 2] == np.arange(10_000)).all()
        assert len(file.fields("v", 1.0, "test")) == 1_000

def by_growth():
    with dataset.open(path) as file:
        begin = None
        for row in range(10_000):
            file.state(row, ["u"], 0.5)
            if row == 2_999:
                begin = resident()
        print(resident() - begin)

def by_torch():
    items = TrajectoryDataset(path, times=[0.5, 1.0])
    assert len(items) == 20_000
    for row in (3, 7_777, 9_999):
        assert (items[2 * row].numpy() == row).all()

def by_xarray():
    with dataset.open(path) as file:
        data = file.to_xarray()
        assert data["u"].shape == (10_000, 256, 4, 4)
        assert (data["v"].isel(sample=4_321).sel(time=0.5).values == 4_321).all()

path, way = sys.argv[1:]
if way == "torch":
    from fdiff.nn.data import TrajectoryDataset
if way == "xarray":
    import xarray
import h5py
with dataset.open(sys.argv[1]) as warm:  # what is loaded once, whatever the file
    warm.state(0, ["u"], 0.5), warm.to_xarray() if way == "xarray" else None
before = peak()
{"reader": by_reader, "growth": by_growth, "torch": by_torch, "xarray": by_xarray}[way]()
print(peak() - before)
"""


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """PDEBench's layout; sample i holds the value i at the time 0.5 and holes elsewhere."""
    path = tmp_path_factory.mktemp("many") / "x.h5"
    storage = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    storage.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    storage.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    space = h5py.h5s.create_simple((TIMES, SIDE, SIDE, 2))
    times = np.linspace(0, 1, TIMES + 1)[1:]
    half = int(np.flatnonzero(times == 0.5)[0])
    with h5py.File(path, "w") as file:
        for i in range(SAMPLES):
            group = file.create_group(f"{i:05d}")
            data = h5py.Dataset(
                h5py.h5d.create(group.id, b"data", h5py.h5t.IEEE_F32LE, space, storage)
            )
            data[half] = i
            if i:
                group["grid"] = file["00000/grid"]
                continue
            for name in "xy":
                group[f"grid/{name}"] = (np.arange(SIDE) + 0.5) / SIDE
            group["grid/t"] = times
    assert path.stat().st_size > SAMPLES * VALUES
    return path


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak is read from Linux")
@pytest.mark.parametrize(("way", "package"), [("reader", "h5py"), ("torch",) * 2, ("xarray",) * 2])
def test_ten_thousand_trajectories_are_not_loaded(many, way, package):
    pytest.importorskip(package)
    done = subprocess.run(
        [sys.executable, "-c", READ, str(many), way], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    # 10,000 arrays of 4 x 4 numbers come to 0.6 MB, HDF5's own memory to some 8 MB.
    assert int(done.stdout) < (500 * VALUES if way == "reader" else 1000 * VALUES)


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="the size is read from Linux")
def test_memory_does_not_grow_with_the_samples_that_were_read(many):
    done = subprocess.run(
        [sys.executable, "-c", READ, str(many), "growth"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[0]) < (SAMPLES - 3_000) * KEPT
