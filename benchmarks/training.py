"""Speed of the operator network beside the textbook Fourier neural operator in plain PyTorch.

Same modes (the textbook's 14 are our ``n_modes = 28``), width and depth, weights within 10 %.
Rows ``train_32``, ``train_128`` (one optimiser step), ``eval_32``, ``eval_128``: median of
interleaved runs, as a ratio. ``memory_128``: peak memory of a training step. Neither network is
compiled in these rows.

``python -m benchmarks.training [--device cuda]`` says what bounds our network: its share of the
peak of matrix products in the same run, what `torch.compile` makes of it and after how long, and on
a GPU the largest grid that fits.
"""

from __future__ import annotations

import argparse
import math
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from functools import partial

from benchmarks import measure

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


def rows(runs: int = RUNS) -> Iterator[dict]:
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
    return measure.row(name, mine, theirs, unit, better=better, bar=BARS[name], ratio=ratio)


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


def bounds(device: str) -> Iterator[str]:
    """Sentences: what our network reaches of what the machine can do."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    peak = _product_peak(device)
    yield f"products: {peak / 1e9:.0f} GFLOP/s; copies: {_copy_rate(device) / 1e9:.0f} GB/s"
    module = ours().to(device)
    optimiser = torch.optim.Adam(module.parameters(), 1e-4)
    for case in CASES:
        x, t = _inputs(case, device)
        jobs = {
            "train": partial(step, module, optimiser, x, t),
            "eval": partial(_evaluate, module, x, t),
        }
        for kind, job in jobs.items():
            with FlopCounterMode(display=False) as counter:
                job()
            rate = counter.get_total_flops() / (taken := _seconds(job, device))
            yield (
                f"{kind}_{case}: {counter.get_total_flops() / 1e9:.1f} GFLOP of products in "
                f"{taken:.4g} s: {rate / 1e9:.0f} GFLOP/s, {rate / peak:.0%} of the peak"
            )
    yield from _compiled(device)
    if device != "cpu":
        yield f"largest grid of one training step, batch 1: {_largest(device)} nodes an axis"


def _compiled(device: str) -> Iterator[str]:
    """Where no compiler is found, a sentence says so."""
    import torch

    warnings.simplefilter("ignore")  # the compiler's remarks on caches that it traces through
    for case in CASES:
        module = ours().to(device)
        optimiser = torch.optim.Adam(module.parameters(), 1e-4)
        module.compile()
        x, t = _inputs(case, device)
        start = time.perf_counter()
        try:
            step(module, optimiser, x, t)
        except Exception as error:  # whatever a compiler may raise
            yield f"not compiled: {type(error).__name__}: {str(error).splitlines()[0][:160]}"
            return
        first = time.perf_counter() - start
        taken = _seconds(partial(step, module, optimiser, x, t), device)
        yield f"train_{case} compiled: {taken:.4g} s, after {first - taken:.0f} s of compilation"


def _inputs(case: str, device: str):
    import torch

    batch, side = CASES[case]
    return torch.randn(batch, 1, side, side, device=device), torch.rand(batch, device=device)


def _evaluate(module, x, t) -> None:
    import torch

    with torch.no_grad():
        module(x, t)


def _seconds(job: Callable[[], object], device: str, runs: int = RUNS) -> float:
    """Median of ``runs`` after a first one."""
    import torch

    taken = []
    for _ in range(runs + 1):
        start = time.perf_counter()
        job()
        if device != "cpu":
            torch.cuda.synchronize()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken[1:])


def _product_peak(device: str) -> float:
    """FLOP/s of one large product in float32."""
    import torch

    n = 1024 if device == "cpu" else 8192
    a = torch.randn(n, n, device=device)
    return 2 * n**3 / _seconds(lambda: a @ a, device)


def _copy_rate(device: str) -> float:
    """Bytes read and written each second beyond the caches."""
    import torch

    a = torch.zeros(2**26, device=device)
    b = torch.zeros_like(a)
    return 2 * a.nbytes / _seconds(lambda: b.copy_(a), device)


def _largest(device: str) -> int:
    import torch

    module = ours().to(device)
    optimiser = torch.optim.Adam(module.parameters(), 1e-4)
    side = 128
    try:
        while True:
            x = torch.randn(1, 1, 2 * side, 2 * side, device=device)
            step(module, optimiser, x, torch.rand(1, device=device))
            side *= 2
    except torch.OutOfMemoryError:
        return side


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.training")
    parser.add_argument("--device", default="cpu", help="cpu (default) or cuda")
    for sentence in bounds(parser.parse_args(arguments).device):
        print(sentence, flush=True)


if __name__ == "__main__":
    main()
