"""The choices of a training run, as they stand in ``train.toml``."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from torch import nn

from fdiff.covariance import BesselCovariance, Covariance
from fdiff.grid import Grid
from fdiff.nn.fno import FNO, MIXINGS
from fdiff.nn.options import (
    Idle,
    check_at_least,
    check_finite,
    check_keys,
    defaults_of,
    options_from,
    plain,
    refuse_idle,
    tables_of,
)
from fdiff.nn.oriented import OrientedFNO
from fdiff.nn.precision import PRECISIONS
from fdiff.nn.precondition import LEARNED, Denoiser, PlainDenoiser, WienerDenoiser
from fdiff.nn.unet import UNet
from fdiff.nn.uno import UNO

SYMMETRIES = ("reflections", "transpositions", "translations")
KINDS = {"fno": FNO, "oriented": OrientedFNO, "uno": UNO, "unet": UNet}
SCHEDULES = ("warm", "rehearsed", "mixed", "mlmc")
# What replaces the defaults where the data are images. Of these, unlike of solutions on a symmetric
# box, the mirrored ones are not as likely, so the network must tell left from right. The noise is
# white up to the width of a stroke: what is coarse stands out of it first, out of smooth noise the
# strokes.
IMAGES: dict[str, dict[str, Any]] = {
    "network": {"kind": "oriented", "coordinates": True},
    "denoiser": {"noise_shift": 1500.0},
}


@dataclass(frozen=True)
class NetworkConfig:
    """Which network, and its arguments; those that its kind does not have keep their defaults."""

    kind: str = "fno"  # "fno", "oriented", "uno" or "unet"
    hidden_channels: int = 32
    n_layers: int = 4
    n_modes: int | tuple[int, ...] = 32
    mixing: str = "radial"
    coordinates: bool = False
    oversampling: int = 1
    save_memory: bool = False  # see `OperatorNetwork.save_memory`
    n_levels: int = 2  # inner grids of "uno" and "unet"

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"network.kind must be one of {sorted(KINDS)}, got {self.kind!r}")
        check_at_least(
            1,
            network__hidden_channels=self.hidden_channels,
            network__n_layers=self.n_layers,
            network__oversampling=self.oversampling,
        )
        check_at_least(0, network__n_levels=self.n_levels)
        modes = (self.n_modes,) if isinstance(self.n_modes, int) else self.n_modes
        check_at_least(1, network__n_modes=min(modes, default=0))
        if self.mixing not in MIXINGS:
            raise ValueError(
                f"network.mixing must be one of {sorted(MIXINGS)}, got {self.mixing!r}"
            )
        refuse_idle("network", self)

    @staticmethod
    def idle(values: Mapping[str, Any]) -> Idle:
        """The options that a network of this kind does not have."""
        kind, defaults = values["kind"], defaults_of(NetworkConfig)
        takers = {name: [k for k in KINDS if _takes(k, name)] for name in defaults}
        return {
            name: (
                defaults[name],
                f'a network of kind "{kind}" has no such option ({", ".join(takers[name])} have)',
            )
            for name in defaults
            if name != "kind" and kind not in takers[name]
        }

    def build(
        self,
        box: Grid,
        in_channels: int,
        out_channels: int,
        seed: int = 0,
        condition_channels: int = 0,
    ) -> nn.Module:
        network = KINDS[self.kind]
        known = inspect.signature(network).parameters
        arguments = {k: v for k, v in dataclasses.asdict(self).items() if k in known}
        arguments |= {"seed": seed, "condition_channels": condition_channels}
        built = network(box, in_channels, out_channels, **arguments)
        return built.save_memory() if self.save_memory else built


@dataclass(frozen=True)
class DenoiserConfig:
    """The noise ``Q = scale (shift - Laplacian)^-power`` and what surrounds the network."""

    prediction: str = "x0"
    wiener: bool = True  # around the linear denoiser; then the prediction is "x0"
    reach: float = 50.0  # see `WienerDenoiser`
    noise_shift: float = 60.0  # in units of 1 / (longest side)^2
    noise_power: float = 1.75

    def __post_init__(self) -> None:
        check_finite("denoiser", self)
        if self.prediction not in LEARNED:
            raise ValueError(
                f"denoiser.prediction must be one of {LEARNED}, got {self.prediction!r}"
            )
        for name in ("reach", "noise_shift", "noise_power"):
            if not getattr(self, name) > 0:
                raise ValueError(f"denoiser.{name} must be positive, got {getattr(self, name)}")
        if self.wiener and self.prediction != "x0":
            raise ValueError(
                f'wiener = true goes with prediction = "x0", got {self.prediction!r}: set '
                "wiener = false for a plain prediction"
            )
        refuse_idle("denoiser", self)

    @staticmethod
    def idle(values: Mapping[str, Any]) -> Idle:
        """``reach`` without the linear denoiser, from which it is counted."""
        if values["wiener"]:
            return {}
        why = "it bounds the correction of the linear denoiser, which wiener = false leaves out"
        return {"reach": (defaults_of(DenoiserConfig)["reach"], why)}

    def unit_noise(self, grid: Grid) -> BesselCovariance:
        """The noise covariance with ``scale = 1``.

        Raises:
            ValueError: it has no finite trace in the grid's dimension.
        """
        shift = self.noise_shift / max(grid.lengths) ** 2
        unit = BesselCovariance(1.0, shift, self.noise_power)
        if not unit.is_trace_class(grid.dim):
            raise ValueError(
                f"noise_power must exceed dim / 2 = {grid.dim / 2:g}, got {self.noise_power}"
            )
        return unit

    def noise(self, grid: Grid, covariance: Covariance) -> BesselCovariance:
        """The noise covariance with the data's trace, the mean of the channels'."""
        unit = self.unit_noise(grid)
        data = float(np.mean(covariance.trace(grid) + covariance.tail_trace(grid)))
        total = unit.trace(grid) + unit.tail_trace(grid)
        return dataclasses.replace(unit, scale=data / total)

    def network_channels(self, channels: int) -> int:
        """Input channels of the network for data of ``channels`` fields."""
        return 2 * channels if self.wiener else channels

    def build(self, network, noise, mean, covariance, grid: Grid) -> Denoiser:
        if self.wiener:
            return WienerDenoiser(network, noise, mean, covariance, grid, self.reach)
        return PlainDenoiser(network, noise, mean, covariance, grid, self.prediction)


@dataclass(frozen=True)
class TrainingConfig:
    """Levels from coarse to fine, the optimiser, and the randomness."""

    levels: tuple[int, ...] = (32, 64)  # nodes per axis (of the longest axis' count in the data)
    steps: tuple[int, ...] = (1800, 300)  # one number a level
    batch_size: tuple[int, ...] = (32, 32)
    schedule: str = "rehearsed"  # see `fdiff.nn.order.level_order`
    learning_rate: float = 5e-3
    warmup: int = 50  # steps of linear increase
    decay: str = "cosine"  # or "constant"
    clip: float = 1.0  # of the gradient's norm
    average: float = 0.995  # of the weights
    weight_decay: float = 0.0
    shell_weight: float = 0.3  # share of the loss that sees every shell alike, see `denoising_loss`
    symmetries: tuple[str, ...] = ()  # of the data's law, used to augment it
    half_log_snr: tuple[float, float] = (-5.0, 4.6)  # lambda is uniform between
    seed: int = 0
    save_every: int = 500  # steps between validations, each with a checkpoint
    precision: str = "float32"  # of the network's products in training, or "bfloat16"
    compile: bool = False  # by torch.compile, which needs a C++ compiler; falls back without

    def __post_init__(self) -> None:
        check_finite("training", self)
        if min(self.levels, default=0) < 1:
            raise ValueError(
                f"training.levels needs numbers of nodes, coarse to fine, got {self.levels}"
            )
        for name in ("steps", "batch_size"):
            value = getattr(self, name)
            if len(value) != len(self.levels):
                raise ValueError(
                    f"{name} needs one number for each of the levels {self.levels}, got {value}"
                )
            if min(value, default=0) < 1:
                raise ValueError(f"{name} must be positive, got {value}")
        check_at_least(1, training__save_every=self.save_every)
        check_at_least(
            0,
            training__seed=self.seed,
            training__warmup=self.warmup,
            training__weight_decay=self.weight_decay,
            training__shell_weight=self.shell_weight,
        )
        for name in ("learning_rate", "clip"):
            if not getattr(self, name) > 0:
                raise ValueError(f"training.{name} must be positive, got {getattr(self, name)}")
        if not 0 <= self.average < 1:
            raise ValueError(f"training.average must lie in [0, 1), got {self.average}")
        if self.schedule not in SCHEDULES:
            raise ValueError(f"schedule must be one of {SCHEDULES}, got {self.schedule!r}")
        if self.decay not in ("cosine", "constant"):
            raise ValueError(f'decay must be "cosine" or "constant", got {self.decay!r}')
        if self.precision not in PRECISIONS:
            raise ValueError(
                f"training.precision must be one of {sorted(PRECISIONS)}, got {self.precision!r}"
            )
        unknown = set(self.symmetries) - set(SYMMETRIES)
        if unknown:
            raise ValueError(f"symmetries must be among {SYMMETRIES}, got {sorted(unknown)}")
        if len(self.half_log_snr) != 2 or not self.half_log_snr[0] < self.half_log_snr[1]:
            raise ValueError(f"half_log_snr needs an increasing pair, got {self.half_log_snr}")
        refuse_idle("training", self)

    @staticmethod
    def idle(values: Mapping[str, Any]) -> Idle:
        """The steps of the coarser levels under ``"mlmc"``, each step of which is on all levels."""
        if values["schedule"] != "mlmc":
            return {}
        steps = values["steps"]
        why = (
            'every step of schedule = "mlmc" is on all levels, so that only the last number '
            "counts; give the same number for each level"
        )
        return {"steps": (steps[-1:] * len(steps), why)}


@dataclass(frozen=True)
class Config:
    """Everything that `fdiff.nn.train` needs beside the data."""

    network: NetworkConfig = field(default_factory=NetworkConfig)
    denoiser: DenoiserConfig = field(default_factory=DenoiserConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, as TOML and JSON take them."""
        return plain(dataclasses.asdict(self))

    @staticmethod
    def from_dict(values: dict[str, Any], images: bool = False) -> Config:
        """The inverse of `as_dict`; missing keys take their defaults, or `IMAGES` for ``images``.

        Raises:
            ValueError: an unknown table or key, a value of the wrong type, or an option that has
                no effect beside the others.
        """
        return Config(**_parts(_for_images(values) if images else values, recorded=False))

    @staticmethod
    def recorded(values: dict[str, Any]) -> Config:
        """What a run's ``run.json`` holds. Options that had no effect, which earlier versions
        accepted, become what they acted as."""
        return Config(**_parts(values, recorded=True))

    @staticmethod
    def for_images(**changes: Any) -> Config:
        """What `fdiff train` takes for a folder of images, with ``changes`` as in `replace`.

        See `IMAGES`. Arrays do not say that they are images: pass this to `fdiff.nn.train`.
        """
        return Config.from_dict(tables_of(changes), images=True)

    def replace(self, **changes: Any) -> Config:
        """A copy; keys as ``training__seed=1`` or ``network__n_modes=20``."""
        tables = tables_of(changes)
        parts = {k: dataclasses.replace(getattr(self, k), **v) for k, v in tables.items()}
        return dataclasses.replace(self, **parts)


def _parts(values: dict[str, Any], recorded: bool) -> dict[str, Any]:
    parts = {"network": NetworkConfig, "denoiser": DenoiserConfig, "training": TrainingConfig}
    check_keys("table", values, parts)
    return {
        name: options_from(parts[name], name, table, recorded) for name, table in values.items()
    }


def _for_images(values: dict[str, Any]) -> dict[str, Any]:
    """``values`` with `IMAGES` where they say nothing, for the options that the network has."""
    tables = {name: values.get(name, {}) for name in IMAGES}
    if not all(isinstance(table, dict) for table in tables.values()):
        return values
    merged = {name: {**IMAGES[name], **table} for name, table in tables.items()}
    kind = merged["network"]["kind"]
    for name in set(IMAGES["network"]) - set(tables["network"]):
        if kind in KINDS and not _takes(kind, name):
            del merged["network"][name]
    return {**values, **merged}


def _takes(kind: str, option: str) -> bool:
    """Whether an option of `NetworkConfig` has an effect on networks of a kind."""
    if option == "save_memory":
        return hasattr(KINDS[kind], option)
    return option == "kind" or option in inspect.signature(KINDS[kind]).parameters
