"""Distances and statistics of samples of fields, with quadrature weights and intervals.

Arguments are samples ``x``, truth ``y`` and their ``grid``; fields are ``(samples, *grid.shape)``
or ``(samples, channels, *grid.shape)``, numpy or torch. Every result is an ``Estimate`` with a
95 % interval over fields. ``compare`` gives all of them as rows; ``Reference`` does so for several
sets against one truth.
"""

from fdiff.metrics.comparison import METRICS, Reference, Row, compare
from fdiff.metrics.energy import energy_distance, energy_distance_h1
from fdiff.metrics.estimate import Estimate
from fdiff.metrics.fields import common_grid
from fdiff.metrics.functionals import Minkowski, euler_error, minkowski, perimeter_error
from fdiff.metrics.pointwise import gradient_w1, kurtosis, pointwise_w1, std
from fdiff.metrics.sliced import approximate_sliced_wasserstein, sliced_wasserstein
from fdiff.metrics.spectra import Spectrum, spectrum, spectrum_error, spectrum_ratio
from fdiff.metrics.vendi import median_distance, vendi_cosine, vendi_gaussian

__all__ = [
    "METRICS",
    "Estimate",
    "Minkowski",
    "Reference",
    "Row",
    "Spectrum",
    "approximate_sliced_wasserstein",
    "common_grid",
    "compare",
    "energy_distance",
    "energy_distance_h1",
    "euler_error",
    "gradient_w1",
    "kurtosis",
    "median_distance",
    "minkowski",
    "perimeter_error",
    "pointwise_w1",
    "sliced_wasserstein",
    "spectrum",
    "spectrum_error",
    "spectrum_ratio",
    "std",
    "vendi_cosine",
    "vendi_gaussian",
]
