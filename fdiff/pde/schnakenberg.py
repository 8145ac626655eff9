"""Schnakenberg: the simplest two-species reaction with Turing patterns.

    u_t = Du Laplacian u + gamma (a - u + u^2 v)
    v_t = Dv Laplacian v + gamma (b - u^2 v)

Rest state u = a + b, v = b / (a + b)^2. Schnakenberg (1979), J. Theor. Biol. 81.
"""

from __future__ import annotations

from fdiff.pde.systems import System


def rates(y, p, out):
    a, b, gamma = p[2], p[3], p[4]
    for i in range(y.shape[1]):
        u, v = y[0, i], y[1, i]
        uuv = u * u * v
        out[0, i] = gamma * (a - u + uuv)
        out[1, i] = gamma * (b - uuv)


SYSTEM = System(
    name="schnakenberg",
    equation="u_t = Du Lap u + gamma (a - u + u^2 v);  v_t = Dv Lap v + gamma (b - u^2 v)",
    fields=("u", "v"),
    parameters={"Du": 1.0, "Dv": 10.0, "a": 0.1, "b": 0.9, "gamma": 1000.0},
    diffusion={"u": "Du", "v": "Dv"},
    rates=rates,
    source="Schnakenberg, J. Theor. Biol. 81 (1979)",
    lengths=1.0,
    boundary="neumann",
    end=0.1,
    background=(1.0, 0.9),
    units={"Du": "length^2 / time", "Dv": "length^2 / time", "gamma": "1 / time"},
)
