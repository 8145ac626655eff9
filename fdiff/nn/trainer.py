"""Multilevel training: one network, data restricted to every level, from coarse to fine."""

from __future__ import annotations

import json
import math
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import cast, final

import numpy as np
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from fdiff import levels as grids
from fdiff import noise
from fdiff.grid import Grid
from fdiff.nn import augment
from fdiff.nn.config import TrainingConfig, level_order
from fdiff.nn.ema import ExponentialAverage
from fdiff.nn.loss import denoising_loss, squared_norm
from fdiff.nn.precondition import Denoiser, scales
from fdiff.score.mean import mean_coefficients

# Validation draws its noise far from the samples that training ever counts to.
VALIDATION_FIRST = 2**31
VALIDATION_SIZE = 256


class TrainingDiverged(ArithmeticError):
    """The loss became infinite or not a number; ``batch`` holds the fields that led there."""

    def __init__(self, message: str, batch: np.ndarray):
        super().__init__(message)
        self.batch = batch


@final
@dataclass(frozen=True)
class Progress:
    """What a callback sees after each step."""

    step: int  # steps done
    total: int
    level: tuple[int, ...]
    loss: float
    rate: float  # learning rate
    seconds: float  # of this call to `train`
    speed: float  # steps a second, in this call
    remaining: float  # seconds, by the cost of the steps left


@dataclass
class Record:
    """One line of ``metrics.jsonl``."""

    step: int
    level: list[int]
    samples: int
    flops: float  # of the matrix products, see `field_flops`
    seconds: float
    loss: float
    validation: dict[str, float] = field(default_factory=dict)


@final
class MultilevelTrainer:
    """Denoising score matching on a list of levels, from coarse to fine or mixed.

    Every level sees the restriction of the same fields. One level is plain training. The optimiser
    and the averages carry over from level to level; the rate decays with the work done, a step
    counted as its number of nodes. All random choices are keyed by (seed, sample), where sample
    counts the fields seen: an interrupted run continues bit for bit on one machine.

    Args:
        denoiser: trained in place; `average` holds the averaged weights.
        fields: ``(samples, channels, *grid.shape)``, function values.
        grid: of the fields.
        config: levels, steps, optimiser.
        validation: held-out fields of the same shape; optional.

    Raises:
        ValueError: no fields, fields that are not finite or of another shape, levels that do not
            nest or are finer than the data, more modes than the coarsest level has.
    """

    def __init__(
        self,
        denoiser: Denoiser,
        fields,
        grid: Grid,
        config: TrainingConfig | None = None,
        validation=None,
        device=None,
    ):
        self.config = config = TrainingConfig() if config is None else config
        self.device = torch.device("cpu" if device is None else device)
        self.grids = level_grids(grid, config.levels)
        augment.check_symmetries(config.symmetries, grid)
        self.data = _levels_of(checked_fields(fields, grid, "training"), grid, self.grids)
        self.held_out = None
        if validation is not None:
            kept = checked_fields(validation, grid, "validation")[:VALIDATION_SIZE]
            self.held_out = _levels_of(kept, grid, self.grids)
        self.denoiser = denoiser.to(self.device)
        channels = self.data[0].shape[1]
        flops = np.array(
            [field_flops(self.denoiser, level, channels, self.device) for level in self.grids]
        )
        self.average = ExponentialAverage(self.denoiser, config.average)
        if config.compile:
            compile_network(self.denoiser, self.grids[0], channels, self.device)
        self.optimiser = torch.optim.AdamW(
            self.denoiser.parameters(),
            lr=config.learning_rate,
            betas=(0.9, 0.99),
            weight_decay=config.weight_decay,
        )
        self.step = 0
        self.records: list[Record] = []
        self.seconds = 0.0
        self._order, self._ends = level_order(config)
        sizes, nodes = np.array(config.batch_size), np.array([g.size for g in self.grids])
        work, flops_of_step = sizes * nodes, sizes * flops
        if config.schedule == "mlmc":
            # Every step sees fields of all levels, and those of a level on the one below too.
            both = nodes + np.append(0, nodes[:-1])
            flops_of_step = np.full(len(sizes), sizes @ (flops + np.append(0.0, flops[:-1])))
            sizes, work = np.full(len(sizes), sizes.sum()), np.full(len(sizes), sizes @ both)
        self._samples = np.concatenate([[0], np.cumsum(sizes[self._order])])
        self._work = np.concatenate([[0], np.cumsum(work[self._order])])
        self._flops = np.concatenate([[0.0], np.cumsum(flops_of_step[self._order])])
        self._losses: list[float] = []

    @property
    def total_steps(self) -> int:
        return len(self._order)

    def train(
        self,
        until: int | None = None,
        progress: Callable[[Progress], None] | None = None,
        save: Callable[[MultilevelTrainer], None] | None = None,
    ) -> MultilevelTrainer:
        """Go on to step ``until`` (default: the end), validating and saving as configured.

        Raises:
            TrainingDiverged: the loss is not finite.
        """
        until = self.total_steps if until is None else min(until, self.total_steps)
        start, before, first_work = time.perf_counter(), self.seconds, self._work_done()
        first_step = self.step
        while self.step < until:
            level = self.level()
            loss = self._one_step(level)
            self._losses.append(loss)
            elapsed = time.perf_counter() - start
            self.seconds = before + elapsed
            if self.step in self._ends or self.step % self.config.save_every == 0:
                self._record(level)
                if save is not None:
                    save(self)
            if progress is not None:
                done = self._work_done()
                left = (self._work[-1] - done) / max(done - first_work, 1.0) * elapsed
                speed = (self.step - first_step) / max(elapsed, 1e-9)
                rate = self.optimiser.param_groups[0]["lr"]
                shape = self.grids[level].shape
                progress(
                    Progress(self.step, self.total_steps, shape, loss, rate, elapsed, speed, left)
                )
        return self

    def level(self) -> int:
        """The index of the level that the next step trains on."""
        return int(self._order[self.step])

    def batch(self, level: int, step: int) -> tuple[Tensor, Tensor, Tensor]:
        """What step ``step`` sees on a level, see `fields`."""
        return self.fields(level, self.samples_before(step), self.config.batch_size[level])

    def fields(self, level: int, first: int, size: int) -> tuple[Tensor, Tensor, Tensor]:
        """``(x0, noise, half_log_snr)`` of fields ``first ..``: centred coefficients, one lambda.

        The same functions, noise and lambda on every level.
        """
        config, grid = self.config, self.grids[level]
        fields = self.data[level]
        places = _data_order(config.seed, len(fields), first, size)
        u = fields[torch.from_numpy(places)].to(self.device)
        u = augment.transform(u, grid, config.symmetries, config.seed, first)
        x0 = grid.basis.project(grid.basis.forward(u)) - _mean(self.denoiser, grid, u)
        z = self._noise(grid, len(u), u.shape[1], config.seed, first)
        # Stratified: one lambda in each of `size` equal parts, moved by one common shift.
        shift = noise.uniforms(config.seed, noise.TRAINING, 1, first, kind=augment.LAMBDA)[0]
        low, high = config.half_log_snr
        values = low + (high - low) * (np.arange(size) + shift) / size
        return x0, z, torch.from_numpy(values).to(self.device, u.dtype)

    def samples_before(self, step: int) -> int:
        """Fields that the steps before ``step`` saw; keys the randomness."""
        return int(self._samples[step])

    @torch.no_grad()
    def validate(self, average: bool = True) -> dict[str, float]:
        """Loss on the held-out fields at every level, in units of the linear model's.

        Sum over fields of ``||D - x_0||^2 / R^2``, divided by the same sum for the Wiener denoiser;
        lambda over its whole range, noise the same every time. Keys like ``"64x64"``.
        """
        if self.held_out is None:
            return {}
        denoiser = cast(Denoiser, self.average.module) if average else self.denoiser
        return {
            "x".join(map(str, grid.shape)): validation_ratio(
                denoiser, fields, grid, self.config.half_log_snr, self.config.seed, self.device
            )
            for grid, fields in zip(self.grids, self.held_out)
        }

    def state_dict(self) -> dict[str, Tensor]:
        """What continues the run, in one dictionary, so that one file holds it or none."""
        names = [name for name, _ in self.denoiser.named_parameters()]
        moments = self.optimiser.state_dict()["state"]
        tensors = {f"weights.{n}": p.detach() for n, p in self.denoiser.named_parameters()}
        tensors |= {f"average.{n}": p for n, p in self.average.module.named_parameters()}
        for i, name in enumerate(names):
            for key in ("exp_avg", "exp_avg_sq"):
                if i in moments:
                    tensors[f"{key}.{name}"] = moments[i][key]
        recent = self._losses[-self.config.save_every :]
        tensors["recent_losses"] = torch.tensor(recent, dtype=torch.float64)
        tensors["step"] = torch.tensor(self.step)
        tensors["seconds"] = torch.tensor(self.seconds, dtype=torch.float64)
        return tensors

    def load_state_dict(self, tensors: dict[str, Tensor]) -> None:
        """The inverse of `state_dict`."""
        _copy_weights(self.denoiser, tensors, "weights.")
        _copy_weights(self.average.module, tensors, "average.")
        self.step, self.seconds = int(tensors["step"]), float(tensors["seconds"])
        self._losses = tensors["recent_losses"].tolist()
        if self.step:
            moments = {
                i: {
                    "step": torch.tensor(float(self.step)),
                    "exp_avg": tensors[f"exp_avg.{name}"],
                    "exp_avg_sq": tensors[f"exp_avg_sq.{name}"],
                }
                for i, (name, _) in enumerate(self.denoiser.named_parameters())
            }
            groups = self.optimiser.state_dict()["param_groups"]
            self.optimiser.load_state_dict({"state": moments, "param_groups": groups})

    def load_records(self, path: Path) -> None:
        """Records of ``metrics.jsonl`` up to the present step."""
        lines = path.read_text().splitlines() if path.is_file() else []
        records = [Record(**json.loads(line)) for line in lines]
        self.records = [record for record in records if record.step <= self.step]

    def _one_step(self, level: int) -> float:
        for group in self.optimiser.param_groups:
            group["lr"] = self._rate()
        self.optimiser.zero_grad(set_to_none=True)
        loss = self._telescope() if self.config.schedule == "mlmc" else self._loss(level)
        value = loss.item()
        if not math.isfinite(value):
            raise TrainingDiverged(
                f"the loss is {value} at step {self.step} on level {self.grids[level].shape}: "
                f"lower the learning rate ({self._rate():.2g} here)",
                self.grids[level].basis.inverse(self.batch(level, self.step)[0]).cpu().numpy(),
            )
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.denoiser.parameters(), self.config.clip)
        self.optimiser.step()
        self.average.update(self.denoiser, self.step)
        self.step += 1
        return value

    def _loss(self, level: int) -> Tensor:
        return self._loss_of(level, self.samples_before(self.step), self.config.batch_size[level])

    def _loss_of(self, level: int, first: int, size: int) -> Tensor:
        x0, z, half_log_snr = self.fields(level, first, size)
        losses = denoising_loss(
            self.denoiser, x0, z, half_log_snr, self.grids[level], self.config.shell_weight
        )
        return losses.mean()

    def _telescope(self) -> Tensor:
        """``sum_l (loss_l - loss_(l-1))``, each difference on fields of its own."""
        first, total = self.samples_before(self.step), torch.zeros((), device=self.device)
        for level, size in enumerate(self.config.batch_size):
            total = total + self._loss_of(level, first, size)
            if level:
                total = total - self._loss_of(level - 1, first, size)
            first += size
        return total

    def _rate(self) -> float:
        """Linear warm-up, then half a cosine over the work of all levels, down to 2 %."""
        config = self.config
        rate = config.learning_rate * min(1.0, (self.step + 1) / max(config.warmup, 1))
        if config.decay == "constant":
            return rate
        share = self._work_done() / self._work[-1]
        return rate * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * share)))

    def _work_done(self) -> float:
        """Fields times nodes so far."""
        return float(self._work[self.step])

    def _record(self, level: int) -> None:
        recent = self._losses[-self.config.save_every :]
        self.records.append(
            Record(
                self.step,
                list(self.grids[level].shape),
                self.samples_before(self.step),
                float(self._flops[self.step]),
                round(self.seconds, 3),
                float(np.mean(recent)),
                self.validate(),
            )
        )

    def _noise(self, grid: Grid, size: int, channels: int, seed: int, first: int) -> Tensor:
        return _noise(self.denoiser, grid, size, channels, seed, first, self.device)


@torch.no_grad()
def validation_ratio(
    denoiser: Denoiser, fields: Tensor, grid: Grid, half_log_snr, seed: int, device, batch: int = 64
) -> float:
    """The denoiser's loss on ``fields`` over that of the linear model; see `validate`."""
    low, high = half_log_snr
    values = low + (high - low) * (np.arange(batch) + 0.5) / batch
    sums = np.zeros(2)
    for begin in range(0, len(fields), batch):
        u = fields[begin : begin + batch].to(device)
        x0 = grid.basis.project(grid.basis.forward(u)) - _mean(denoiser, grid, u)
        first = VALIDATION_FIRST + begin
        z = _noise(denoiser, grid, len(u), u.shape[1], seed, first, device)
        lam = torch.from_numpy(values[: len(u)]).to(device, u.dtype)
        m, s = scales(lam, grid.dim)
        x = m * x0 + s * z
        unit = denoiser.posterior_trace(lam).flatten()
        for i, estimate in enumerate(
            (denoiser.denoise_centred(lam, x, grid), denoiser.wiener(lam, x, grid))
        ):
            sums[i] += float((squared_norm(estimate - x0, grid) / unit).sum())
    return float(sums[0] / sums[1])


def level_grids(grid: Grid, levels: tuple[int, ...]) -> tuple[Grid, ...]:
    """Grids whose longest axis has ``levels`` nodes, the others in the proportion of ``grid``."""
    longest = max(grid.shape)
    shapes: list[int | tuple[int, ...]] = []
    for n in levels:
        if n > longest:
            raise ValueError(
                f"level {n} is finer than the data, which have {grid.shape}: use levels up to "
                f"{longest}, or make the data on a finer grid"
            )
        shape = tuple(side * n / longest for side in grid.shape)
        if any(side != int(side) for side in shape):
            raise ValueError(f"level {n} does not divide the shape {grid.shape} evenly")
        shapes.append(tuple(int(side) for side in shape))
    return grids.Hierarchy(grid, shapes).grids


def checked_fields(fields, grid: Grid, split: str) -> np.ndarray:
    """``fields`` where they fit the grid, there are any and all are finite; else ValueError."""
    fields = np.asarray(fields)
    if fields.ndim != 2 + grid.dim or fields.shape[2:] != grid.shape:
        raise ValueError(
            f"{split} fields must have shape (samples, channels, *{grid.shape}), got {fields.shape}"
        )
    if len(fields) == 0:
        raise ValueError(f"the {split} split is empty: choose another split, or make more data")
    finite = np.isfinite(fields).reshape(len(fields), -1).all(1)
    if not finite.all():
        raise ValueError(
            f"{int((~finite).sum())} of the {len(fields)} {split} fields hold NaN or infinite "
            f"values, the first is number {int(np.argmin(finite))}: remove or regenerate them"
        )
    return fields


def _levels_of(fields: np.ndarray, grid: Grid, level_grids) -> list[Tensor]:
    """The fields restricted to each level, as float32 tensors."""
    out = []
    for level in level_grids:
        pieces = []
        for begin in range(0, len(fields), 256):
            u = np.asarray(fields[begin : begin + 256], np.float64)
            pieces.append(u if level == grid else grids.restrict_field(u, grid, level))
        out.append(torch.from_numpy(np.concatenate(pieces).astype(np.float32)))
    return out


def _noise(denoiser, grid: Grid, size: int, channels: int, seed: int, first: int, device) -> Tensor:
    z = noise.white_coefficients(
        grid,
        seed,
        noise.PERTURBATION,
        size,
        first,
        channels,
        root=denoiser.noise.multiplier(grid, 0.5),
        dtype=np.float32,
    )
    return torch.from_numpy(z).to(device)


def _mean(denoiser: Denoiser, grid: Grid, like: Tensor) -> Tensor:
    return torch.tensor(mean_coefficients(denoiser.mean, grid)).to(like.device, _kind(grid))


def _kind(grid: Grid) -> torch.dtype:
    return torch.complex64 if grid.basis.is_complex else torch.float32


def _data_order(seed: int, count: int, first: int, size: int) -> np.ndarray:
    """Indices of the fields number ``first ..``: every pass over the data in a new order."""
    places = np.arange(first, first + size)
    return np.array([_permutation(seed, count, int(i) // count)[int(i) % count] for i in places])


@lru_cache(maxsize=4)
def _permutation(seed: int, count: int, epoch: int) -> np.ndarray:
    key = np.array([seed, (noise.TRAINING << 48) + epoch], np.uint64)
    return np.random.Generator(np.random.Philox(key=key)).permutation(count)


def _copy_weights(module, tensors: dict[str, Tensor], prefix: str) -> None:
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            parameter.copy_(tensors[prefix + name])


def _try_network(denoiser: Denoiser, grid: Grid, channels: int, device) -> None:
    """One evaluation on a small batch, so that a wrong shape shows before training."""
    with torch.no_grad():
        c = torch.zeros((1, channels, *grid.basis.shape), dtype=_kind(grid), device=device)
        out = denoiser.denoise_centred(torch.zeros(1, device=device), c, grid)
    if out.shape != c.shape:
        raise ValueError(
            f"the network gives {tuple(out.shape)} for {tuple(c.shape)}: check its out_channels"
        )


def compile_network(denoiser: Denoiser, grid: Grid, channels: int, device) -> bool:
    """Compile the network in place; where that fails, warn and leave it as it is."""
    network = denoiser.network
    network.compile()
    try:
        _try_network(denoiser, grid, channels, device)
    except Exception as error:  # whatever a compiler may raise
        network._compiled_call_impl = None
        warnings.warn(
            f"torch.compile failed ({type(error).__name__}: {str(error).splitlines()[0][:120]}); "
            "training goes on without it",
            stacklevel=3,
        )
        return False
    return True


def field_flops(denoiser: Denoiser, grid: Grid, channels: int, device) -> float:
    """Floating-point operations of the matrix products in training on one field of ``grid``.

    Forward, and twice as many backward; FFTs and pointwise work are not counted.
    """
    with FlopCounterMode(display=False) as counter:
        _try_network(denoiser, grid, channels, device)
    return 3.0 * counter.get_total_flops()
