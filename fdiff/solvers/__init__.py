"""Schemes for the reverse process, one file each; the loop is `fdiff.sample`."""

from fdiff.solvers.ancestral import Ancestral
from fdiff.solvers.base import Evaluation, Problem, Solver
from fdiff.solvers.ddim import DDIM
from fdiff.solvers.dpm_2m import DPMSolverPP2M
from fdiff.solvers.edm_heun import EDMHeun
from fdiff.solvers.euler_maruyama import EulerMaruyama
from fdiff.solvers.gaussian_exact import GaussianExact
from fdiff.solvers.integrate import DivergenceError, Samples, sample
from fdiff.solvers.time_grids import times

__all__ = [
    "DDIM",
    "Ancestral",
    "DPMSolverPP2M",
    "DivergenceError",
    "EDMHeun",
    "EulerMaruyama",
    "Evaluation",
    "GaussianExact",
    "Problem",
    "Samples",
    "Solver",
    "sample",
    "times",
]
