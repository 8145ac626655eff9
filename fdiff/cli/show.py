"""``fdiff show``: pictures of one sample of a dataset."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fdiff.cli.output import BOUNDARY_HELP, print_json, reads_files, say


def register(app: typer.Typer) -> None:
    @app.command()
    @reads_files
    def show(
        file: Annotated[Path, typer.Argument(help="Dataset, or samples of `fdiff sample`.")],
        sample: Annotated[int, typer.Option(help="Position of the sample in the file.")] = 0,
        field: Annotated[str | None, typer.Option(help="Field to show; the first.")] = None,
        out: Annotated[
            Path | None, typer.Option(help="Picture to write: .png, .pdf, .svg, .jpg, .webp.")
        ] = None,
        movie: Annotated[Path | None, typer.Option(help="Movie to write (.gif or .mp4).")] = None,
        boundary: Annotated[str | None, typer.Option(help=BOUNDARY_HELP)] = None,
        as_json: Annotated[bool, typer.Option("--json", help="One JSON value on stdout.")] = False,
    ) -> None:
        """Draw frames of a sample and its spectrum over time, and the trajectory as a movie.

        Where the file has several times, a GIF is written beside the picture unless --movie names
        another place.
        """
        from fdiff import trajectory_plots as plots
        from fdiff.dataset import resolved

        # Beside a file; of a folder, which may not be ours, in the working folder.
        place = Path() if file.is_dir() else file.parent
        picture = out or place / f"{file.stem}_{sample}.png"
        plots.check_names(picture, movie)
        trajectory = plots.load(file, sample, field, boundary)
        written = [plots.figure(trajectory, picture)]
        if len(trajectory.times) > 1:
            written.append(plots.movie(trajectory, movie or picture.with_suffix(".gif")))
        for path in written:
            say(f"{path} written")
        poor = None if file.is_dir() else resolved.of_dataset(file, [sample])
        if poor:
            say(f"warning: {poor.sentence(file)}")
        if as_json:
            print_json(
                {
                    "written": [str(path) for path in written],
                    "unresolved": poor and poor.as_dict(),
                }
            )
