"""Hypothesis for everyone: no deadline (kernels compile at first use), the same examples in CI."""

import os

from hypothesis import settings

settings.register_profile("fdiff", deadline=None, derandomize=bool(os.environ.get("CI")))
settings.load_profile("fdiff")
