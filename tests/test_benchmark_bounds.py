"""What the generation benchmark says of its bounds."""

import numpy as np
import pytest

from benchmarks import bounds
from fdiff import pde
from fdiff_kernels import stencil


@pytest.mark.parametrize(
    ("traffic", "arithmetic", "bound"), [(4e-6, 9e-6, "arithmetic"), (9e-6, 4e-6, "memory traffic")]
)
def test_the_larger_time_is_the_bound(traffic, arithmetic, bound):
    said = bounds.Stage(1e-5, traffic, arithmetic, 2e-5, 786_432).sentence()
    assert said.endswith(f"{bound} is the bound")
    assert f"memory traffic is {traffic / 1e-5:.0%} of it" in said
    assert "39 GB/s beyond the caches" in said


def test_the_triad_moves_what_a_stage_moves():
    w = np.random.default_rng(0).standard_normal((stencil.SLOTS, 12))
    before = w.copy()
    bounds._triads(w, 1)
    np.testing.assert_allclose(w[5], before[4] + 1e-4 * before[6])
    w[5] = before[5]
    np.testing.assert_array_equal(w, before)


def test_every_time_is_measured(monkeypatch):
    monkeypatch.setattr(bounds, "_SWEEPS", 2)
    monkeypatch.setattr(bounds, "_FAR", 1 << 10)
    system = pde.system("fitzhugh-nagumo")
    found = bounds.stage(system, system.grid(16))
    assert min(found.whole, found.traffic, found.arithmetic, found.far) > 0
    assert found.bytes == 3 * 8 * 2 * 16**2


def test_the_disk_is_given_back(tmp_path):
    assert bounds.disk(10_000_000, 2, tmp_path) > 0
    assert list(tmp_path.iterdir()) == []
