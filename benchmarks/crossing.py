"""``python -m benchmarks.crossing``: where truncated transforms are cheaper as matrix products.

Prints, for modes and nodes an axis, how many times longer the pair `to_modes`, `from_modes` takes
by FFTs than by products, and a star where `fdiff.nn.spectral.uses_matrices` decides for products.
"""

from __future__ import annotations

import torch

import fdiff
from benchmarks.measure import seconds
from fdiff.nn.spectral import from_modes, to_modes, uses_matrices

CHANNELS, NUMBERS = 32, 2**20  # of a piece of a batch
SHARES = (0.125, 0.25, 0.375, 0.5, 0.75, 1.0)  # modes over nodes


def ratio(grid: fdiff.Grid, n_modes: tuple[int, ...]) -> float:
    """Time by FFTs over time by products."""
    batch = max(1, NUMBERS // (grid.size * CHANNELS))
    u = torch.randn((batch, *grid.shape, CHANNELS), generator=torch.Generator().manual_seed(0))

    def forward(matrices: bool):
        return lambda: to_modes(u, grid, n_modes, matrices=matrices)

    def inverse(matrices: bool):
        return lambda: from_modes(c, grid, n_modes, matrices=matrices)

    with torch.no_grad():
        c = to_modes(u, grid, n_modes)
        times = seconds(forward(True), inverse(True), forward(False), inverse(False), runs=5)
    return sum(times[2:]) / sum(times[:2])


def main() -> None:
    print(f"threads {torch.get_num_threads()}; columns: modes over nodes")
    print(f"{'axes':22s}" + "".join(f"{share:>9g}" for share in SHARES))
    for kind in ("neumann", "periodic"):
        for nodes in (32, 64, 128, 256, 512):
            grid = fdiff.Grid((nodes, nodes), 1.0, kind)
            cells = []
            for share in SHARES:
                n_modes = (max(2, int(share * nodes)),) * 2
                star = "*" if uses_matrices(grid, n_modes) else " "
                cells.append(f"{ratio(grid, n_modes):8.2f}{star}")
            print(f"{kind + f' {nodes} x {nodes}':22s}" + "".join(cells), flush=True)


if __name__ == "__main__":
    main()
