"""Rows of the benchmark table, and times that can be compared: taken in turns, in one process."""

from __future__ import annotations

import math
import subprocess
import sys
import time
from collections.abc import Callable


def row(
    name: str, ours: float, peer: float, unit: str, *, better: str, bar: float, ratio: float
) -> dict:
    """One row; ``ratio`` passes at or above ``bar`` (``better="higher"``), or at or below it."""
    if better not in ("higher", "lower"):
        raise ValueError(f'better must be "higher" or "lower", got {better!r}')
    if not math.isfinite(ratio):
        raise ValueError(f"{name}: the ratio is {ratio}")
    passed = ratio >= bar if better == "higher" else ratio <= bar
    return {
        "name": name, "ours": ours, "peer": peer, "unit": unit, "ratio": ratio,
        "better": better, "bar": bar, "passed": bool(passed),
    }  # fmt: skip


def seconds(*jobs: Callable[[], object], runs: int = 7) -> list[float]:
    """The shortest time of each job, taken in turns after a first run of all.

    What else the machine does only lengthens a run, so the shortest is the job's own.
    """
    for job in jobs:
        job()
    shortest = [math.inf] * len(jobs)
    for _ in range(runs):
        for i, job in enumerate(jobs):
            start = time.perf_counter()
            job()
            shortest[i] = min(shortest[i], time.perf_counter() - start)
    return shortest


def peak_memory(setup: str, job: str) -> float:
    """Bytes that ``job`` adds to the resident set's peak, in a process of its own after ``setup``.

    Linux only: it resets and reads the kernel's high-water mark.
    """
    code = (
        f"{setup}\n"
        "def peak():\n"
        "    for line in open('/proc/self/status'):\n"
        "        if line.startswith('VmHWM'): return int(line.split()[1]) * 1024\n"
        "open('/proc/self/clear_refs', 'w').write('5')\n"
        "before = peak()\n"
        f"{job}\n"
        "print(peak() - before)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"the memory of {job!r} was not measured: {done.stderr[-300:]}")
    return float(done.stdout.split()[-1])
