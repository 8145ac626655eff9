"""Which of PDEBench's data sets a file is, by its content.

Takamoto et al. (2022), https://arxiv.org/abs/2210.07182. Only its two-dimensional
reaction-diffusion is read, the one whose groups hold [t, y, x, (u, v)] on no-flux walls.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fdiff.described import shown
from fdiff.errors import FileError
from fdiff.inputs import read_yaml_text

# Root datasets by which the data sets without groups are told.
_STACKED = (
    ({"tensor", "nu"}, "Darcy flow (datasets tensor and nu)"),
    (
        {"tensor"},
        "advection, Burgers or reaction-diffusion in one dimension (dataset tensor)",
    ),
    ({"density", "pressure"}, "compressible flow (datasets density, pressure, Vx, ...)"),
    ({"density", "Vx"}, "compressible flow (datasets density, pressure, Vx, ...)"),
    ({"velocity", "particles"}, "incompressible flow (datasets velocity, particles, force)"),
    ({"velocity", "force"}, "incompressible flow (datasets velocity, particles, force)"),
)
_SHALLOW_WATER = "radial dam break of the shallow-water equations (groups of one field)"
_SORPTION = "diffusion-sorption in one dimension (groups of one field)"


def refuse_stacked(names) -> None:
    """Refuse the root datasets ``names`` of a data set that is not in groups.

    Raises:
        ValueError: the data set by name.
    """
    found = set(names)
    for known, title in _STACKED:
        if known <= found:
            raise ValueError(_unread(title))


def refuse_unread(shape: tuple[int, ...], settings: Mapping[str, Any]) -> None:
    """Refuse groups whose settings are those of another data set than 2D reaction-diffusion.

    Raises:
        ValueError: the data set by name.
    """
    name, sim = settings["name"], set(settings["sim"])
    if {"dam_radius", "gravity"} & sim or any(word in name for word in ("dam", "swe", "shallow")):
        raise ValueError(_unread(_SHALLOW_WATER))
    if {"por", "rho_s"} <= sim or "sorp" in name:
        raise ValueError(_unread(_SORPTION))
    if len(shape) < 3 or len(shape) > 5:
        raise ValueError(
            f"the samples have shape {shape}: expected [t, (z,) (y,) x, field], with one to three "
            "axes of space"
        )


def require_reaction_diffusion(shape: tuple[int, ...], settings: Mapping[str, Any]) -> None:
    """Refuse groups that are not known to be PDEBench's two-dimensional reaction-diffusion.

    It has two fields on two axes, and its settings, where there are any, Du, Dv and k.

    Raises:
        ValueError: the file does not say what the boundary is.
    """
    unnamed = not (settings["sim"] or settings["name"])
    if len(shape) == 4 and shape[-1] == 2 and (_names_it(settings) or unnamed):
        return
    like = {(4, 1): _SHALLOW_WATER, (3, 1): _SORPTION}.get((len(shape), shape[-1]))
    also = f"; PDEBench's {like} has this shape too, with axes [t, x, (y,) field]" if like else ""
    raise ValueError(
        f"the samples of shape {shape} are not PDEBench's two-dimensional reaction-diffusion, and "
        "nothing in the file says what the boundary is: say with --boundary (boundary=) whether it "
        f"is periodic, neumann or dirichlet{also}"
    )


def wrote(
    settings: Mapping[str, Any], names: Sequence[str], positions: Sequence[np.ndarray]
) -> bool:
    """Whether samples have the settings of the two-dimensional reaction-diffusion, or its names and
    nodes: numbers, and cell centres of [-1, 1]²."""
    numbered = all(name.isascii() and name.isdecimal() for name in names)
    return _names_it(settings) or (
        numbered
        and all(
            np.allclose(x, (2 * np.arange(x.size) + 1) / x.size - 1, rtol=0, atol=1e-3 / x.size)
            for x in positions
        )
    )


def _names_it(settings: Mapping[str, Any]) -> bool:
    return {"Du", "Dv", "k"} <= set(settings["sim"]) or "diff-react" in settings["name"]


def settings(text: Any, root: Mapping[str, Any], key: str, file: str) -> dict[str, Any]:
    """``{"name", "sim"}`` of the attribute ``config``, which diffusion-sorption has at the root.

    Raises:
        FileError: text that is not YAML of a table; ``file`` names it.
    """
    text = root.get(f"{key}/config") if text is None else text
    found = read_config(text, file, key)
    sim = found.get("sim")
    return {
        "name": str(found.get("name", "")).lower().replace("_", "-"),
        "sim": sim if isinstance(sim, dict) else {},
    }


def read_config(text: Any, file: str, key: str) -> dict[str, Any]:
    """The table of the attribute ``config`` of a sample, which is YAML; empty without one.

    Raises:
        FileError: something else.
    """
    if text is None:
        return {}
    item = f"the attribute config of {key}"
    if not isinstance(text, str | bytes):
        raise FileError(file, item, "text", f"a value of type {type(text).__name__}")
    found = read_yaml_text(
        text if isinstance(text, str) else text.decode("utf-8", "replace"), file, item
    )
    if not isinstance(found, dict | None):
        raise FileError(file, item, "a table of keys", shown(found))
    return found or {}


def _unread(title: str) -> str:
    return (
        f"this is PDEBench's {title}, which fdiff does not read yet: write its fields with "
        "fdiff.dataset.write_fields, which takes their grid and boundary"
    )
