"""``fdiff covariance``: what a covariance operator means on a grid, in numbers and a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fdiff.cli.output import print_json, say

# Families by their name on the command line: the class and the options that it takes.
FAMILIES = {
    "bessel": ("BesselCovariance", ("scale", "shift", "power")),
    "matern": ("MaternCovariance", ("std", "length", "smoothness")),
    "laplace": ("LaplaceCovariance", ("scale", "power", "zero_mode")),
    "squared-exponential": ("SquaredExponentialCovariance", ("std", "length")),
    "white": ("WhiteNoise", ()),
}


def register(app: typer.Typer) -> None:
    @app.command()
    def covariance(
        family: Annotated[str, typer.Argument(help=f"One of {', '.join(FAMILIES)}.")],
        scale: Annotated[float | None, typer.Option(help="Factor; bessel, laplace.")] = None,
        shift: Annotated[float | None, typer.Option(help="1/x^2; bessel.")] = None,
        power: Annotated[float | None, typer.Option(help="bessel, laplace.")] = None,
        std: Annotated[float | None, typer.Option(help="u; matern, squared-exponential.")] = None,
        length: Annotated[float | None, typer.Option(help="x; matern, squared-exp.")] = None,
        smoothness: Annotated[float | None, typer.Option(help="matern.")] = None,
        zero_mode: Annotated[float | None, typer.Option(help="Of the mean; laplace.")] = None,
        resolution: Annotated[str, typer.Option(help="Nodes: 64, or 64,48.")] = "64",
        dim: Annotated[int | None, typer.Option(help="Dimension; 2 unless lists say more.")] = None,
        lengths: Annotated[str, typer.Option(help="Sides of the box: 1.0, or 1.0,2.0.")] = "1.0",
        boundary: Annotated[str, typer.Option(help="One, or one an axis.")] = "periodic",
        seed: Annotated[int, typer.Option(help="Seed of the sample in the plot.")] = 0,
        plot: Annotated[Path | None, typer.Option(help="Picture: .png, .pdf or .svg.")] = None,
        as_json: Annotated[bool, typer.Option("--json", help="One JSON value on stdout.")] = False,
    ) -> None:
        """Trace, tail, pointwise variance, correlation length and regularity of a prior on a grid.

        For example: fdiff covariance matern --length 0.1 --smoothness 1.5 --resolution 128
        """
        options = {
            "scale": scale, "shift": shift, "power": power, "std": std, "length": length,
            "smoothness": smoothness, "zero_mode": zero_mode,
        }  # fmt: skip
        operator = make(family, {k: v for k, v in options.items() if v is not None})
        grid = box(resolution, lengths, boundary, dim)
        summary = operator.summary(grid)
        if plot is not None:
            save(operator, grid, seed, plot)
        if as_json:
            print_json(summary.as_dict())
        else:
            print(summary)


def make(family: str, options: dict[str, float]):
    """The operator of a family's name and options."""
    import fdiff

    if family not in FAMILIES:
        raise ValueError(f"family must be one of {', '.join(FAMILIES)}, got {family!r}")
    name, takes = FAMILIES[family]
    foreign = sorted(set(options) - set(takes))
    if foreign:
        flags = ", ".join("--" + option.replace("_", "-") for option in foreign)
        known = ", ".join("--" + option.replace("_", "-") for option in takes) or "no options"
        raise ValueError(f"{family} does not take {flags}; it takes {known}")
    return getattr(fdiff, name)(**options)


def box(resolution: str, lengths: str, boundary: str, dim: int | None):
    """The grid of the comma-separated options; single values are spread over ``dim`` axes."""
    import fdiff

    try:
        shape = [int(part) for part in resolution.split(",")]
        sides = [float(part) for part in lengths.split(",")]
    except ValueError:
        raise ValueError(
            f"--resolution and --lengths are numbers separated by commas, got {resolution!r} and "
            f"{lengths!r}"
        ) from None
    kinds = boundary.split(",")
    listed = max(len(shape), len(sides), len(kinds))
    count = dim or (listed if listed > 1 else 2)
    spread = [part * count if len(part) == 1 else part for part in (shape, sides, kinds)]
    return fdiff.Grid(tuple(spread[0]), tuple(spread[1]), tuple(spread[2]))


def save(operator, grid, seed: int, path: Path) -> None:
    """Draws the figure to a temporary name first: a picture is complete or absent."""
    import warnings

    from fdiff.covariance import TraceClassWarning, figure
    from fdiff.files import whole

    if path.suffix not in (".png", ".pdf", ".svg"):
        raise ValueError(f"--plot ends in .png, .pdf or .svg, got {path}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TraceClassWarning)  # the summary says so already
        picture = figure.draw(operator, grid, seed)
    with whole(path) as partial:
        picture.savefig(partial, format=path.suffix[1:], dpi=150)
    say(f"wrote {path}")
