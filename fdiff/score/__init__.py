"""Scores: what a reverse process needs to know of the data."""

from fdiff.score.base import Score
from fdiff.score.gaussian import GaussianScore
from fdiff.score.mean import Field

__all__ = ["Field", "GaussianScore", "Score"]
