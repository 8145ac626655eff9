"""Fisher-KPP: growth up to a capacity, invasion fronts of speed 2 sqrt(D r).

    u_t = D Laplacian u + r u (1 - u)

Fisher (1937), Kolmogorov, Petrovsky and Piskunov (1937). PDEBench's one-dimensional
reaction-diffusion equation, on [0, 1], has nu = D and rho = r.
"""

from __future__ import annotations

from fdiff.pde.systems import System


def rates(y, p, out):
    r = p[1]
    for i in range(y.shape[1]):
        u = y[0, i]
        out[0, i] = r * u * (1.0 - u)


SYSTEM = System(
    name="fisher-kpp",
    equation="u_t = D Lap u + r u (1 - u)",
    fields=("u",),
    parameters={"D": 0.5, "r": 1.0},
    diffusion={"u": "D"},
    rates=rates,
    source="Fisher (1937); PDEBench's ReacDiff, https://arxiv.org/abs/2210.07182",
    lengths=1.0,
    boundary="periodic",
    end=1.0,
    units={"D": "length^2 / time", "r": "1 / time"},
)
