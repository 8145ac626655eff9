"""The Brusselator: an autocatalytic reaction with oscillations and Turing patterns.

    u_t = Du Laplacian u + A - (B + 1) u + u^2 v
    v_t = Dv Laplacian v + B u - u^2 v

Rest state u = A, v = B / A. Prigogine and Lefever (1968), J. Chem. Phys. 48. The default numbers
give Turing patterns: (1 + A sqrt(Du / Dv))^2 < B < 1 + A^2.
"""

from __future__ import annotations

from fdiff.pde.systems import System


def rates(y, p, out):
    a, b = p[2], p[3]
    for i in range(y.shape[1]):
        u, v = y[0, i], y[1, i]
        uuv = u * u * v
        out[0, i] = a - (b + 1.0) * u + uuv
        out[1, i] = b * u - uuv


SYSTEM = System(
    name="brusselator",
    equation="u_t = Du Lap u + A - (B + 1) u + u^2 v;  v_t = Dv Lap v + B u - u^2 v",
    fields=("u", "v"),
    parameters={"Du": 4.0, "Dv": 32.0, "A": 3.0, "B": 9.0},
    diffusion={"u": "Du", "v": "Dv"},
    rates=rates,
    source="Prigogine and Lefever, J. Chem. Phys. 48 (1968)",
    lengths=128.0,
    boundary="periodic",
    end=20.0,
    background=(3.0, 3.0),
    units={"Du": "length^2 / time", "Dv": "length^2 / time", "A": "1 / time", "B": "1 / time"},
)
