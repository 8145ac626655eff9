"""Memory for the passes of a network: kept between uses, or asked for in large pages.

On a CPU malloc gives large tensors back to the system when they are freed; the next ones are fresh
pages, whose faults cost more than what the tensors are for.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

LARGEST = 2**22  # numbers in a tensor that is kept
LARGE_PAGES = 2**22  # bytes from which numpy asks for large pages

_kept = threading.local()


def scratch(slot: str, shape: Sequence[int], like: Tensor) -> Tensor:
    """Uninitialised memory that is the caller's until somebody in this thread asks for ``slot``."""
    size = math.prod(shape)
    if like.device.type != "cpu" or size > LARGEST:
        return like.new_empty(shape)
    slots = _kept.__dict__
    key = f"{slot} {like.dtype}"
    if key not in slots or len(slots[key]) < size:
        # What is made in inference mode could not be written to outside it.
        with torch.inference_mode(False):
            slots[key] = like.new_empty(size)
    return slots[key][:size].view(shape)


def room(shape: Sequence[int], like: Tensor) -> Tensor:
    """Uninitialised memory of its own, in large pages where the system has them."""
    size = math.prod(shape)
    if like.device.type != "cpu" or size * like.itemsize < LARGE_PAGES:
        return like.new_empty(shape)
    line = 64 // like.itemsize  # numbers in a cache line, on which products want to start
    flat = torch.from_numpy(np.empty((size + line) * like.itemsize, np.uint8))
    start = -flat.data_ptr() % 64
    return flat[start : start + size * like.itemsize].view(like.dtype).view(shape)
