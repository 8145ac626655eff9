"""Pictures of a trajectory: frames, the spectrum over time, a movie."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np

from fdiff import dataset
from fdiff.files import not_through_a_link
from fdiff.grid import Grid
from fdiff.shells import shell_index
from fdiff.words import warn

PICTURES, MOVIES = (".png", ".pdf", ".svg", ".jpg", ".webp"), (".gif", ".mp4")
FRAMES = 6
_MOVIE_FRAMES = 120
_FRAMES_A_SECOND = 15


@final
@dataclass(frozen=True)
class Trajectory:
    """One field of one sample over time; a three-dimensional one by its middle slice."""

    title: str
    values: np.ndarray  # (times, *grid.shape)
    grid: Grid
    times: np.ndarray

    @property
    def slices(self) -> np.ndarray:
        """(times, rows, cells): the field, its middle slice, or one row."""
        if self.grid.dim == 3:
            return self.values[:, self.grid.shape[0] // 2]
        return self.values[:, None] if self.grid.dim == 1 else self.values

    @property
    def extent(self) -> tuple[float, float, float, float]:
        """Left, right, bottom and top of a slice in the units of the box."""
        (bottom, height), (left, width) = list(zip(self.grid.origin, self.grid.lengths))[-2:]
        return left, left + width, bottom, bottom + height

    @property
    def limits(self) -> tuple[float, float]:
        """Colours from the 0.5th to the 99.5th percentile."""
        finite = self.values[np.isfinite(self.values)]
        if not finite.size:
            raise ValueError(f"{self.title}: no value is a finite number: there is none to draw")
        low, high = np.percentile(finite, [0.5, 99.5])
        return float(low), float(high if high > low else low + 1.0)


def load(
    path: Path | str,
    sample: int = 0,
    field: str | None = None,
    boundary: dataset.Boundary | None = None,
) -> Trajectory:
    """One field of the sample at that position; ``boundary`` as in `fdiff.dataset.open`.

    Raises:
        ValueError: no such sample or field.
    """
    with dataset.open(path, boundary) as file:
        if not 0 <= sample < len(file):
            raise ValueError(f"{path} has samples 0 to {len(file) - 1}, not {sample}")
        name = file.field_names[file.channel(field)]
        values = file.trajectory(sample)[..., file.channel(field)]
        title = f"{Path(path).name}, sample {file.view.keys[sample]}, {name}"
        if not np.isfinite(values).all():
            _warn_of_gaps(file, sample, name, values)
        return Trajectory(title, values, file.grid, file.times)


def _warn_of_gaps(file: dataset.Dataset, sample: int, name: str, values: np.ndarray) -> None:
    finite = np.isfinite(values).reshape(len(values), -1).all(axis=1)
    found = file.view.faults(sample, file.channel(name), slice(None)) or ["not finite"]
    warn(
        f"{file.path}: sample {file.view.keys[sample]}, field {name} holds values that are "
        f"{' and '.join(found)}, at {(~finite).sum()} of {len(finite)} times: they are not drawn"
    )


def check_names(picture: Path | None = None, movie: Path | None = None) -> None:
    """Raises ValueError where a name does not end as pictures or movies do that can be written."""
    for path, kind, option, endings in (
        (picture, "picture", "--out", PICTURES), (movie, "movie", "--movie", MOVIES),
    ):  # fmt: skip
        if path is None or path.suffix.lower() in endings:
            continue
        raise ValueError(
            f"the name of a {kind} ({option}) ends in {', '.join(endings[:-1])} or {endings[-1]}, "
            f"got {path}"
        )
    if movie is not None and movie.suffix.lower() == ".mp4" and shutil.which("ffmpeg") is None:
        raise ValueError("an .mp4 needs ffmpeg, which is not installed: name a .gif")


def figure(trajectory: Trajectory, path: Path) -> Path:
    """Frames above, the energy by shell of the frequency below, one line a frame.

    Raises:
        ValueError: a name that does not end as pictures do.
    """
    check_names(picture=path)
    plt = _pyplot()
    low, high = trajectory.limits
    chosen = np.unique(np.linspace(0, len(trajectory.times) - 1, FRAMES).round().astype(int))
    fig, axes = plt.subplot_mosaic(
        [[f"frame{i}" for i in chosen], ["spectrum"] * len(chosen)],
        figsize=(2.2 * max(len(chosen), 3), 5.0),
        height_ratios=[1, 1.2],
        layout="constrained",
    )
    colours = plt.get_cmap("viridis")(np.linspace(0, 0.9, len(chosen)))
    for colour, i in zip(colours, chosen):
        frame = axes[f"frame{i}"]
        _draw(frame, trajectory, i, low, high)
        frame.set_title(f"t = {trajectory.times[i]:g}", fontsize=9)
        k, energy = spectrum(trajectory, i)
        axes["spectrum"].loglog(k, energy, color=colour, label=f"t = {trajectory.times[i]:g}")
    axes["spectrum"].set(xlabel="frequency, in units of the lowest of the box", ylabel="energy")
    axes["spectrum"].legend(fontsize=8)
    fig.suptitle(trajectory.title, fontsize=10)
    return _saved(path, lambda partial: fig.savefig(partial, dpi=120), lambda: plt.close(fig))


def movie(trajectory: Trajectory, path: Path) -> Path:
    """A GIF, or an MP4 where ffmpeg is installed.

    Raises:
        ValueError: a name that does not end as movies do, or an MP4 without ffmpeg.
    """
    check_names(movie=path)
    plt = _pyplot()
    from matplotlib import animation

    low, high = trajectory.limits
    count = len(trajectory.times)
    chosen = np.unique(np.linspace(0, count - 1, min(count, _MOVIE_FRAMES)).round().astype(int))
    fig, axes = plt.subplots(figsize=(4, 4), layout="constrained")

    def draw(i: int) -> None:
        axes.clear()
        _draw(axes, trajectory, i, low, high)
        axes.set_title(f"t = {trajectory.times[i]:g}", fontsize=9)

    run = animation.FuncAnimation(fig, draw, frames=chosen, init_func=lambda: None)
    writer = "pillow" if path.suffix.lower() == ".gif" else "ffmpeg"
    return _saved(
        path,
        lambda partial: run.save(partial, writer=writer, fps=_FRAMES_A_SECOND, dpi=90),
        lambda: plt.close(fig),
    )


def spectrum(trajectory: Trajectory, frame: int) -> tuple[np.ndarray, np.ndarray]:
    """Energy in the shells from 1 of the frequency, of one frame; empty where it is not finite."""
    values = np.asarray(trajectory.values[frame], np.float64)
    if not np.isfinite(values).all():
        return np.array([]), np.array([])
    basis = trajectory.grid.basis
    energy = (np.abs(basis.forward(values)) ** 2 * basis.weights).ravel()
    total = np.bincount(shell_index(trajectory.grid).ravel(), weights=energy)
    k = np.arange(1, len(total))
    return k[total[1:] > 0], total[1:][total[1:] > 0]


def _draw(axes, trajectory: Trajectory, frame: int, low: float, high: float) -> None:
    if trajectory.grid.dim == 1:
        axes.plot(trajectory.grid.points(0), trajectory.values[frame])
        axes.set_ylim(low, high)
        return
    axes.imshow(
        trajectory.slices[frame], origin="lower", extent=trajectory.extent, vmin=low, vmax=high,
        cmap="RdBu_r",
    )  # fmt: skip
    axes.set_axis_off()


def _saved(path: Path, save, close) -> Path:
    """Writes whole or not at all."""
    not_through_a_link(path)
    partial = path.with_name(f"{path.stem}.partial{path.suffix}")
    partial.unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        save(partial)
        partial.replace(path)
    finally:
        close()
        partial.unlink(missing_ok=True)
    return path


def _pyplot():
    import matplotlib

    matplotlib.use("Agg", force=False)
    import matplotlib.pyplot as plt

    return plt
