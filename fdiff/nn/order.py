"""Which level each step of a training is on, and what the steps cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np

from fdiff.nn.config import TrainingConfig


def default_steps(levels: Sequence[int], dim: int = 2) -> list[int]:
    """Steps a level with the work of the default run, as evenly spread over the levels.

    The work of a step is its number of nodes.
    """
    default = TrainingConfig()
    work = sum(s * n**2 for s, n in zip(default.steps, default.levels))
    first = default.steps[0] * default.levels[0] ** 2 / work
    others = len(levels) - 1
    shares = [first / others] * others + [1 - first] if others else [1.0]
    return [max(1, round(share * work / n**dim)) for share, n in zip(shares, levels)]


def level_order(config: TrainingConfig) -> tuple[np.ndarray, np.ndarray]:
    """The level of every step, and the steps at which a stage ends.

    * ``"warm"``: ``steps[l]`` steps on level ``l``, one level after the other.
    * ``"rehearsed"``: the same, but each step on a level is followed by one on every coarser
      level. What a grid cannot hold makes the levels' problems differ a little, and a network
      that goes on to the next level forgets the last one's.
    * ``"mixed"``: all levels from the first step on, evenly spread.
    * ``"mlmc"``: ``steps[-1]`` steps, each with the telescoping sum of all levels' gradients,
      ``batch_size[l]`` fields for the difference of level ``l`` to the one below.
    """
    counts = config.steps
    if config.schedule == "mlmc":
        return np.full(counts[-1], len(counts) - 1), np.array([counts[-1]])
    if config.schedule == "mixed":
        place = np.concatenate([(np.arange(n) + 0.5) / n for n in counts])
        levels = np.repeat(np.arange(len(counts)), counts)
        return levels[np.argsort(place, kind="stable")], np.array([sum(counts)])
    stages = []
    for level, count in enumerate(counts):
        cycle = range(level, -1, -1) if config.schedule == "rehearsed" else (level,)
        stages.append(np.tile(np.array(cycle), count))
    return np.concatenate(stages), np.cumsum([len(stage) for stage in stages])


@final
@dataclass(frozen=True)
class Plan:
    """The steps of a training, and the sums over those before each (one entry more than steps)."""

    order: np.ndarray  # level of every step
    ends: np.ndarray  # steps at which a stage ends
    samples: np.ndarray  # fields seen; they key the randomness
    work: np.ndarray  # fields times nodes
    flops: np.ndarray  # floating-point operations of the matrix products

    @staticmethod
    def of(config: TrainingConfig, nodes: np.ndarray, flops: np.ndarray) -> Plan:
        """``nodes``, ``flops``: of one field of each level."""
        order, ends = level_order(config)
        sizes = np.array(config.batch_size)
        work, flops_of_step = sizes * nodes, sizes * flops
        if config.schedule == "mlmc":
            # Every step sees fields of all levels, and those of a level on the one below too.
            both = nodes + np.append(0, nodes[:-1])
            flops_of_step = np.full(len(sizes), sizes @ (flops + np.append(0.0, flops[:-1])))
            sizes, work = np.full(len(sizes), sizes.sum()), np.full(len(sizes), sizes @ both)
        return Plan(order, ends, *(_sums(x[order]) for x in (sizes, work, flops_of_step)))


def _sums(values: np.ndarray) -> np.ndarray:
    return np.concatenate([np.zeros(1, values.dtype), np.cumsum(values)])
