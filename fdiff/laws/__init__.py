"""Exact laws of samplers on Gaussian data, so that an error is a number and not an estimate.

With a score that is affine in the state every step of a linear scheme is affine in the state, in
what the scheme remembers and in its noise. The maps are read off from the scheme itself, by
applying its step to arrays of zeros and ones, so a new scheme needs no law of its own; and each map
that was read must predict what the step does to random signs, so that a score for which it does not
hold is refused.

* `sampler_law`, `propagate` and what builds on them: scores that treat every mode by itself. A map
  is a number a mode, a law a `Law` of independent modes, on grids of any size.
* `dense_law`: any affine score, also one that couples modes, such as that of a posterior. A map is
  a matrix, a law a `DenseLaw`, for some 1024 modes.
"""

from fdiff.laws.coordinates import RealCoordinates
from fdiff.laws.dense import DenseLaw, dense_law, dense_target_law
from fdiff.laws.distance import wasserstein2
from fdiff.laws.modes import (
    Law,
    StepMap,
    closed_law,
    propagate,
    sampler_law,
    step_map,
    target_law,
)
from fdiff.laws.strong import strong_difference

__all__ = [
    "DenseLaw",
    "Law",
    "RealCoordinates",
    "StepMap",
    "closed_law",
    "dense_law",
    "dense_target_law",
    "propagate",
    "sampler_law",
    "step_map",
    "strong_difference",
    "target_law",
    "wasserstein2",
]
