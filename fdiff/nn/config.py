"""The choices of a training run, as they stand in ``train.toml``."""

from __future__ import annotations

import dataclasses
import inspect
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from torch import nn

from fdiff.covariance import BesselCovariance
from fdiff.grid import Grid
from fdiff.nn.fno import FNO
from fdiff.nn.loss import PREDICTIONS
from fdiff.nn.oriented import OrientedFNO
from fdiff.nn.precision import PRECISIONS
from fdiff.nn.precondition import Covariance, Denoiser, PlainDenoiser, WienerDenoiser
from fdiff.nn.unet import UNet
from fdiff.nn.uno import UNO

SYMMETRIES = ("reflections", "transpositions", "translations")
KINDS = {"fno": FNO, "oriented": OrientedFNO, "uno": UNO, "unet": UNet}
SCHEDULES = ("warm", "rehearsed", "mixed", "mlmc")


@dataclass(frozen=True)
class NetworkConfig:
    """Which network, and its arguments; a kind ignores those that it does not have."""

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
        _check_at_least(
            1,
            network__hidden_channels=self.hidden_channels,
            network__n_layers=self.n_layers,
            network__oversampling=self.oversampling,
        )
        _check_at_least(0, network__n_levels=self.n_levels)
        modes = (self.n_modes,) if isinstance(self.n_modes, int) else self.n_modes
        _check_at_least(1, network__n_modes=min(modes, default=0))

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
        return built.save_memory() if self.save_memory and self.kind != "unet" else built


@dataclass(frozen=True)
class DenoiserConfig:
    """The noise ``Q = scale (shift - Laplacian)^-power`` and what surrounds the network."""

    prediction: str = "x0"
    wiener: bool = True  # around the linear denoiser; then the prediction is "x0"
    reach: float = 50.0  # see `WienerDenoiser`
    noise_shift: float = 60.0  # in units of 1 / (longest side)^2
    noise_power: float = 1.75

    def __post_init__(self) -> None:
        if self.prediction not in PREDICTIONS:
            raise ValueError(f"prediction must be one of {PREDICTIONS}, got {self.prediction!r}")
        if self.wiener and self.prediction != "x0":
            raise ValueError(
                f'wiener = true goes with prediction = "x0", got {self.prediction!r}: set '
                "wiener = false for a plain prediction"
            )

    def noise(self, grid: Grid, covariance: Covariance) -> BesselCovariance:
        """The noise covariance with the data's trace, the mean of the channels'."""
        shift = self.noise_shift / max(grid.lengths) ** 2
        unit = BesselCovariance(1.0, shift, self.noise_power)
        if not unit.is_trace_class(grid.dim):
            raise ValueError(
                f"noise_power must exceed dim / 2 = {grid.dim / 2:g}, got {self.noise_power}"
            )
        data = float(np.mean(covariance.trace(grid) + covariance.tail_trace(grid)))
        total = unit.trace(grid) + unit.tail_trace(grid)
        return BesselCovariance(data / total, shift, self.noise_power)

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
        _check_at_least(1, training__save_every=self.save_every)
        _check_at_least(
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
        low, high = self.half_log_snr
        if not low < high:
            raise ValueError(f"half_log_snr needs an increasing pair, got {self.half_log_snr}")


@dataclass(frozen=True)
class Config:
    """Everything that `fdiff.nn.train` needs beside the data."""

    network: NetworkConfig = field(default_factory=NetworkConfig)
    denoiser: DenoiserConfig = field(default_factory=DenoiserConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, as TOML and JSON take them."""
        return _plain(dataclasses.asdict(self))

    @staticmethod
    def from_dict(values: dict[str, Any]) -> Config:
        """The inverse of `as_dict`; missing keys take their defaults.

        Raises:
            ValueError: an unknown table or key, or a value of the wrong type.
        """
        parts = {"network": NetworkConfig, "denoiser": DenoiserConfig, "training": TrainingConfig}
        _check_keys("table", values, parts)
        return Config(**{name: _part(parts[name], name, table) for name, table in values.items()})

    def replace(self, **changes: Any) -> Config:
        """A copy; keys as ``training__seed=1`` or ``network__n_modes=20``."""
        tables: dict[str, dict[str, Any]] = {}
        for key, value in changes.items():
            part, name = key.split("__")
            tables.setdefault(part, {})[name] = value
        parts = {k: dataclasses.replace(getattr(self, k), **v) for k, v in tables.items()}
        return dataclasses.replace(self, **parts)


def _plain(value):
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, tuple) else value


def _part(kind, table_name: str, table: dict[str, Any]):
    if not isinstance(table, dict):
        raise ValueError(f"[{table_name}] must be a table of keys, got {table!r}")
    fields = {f.name: f for f in dataclasses.fields(kind)}
    _check_keys(f"key of [{table_name}]", table, fields)
    default = kind()
    values = {}
    for name, value in table.items():
        values[name] = _typed(f"{table_name}.{name}", value, getattr(default, name))
    return kind(**values)


def _typed(name: str, value, default):
    if name == "network.n_modes":
        value = tuple(value) if isinstance(value, list) else value
        whole = [value] if isinstance(value, int) else value
        if isinstance(whole, str) or not all(type(v) is int for v in whole):
            raise ValueError(f"{name} must be a whole number or a list of them, got {value!r}")
        return value
    if isinstance(default, tuple):
        if not isinstance(value, list | tuple):
            raise ValueError(f"{name} must be a list, got {value!r}")
        example = default[0] if default else ""
        return tuple(_typed(name, item, example) for item in value)
    if isinstance(default, float) and type(value) is int:
        value = float(value)
    if type(value) is not type(default):
        raise ValueError(f"{name} must be of type {type(default).__name__}, got {value!r}")
    return value


def _check_at_least(least: int, **values: float) -> None:
    for name, value in values.items():
        if not value >= least:
            key = name.replace("__", ".")
            raise ValueError(f"{key} must be at least {least}, got {value}")


def _check_keys(what: str, got, known) -> None:
    unknown = sorted(set(got) - set(known))
    if unknown:
        raise ValueError(f"unknown {what}: {unknown[0]!r}; known are {', '.join(known)}")
