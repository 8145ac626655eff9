"""The layouts that readers know, one file each: samples in groups, and samples stacked."""

from __future__ import annotations

from fdiff.dataset.formats import pdebench
from fdiff.dataset.formats.base import View
from fdiff.dataset.formats.boundaries import Boundary
from fdiff.dataset.formats.common import ATTRIBUTE, AXES, BY_CONTENT, STORED, Region, provenance
from fdiff.dataset.formats.grouped import PDEBenchView
from fdiff.dataset.formats.stacked import WellView


def view(file, boundary: Boundary | None = None, follow_links: bool = False) -> View:
    """The file in its layout; ``boundary`` is for files that do not record theirs.

    ``follow_links``: values may be in other files.

    Raises:
        ValueError: a layout that is not read, by its name, or none that is known.
    """
    if any(f"t{order}_fields" in file for order in range(3)):
        return WellView(file, boundary, follow_links)
    pdebench.refuse_stacked(file)
    return PDEBenchView(file, boundary, follow_links)


__all__ = [
    "ATTRIBUTE",
    "AXES",
    "BY_CONTENT",
    "STORED",
    "Boundary",
    "PDEBenchView",
    "Region",
    "View",
    "WellView",
    "provenance",
    "view",
]
