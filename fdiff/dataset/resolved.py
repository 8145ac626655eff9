"""Whether the grid of a dataset resolves its solutions, and which grid would.

The measure is the ``tail_energy`` of a trajectory's record (`fdiff.dataset.statistics`): the share
of a field's energy, at the last stored time, in modes beyond two thirds of the grid's range. The
solutions of reaction-diffusion equations are analytic, so that it falls exponentially with the
resolution, once the grid sees their smallest scale. Earlier times do not count: a rough initial
state, as PDEBench's white noise, is rough on every grid, and is smoothed at once.

Above `THRESHOLD`, a hundredth of the amplitude lies in the modes that a grid treats worst, and a
trajectory differs by about a tenth from that on twice the nodes, mostly by more. Below, the
difference falls with the order of the scheme (2 for the finite volumes). One trajectory by
``n x n`` cells beside that by twice as many, relative L2 difference of the worse field::

    FitzHugh-Nagumo, t = 5       n = 32   tail 1.5e-2   difference 0.20
                                     48        1.4e-4              0.091
                                     64        3.8e-6              0.062
    FitzHugh-Nagumo, t = 1           48        4.1e-2              0.20
                                     64        2.9e-3              0.11
                                     96        1.1e-6              0.046
    Allen-Cahn, t = 10               32        1.7e-2              0.26
                                     48        9.4e-4              0.097
                                     64        7.8e-5              0.094
    Gray-Scott spots, t = 200        64        2.8e-1              1.4
                                     96        4.8e-7              0.059
    Gray-Scott maze, t = 500         96        7.5e-3              0.58
                                    128        7.4e-4              0.22
    Fisher-KPP, box of 40, t = 5     12        8.2e-3              0.21
                                     16        1.1e-3              0.079
                                     24        1.8e-5              0.025

A small tail is necessary, and not sufficient: patterns that die out on a coarse grid leave a smooth
state.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, final

from fdiff import pde
from fdiff.dataset import source
from fdiff.dataset.recipe import Recipe, from_dict
from fdiff.words import by_number

THRESHOLD = 1e-4  # share of the energy beyond two thirds of the grid's range
# Grids that are tried, in nodes of the recipe's, and the most nodes that one may have.
_FACTORS = tuple(Fraction(n, 2) for n in (3, 4, 6, 8, 12, 16, 24, 32))
_MOST_NODES = 2**24
# What a command that is not asked for it may spend on trying: evaluations of the right-hand side
# times nodes, about 1e9 in a second; and, where the trajectories are computed, of their work.
PATIENCE, SHARE = 5e9, 0.1


@final
@dataclass(frozen=True)
class Unresolved:
    """Trajectories that their grid does not resolve: ``samples`` of ``of``."""

    tail_energy: float  # the largest
    sample: int  # whose it is
    samples: int
    of: int
    resolution: tuple[int, ...] | None  # on which that sample was tried, and is resolved
    tried: tuple[int, ...] | None  # the finest grid that was tried
    threshold: float = THRESHOLD
    obstacle: str = ""  # why no grid was tried, where something stood in the way

    def as_dict(self) -> dict[str, Any]:
        """JSON values."""
        return asdict(self)

    def sentence(self, place: object) -> str:
        """The warning; ``place`` names the file."""
        are = by_number(self.samples, "is", "are")
        which = f"{self.samples} of {self.of} samples {are}" if self.of > 1 else "the sample is"
        if self.resolution is not None:
            grid = ",".join(map(str, self.resolution))
            advice = f"--resolution {grid} resolves sample {self.sample}"
        elif self.tried is not None:
            advice = f"{'×'.join(map(str, self.tried))} nodes do not resolve it either"
        elif self.obstacle:
            advice = f"no finer grid was tried: {self.obstacle}"
        else:
            advice = "`fdiff generate` with --dry-run tries finer grids and names one that does"
        return (
            f"{place}: {which} not resolved by the grid: up to {self.tail_energy:.2g} of a field's "
            f"energy (sample {self.sample}) lies beyond two thirds of the grid's range, where "
            f"{THRESHOLD:g} is much; {advice}"
        )


def assess(
    recipe: Recipe, records: Iterable[Mapping[str, Any]], patience: float = PATIENCE
) -> Unresolved | None:
    """What the records of samples say of their grid; None where it resolves all of them.

    The worst sample is computed again on finer grids until one resolves it, or the work would
    exceed ``patience``. A law without an equation, or the initial state alone, has nothing to
    resolve.
    """
    if not _evolves(recipe):
        return None
    records = [record for record in records if "tail_energy" in record]
    poor = [record for record in records if record["tail_energy"] > THRESHOLD]
    if not poor:
        return None
    worst = max(poor, key=lambda record: record["tail_energy"])
    obstacle = source.obstacle(recipe, worst)
    found, last = (None, None) if obstacle else _finer(recipe, worst, patience)
    return Unresolved(
        worst["tail_energy"], worst["sample"], len(poor), len(records), found, last,
        obstacle=obstacle,
    )  # fmt: skip


def of_dataset(
    path: Path | str, rows: Iterable[int] | None = None, share: float = 0.0
) -> Unresolved | None:
    """`assess` of what `fdiff generate` made: a file, some of its samples by position, or The
    Well's folders. None of somebody else's data, which say nothing of it.

    ``share`` of the dataset's own work may be spent on trying where that is more than `PATIENCE`.
    """
    from fdiff.dataset.tree import all_files

    path = Path(path)
    recipe: Recipe | None = None
    records: list[dict[str, Any]] = []
    for file in all_files(path) if path.is_dir() else [path]:
        its, found = _recorded(file, rows)
        recipe, records = recipe or its, records + found
    if recipe is None:
        return None
    return assess(recipe, records, max(PATIENCE, share * work(recipe, records)))


def _recorded(path: Path, rows: Iterable[int] | None) -> tuple[Recipe | None, list[dict[str, Any]]]:
    """Recipe and records of a file; no recipe where it is not ours, or has nothing to resolve."""
    from fdiff.dataset.reader import Dataset

    with Dataset(path) as file:
        if file.provenance.get("kind") != "generated":
            return None, []
        recipe = from_dict(file.provenance["recipe"])
        if not _evolves(recipe):
            return None, []
        records = [file.view.record(row) for row in (range(len(file)) if rows is None else rows)]
    return recipe, [record for record in records if record is not None]


def work(recipe: Recipe, records: Iterable[Mapping[str, Any]]) -> float:
    """What computing the samples of these records took, in the units of `PATIENCE`."""
    return sum(map(_evaluations, records)) * math.prod(recipe.resolution)


def _evolves(recipe: Recipe) -> bool:
    return recipe.system != pde.NONE and recipe.stored_times[-1] > 0


def _evaluations(record: Mapping[str, Any]) -> int:
    return record.get("evaluations", record.get("steps", 0))


def _finer(
    recipe: Recipe, record: Mapping[str, Any], patience: float
) -> tuple[tuple[int, ...] | None, tuple[int, ...] | None]:
    """The first finer grid that resolves the sample of ``record``, or None, and the last tried."""
    from fdiff.dataset.factory import buffer, simulate

    alone, last = work(recipe, [record]), None
    for factor in _FACTORS:
        shape = [n * factor for n in recipe.resolution]
        if any(n.denominator > 1 for n in shape):
            continue
        nodes = tuple(map(int, shape))
        # The steps of diffusion are as many as the nodes of an axis where they are the shortest.
        patience -= alone * float(factor) ** (len(nodes) + 1)
        if patience < 0 or math.prod(nodes) > _MOST_NODES:
            break
        try:
            finer = recipe.override(resolution=nodes, times=recipe.stored_times[-1:].tolist())
            found = simulate(finer, record["sample"], buffer(finer))
        except (ValueError, OSError):
            # The law has no such state on this grid.
            break
        last = nodes
        if found.get("tail_energy", math.inf) <= THRESHOLD:
            return nodes, nodes
    return None, last
