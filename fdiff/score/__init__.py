"""Scores: what a reverse process needs to know of the data."""

from fdiff.score.base import Score
from fdiff.score.empirical import EmpiricalScore
from fdiff.score.gaussian import GaussianScore
from fdiff.score.mean import Field
from fdiff.score.mixture import MixtureScore
from fdiff.score.wiener import WienerScore

__all__ = ["EmpiricalScore", "Field", "GaussianScore", "MixtureScore", "Score", "WienerScore"]
