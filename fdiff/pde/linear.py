"""A linear system with a known solution: the test of every integrator.

    u_t = Du Laplacian u + a u - v
    v_t = Dv Laplacian v + u - b v

Per mode with -Laplacian eigenvalue mu the solution is the exponential of the matrix
[[a - Du mu, -1], [1, -b - Dv mu]]; a = b = 1 is FitzHugh-Nagumo linearised at 0.
"""

from __future__ import annotations

from fdiff.pde.systems import System


def rates(y, p, out):
    a, b = p[2], p[3]
    for i in range(y.shape[1]):
        u, v = y[0, i], y[1, i]
        out[0, i] = a * u - v
        out[1, i] = u - b * v


SYSTEM = System(
    name="linear",
    equation="u_t = Du Lap u + a u - v;  v_t = Dv Lap v + u - b v",
    fields=("u", "v"),
    parameters={"Du": 1e-3, "Dv": 5e-3, "a": 1.0, "b": 1.0},
    diffusion={"u": "Du", "v": "Dv"},
    rates=rates,
    source="a test",
    lengths=2.0,
    origin=-1.0,
    boundary="neumann",
    end=1.0,
    units={"Du": "length^2 / time", "Dv": "length^2 / time", "a": "1 / time", "b": "1 / time"},
)
