"""The one way that kernels are compiled, and the one way that they are spread over threads.

``kernel`` compiles once, keeps the machine code on disk (``cache``), releases the GIL so that
threads can run at once (``nogil``), and follows IEEE arithmetic (no ``fastmath``): sums keep
their order, so a result does not depend on the compiler's mood. A kernel that needs another
setting says why at its own definition.
"""

from __future__ import annotations

import inspect
import itertools
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numba

_POLICY = {"cache": True, "nogil": True, "error_model": "numpy"}
_NO_CACHE = (
    "compiled kernels cannot be kept: neither the package's folder nor the user's cache folder can "
    "be written to. They are compiled again in every process, which takes up to a minute; set "
    "NUMBA_CACHE_DIR to a folder that can be written to"
)
_said: set[str] = set()


# Any: type checkers cannot see through njit.
def kernel(*given: Any, **options: Any) -> Any:
    """`numba.njit` with the policy of this module: ``@kernel``, or ``kernel(signature)(function)``.

    Where no folder can be written to, as in a read-only installation without a home, it compiles
    without the cache, and one warning for the whole process says so. A function without a file,
    typed at a prompt, has no cache and needs no warning.
    """
    if len(given) == 1 and inspect.isfunction(given[0]):
        return _compiled((), options, given[0])
    return lambda function: _compiled(given, options, function)


def _compiled(signatures: tuple, options: dict[str, Any], function: Callable) -> Any:
    options = {**_POLICY, **options}
    try:
        return numba.njit(*signatures, **options)(function)
    except (RuntimeError, OSError) as error:
        # RuntimeError: no place for a cache; OSError: writing to the place failed.
        if not options["cache"] or not ("cannot cache" in str(error) or isinstance(error, OSError)):
            raise
    if _NO_CACHE not in _said and Path(function.__code__.co_filename).is_file():
        _said.add(_NO_CACHE)
        warnings.warn(_NO_CACHE, stacklevel=3)
    return numba.njit(*signatures, **{**options, "cache": False})(function)


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
