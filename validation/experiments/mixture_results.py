"""The trainings of the mixture experiment, and the error that its tables and claims speak of."""

from __future__ import annotations

import numpy as np

from validation.experiments.mixture_training import MODES, trained_errors
from validation.experiments.setting import Setting
from validation.experiments.workspace import Workspace


class Results:
    """Errors by mode and prior, seeds first."""

    def __init__(self, setting: Setting, work: Workspace):
        self.setting = setting
        self.priors, self.sizes = setting["priors"], setting["resolutions"]
        shared = {
            key: setting[key]
            for key in ("fields", "steps", "batch_size", "network", "learning_rate", "resolutions",
                        "times", "samples")
        }  # fmt: skip
        tasks = {
            f"{mode}-{name}-{seed}": {"mode": mode, "prior": name, "seed": seed, **shared}
            for seed in setting.seeds
            for name in self.priors
            for mode in MODES
        }
        self._results = work.map(trained_errors, tasks)
        times = np.array(setting["times"])
        # The mean over t is one of equally spaced times; earlier ones are for the curves alone.
        self._averaged = times >= 0.05

    def of(self, mode: str, name: str, entry: str) -> np.ndarray:
        """An entry of the results, ``(seeds, ...)``."""
        keys = [f"{mode}-{name}-{seed}" for seed in self.setting.seeds]
        return np.stack([self._results[key][entry] for key in keys])

    def curve(self, mode: str, name: str, entry: str = "error") -> np.ndarray:
        """Relative error by resolution and time, ``(seeds, resolutions + 1, times)``."""
        return np.sqrt(self.of(mode, name, entry) / self.of(mode, name, "norm"))

    def error(self, mode: str, name: str, entry: str = "error") -> np.ndarray:
        """Relative error, ``(seeds, resolutions + 1)``, the last on the law trained on."""
        squares = self.curve(mode, name, entry)[..., self._averaged] ** 2
        return np.sqrt(squares.mean(-1))

    def absolute(self, mode: str, name: str) -> np.ndarray:
        """``(E ||S_theta - S||_H^2)^(1/2)``, mean square over t, ``(seeds, resolutions + 1)``."""
        return np.sqrt(self.of(mode, name, "error")[..., self._averaged].mean(-1))

    def at(self, mode: str, name: str, n: int, entry: str = "error") -> np.ndarray:
        return self.error(mode, name, entry)[:, self.sizes.index(n)]

    def by_hand(self, name: str) -> np.ndarray:
        """Published at 64 x 64, its input brought to the trained amplitude: ``(seeds,)``."""
        error, norm = self.of("published", name, "by_hand").swapaxes(0, 1)
        return np.sqrt((error / norm)[:, self._averaged].mean(-1))

    def linear(self, name: str) -> np.ndarray:
        """The best linear score of fdiff's problem, by resolution: no seed enters."""
        return self.error("wiener", name, "linear")[0, :-1]
