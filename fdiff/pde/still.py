"""No equation: the field stays what it is, so that a dataset is its initial law at t = 0."""

from fdiff.pde.systems import System


def rates(y, p, out):
    out[:] = 0.0


SYSTEM = System(
    name="none",
    equation="u_t = 0",
    fields=("u",),
    parameters={},
    diffusion={},
    rates=rates,
    end=0.0,
)
