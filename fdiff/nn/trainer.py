"""Multilevel training: one network, data restricted to every level, from coarse to fine."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import cast, final

import numpy as np
import torch
from torch import Tensor

from fdiff import noise
from fdiff.backends.torch import device_named
from fdiff.grid import Grid
from fdiff.nn import augment
from fdiff.nn.checkpoint import (
    MOMENTS,
    check_names,
    copy_into,
    read_moments,
    read_number,
    read_row,
    weights_of,
)
from fdiff.nn.config import TrainingConfig
from fdiff.nn.ema import ExponentialAverage
from fdiff.nn.fields import (
    checked_fields,
    data_order,
    level_grids,
    noise_tensor,
    restricted,
)
from fdiff.nn.loss import denoising_loss
from fdiff.nn.order import Plan
from fdiff.nn.parallel import Team
from fdiff.nn.precision import PRECISIONS
from fdiff.nn.precondition import Denoiser, mean_tensor
from fdiff.nn.progress import Progress, Record, read_records
from fdiff.nn.trial import compile_network, field_flops
from fdiff.nn.validation import VALIDATION_SIZE, validation_ratio


class TrainingDiverged(ArithmeticError):
    """The loss became infinite or not a number; ``batch`` holds the fields that led there."""

    def __init__(self, message: str, batch: np.ndarray):
        super().__init__(message)
        self.batch = batch

    def __reduce__(self):
        return TrainingDiverged, (*self.args, self.batch)


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
        device: where the network lives; that of ``team`` by default.
        team: the processes that share each batch, see `fdiff.nn.parallel.team`; each needs the
            same arguments.
        conditions: ``(samples, condition_channels)``, what the network is told of each field;
            ``validation_conditions`` likewise.

    Raises:
        ValueError: no fields, fields that are not finite or of another shape, levels that do not
            nest or are finer than the data, more modes than the coarsest level has, a batch
            smaller than the team.
    """

    def __init__(
        self,
        denoiser: Denoiser,
        fields,
        grid: Grid,
        config: TrainingConfig | None = None,
        validation=None,
        device=None,
        team: Team | None = None,
        conditions=None,
        validation_conditions=None,
    ):
        self.config = config = TrainingConfig() if config is None else config
        self.team = team = Team() if team is None else team
        self.device = team.device if device is None else device_named(device)
        if min(config.batch_size) < team.size:
            raise ValueError(
                f"batch_size {config.batch_size} leaves some of the {team.size} processes without "
                "a field: use fewer processes, or larger batches"
            )
        self.grids = level_grids(grid, config.levels)
        augment.check_symmetries(config.symmetries, grid)
        self._steps = tuple(math.gcd(*sides) for sides in zip(*(g.shape for g in self.grids)))
        self.data = self._on_levels(checked_fields(fields, grid, "training"), grid)
        self.held_out = None
        if validation is not None:
            kept = checked_fields(validation, grid, "validation")[:VALIDATION_SIZE]
            self.held_out = self._on_levels(kept, grid)
        self.conditions = _conditions(conditions, self.data[0])
        held_out = None if self.held_out is None else self.held_out[0]
        self.held_out_conditions = _conditions(validation_conditions, held_out, VALIDATION_SIZE)
        self.denoiser = denoiser.to(self.device)
        channels = self.data[0].shape[1]
        told = 0 if self.conditions is None else self.conditions.shape[1]
        flops = [field_flops(self.denoiser, g, channels, self.device, told) for g in self.grids]
        self.plan = Plan.of(config, np.array([g.size for g in self.grids]), np.array(flops))
        self.average = ExponentialAverage(self.denoiser, config.average)
        self.denoiser.products = PRECISIONS[config.precision]  # the average's are float32
        if config.compile:
            sizes = [len(team.share(size)) for size in config.batch_size]
            compile_network(
                self.denoiser, dict(zip(self.grids, sizes)), channels, self.device, told
            )
        self.optimiser = torch.optim.AdamW(
            self.denoiser.parameters(),
            lr=config.learning_rate,
            betas=(0.9, 0.99),
            weight_decay=config.weight_decay,
            fused=_can_fuse(self.denoiser) or None,  # False would exclude grouped steps too
        )
        self.step = 0
        self.records: list[Record] = []
        self.seconds = 0.0
        self._losses: list[float] = []

    @property
    def total_steps(self) -> int:
        return len(self.plan.order)

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
            if self.step in self.plan.ends or self.step % self.config.save_every == 0:
                self._record(level)
                if save is not None and self.team.leads:
                    save(self)
            if progress is not None and self.team.leads:
                done = self._work_done()
                left = (self.plan.work[-1] - done) / max(done - first_work, 1.0) * elapsed
                speed = (self.step - first_step) / max(elapsed, 1e-9)
                rate = self.optimiser.param_groups[0]["lr"]
                shape = self.grids[level].shape
                progress(
                    Progress(self.step, self.total_steps, shape, loss, rate, elapsed, speed, left)
                )
        return self

    def level(self) -> int:
        """The index of the level that the next step trains on."""
        return int(self.plan.order[self.step])

    def batch(self, level: int, step: int) -> tuple[Tensor, Tensor, Tensor]:
        """What step ``step`` sees on a level, see `fields`."""
        return self.fields(level, self.samples_before(step), self.config.batch_size[level])

    def fields(
        self, level: int, first: int, size: int, share: range | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """``(x0, noise, half_log_snr)`` of fields ``first ..``: centred coefficients, one lambda.

        The same functions, noise and lambda on every level. ``share``: these of the ``size`` only.
        """
        config, grid = self.config, self.grids[level]
        share = range(size) if share is None else share
        # One lambda in each of `size` equal parts of their range, moved by one common shift.
        shift = noise.uniforms(config.seed, noise.TRAINING, 1, first, kind=augment.LAMBDA)[0]
        low, high = config.half_log_snr
        values = low + (high - low) * (np.array(share) + shift) / size
        first, size = first + share.start, len(share)
        fields = self.data[level]
        places = data_order(config.seed, len(fields), first, size)
        u = fields[torch.from_numpy(places)].to(self.device)
        u = augment.transform(u, grid, config.symmetries, config.seed, first, self._steps)
        x0 = grid.basis.project(grid.basis.forward(u))
        x0 = x0 - mean_tensor(self.denoiser.mean, grid, x0.dtype, x0.device)
        z = noise_tensor(
            self.denoiser.noise, grid, size, u.shape[1], config.seed, first, self.device
        )
        return x0, z, torch.from_numpy(values).to(self.device, u.dtype)

    def condition(self, first: int, size: int, share: range | None = None) -> Tensor | None:
        """What the network is told of the fields that `fields` gives; None where nothing."""
        if self.conditions is None:
            return None
        share = range(size) if share is None else share
        count = len(self.conditions)
        places = data_order(self.config.seed, count, first + share.start, len(share))
        return self.conditions[torch.from_numpy(places)].to(self.device)

    def samples_before(self, step: int) -> int:
        """Fields that the steps before ``step`` saw; keys the randomness."""
        return int(self.plan.samples[step])

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
                denoiser,
                fields,
                grid,
                self.config.half_log_snr,
                self.config.seed,
                self.device,
                team=self.team,
                conditions=self.held_out_conditions,
            )
            for grid, fields in zip(self.grids, self.held_out)
        }

    def state_dict(self) -> dict[str, Tensor]:
        """What continues the run, in one dictionary, so that one file holds it or none."""
        names = [name for name, _ in self.denoiser.named_parameters()]
        moments = self.optimiser.state_dict()["state"]
        tensors = {f"weights.{n}": p.detach() for n, p in weights_of(self.denoiser).items()}
        tensors |= {f"average.{n}": p for n, p in weights_of(self.average.module).items()}
        for i, name in enumerate(names):
            for key in ("exp_avg", "exp_avg_sq"):
                if i in moments:
                    tensors[f"{key}.{name}"] = moments[i][key]
        recent = self._losses[-self.config.save_every :]
        tensors["recent_losses"] = torch.tensor(recent, dtype=torch.float64)
        tensors["step"] = torch.tensor(self.step)
        tensors["seconds"] = torch.tensor(self.seconds, dtype=torch.float64)
        return tensors

    def load_state_dict(self, tensors: dict[str, Tensor], source: str = "the state") -> None:
        """The inverse of `state_dict`; ``source`` is the file that the tensors come from.

        Raises:
            FileError: a tensor that is missing or has another shape, of another network or damaged.
        """
        check_names(
            tensors, ("weights", "average", *MOMENTS, "step", "seconds", "recent_losses"), source
        )
        copy_into(self.denoiser, tensors, source, "weights.")
        copy_into(self.average.module, tensors, source, "average.")
        self.step = int(read_number(tensors, "step", source, self.total_steps))
        self.seconds = read_number(tensors, "seconds", source)
        self._losses = read_row(tensors, "recent_losses", source).tolist()
        if self.step:
            moments = {
                i: {"step": torch.tensor(float(self.step)), **known}
                for i, known in enumerate(read_moments(tensors, self.denoiser, source))
                if known
            }
            groups = self.optimiser.state_dict()["param_groups"]
            self.optimiser.load_state_dict({"state": moments, "param_groups": groups})

    def load_records(self, path: Path) -> None:
        """Records of ``metrics.jsonl`` up to the present step."""
        self.records = [record for record in read_records(path) if record.step <= self.step]

    def _on_levels(self, fields: np.ndarray, grid: Grid) -> list[Tensor]:
        return [torch.from_numpy(restricted(fields, grid, level)) for level in self.grids]

    def _one_step(self, level: int) -> float:
        for group in self.optimiser.param_groups:
            group["lr"] = self._rate()
        self.optimiser.zero_grad(set_to_none=True)
        loss = self._telescope() if self.config.schedule == "mlmc" else self._loss(level)
        loss.backward()
        value = self._gathered(loss)
        if not math.isfinite(value):
            raise TrainingDiverged(
                f"the loss is {value} at step {self.step} on level {self.grids[level].shape}: "
                f"lower the learning rate ({self._rate():.2g} here)",
                self.grids[level].basis.inverse(self.batch(level, self.step)[0]).cpu().numpy(),
            )
        torch.nn.utils.clip_grad_norm_(self.denoiser.parameters(), self.config.clip)
        self.optimiser.step()
        self.average.update(self.denoiser, self.step)
        self.step += 1
        return value

    def _gathered(self, loss: Tensor) -> float:
        """The loss of the whole batch; the gradients become its gradients, in every process."""
        if self.team.size == 1:
            return loss.item()
        gradients = [p.grad for p in self.denoiser.parameters() if p.grad is not None]
        parts = [loss.detach().reshape(1), *(g.flatten() for g in gradients)]
        sums = self.team.add(torch.cat(parts)).split([len(part) for part in parts])
        for gradient, total in zip(gradients, sums[1:]):
            gradient.copy_(total.view_as(gradient))
        return sums[0].item()

    def _loss(self, level: int) -> Tensor:
        return self._loss_of(level, self.samples_before(self.step), self.config.batch_size[level])

    def _loss_of(self, level: int, first: int, size: int) -> Tensor:
        """This process's part of the mean over the batch."""
        share, grid = self.team.share(size), self.grids[level]
        x0, z, half_log_snr = self.fields(level, first, size, share)
        told = self.condition(first, size, share)
        losses = denoising_loss(
            self.denoiser, x0, z, half_log_snr, grid, self.config.shell_weight, told
        )
        return losses.sum() / size

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
        share = self._work_done() / self.plan.work[-1]
        return rate * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * share)))

    def _work_done(self) -> float:
        """Fields times nodes so far."""
        return float(self.plan.work[self.step])

    def _record(self, level: int) -> None:
        recent = self._losses[-self.config.save_every :]
        self.records.append(
            Record(
                self.step,
                list(self.grids[level].shape),
                self.samples_before(self.step),
                float(self.plan.flops[self.step]),
                round(self.seconds, 3),
                float(np.mean(recent)),
                self.validate(),
            )
        )


def _can_fuse(network: torch.nn.Module) -> bool:
    """Whether torch has the optimiser's step in one pass over the weights: not for complex ones."""
    weights = list(network.parameters())
    return all(w.is_floating_point() and w.device.type in ("cpu", "cuda") for w in weights)


def _conditions(values, fields: Tensor | None, most: int | None = None) -> Tensor | None:
    if values is None or fields is None:
        return None
    told = torch.as_tensor(np.asarray(values), dtype=torch.float32)
    if told.ndim != 2 or len(told[:most]) != len(fields):
        raise ValueError(
            f"conditions need a line for each of the {len(fields)} fields, got shape "
            f"{tuple(told.shape)}"
        )
    return told[:most]
