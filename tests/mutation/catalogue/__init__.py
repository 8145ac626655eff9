"""All planted errors, by where they are."""

from __future__ import annotations

from tests.mutation.catalogue import geometry, laws, statistics, training

ERRORS = [*geometry.ERRORS, *laws.ERRORS, *training.ERRORS, *statistics.ERRORS]
