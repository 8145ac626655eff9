"""Reaction-diffusion systems and their integrators in time."""

from fdiff.pde.ensemble import ensemble
from fdiff.pde.initial import GRFInitial, Initial, PDEBenchInitial, initial
from fdiff.pde.solve import METHODS, Solution, checked_times, solve, trajectory
from fdiff.pde.system import DivergenceError, System, names, system

__all__ = [
    "METHODS",
    "DivergenceError",
    "GRFInitial",
    "Initial",
    "PDEBenchInitial",
    "Solution",
    "System",
    "checked_times",
    "ensemble",
    "initial",
    "names",
    "solve",
    "system",
    "trajectory",
]
