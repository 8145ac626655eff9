"""Schemes for the reverse process, one file each; the loop is `fdiff.sample`.

To add one: write its file, with a subclass of `Solver`, and add a line to `SCHEMES`. The tests and
the validation scripts run over that table: they check the order, the law, the reproducibility and
the agreement of numpy with torch of every scheme in it.
"""

from fdiff.errors import DivergenceError
from fdiff.solvers.ancestral import Ancestral
from fdiff.solvers.base import Evaluation, Problem, Solver
from fdiff.solvers.ddim import DDIM
from fdiff.solvers.dpm_2m import DPMSolverPP2M
from fdiff.solvers.dpm_2s import DPMSolverPP2S
from fdiff.solvers.dpm_3m import DPMSolverPP3M
from fdiff.solvers.dpm_3s import DPMSolverPP3S
from fdiff.solvers.edm_heun import EDMHeun
from fdiff.solvers.euler_maruyama import EulerMaruyama
from fdiff.solvers.exponential_euler import ExponentialEuler
from fdiff.solvers.exponential_heun import ExponentialHeun
from fdiff.solvers.fitted import CorrectionPaths, fitted_times
from fdiff.solvers.gaussian_exact import GaussianExact
from fdiff.solvers.heun import Heun
from fdiff.solvers.integrate import Samples, sample
from fdiff.solvers.picard import Picard
from fdiff.solvers.predictor_corrector import PredictorCorrector
from fdiff.solvers.probability_flow import ProbabilityFlow
from fdiff.solvers.sde_dpm_2m import SDEDPMSolverPP2M
from fdiff.solvers.time_grids import times

# By the name that the command line uses; every value makes a solver when called.
SCHEMES = {
    "gaussian-exact": GaussianExact,
    "euler-maruyama": EulerMaruyama,
    "exponential-euler": ExponentialEuler,
    "ancestral": Ancestral,
    "sde-dpm-2m": SDEDPMSolverPP2M,
    "ddim": DDIM,
    "heun": Heun,
    "edm-heun": EDMHeun,
    "exponential-heun": ExponentialHeun,
    "dpm-2s": DPMSolverPP2S,
    "dpm-2m": DPMSolverPP2M,
    "dpm-3s": DPMSolverPP3S,
    "dpm-3m": DPMSolverPP3M,
    "predictor-corrector": PredictorCorrector,
    "probability-flow": ProbabilityFlow,
    "picard": Picard,
}

__all__ = [
    "DDIM",
    "SCHEMES",
    "Ancestral",
    "CorrectionPaths",
    "DPMSolverPP2M",
    "DPMSolverPP2S",
    "DPMSolverPP3M",
    "DPMSolverPP3S",
    "DivergenceError",
    "EDMHeun",
    "EulerMaruyama",
    "Evaluation",
    "ExponentialEuler",
    "ExponentialHeun",
    "GaussianExact",
    "Heun",
    "Picard",
    "PredictorCorrector",
    "ProbabilityFlow",
    "Problem",
    "SDEDPMSolverPP2M",
    "Samples",
    "Solver",
    "fitted_times",
    "sample",
    "times",
]
