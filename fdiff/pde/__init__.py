"""Reaction-diffusion systems and their integrators in time."""

from fdiff.errors import DivergenceError
from fdiff.pde.ensembles import ensemble
from fdiff.pde.initial_laws import (
    FileInitial,
    GaussianInitial,
    GRFInitial,
    ImagesInitial,
    Initial,
    PDEBenchInitial,
    SpotsInitial,
    covariance_from,
    initial,
)
from fdiff.pde.integration import METHODS, Solution, checked_times, solve, trajectory
from fdiff.pde.mixture import LinearMean, MixtureInitial
from fdiff.pde.systems import NONE, System, names, system

__all__ = [
    "METHODS",
    "NONE",
    "DivergenceError",
    "FileInitial",
    "GRFInitial",
    "GaussianInitial",
    "ImagesInitial",
    "Initial",
    "LinearMean",
    "MixtureInitial",
    "PDEBenchInitial",
    "Solution",
    "SpotsInitial",
    "System",
    "checked_times",
    "covariance_from",
    "ensemble",
    "initial",
    "names",
    "solve",
    "system",
    "trajectory",
]
