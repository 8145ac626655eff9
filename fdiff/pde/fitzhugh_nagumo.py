"""FitzHugh-Nagumo, as PDEBench's two-dimensional diffusion-reaction data state it.

    u_t = Du Laplacian u + u - u^3 - k - v
    v_t = Dv Laplacian v + u - v

on [-1, 1]^2 without flux through the walls, t in [0, 5].
Takamoto et al. (2022), PDEBench, https://arxiv.org/abs/2210.07182, section D.5.
"""

from __future__ import annotations

from fdiff.pde.systems import System


def rates(y, p, out):
    k = p[2]
    for i in range(y.shape[1]):
        u, v = y[0, i], y[1, i]
        out[0, i] = u - u * u * u - k - v
        out[1, i] = u - v


SYSTEM = System(
    name="fitzhugh-nagumo",
    equation="u_t = Du Lap u + u - u^3 - k - v;  v_t = Dv Lap v + u - v",
    fields=("u", "v"),
    parameters={"Du": 1e-3, "Dv": 5e-3, "k": 5e-3},
    diffusion={"u": "Du", "v": "Dv"},
    rates=rates,
    source="PDEBench, https://arxiv.org/abs/2210.07182",
    lengths=2.0,
    origin=-1.0,
    boundary="neumann",
    end=5.0,
    units={"Du": "length^2 / time", "Dv": "length^2 / time", "k": "1 / time"},
)
