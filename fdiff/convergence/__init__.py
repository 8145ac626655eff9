"""Orders of convergence with intervals and verdicts, their records and figures."""

from fdiff.convergence.figure import order_figure
from fdiff.convergence.orders import Errors, OrderEstimate, order
from fdiff.convergence.record import (
    Record,
    Verdict,
    to_csv,
    to_json,
    verdict_of,
    write_csv,
    write_json,
)

__all__ = [
    "Errors",
    "OrderEstimate",
    "Record",
    "Verdict",
    "order",
    "order_figure",
    "to_csv",
    "to_json",
    "verdict_of",
    "write_csv",
    "write_json",
]
