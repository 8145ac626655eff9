"""All metrics of a set of samples against held-out truth, as the rows of a report.

>>> reference = Reference(truth[1024:], grid)
>>> rows = reference.compare(samples)            # samples against truth
>>> floor = reference.compare(truth[:1024])      # truth against truth: how to read them

A ``Reference`` computes what depends on the truth alone once, whatever is compared with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np

from fdiff.grid import Grid
from fdiff.metrics import energy, functionals, pointwise, sliced, spectra, vendi
from fdiff.metrics.estimate import Estimate
from fdiff.metrics.fields import RealArray, Scale, as_fields, common_grid, on_grid
from fdiff.shells import complete_shells

VENDI_FIELDS = 512  # the score grows with their number, so it is always of the first 512


@dataclass(frozen=True)
class Row:
    """One number of a report; ``resolution`` is the grid on which the sets were compared."""

    resolution: tuple[int, ...]
    metric: str
    value: float
    low: float
    high: float

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "resolution": list(self.resolution)}


def compare(
    samples: Any,
    truth: Any,
    grid: Grid,
    truth_grid: Grid | None = None,
    metrics: Iterable[str] | None = None,
    seed: int = 0,
) -> list[Row]:
    """Rows of ``metrics`` (default: all that the grid allows) of ``samples`` against ``truth``.

    ``grid`` is that of the samples and, unless ``truth_grid`` says otherwise, of the truth. Sets on
    different grids are compared on the coarser one, axis by axis, by restriction; the rows'
    ``resolution`` says which. ``seed`` is that of directions and bootstrap.

    Raises:
        ValueError: shapes that do not fit the grids, different boxes, values that are not finite,
            fewer than 3 fields, an unknown metric.
    """
    reference = Reference(truth, truth_grid or grid, seed)
    return reference.compare(samples, grid, metrics)


class Reference:
    """Held-out truth, ready for any number of comparisons on its own or a coarser grid."""

    def __init__(self, truth: Any, grid: Grid, seed: int = 0) -> None:
        self.grid, self.seed = grid, seed
        self._fields = as_fields(truth, grid, minimum=3)
        self._prepared: dict[tuple[int, ...], Prepared] = {}

    def compare(
        self, samples: Any, grid: Grid | None = None, metrics: Iterable[str] | None = None
    ) -> list[Row]:
        """Rows of ``samples`` (on ``grid``, by default the truth's) against the truth."""
        grid = grid or self.grid
        common = common_grid(grid, self.grid)
        names = list(METRICS if metrics is None else metrics)
        unknown = [name for name in names if name not in METRICS]
        if unknown:
            raise ValueError(f"unknown metrics {unknown}; known: {', '.join(METRICS)}")
        x, y = self._pair(as_fields(samples, grid, minimum=3), grid, common)
        rows = []
        for name in names:
            estimate = METRICS[name](x, y)
            if estimate is not None:
                rows.append(Row(common.shape, name, **asdict(estimate)))
        return rows

    def _pair(self, samples: RealArray, grid: Grid, common: Grid) -> tuple[Prepared, Prepared]:
        if samples.shape[1] != self._fields.shape[1]:
            raise ValueError(
                f"samples have {samples.shape[1]} channels, the truth {self._fields.shape[1]}"
            )
        if common.shape not in self._prepared:
            truth = on_grid(self._fields, self.grid, common)
            self._prepared[common.shape] = Prepared(truth, common, Scale.of(truth), self.seed)
        y = self._prepared[common.shape]
        return Prepared(on_grid(samples, grid, common), common, y.scale, self.seed), y


class Prepared:
    """One set of fields in the truth's units, with what several metrics need computed once."""

    def __init__(self, fields: RealArray, grid: Grid, scale: Scale, seed: int) -> None:
        self.grid, self.scale, self.seed = grid, scale, seed
        self.raw = fields[:VENDI_FIELDS]
        self.fields = scale.standardise(fields)

    @cached_property
    def l2(self) -> RealArray:
        return energy.flatten(self.fields)

    @cached_property
    def h1(self) -> RealArray:
        return energy.flatten(energy.h1_filter(self.fields, self.grid))

    @cached_property
    def within_l2(self) -> RealArray:
        return energy.mean_distances_within(self.l2)

    @cached_property
    def within_h1(self) -> RealArray:
        return energy.mean_distances_within(self.h1)

    @cached_property
    def h1_unit(self) -> float:
        return energy.root_mean_square(self.h1)

    @cached_property
    def projections(self) -> RealArray:
        xi = sliced.white_directions(self.grid, self.fields.shape[1], sliced.DIRECTIONS, self.seed)
        return sliced.project(self.fields, xi)

    @cached_property
    def groups(self) -> sliced.GroupSums:
        return sliced.GroupSums(self.fields)

    @cached_property
    def energies(self) -> RealArray:
        return spectra.shell_energies(self.fields, self.grid)

    @cached_property
    def moments(self) -> RealArray:
        return pointwise.moments(self.fields)

    @cached_property
    def bins(self) -> pointwise.Bins:
        return pointwise.Bins.of(self.fields)

    @cached_property
    def own_table(self) -> RealArray:
        return self.bins.table(self.fields)

    @cached_property
    def slope(self) -> RealArray:
        return pointwise.gradient_magnitude(self.fields, self.grid)

    @cached_property
    def minkowski(self) -> functionals.Minkowski:
        return functionals.minkowski(self.fields, self.grid, functionals.LEVELS)

    @cached_property
    def median_distance(self) -> float:
        return vendi.median_distance(self.raw, self.grid)


def _energy_distance(x: Prepared, y: Prepared) -> Estimate:
    return energy.from_vectors(x.l2, y.l2, y.within_l2)


def _energy_distance_h1(x: Prepared, y: Prepared) -> Estimate:
    return energy.from_vectors(x.h1, y.h1, y.within_h1).scaled(1 / y.h1_unit)


def _shells(first: int, last: int) -> Callable[[Prepared, Prepared], Estimate | None]:
    def largest(x: Prepared, y: Prepared) -> Estimate | None:
        if complete_shells(x.grid) <= last:
            return None
        part = slice(first, last + 1)
        return spectra.largest_from_energies(x.energies, y.energies, part, x.seed)

    return largest


def _perimeter_error(x: Prepared, y: Prepared) -> Estimate | None:
    if x.grid.dim != 2:
        return None
    return functionals.relative_error(x.minkowski.perimeter, y.minkowski.perimeter, x.seed)


def _euler_error(x: Prepared, y: Prepared) -> Estimate | None:
    if x.grid.dim != 2:
        return None
    if not y.minkowski.euler.mean(axis=0).any():
        return None
    return functionals.error_of_largest(x.minkowski.euler, y.minkowski.euler, x.seed)


def _kurtosis(x: Prepared, y: Prepared) -> Estimate | None:
    mean, square = x.moments[:, :2].mean(axis=0)
    if square - mean**2 <= np.finfo(np.float32).eps ** 2 * square:
        return None  # samples that do not vary have none
    return pointwise.kurtosis_from_moments(x.moments, x.seed)


def _vendi_cosine(x: Prepared, y: Prepared) -> Estimate | None:
    if not x.raw.reshape(len(x.raw), -1).any(axis=1).all():
        return None  # a field that is zero has no angle to others
    return vendi.vendi_cosine(x.raw, x.grid)


METRICS: dict[str, Callable[[Prepared, Prepared], Estimate | None]] = {
    "energy_distance": _energy_distance,
    "energy_distance_h1": _energy_distance_h1,
    "sliced_wasserstein": lambda x, y: sliced.sliced_from_projections(x.projections, y.projections),
    "approximate_sliced_wasserstein": lambda x, y: sliced.gaussian_from_groups(x.groups, y.groups),
    "spectrum_error": lambda x, y: spectra.error_from_energies(x.energies, y.energies, x.seed),
    "spectrum_error_10_19": _shells(10, 19),
    "spectrum_error_20_31": _shells(20, 31),
    "std": lambda x, y: pointwise.std_from_moments(x.moments, x.scale.unit, x.seed),
    "kurtosis": _kurtosis,
    "pointwise_w1": lambda x, y: pointwise.w1_from_tables(
        y.bins.table(x.fields), y.own_table, x.seed
    ),
    "gradient_w1": lambda x, y: pointwise.w1_in_units_of(x.slope, y.slope, x.seed),
    "perimeter_error": _perimeter_error,
    "euler_error": _euler_error,
    "vendi_cosine": _vendi_cosine,
    "vendi_gaussian": lambda x, y: vendi.vendi_gaussian(x.raw, x.grid, y.median_distance),
}
