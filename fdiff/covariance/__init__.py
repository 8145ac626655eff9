"""Covariance operators ``Q e_k = q_k e_k`` on L2 of a box, diagonal in the basis of its grids.

An operator has no resolution; it is evaluated on a `Grid`. ``Q1 + Q2`` and ``3.0 * Q`` are
covariance operators too. Formulas, closed forms and tails: Lord, Powell and Shardlow (2014), An
Introduction to Computational Stochastic PDEs, ch. 4 and 7; Lindgren, Rue and Lindström (2011).
"""

from fdiff.covariance.channels import ChannelCovariance, ChannelSummaries
from fdiff.covariance.density import SpectralDensity
from fdiff.covariance.families import (
    BesselCovariance,
    FiniteRankCovariance,
    LaplaceCovariance,
    MaternCovariance,
    SquaredExponentialCovariance,
    WhiteNoise,
)
from fdiff.covariance.operator import (
    CovarianceOperator,
    ScaledCovariance,
    SumCovariance,
)
from fdiff.errors import TraceClassWarning

# The covariance of data: of one field, or of several channels.
Covariance = CovarianceOperator | ChannelCovariance

__all__ = [
    "BesselCovariance",
    "ChannelCovariance",
    "ChannelSummaries",
    "Covariance",
    "CovarianceOperator",
    "FiniteRankCovariance",
    "LaplaceCovariance",
    "MaternCovariance",
    "ScaledCovariance",
    "SpectralDensity",
    "SquaredExponentialCovariance",
    "SumCovariance",
    "TraceClassWarning",
    "WhiteNoise",
]
