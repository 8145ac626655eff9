"""Networks on functions, their training on several grids, and the scores that they become."""

from fdiff.covariance import ChannelCovariance
from fdiff.nn.adapter import TimeAsChannel
from fdiff.nn.checkpoint import copy_into, read_tensors, write_tensors
from fdiff.nn.condition import Conditions
from fdiff.nn.config import Config, DenoiserConfig, NetworkConfig, TrainingConfig
from fdiff.nn.ema import ExponentialAverage
from fdiff.nn.fitting import check_fit, train
from fdiff.nn.fno import FNO, TimeEmbedding
from fdiff.nn.loss import PREDICTIONS, denoising_loss, from_x0, to_x0
from fdiff.nn.mlmc import LevelVariances, level_variances
from fdiff.nn.order import default_steps, level_order
from fdiff.nn.oriented import OrientedFNO
from fdiff.nn.parallel import Team, team
from fdiff.nn.precondition import Denoiser, PlainDenoiser, WienerDenoiser
from fdiff.nn.progress import Progress
from fdiff.nn.run import Run, load_run, save_run
from fdiff.nn.score import NetworkScore
from fdiff.nn.spectral import FullMixing, RadialMixing, from_modes, to_modes
from fdiff.nn.spectrum import (
    ShellSpectrum,
    estimate_mean,
    estimate_spectra,
    estimate_spectrum,
)
from fdiff.nn.trainer import MultilevelTrainer, TrainingDiverged
from fdiff.nn.unet import UNet
from fdiff.nn.uno import UNO

# The name of `fdiff.ChannelCovariance` in programs written for fdiff 0.1.0.
ChannelSpectra = ChannelCovariance

__all__ = [
    "FNO",
    "PREDICTIONS",
    "UNO",
    "ChannelSpectra",
    "Conditions",
    "Config",
    "Denoiser",
    "DenoiserConfig",
    "ExponentialAverage",
    "FullMixing",
    "LevelVariances",
    "MultilevelTrainer",
    "NetworkConfig",
    "NetworkScore",
    "OrientedFNO",
    "PlainDenoiser",
    "Progress",
    "RadialMixing",
    "Run",
    "ShellSpectrum",
    "Team",
    "TimeAsChannel",
    "TimeEmbedding",
    "TrainingConfig",
    "TrainingDiverged",
    "UNet",
    "WienerDenoiser",
    "check_fit",
    "copy_into",
    "default_steps",
    "denoising_loss",
    "estimate_mean",
    "estimate_spectra",
    "estimate_spectrum",
    "from_modes",
    "from_x0",
    "level_order",
    "level_variances",
    "load_run",
    "read_tensors",
    "save_run",
    "team",
    "to_modes",
    "to_x0",
    "train",
    "write_tensors",
]
