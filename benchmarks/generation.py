"""FitzHugh-Nagumo data beside PDEBench: 128 x 128 cells, t = 5, 101 stored times.

``fhn_vs_pdebench``: one trajectory on one core beside PDEBench's simulator (scipy's RK45), as a
ratio of times; the errors of the very run that is timed stand on standard error.
``generate_vs_pdebench``: 256 trajectories written by two workers beside its simulator and writer on
two processes (16 trajectories, scaled). ``generate_vs_simulator``: one worker, written, beside the
simulator alone. ``workers_last``, ``workers_all``: two workers over one where the last time is
stored, or all.

What bounds these times is measured beside them and told on standard error: see `bounds`.

``PDEBENCH_SIM`` names a folder with PDEBench's ``sim_diff_react.py``; without it only the last two
rows are measured. Files are written to a folder of the system's temporary directory and removed.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks import bounds
from benchmarks.measure import row, seconds

BARS = {
    "fhn_vs_pdebench": 60.0,
    "generate_vs_pdebench": 20.0,
    "generate_vs_simulator": 25.0,
    "workers_last": 1.7,
    "workers_all": 1.3,
}
CELLS, TRAJECTORIES, PEER_TRAJECTORIES = 128, 256, 16
TIMES = np.linspace(0, 5, 101)
ALLOWED_ERROR = 5e-5


def rows():
    """One dictionary a row."""
    simulator_seconds = None
    if os.environ.get("PDEBENCH_SIM"):
        first, simulator_seconds = trajectory()
        yield first
        yield versus_pdebench()
    else:
        say("set PDEBENCH_SIM to a folder with PDEBench's sim_diff_react.py to compare with it")
    say(computing_bound())
    one = generated(1, TRAJECTORIES // 4)
    say(disk_bound(one, TRAJECTORIES // 4))
    if simulator_seconds is not None:
        yield row(
            "generate_vs_simulator", one, simulator_seconds, "s", better="higher",
            bar=BARS["generate_vs_simulator"], ratio=simulator_seconds / one,
        )  # fmt: skip
    for name, times in (("workers_last", "5"), ("workers_all", "0:5:0.05")):
        alone, both = (min(generated(w, 64, times) for _ in range(3)) for w in (1, 2))
        yield row(
            name, both, alone, "s", better="higher", bar=BARS[name], ratio=alone / both
        )  # fmt: skip


def say(sentence: str) -> None:
    print(f"benchmarks: generation: {sentence}", file=sys.stderr, flush=True)


def computing_bound() -> str:
    """One stage beside memory traffic and arithmetic, and a trajectory beside its stages."""
    from fdiff import pde

    system = pde.system("fitzhugh-nagumo")
    grid = system.grid(CELLS)
    initial = pde.PDEBenchInitial().draw(system, grid, 0, 0)
    out = np.empty((len(TIMES), CELLS, CELLS, 2), "f4")
    log: list[tuple] = []

    def all_times() -> None:
        log.append(pde.trajectory(system, initial, grid, TIMES, 1e-5, out))

    def last_time() -> None:
        pde.trajectory(system, initial, grid, TIMES[-1:], 1e-5, out[-1:])

    one = bounds.stage(system, grid)
    every, last = seconds(all_times, last_time, runs=15)
    stages = log[-1][2]
    least = stages * one.whole
    return (
        f"{one.sentence()}; a trajectory has {stages} stages, {least * 1e3:.1f} ms, and takes "
        f"{every * 1e3:.1f} ms ({least / every:.0%} are plain stages), {last * 1e3:.1f} ms where "
        "only the last time is stored; the rest is sums of closing stages, error norms and outputs"
    )


def disk_bound(ours: float, count: int) -> str:
    """Seconds a trajectory of one worker beside a plain write of the same bytes."""
    size = 4 * 2 * len(TIMES) * CELLS**2
    plain = bounds.disk(size, count)
    return (
        f"a plain sequential write of {count} x {size / 1e6:.1f} MB with a flush takes "
        f"{plain * 1e3:.1f} ms a trajectory ({size / plain / 1e6:.0f} MB/s); one worker computes, "
        f"writes and flushes in {ours * 1e3:.1f} ms, {ours / plain:.2f} times the disk's own time"
    )


def simulator():
    """PDEBench's class, from the folder that PDEBENCH_SIM names."""
    folder = os.environ["PDEBENCH_SIM"]
    if folder not in sys.path:
        sys.path.insert(0, folder)
    from sim_diff_react import Simulator

    return Simulator


def trajectory() -> tuple[dict, float]:
    """The row of one trajectory, and the peer's seconds."""
    from fdiff import pde

    system = pde.system("fitzhugh-nagumo")
    grid, law = system.grid(CELLS), pde.PDEBenchInitial()
    out = np.empty((len(TIMES), CELLS, CELLS, 2), "f4")
    peer = simulator()(t=5, tdim=101, xdim=CELLS, ydim=CELLS, seed=0)

    def ours() -> None:
        pde.trajectory(system, law.draw(system, grid, 0, 0), grid, TIMES, 1e-5, out)

    mine, theirs = seconds(ours, peer.generate_sample, runs=5)
    exact = pde.solve(system, law.draw(system, grid, 0, 0), grid, TIMES, 1e-10)
    errors = relative(np.moveaxis(out, -1, 1), exact.fields)
    rk45 = relative(np.moveaxis(peer.generate_sample(), -1, 1), exact.fields)
    say(
        f"fhn_vs_pdebench: relative L2 error over {len(TIMES)} times at most {errors.max():.2g} "
        f"(allowed {ALLOWED_ERROR:g}), PDEBench's {rk45.max():.2g}"
    )
    if not errors.max() <= ALLOWED_ERROR:
        raise RuntimeError(f"the timed run has an error of {errors.max():.2g}")
    name = "fhn_vs_pdebench"
    result = row(name, mine, theirs, "s", better="higher", bar=BARS[name], ratio=theirs / mine)
    return result, theirs


def relative(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Relative L2 distance by time."""
    difference, size = (x.reshape(len(x), -1) for x in (a - b, b))
    return np.linalg.norm(difference, axis=1) / np.linalg.norm(size, axis=1)


def generated(workers: int, samples: int, times: str = "0:5:0.05") -> float:
    """Seconds a trajectory of `fdiff generate`, from nothing to a flushed file."""
    from fdiff.dataset import factory, recipe

    r = recipe.load("fitzhugh-nagumo").override(
        resolution=(CELLS, CELLS), samples=samples, initial="pdebench", times=times
    )
    factory.simulate(r, 0, factory.buffer(r))  # compiles
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        factory.generate(r, Path(folder) / "x.h5", workers=workers)
        return (time.perf_counter() - start) / samples


def versus_pdebench() -> dict:
    """Both with their writers on two workers, in turns."""
    name = "generate_vs_pdebench"
    ours, theirs = generated(2, TRAJECTORIES), peer_generated(2, PEER_TRAJECTORIES)
    return row(name, ours, theirs, "s", better="higher", bar=BARS[name], ratio=theirs / ours)


def peer_generated(processes: int, samples: int) -> float:
    """Seconds a trajectory of PDEBench's simulator and writer, as its script runs them."""
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "peer.h5")
        start = time.perf_counter()
        with multiprocessing.get_context("spawn").Pool(processes) as pool:
            pool.starmap(_peer_sample, [(path, i) for i in range(samples)], chunksize=1)
        return (time.perf_counter() - start) / samples


def _peer_sample(path: str, seed: int) -> None:
    """One trajectory: simulate, then append with lzf, again and again while the file is locked."""
    import h5py

    job = simulator()(t=5, tdim=101, xdim=CELLS, ydim=CELLS, seed=seed)
    data = job.generate_sample()
    while True:
        try:
            with h5py.File(path, "a") as file:
                options = {"dtype": "float32", "compression": "lzf"}
                file.create_dataset(f"{seed:04d}/data", data=data, **options)
                for name, values in (("x", job.x), ("y", job.y), ("t", job.t)):
                    file.create_dataset(f"{seed:04d}/grid/{name}", data=values, **options)
            return
        except OSError:
            time.sleep(0.1)


if __name__ == "__main__":
    from benchmarks.__main__ import main

    sys.exit(main(["generation", *sys.argv[1:]]))
