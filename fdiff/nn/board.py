"""The course of a training for TensorBoard."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol, final

from fdiff.nn.progress import Progress, Record


class Writer(Protocol):
    """What is used of ``torch.utils.tensorboard.SummaryWriter``."""

    def add_scalar(self, tag: str, value: float, step: int) -> None: ...

    def close(self) -> None: ...


def open_writer(directory: Path, step: int) -> Writer:
    """A writer of TensorBoard's files in ``directory``; what is there from ``step`` on is hidden.

    Raises:
        ModuleNotFoundError: tensorboard is not installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            'TensorBoard files need tensorboard: pip install "fdiff[tensorboard]", or train '
            "without; metrics.jsonl holds the same validation losses",
            name="tensorboard",
        ) from error
    return SummaryWriter(str(directory), purge_step=step + 1)


@final
class Board:
    """``loss/16x16``, ``learning_rate`` and ``steps_per_second`` of every step, and
    ``validation/16x16`` of every record."""

    def __init__(self, writer: Writer):
        self.writer = writer

    def step(self, progress: Progress) -> None:
        level = "x".join(map(str, progress.level))
        self.writer.add_scalar(f"loss/{level}", progress.loss, progress.step)
        self.writer.add_scalar("learning_rate", progress.rate, progress.step)
        self.writer.add_scalar("steps_per_second", progress.speed, progress.step)

    def record(self, record: Record) -> None:
        for level, loss in record.validation.items():
            self.writer.add_scalar(f"validation/{level}", loss, record.step)

    def close(self) -> None:
        self.writer.close()
