"""A picture of a covariance operator: its spectrum, its kernel, one sample."""

from __future__ import annotations

import math

import numpy as np

from fdiff.covariance.kernel import centre, line_kernel
from fdiff.covariance.operator import CovarianceOperator
from fdiff.grid import Grid


def draw(operator: CovarianceOperator, grid: Grid, seed: int = 0):
    """A matplotlib figure of three panels; the caller saves it."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 3.6), layout="constrained")
    spectrum, line, sample = figure.subplots(1, 3)
    _spectrum(spectrum, operator, grid)
    _kernel(line, operator, grid)
    _sample(figure, sample, operator, grid, seed)
    return figure


def _spectrum(axes, operator: CovarianceOperator, grid: Grid) -> None:
    q, mu = operator.eigenvalues(grid), grid.basis.laplacian
    seen = grid.basis.retained & (q > 0)
    inner = seen & (mu > 0)
    axes.loglog(np.sqrt(mu[inner]), q[inner], ".", markersize=3, color="C0", rasterized=True)
    # The first mode that some axis does not retain any more.
    edge = min(
        (2 if kind == "periodic" else 1) * math.pi / length * (n // 2 if kind == "periodic" else n)
        for n, length, kind in zip(grid.shape, grid.lengths, grid.boundary)
    )
    axes.axvline(edge, color="0.6", linewidth=1)
    at_edge = {"transform": axes.get_xaxis_transform(), "va": "top", "ha": "right", "rotation": 90}
    axes.text(edge, 0.97, "end of an axis", color="0.4", **at_edge)
    zero = seen & (mu == 0)
    note = f" (at k = 0: {q[zero][0]:.3g})" if zero.any() else ""
    axes.set(
        title=f"eigenvalues{note}",
        xlabel=r"$\sqrt{\mu_k}$  (1/x)",
        ylabel=rf"$q_k$  (u$^2$ x$^{grid.dim}$)",
    )


def _kernel(axes, operator: CovarianceOperator, grid: Grid) -> None:
    q, point = operator.eigenvalues(grid), centre(grid)
    for axis in range(grid.dim):
        reach = grid.lengths[axis] / 2
        r = np.linspace(-reach, reach, 801)
        values = line_kernel(q, grid, axis, point, r)
        style = {"color": f"C{axis}", "linestyle": ("-", "--", ":")[axis]}
        axes.plot(r, values, label=f"along axis {axis}", **style)
        length = operator.correlation_length(grid, axis)
        if math.isfinite(length):
            axes.plot([length], [values.max() / math.e], "o", color=f"C{axis}", markersize=4)
    axes.axhline(0, color="0.8", linewidth=1, zorder=0)
    axes.legend(frameon=False)
    title = "kernel about the centre (dot: 1/e)"
    axes.set(title=title, xlabel="distance (x)", ylabel="covariance (u$^2$)")


def _sample(figure, axes, operator: CovarianceOperator, grid: Grid, seed: int) -> None:
    field = operator.sample(grid, 1, seed=seed)[0]
    if grid.dim == 1:
        axes.plot(grid.points(0), field, linewidth=1)
        axes.set(title=f"sample 0 of seed {seed}", xlabel="x", ylabel="u")
        return
    if grid.dim == 3:
        field = field[:, :, grid.shape[2] // 2]
    extent = [
        end
        for axis in (1, 0)
        for end in (grid.origin[axis], grid.origin[axis] + grid.lengths[axis])
    ]
    limit = float(np.abs(field).max()) or 1.0
    image = axes.imshow(
        field, origin="lower", extent=extent, cmap="RdBu_r", vmin=-limit, vmax=limit
    )
    figure.colorbar(image, ax=axes, label="u")
    place = ", middle of axis 2" if grid.dim == 3 else ""
    axes.set(title=f"sample 0 of seed {seed}{place}", xlabel="axis 1 (x)", ylabel="axis 0 (x)")
