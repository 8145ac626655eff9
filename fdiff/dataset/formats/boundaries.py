"""The boundary of each axis as a user gives it, and as other people's files state it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from fdiff.dataset.formats.common import text_of, texts_of
from fdiff.grid import BOUNDARIES

# One kind for all axes, "neumann"; one an axis, "neumann,periodic" or a sequence, in the order of
# the grid's axes; or by name, "x=periodic,y=neumann" or a mapping.
Boundary = str | Sequence[str] | Mapping[str, str]

_SYNONYMS = {"no-flux": "neumann"}


def asked_boundary(boundary: Boundary | None, sides: Sequence[str]) -> dict[str, str]:
    """The kind of each axis that ``boundary`` names, by name; empty where it is None.

    ``sides``: the names of the grid's axes, in their order.

    Raises:
        ValueError: an unknown kind or axis, or another number of kinds than axes.
    """
    if boundary is None:
        return {}
    if isinstance(boundary, str):
        parts = [part.strip() for part in boundary.split(",")]
        boundary = dict(_pair(part) for part in parts) if "=" in boundary else parts
    if isinstance(boundary, Mapping):
        found = dict(boundary)
    else:
        kinds = list(boundary) * (len(sides) if len(boundary) == 1 else 1)
        if len(kinds) != len(sides):
            raise ValueError(
                f"a boundary is one kind, or one for each of the axes {', '.join(sides)}; got "
                f"{', '.join(kinds)}"
            )
        found = dict(zip(sides, kinds))
    found = {name: _SYNONYMS.get(kind, kind) for name, kind in found.items()}
    for name, kind in found.items():
        if kind not in BOUNDARIES:
            raise ValueError(f"a boundary is {', '.join(BOUNDARIES)}; got {kind!r}")
        if name not in sides:
            raise ValueError(f"the axes are {', '.join(sides)}; there is no axis {name!r}")
    return found


def _pair(part: str) -> tuple[str, str]:
    name, _, kind = part.partition("=")
    return name.strip(), kind.strip()


def stated_boundary(group, side: str) -> tuple[str, str] | None:
    """Kind of the axis ``side`` from The Well's group ``boundary_conditions``, and what it says.

    None where no entry is about that axis. PERIODIC is periodic; WALL and OPEN are read as no-flux,
    as is an axis of both. fdiff's own attribute ``fdiff_condition`` has the true condition of a
    WALL.

    Raises:
        ValueError: an unknown type, or an axis that is periodic at one end only.
    """
    entries = [group[name] for name in group] if hasattr(group, "keys") else []
    types: list[str] = []
    conditions: list[str] = []
    for entry in entries:
        sides = texts_of(entry.attrs.get("associated_dims", []), "associated_dims")
        if side not in sides or not _meets_an_end(entry, sides.index(side), len(sides)):
            continue
        types.append(text_of(entry.attrs.get("bc_type", "")).upper())
        conditions.append(text_of(entry.attrs.get("fdiff_condition", "")))
    if not types:
        return None
    said = " and ".join(sorted(set(types)))
    unknown = set(types) - {"PERIODIC", "WALL", "OPEN"}
    if unknown:
        raise ValueError(
            f"axis {side} has the boundary condition {said}, The Well's are PERIODIC, WALL and "
            "OPEN: say with --boundary (boundary=) what it is"
        )
    if "PERIODIC" in types:
        if set(types) != {"PERIODIC"}:
            raise ValueError(
                f"axis {side} has the boundary conditions {said}, and an axis that is periodic has "
                "no other: say with --boundary (boundary=) what it is"
            )
        return "periodic", ""
    own = set(conditions)
    return (own.pop(), "") if len(own) == 1 and own <= set(BOUNDARIES) else ("neumann", said)


def _meets_an_end(entry, place: int, count: int) -> bool:
    """Whether the mask of an entry touches an end of its axis number ``place``.

    An entry about several axes may describe an obstacle inside the box: that is no boundary of it.
    """
    if count == 1 or "mask" not in entry or entry["mask"].ndim != count:
        return True
    mask = np.moveaxis(np.asarray(entry["mask"], bool), place, 0)
    wall = text_of(entry.attrs.get("bc_type", "")).upper() == "WALL"
    return any(bool(end.all() if wall else end.any()) for end in (mask[0], mask[-1]))
