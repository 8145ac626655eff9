"""Gray-Scott: a feeds b, b decays; spots, stripes, waves.

    a_t = Da Laplacian a - a b^2 + F (1 - a)
    b_t = Db Laplacian b + a b^2 - (F + k) b

Pearson (1993), Complex patterns in a simple system, Science 261. The default numbers are those of
The Well's data on [-1, 1]^2 (Ohana et al., 2024): Da = 2e-5, Db = 1e-5, the "gliders" pair F, k.
"""

from __future__ import annotations

from fdiff.pde.systems import System


def rates(y, p, out):
    feed, kill = p[2], p[3]
    for i in range(y.shape[1]):
        a, b = y[0, i], y[1, i]
        abb = a * b * b
        out[0, i] = feed * (1.0 - a) - abb
        out[1, i] = abb - (feed + kill) * b


SYSTEM = System(
    name="gray-scott",
    equation="a_t = Da Lap a - a b^2 + F (1 - a);  b_t = Db Lap b + a b^2 - (F + k) b",
    fields=("a", "b"),
    parameters={"Da": 2e-5, "Db": 1e-5, "F": 0.014, "k": 0.054},
    diffusion={"a": "Da", "b": "Db"},
    rates=rates,
    source="Pearson, Science 261 (1993); The Well, https://arxiv.org/abs/2412.00568",
    lengths=2.0,
    origin=-1.0,
    boundary="periodic",
    end=1000.0,
    background=(1.0, 0.0),
    spot=(0.5, 0.25),
    units={"Da": "length^2 / time", "Db": "length^2 / time", "F": "1 / time", "k": "1 / time"},
)
