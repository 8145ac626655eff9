"""Metrics and pictures on boxes of unequal sides, against slow twins that place every node."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose
from problems import box_name, unequal_boxes
from test_unequal_boxes import function, modes, shells

import fdiff
from fdiff import metrics
from fdiff.levels import restrict_field
from fdiff.metrics import energy, pointwise, sliced
from tests.strategies import field

ALL = unequal_boxes()
FLAT = [grid for grid in ALL if grid.dim == 2]


def on(grids):
    return pytest.mark.parametrize("grid", grids, ids=box_name)


def lines(grid, u):
    """Positions of the nodes along both axes, walls and periodic images included, and values."""
    places = []
    for axis, kind in enumerate(grid.boundary):
        h = grid.lengths[axis] / grid.shape[axis]
        if kind == "periodic":
            place = h * np.arange(grid.shape[axis] + 1)
            u = np.concatenate([u, np.take(u, [0], axis)], axis)
        else:
            inner = h * (np.arange(grid.shape[axis]) + 0.5)
            place = np.concatenate([[0.0], inner, [grid.lengths[axis]]])
            pad = [(1, 1) if i == axis else (0, 0) for i in range(2)]
            u = np.pad(u, pad, mode="edge" if kind == "neumann" else "constant")
        places.append(place)
    return places[0], places[1], u


def level_set(grid, u, level):
    """Area above the level and length of its line, triangle by triangle."""
    x, y, u = lines(grid, u)
    area = length = 0.0
    for i in range(len(x) - 1):
        for j in range(len(y) - 1):
            ring = [(x[a], y[b], u[a, b]) for a, b in
                    ((i, j), (i + 1, j), (i + 1, j + 1), (i, j + 1))]  # fmt: skip
            centre = tuple(np.mean(ring, axis=0))
            for p, q in zip(ring, [*ring[1:], ring[0]]):
                inside, crossings = [], []
                corners = [p, q, centre]
                for a, b in zip(corners, [*corners[1:], corners[0]]):
                    if a[2] >= level:
                        inside.append(a[:2])
                    if (a[2] >= level) != (b[2] >= level):
                        t = (level - a[2]) / (b[2] - a[2])
                        cut = (a[0] + t * (b[0] - a[0]), a[1] + t * (b[1] - a[1]))
                        inside.append(cut)
                        crossings.append(cut)
                if len(inside) > 2:
                    px, py = np.array(inside).T
                    area += 0.5 * abs(px @ np.roll(py, -1) - py @ np.roll(px, -1))
                if crossings:
                    length += math.dist(*crossings)
    return area, length


@on(FLAT)
def test_areas_and_level_lines_are_those_of_the_triangles(grid):
    u = field(grid, 2, (2,))
    found = metrics.minkowski(u, grid, [-0.3, 0.4])
    for i, (one, level) in enumerate((one, level) for one in u for level in (-0.3, 0.4)):
        area, length = level_set(grid, one, level)
        place = (i // 2, 0, i % 2)
        assert_allclose(found.area[place], area, rtol=1e-10)
        assert_allclose(found.perimeter[place], length, rtol=1e-10)


@on(ALL)
def test_gradients_are_differences_over_the_distance_of_nodes(grid):
    u = field(grid, 3)
    found = pointwise.gradient_magnitude(u[None, None], grid)[0, 0]
    for place in np.ndindex(found.shape):
        square = 0.0
        for axis in range(grid.dim):
            ahead = list(place)
            ahead[axis] = (ahead[axis] + 1) % grid.shape[axis]
            h = grid.lengths[axis] / grid.shape[axis]
            square += ((u[tuple(ahead)] - u[place]) / h) ** 2
        assert_allclose(found[place], math.sqrt(square), rtol=1e-12)
    walls = [kind != "periodic" for kind in grid.boundary]
    assert found.shape == tuple(n - wall for n, wall in zip(grid.shape, walls))


@on(ALL)
def test_the_h1_norm_is_the_sum_over_the_modes_of_the_box(grid):
    u = grid.basis.inverse(grid.basis.project(grid.basis.forward(field(grid, 4))))
    points = np.meshgrid(*map(grid.points, range(grid.dim)), indexing="ij")
    size = 0.0
    for k, mu in modes(grid):
        c = grid.cell_volume * (u * np.conj(function(grid, k, *points))).sum()
        size += (1 + mu) * abs(c) ** 2
    row = energy.flatten(energy.h1_filter(u[None, None], grid))
    assert_allclose(grid.volume * (row**2).sum(), size, rtol=1e-11)


@on(ALL)
def test_energies_of_shells_are_sums_over_their_modes(grid):
    u = grid.basis.inverse(grid.basis.project(grid.basis.forward(field(grid, 8, (3,)))))
    points = np.meshgrid(*map(grid.points, range(grid.dim)), indexing="ij")
    index = shells(grid)
    energy = np.zeros((3, max(index.values()) + 1))
    for k, shell in index.items():
        e = np.conj(function(grid, k, *points))
        c = grid.cell_volume * (u * e).sum(tuple(range(1, 1 + grid.dim)))
        energy[:, shell] += np.abs(c) ** 2
    found, count = metrics.spectrum(u, grid).value, energy.shape[1]
    assert_allclose(found[:count], energy.mean(0), rtol=1e-10, atol=1e-13)
    assert_allclose(found[count:], 0, atol=1e-13)  # of modes on the edge of the grid


@on(ALL)
def test_projections_are_integrals_against_white_noise(grid):
    u = field(grid, 5, (3, 2))
    c = fdiff.noise.white_coefficients(grid, 7, sliced.PURPOSE, 4, channels=2)
    xi = grid.basis.inverse(c)
    flat = (a.reshape(len(a), -1) for a in (u, xi))
    expected = np.inner(*flat) * math.prod(grid.lengths) / math.prod(grid.shape)
    expected /= math.sqrt(math.prod(grid.lengths) * 2)
    found = sliced.project(u, sliced.white_directions(grid, 2, 4, 7))
    assert_allclose(found, expected, rtol=1e-11)


@on([grid for grid in ALL if len(set(grid.boundary)) == grid.dim])
def test_sets_on_two_grids_are_compared_on_the_coarser_one_of_each_axis(grid):
    fine = grid.with_shape(tuple(n + 1 + i for i, n in enumerate(grid.shape)))
    wide = grid.with_shape((grid.shape[0] + 3, *grid.shape[1:]))
    q = fdiff.BesselCovariance(1.0, 2.0, 2.0)
    x, y = q.sample(wide, 12, seed=1), q.sample(fine, 15, seed=2)
    common = grid.with_shape(tuple(min(n, m) for n, m in zip(wide.shape, fine.shape)))
    # Of so few fields some level is crossed by none in a bootstrap sample.
    names = [name for name in metrics.METRICS if name != "perimeter_error"]
    rows = metrics.compare(x, y, wide, fine, names)
    coarse = [restrict_field(u, g, common) for u, g in ((x, wide), (y, fine))]
    expected = metrics.compare(*coarse, common, metrics=names)
    assert {row.resolution for row in rows} == {common.shape}
    for row, same in zip(rows, expected):
        assert_allclose(row.value, same.value, rtol=1e-9, err_msg=row.metric)


def picture(figure):
    """Shown arrays and their extents, as (left, right, bottom, top)."""
    return [
        (np.asarray(image.get_array()), image.get_extent())
        for axes in figure.axes
        for image in axes.images
    ]


def test_pictures_have_the_sides_of_the_box():
    pytest.importorskip("matplotlib")
    from fdiff import plots

    grid = FLAT[0]
    u = field(grid, 6, (2,))
    (first, second), *_ = [picture(plots.gallery([("u", u, grid)], columns=2))]
    for (shown, extent), one in zip((first, second), u):
        assert_allclose(shown, one)
        # The first axis, of length 1, is drawn upward; the second, of length 4, to the right.
        assert extent == [0, 4, 0, 1]


@on([unequal_boxes()[0], unequal_boxes()[-1]])
def test_pictures_of_a_trajectory_have_the_sides_of_the_box(grid):
    plt = pytest.importorskip("matplotlib.pyplot")
    from fdiff import trajectory_plots

    values = field(grid, 7, (2,))
    shown = trajectory_plots.Trajectory("", values, grid, np.array([0.0, 1.0]))
    # Of three axes the first is cut in its middle; the picture has the other two.
    expected = values[1, 1] if grid.dim == 3 else values[1]
    figure, axes = plt.subplots()
    trajectory_plots._draw(axes, shown, 1, -1.0, 1.0)
    ((drawn, extent),) = picture(figure)
    plt.close(figure)
    assert_allclose(drawn, expected)
    (bottom, top), (left, right) = (
        (start, start + side) for start, side in list(zip(grid.origin, grid.lengths))[-2:]
    )
    assert_allclose(extent, [left, right, bottom, top])
    assert axes.get_aspect() == 1  # both sides in one unit


def test_a_loss_is_drawn_over_minutes():
    pytest.importorskip("matplotlib")
    from fdiff import plots

    log = [
        {"seconds": s, "loss": 1.0, "validation": {"8x8": v}, "phase": "one"}
        for s, v in ((60.0, 0.9), (150.0, 0.7))
    ]
    (axes,) = plots.losses(log).axes
    curve = next(line for line in axes.lines if line.get_label() == "held out, 8²")
    assert_allclose(curve.get_xdata(), [1.0, 2.5])
    assert_allclose(curve.get_ydata(), [0.9, 0.7])
