"""Speed of the operator network beside the textbook Fourier neural operator in plain PyTorch.

Same modes (the textbook's 14 are our ``n_modes = 28``), width and depth, weights within 10 %.
Rows ``train_32``, ``train_128`` (one optimiser step), ``eval_32``, ``eval_128``: median of
interleaved runs, as a ratio. ``memory_128``: peak memory of a training step.
"""

from __future__ import annotations

import math
import statistics
import subprocess
import sys
import time

RUNS = 5
MODES, WIDTH, LAYERS = 14, 32, 4
CASES = {"32": (128, 32), "128": (16, 128)}  # name: (batch, side)
BARS = {"train_32": 1.6, "train_128": 3.0, "eval_32": 1.3, "eval_128": 3.0, "memory_128": 0.6}


def textbook():
    """Li et al. (2021): FFT, complex weights on two corners of the half spectrum, 1x1 convolution,
    GELU; two coordinates as inputs."""
    import torch
    from torch import nn

    class SpectralConvolution(nn.Module):
        def __init__(self):
            super().__init__()
            shape = (2, WIDTH, WIDTH, MODES, MODES)
            self.weight = nn.Parameter(torch.randn(shape, dtype=torch.cfloat) / WIDTH**2)

        def forward(self, x):
            c = torch.fft.rfft2(x)
            out = torch.zeros_like(c)
            for rows, w in zip((slice(0, MODES), slice(-MODES, None)), self.weight):
                out[:, :, rows, :MODES] = torch.einsum("bixy,ioxy->boxy", c[:, :, rows, :MODES], w)
            return torch.fft.irfft2(out, s=x.shape[-2:])

    class Textbook(nn.Module):
        def __init__(self):
            super().__init__()
            self.lift = nn.Linear(4, WIDTH)
            self.spectral = nn.ModuleList(SpectralConvolution() for _ in range(LAYERS))
            self.pointwise = nn.ModuleList(nn.Conv2d(WIDTH, WIDTH, 1) for _ in range(LAYERS))
            self.first, self.last = nn.Linear(WIDTH, 2 * WIDTH), nn.Linear(2 * WIDTH, 1)

        def forward(self, x, t):
            n, m = x.shape[-2:]
            line = torch.linspace(0, 1, n)[:, None].expand(n, m)
            column = torch.linspace(0, 1, m)[None].expand(n, m)
            time_plane = t[:, None, None].expand(len(x), n, m)
            planes = [x[:, 0], time_plane, *(p.expand(len(x), n, m) for p in (line, column))]
            h = self.lift(torch.stack(planes, -1)).movedim(-1, 1)
            for spectral, pointwise in zip(self.spectral, self.pointwise):
                h = nn.functional.gelu(spectral(h) + pointwise(h))
            h = nn.functional.gelu(self.first(h.movedim(1, -1)))
            return self.last(h).movedim(-1, 1)

    return Textbook()


def ours():
    """`fdiff.nn.FNO` with as many weights, on the no-flux box of the same data."""
    import fdiff
    from fdiff.nn import FNO

    box = fdiff.Grid((32, 32), 1.0, "neumann")
    return FNO(
        box, hidden_channels=WIDTH, n_layers=LAYERS, n_modes=2 * MODES, mixing="full",
        coordinates=True,
    )  # fmt: skip


def weight_count(module) -> int:
    """Real numbers among the parameters."""
    return sum(p.numel() * (2 if p.is_complex() else 1) for p in module.parameters())


def step(module, optimiser, x, t) -> None:
    """One optimiser step on ``||module(x) - x||^2``."""
    optimiser.zero_grad()
    (module(x, t) - x).square().mean().backward()
    optimiser.step()


def rows(runs: int = RUNS):
    """One dictionary a row."""
    import torch

    modules = {"ours": ours(), "peer": textbook()}
    counts = {name: weight_count(module) for name, module in modules.items()}
    if not 0.9 < counts["ours"] / counts["peer"] < 1.1:
        raise ValueError(f"the networks differ in size: {counts}")
    optimisers = {n: torch.optim.Adam(m.parameters(), 1e-4) for n, m in modules.items()}
    for case, (batch, side) in CASES.items():
        x, t = torch.randn(batch, 1, side, side), torch.rand(batch)
        seconds = {(kind, name): [] for kind in ("train", "eval") for name in modules}
        for _ in range(runs + 1):
            for name, module in modules.items():
                start = time.perf_counter()
                step(module, optimisers[name], x, t)
                middle = time.perf_counter()
                with torch.no_grad():
                    module(x, t)
                seconds["train", name].append(middle - start)
                seconds["eval", name].append(time.perf_counter() - middle)
        for kind in ("train", "eval"):
            # The first run warms caches up.
            mine, theirs = (statistics.median(seconds[kind, n][1:]) for n in ("ours", "peer"))
            yield _row(f"{kind}_{case}", mine, theirs, "s", theirs / mine, "higher")
    mine, theirs = (_peak_memory(name) for name in ("ours", "peer"))
    if math.isfinite(mine) and math.isfinite(theirs):
        yield _row("memory_128", mine, theirs, "MiB", mine / theirs, "lower")


def _row(name: str, mine: float, theirs: float, unit: str, ratio: float, better: str) -> dict:
    bar = BARS[name]
    passed = ratio >= bar if better == "higher" else ratio <= bar
    return {
        "name": name, "ours": mine, "peer": theirs, "unit": unit, "ratio": ratio,
        "better": better, "bar": bar, "passed": bool(passed),
    }  # fmt: skip


# VmHWM of the child's own memory: ru_maxrss would carry over the parent's.
_MEMORY = """
import sys, torch
from benchmarks import training
def peak():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024
module = getattr(training, sys.argv[1])()
optimiser = torch.optim.Adam(module.parameters(), 1e-4)
batch, side = training.CASES["128"]
x, t = torch.randn(batch, 1, side, side), torch.rand(batch)
before = peak()
training.step(module, optimiser, x, t)
print(peak() - before)
"""


def _peak_memory(name: str) -> float:
    """MiB that the first training step adds in a process of its own; NaN where not measurable."""
    function = {"ours": "ours", "peer": "textbook"}[name]
    done = subprocess.run(
        [sys.executable, "-c", _MEMORY, function], capture_output=True, text=True, check=False
    )
    return float(done.stdout) if done.returncode == 0 else math.nan
