"""Speed and memory of keyed Gaussian random fields (Matérn, smoothness 3/2).

``fields_vs_gstools``: a 128 x 128 field beside GSTools' randomisation method, as a ratio of times.
``fields_vs_numpy``: beside the least one can do without keys, numpy's normal numbers and one
inverse transform of scipy. ``fields_4096``: cost per value at 4096^2 over that at 256^2.
``fields_memory``: peak memory of a 4096^2 field, in fields.
"""

from __future__ import annotations

import sys

from benchmarks.measure import peak_memory, row, seconds

BARS = {
    "fields_vs_gstools": 100.0,
    "fields_vs_numpy": 2.5,
    "fields_4096": 2.0,
    "fields_memory": 4.0,
}
BATCH = 16


def sampler(n: int, batch: int = BATCH):
    """A job that draws ``batch`` keyed fields on n x n nodes, new ones at each call."""
    import fdiff

    grid = fdiff.Grid((n, n))
    covariance = fdiff.MaternCovariance(1.0, 0.1, 1.5)
    seeds = iter(range(10**9))
    return lambda: covariance.sample(grid, batch, seed=next(seeds))


def rows():
    """One dictionary a row."""
    for measure in (versus_gstools, versus_numpy, large_grids, memory):
        try:
            yield measure()
        except (ImportError, RuntimeError) as error:
            print(f"benchmarks: {measure.__name__}: {error}", file=sys.stderr)


def versus_gstools() -> dict:
    import gstools
    import numpy as np

    field = gstools.SRF(gstools.Matern(dim=2, var=1.0, len_scale=0.1, nu=1.5), seed=1)
    points = np.arange(128) / 128
    ours, peer = seconds(sampler(128), lambda: field.structured([points, points]), runs=3)
    ours /= BATCH
    name = "fields_vs_gstools"
    return row(name, ours, peer, "s", better="higher", bar=BARS[name], ratio=peer / ours)


def versus_numpy() -> dict:
    import numpy as np
    from scipy import fft

    rng = np.random.default_rng(1)
    modes = np.zeros((128, 65), complex)

    def plain():
        for _ in range(BATCH):
            rng.standard_normal((128, 128))
            fft.irfft2(modes, s=(128, 128))

    ours, peer = (t / BATCH for t in seconds(sampler(128), plain, runs=40))
    name = "fields_vs_numpy"
    return row(name, ours, peer, "s", better="lower", bar=BARS[name], ratio=ours / peer)


def large_grids() -> dict:
    large, small = seconds(sampler(4096, 1), sampler(256, 1), runs=5)
    ours, peer = 1e9 * large / 4096**2, 1e9 * small / 256**2
    name = "fields_4096"
    return row(name, ours, peer, "ns/value", better="lower", bar=BARS[name], ratio=ours / peer)


def memory() -> dict:
    setup = (
        "import fdiff\n"
        "covariance = fdiff.MaternCovariance(1.0, 0.1, 1.5)\n"
        "covariance.sample(fdiff.Grid((64, 64)), 1)"
    )
    peak = peak_memory(setup, "covariance.sample(fdiff.Grid((4096, 4096)), 1)")
    field, mebibyte = 8 * 4096**2, 2.0**20
    name = "fields_memory"
    return row(
        name, peak / mebibyte, field / mebibyte, "MiB",
        better="lower", bar=BARS[name], ratio=peak / field,
    )  # fmt: skip
