"""What a validation script yields: claims with their observed values and verdicts.

A script is a module of this package whose docstring states the theorem and which has one function,

    def run(quick: bool) -> Iterator[Claim]

``quick`` asks for fewer steps, grids or runs, never for other tolerances.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fdiff.convergence import OrderEstimate, Verdict, verdict_of


@dataclass(frozen=True)
class Claim:
    """One line of the table. ``figure`` makes a matplotlib figure when a report wants one."""

    claim: str
    source: str
    declared: float
    observed: float
    low: float
    high: float
    verdict: Verdict
    reason: str = ""
    figure: Callable[[], Any] | None = None


def of_order(
    claim: str, source: str, estimate: OrderEstimate, figure: Callable[[], Any] | None = None
) -> Claim:
    """An observed order of convergence, or of growth where it is negative."""
    return Claim(
        claim, source, estimate.declared, float(estimate.observed), float(estimate.low),
        float(estimate.high), estimate.verdict, estimate.reason, figure,
    )  # fmt: skip


def equal(
    claim: str,
    source: str,
    *,
    declared: float,
    observed: float,
    tolerance: float,
    error: float = 0.0,
    figure: Callable[[], Any] | None = None,
) -> Claim:
    """``observed`` (known to ``+- error``) is ``declared`` within the absolute ``tolerance``."""
    low, high = observed - error, observed + error
    verdict = verdict_of(low, high, declared - tolerance, declared + tolerance)
    return Claim(
        claim, source, float(declared), float(observed), float(low), float(high), verdict,
        f"tolerance {tolerance:.2g}", figure,
    )  # fmt: skip


def close(claim: str, source: str, *, declared: float, observed: float, relative: float) -> Claim:
    """``observed`` is ``declared`` within the relative tolerance."""
    return equal(
        claim, source, declared=declared, observed=observed, tolerance=relative * abs(declared)
    )


def at_most(
    claim: str,
    source: str,
    *,
    bound: float,
    observed: float,
    error: float = 0.0,
    figure: Callable[[], Any] | None = None,
) -> Claim:
    """``observed`` (known to ``+- error``) does not exceed ``bound``."""
    low, high = observed - error, observed + error
    verdict = verdict_of(low, high, -math.inf, bound)
    return Claim(
        claim, source, float(bound), float(observed), float(low), float(high), verdict,
        "an upper bound", figure,
    )  # fmt: skip
