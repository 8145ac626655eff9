"""Allen-Cahn: phases +1 and -1 that separate, interfaces that move by curvature.

    u_t = D Laplacian u + (u - u^3) / epsilon,     interface width sqrt(2 D epsilon)

Gradient flow of int D |grad u|^2 / 2 + (1 - u^2)^2 / (4 epsilon). Allen and Cahn (1979), Acta
Metall. 27. The default box holds some thirty interface widths.
"""

from __future__ import annotations

from fdiff.pde.systems import System


def rates(y, p, out):
    rate = 1.0 / p[1]
    for i in range(y.shape[1]):
        u = y[0, i]
        out[0, i] = rate * (u - u * u * u)


SYSTEM = System(
    name="allen-cahn",
    equation="u_t = D Lap u + (u - u^3) / epsilon",
    fields=("u",),
    parameters={"D": 1e-3, "epsilon": 1.0},
    diffusion={"u": "D"},
    rates=rates,
    source="Allen and Cahn, Acta Metall. 27 (1979)",
    lengths=2.0,
    origin=-1.0,
    boundary="periodic",
    end=20.0,
    units={"D": "length^2 / time", "epsilon": "time"},
)
