"""Parameters that a network is told beside the field: named, standardised."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import numpy as np

# How far beyond the trained range is far: this share of its width, more than the range of twenty
# values falls short of their law's. Where only mean and spread are known, so many of the latter:
# uniform values end at 1.7, a thousand Gaussian ones at about 3.2.
FAR, FAR_SPREADS = 0.1, 3.5


@final
@dataclass(frozen=True)
class Conditions:
    """``(p - centre) / scale`` for each named parameter."""

    names: tuple[str, ...]
    centre: tuple[float, ...]
    scale: tuple[float, ...]  # > 0
    # The least and the largest value in training; empty for runs that did not record them.
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()

    @staticmethod
    def of(parameters: Mapping[str, np.ndarray]) -> Conditions:
        """Mean, standard deviation and range of the parameters, one value a sample.

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
        low = tuple(float(np.min(values)) for values in parameters.values())
        high = tuple(float(np.max(values)) for values in parameters.values())
        return Conditions(tuple(parameters), centre, scale, low, high)

    def standardised(self, parameters: Mapping[str, float | np.ndarray]) -> np.ndarray:
        """``(samples, names)``, or ``(names,)`` of single numbers; float32."""
        columns = [np.asarray(parameters[name], float) for name in self.names]
        return ((np.stack(columns, -1) - self.centre) / self.scale).astype(np.float32)

    def far(self, parameters: Mapping[str, float]) -> list[str]:
        """A sentence for each value that is far outside what the network was trained on.

        Far is more than `FAR` of the range's width beyond its end, or, where the range was not
        recorded, more than `FAR_SPREADS` standard deviations from the mean.
        """
        out = []
        for i, name in enumerate(self.names):
            value = parameters[name]
            if self.low:
                low, high = self.low[i], self.high[i]
                beyond = max(low - value, value - high) > FAR * (high - low)
                trained = f"outside the range {low:.6g} to {high:.6g} that the run was trained on"
            else:
                beyond = abs(value - self.centre[i]) > FAR_SPREADS * self.scale[i]
                trained = (
                    "from the values that the run was trained on, whose range is not recorded: "
                    f"mean {self.centre[i]:.6g}, standard deviation {self.scale[i]:.6g}"
                )
            if beyond:
                out.append(f"{name} = {value:.6g} is far {trained}; samples there are extrapolated")
        return out
