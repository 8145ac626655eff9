"""What counts as the values of a field: real numbers, all of them there, all of them finite."""

from __future__ import annotations

from typing import Any

import numpy as np

from fdiff.words import by_number


def real_values(values: Any, what: str) -> np.ndarray:
    """``values`` as a plain array of real numbers; ``what`` names them in the message.

    Whole numbers and truth values are numbers. A masked array without a masked value is its data.

    Raises:
        TypeError: complex numbers, text, or objects.
        ValueError: masked values, whose numbers underneath mean nothing.
    """
    if isinstance(values, list | tuple) and any(isinstance(v, np.ma.MaskedArray) for v in values):
        values = np.ma.stack(values)
    if isinstance(values, np.ma.MaskedArray):
        masked = int(np.ma.count_masked(values))
        if masked:
            are = by_number(masked, "is", "are")
            raise ValueError(
                f"{masked} of the {values.size} values of {what} {are} masked: leave those samples "
                "out, or fill the gaps"
            )
        values = values.data
    array = np.asarray(values)
    if array.dtype.kind == "c":
        raise TypeError(
            f"fields are real, but {what} came as a complex array: pass grid values, not "
            "coefficients, or real and imaginary part as two fields"
        )
    if array.dtype.kind not in "fiub":
        raise TypeError(f"expected numbers for {what}, got an array of {array.dtype}")
    return array


def require_finite(fields: np.ndarray, what: str) -> None:
    """Refuse ``fields`` (samples, ...) where a value is NaN or infinite.

    Raises:
        ValueError: with the count of such samples and the number of the first.
    """
    finite = np.array([np.isfinite(field).all() for field in fields], bool)
    if not finite.all():
        bad = int((~finite).sum())
        raise ValueError(
            f"{bad} of the {len(fields)} {what} {by_number(bad, 'holds', 'hold')} NaN or infinite "
            f"values, the first is number {int(np.argmin(finite))}: remove or regenerate "
            f"{by_number(bad, 'it', 'them')}"
        )
