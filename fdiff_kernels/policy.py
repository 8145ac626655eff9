"""The one way that kernels are compiled, and the one way that they are spread over threads.

``kernel`` compiles once, keeps the machine code on disk (``cache``), releases the GIL so that
threads can run at once (``nogil``), and follows IEEE arithmetic (no ``fastmath``): sums keep
their order, so a result does not depend on the compiler's mood. A kernel that needs another
setting says why at its own definition.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numba

# Any: type checkers cannot see through a partial of njit.
kernel: Any = functools.partial(numba.njit, cache=True, nogil=True, error_model="numpy")


def in_ranges(work: Callable[[int, int], None], stop: int, threads: int, least: int = 1) -> None:
    """``work(a, b)`` for ranges that cover ``0 .. stop``, at most ``threads`` at once.

    A range has at least ``least`` items: what is small runs in the caller's thread.
    """
    pieces = max(1, min(threads, stop // max(1, least)))
    if pieces == 1:
        work(0, stop)
        return
    ends = [stop * i // pieces for i in range(pieces + 1)]
    with ThreadPoolExecutor(pieces) as pool:
        for done in [pool.submit(work, a, b) for a, b in itertools.pairwise(ends)]:
            done.result()
