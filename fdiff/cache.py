"""A cache of arrays that is bounded by the bytes it holds, not by the number of entries."""

from __future__ import annotations

import functools
import threading
from collections import OrderedDict
from collections.abc import Callable

import numpy as np

LIMIT = 2**28  # bytes of one cache


def cached_arrays(
    function: Callable[..., np.ndarray], limit: int = LIMIT, largest: int = LIMIT // 8
):
    """``function`` of hashable arguments, its arrays kept, read-only and shared.

    The least recently used arrays go first; one of more than ``largest`` bytes is not kept at all,
    since it would push out the others.
    """
    kept: OrderedDict[tuple, np.ndarray] = OrderedDict()
    lock = threading.Lock()
    held = 0

    @functools.wraps(function)
    def cached(*key) -> np.ndarray:
        nonlocal held
        with lock:
            if key in kept:
                kept.move_to_end(key)
                return kept[key]
        array = function(*key)
        array.setflags(write=False)
        with lock:
            if array.nbytes <= largest and key not in kept:
                kept[key] = array
                held += array.nbytes
                while held > limit:
                    held -= kept.popitem(last=False)[1].nbytes
        return array

    def clear() -> None:
        nonlocal held
        with lock:
            kept.clear()
            held = 0

    cached.clear = clear  # type: ignore[attr-defined]
    return cached
