"""The one way that kernels are compiled.

``kernel`` compiles once, keeps the machine code on disk (``cache``), releases the GIL so that
threads can share a core count (``nogil``), and follows IEEE arithmetic (no ``fastmath``): sums keep
their order, so a result does not depend on the compiler's mood. A kernel that needs another
setting says why at its own definition.
"""

from __future__ import annotations

import functools

import numba

kernel = functools.partial(numba.njit, cache=True, nogil=True, error_model="numpy")
