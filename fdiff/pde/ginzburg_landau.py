"""The complex Ginzburg-Landau equation, A = u + i v: waves, spirals, defect turbulence.

    A_t = A + (D + i b) Laplacian A - (1 + i c) |A|^2 A

Real and imaginary part are the two fields; ``b`` couples them by diffusion, which only the spectral
method takes. Aranson and Kramer (2002), Rev. Mod. Phys. 74.
"""

from __future__ import annotations

from fdiff.pde.systems import System


def rates(y, p, out):
    c = p[2]
    for i in range(y.shape[1]):
        u, v = y[0, i], y[1, i]
        size = u * u + v * v
        out[0, i] = u - size * (u - c * v)
        out[1, i] = v - size * (v + c * u)


SYSTEM = System(
    name="ginzburg-landau",
    equation="A_t = A + (D + i b) Lap A - (1 + i c) |A|^2 A,  A = u + i v",
    fields=("u", "v"),
    parameters={"D": 1.0, "b": 0.5, "c": -1.5},
    diffusion={"u": "D", "v": "D"},
    rotation={("u", "v"): "b"},
    rates=rates,
    source="Aranson and Kramer, Rev. Mod. Phys. 74 (2002)",
    lengths=100.0,
    boundary="periodic",
    end=50.0,
    units={"D": "length^2 / time", "b": "length^2 / time"},
)
