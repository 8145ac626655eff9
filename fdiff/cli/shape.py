"""What ``--resolution`` says: the nodes of every axis."""

from __future__ import annotations

HELP = "Nodes along the longest axis, or of each: 64,128."


def parse_shape(text: str, like: tuple[int, ...]) -> tuple[int, ...]:
    """``"64"``: so many nodes along the longest axis, the others in the proportion of ``like``;
    ``"64,128"``: those of each axis.

    Raises:
        ValueError: not whole positive numbers, not one for each axis, a proportion that is not
            whole.
    """
    try:
        numbers = [int(part) for part in text.split(",")]
    except ValueError:
        numbers = [0]
    if min(numbers) < 1 or len(numbers) not in (1, len(like)):
        each = f", or {len(like)} with commas between them," if len(like) > 1 else ","
        raise ValueError(
            f"--resolution takes one number of nodes{each} such as {','.join(map(str, like))}; "
            f"got {text!r}"
        )
    if len(numbers) > 1:
        return tuple(numbers)
    longest = max(like)
    if any(side * numbers[0] % longest for side in like):
        raise ValueError(
            f"--resolution {text} along the longest axis leaves no whole number of nodes in the "
            f"proportion of {'×'.join(map(str, like))}: give each axis its own"
        )
    return tuple(side * numbers[0] // longest for side in like)
