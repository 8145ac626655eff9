"""Reaction-diffusion systems and their integrators in time."""

from fdiff.pde.ensemble import ensemble
from fdiff.pde.initial import GRFInitial, Initial, PDEBenchInitial, initial
from fdiff.pde.solve import Solution, solve
from fdiff.pde.system import DivergenceError, System, names, system

__all__ = [
    "DivergenceError",
    "GRFInitial",
    "Initial",
    "PDEBenchInitial",
    "Solution",
    "System",
    "ensemble",
    "initial",
    "names",
    "solve",
    "system",
]
