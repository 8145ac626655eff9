"""fdiff: generative diffusion in function space.

Objects (covariance operators, processes, scores, samplers, metrics) are defined on functions and
evaluated on a `Grid`; arrays hold function values, and the same seed gives the same function at
every resolution. Public names load when they are first used.
"""

from __future__ import annotations

import importlib

__version__ = "0.1.0"

_HOME = {
    "Grid": "grid",
    "BesselCovariance": "covariance",
    "ChannelCovariance": "covariance",
    "CovarianceOperator": "covariance",
    "FiniteRankCovariance": "covariance",
    "LaplaceCovariance": "covariance",
    "MaternCovariance": "covariance",
    "SpectralDensity": "covariance",
    "SquaredExponentialCovariance": "covariance",
    "TraceClassWarning": "errors",
    "WhiteNoise": "covariance",
    "ConstantSchedule": "schedule",
    "CosineSchedule": "schedule",
    "FunctionSchedule": "schedule",
    "LinearSchedule": "schedule",
    "NoiseSchedule": "schedule",
    "InitialLawWarning": "errors",
    "SpectrumWarning": "errors",
    "ErrorBudget": "budget",
    "error_budget": "budget",
    "ForwardProcess": "process",
    "OrnsteinUhlenbeckPath": "paths",
    "QWiener": "paths",
    "LinearSPDE": "spde",
    "Field": "score",
    "EmpiricalScore": "score",
    "GaussianScore": "score",
    "MixtureScore": "score",
    "WienerScore": "score",
    "Score": "score",
    "Samples": "solvers",
    "sample": "solvers",
}
_MODULES = {
    "backends", "budget", "compat", "convergence", "covariance", "dataset", "errors", "grid",
    "laws", "levels", "metrics", "nn", "noise", "paths", "pde", "process", "schedule", "score",
    "solvers", "spde",
}  # fmt: skip

__all__ = sorted([*_HOME, *_MODULES, "__version__"])


def __getattr__(name: str):
    if name in _HOME:
        value = getattr(importlib.import_module(f"fdiff.{_HOME[name]}"), name)
    elif name in _MODULES:
        value = importlib.import_module(f"fdiff.{name}")
    else:
        raise AttributeError(f"module 'fdiff' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return list(__all__)
