"""Parameters that a network is told beside the field: named, standardised."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import numpy as np


@final
@dataclass(frozen=True)
class Conditions:
    """``(p - centre) / scale`` for each named parameter."""

    names: tuple[str, ...]
    centre: tuple[float, ...]
    scale: tuple[float, ...]  # > 0

    @staticmethod
    def of(parameters: Mapping[str, np.ndarray]) -> Conditions:
        """Mean and standard deviation of the parameters, one value a sample.

        Raises:
            ValueError: a parameter that is not finite or the same in all samples.
        """
        for name, values in parameters.items():
            if not np.isfinite(values).all():
                raise ValueError(f"the parameter {name} is not finite in every sample")
            if np.ptp(values) == 0:
                raise ValueError(
                    f"the parameter {name} is {values[0]:g} in every sample: there is nothing to "
                    "learn from it; leave it out, or generate data with a law for it"
                )
        centre = tuple(float(np.mean(values)) for values in parameters.values())
        scale = tuple(float(np.std(values)) for values in parameters.values())
        return Conditions(tuple(parameters), centre, scale)

    def standardised(self, parameters: Mapping[str, float | np.ndarray]) -> np.ndarray:
        """``(samples, names)``, or ``(names,)`` of single numbers; float32."""
        columns = [np.asarray(parameters[name], float) for name in self.names]
        return ((np.stack(columns, -1) - self.centre) / self.scale).astype(np.float32)
