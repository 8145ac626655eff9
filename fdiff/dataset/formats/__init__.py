"""The layouts that readers know, one file each: samples in groups, and samples stacked."""

from __future__ import annotations

from fdiff.dataset.formats.common import ATTRIBUTE, AXES, BY_CONTENT, STORED, Region
from fdiff.dataset.formats.grouped import PDEBenchView
from fdiff.dataset.formats.stacked import WellView


def view(file) -> PDEBenchView | WellView:
    """The file's layout.

    Raises:
        ValueError: it has neither.
    """
    return WellView(file) if "t0_fields" in file else PDEBenchView(file)


__all__ = [
    "ATTRIBUTE",
    "AXES",
    "BY_CONTENT",
    "STORED",
    "PDEBenchView",
    "Region",
    "WellView",
    "view",
]
