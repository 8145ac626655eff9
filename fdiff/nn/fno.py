"""Neural operator with spectral layers in the box's own basis: one network, every resolution."""

from __future__ import annotations

import math
from functools import partial
from typing import final

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from fdiff.backends.torch import cached
from fdiff.grid import Grid
from fdiff.nn.spectral import (
    MODES,
    FullMixing,
    RadialMixing,
    SpectralMixing,
    Synthesis,
    batch_major,
    check_modes,
    from_modes,
    mix,
    mode_major,
    to_modes,
)
from fdiff.nn.stack import Projection, SpectralStack, piece_size, run_in_place

MIXINGS = {"radial": RadialMixing, "full": FullMixing}


class TimeEmbedding(nn.Module):
    """Features of a number per sample (a time, or a half log signal-to-noise ratio)."""

    rates: Tensor

    def __init__(self, width: int, scale: float = 5.0):
        super().__init__()
        self.scale = scale  # the range of the number: |t| / scale is about one
        rates = math.pi * torch.tensor([0.5, 1.0, 2.0, 4.0])
        self.register_buffer("rates", rates, persistent=False)
        self.layers = nn.Sequential(
            nn.Linear(1 + 2 * len(rates), width), nn.SiLU(), nn.Linear(width, width), nn.SiLU()
        )

    def forward(self, t: Tensor) -> Tensor:
        t = t[:, None] / self.scale
        angle = t * self.rates
        return self.layers(torch.cat([t, torch.sin(angle), torch.cos(angle)], 1))


class SpectralBlock(nn.Module):
    """``x + act((1 + a(t)) (K x + W x) + b(t))``: K spectral, W pointwise; channels last.

    ``oversampling`` evaluates the activation on a grid that many times finer, which removes the
    aliasing of polynomial activations up to that degree; modes beyond the grid are dropped.
    ``synthesis`` is what K ends with.
    """

    def __init__(
        self, box: Grid, channels: int, mixing: SpectralMixing, embedding: int, oversampling=1,
        synthesis: Synthesis = MODES,
    ):  # fmt: skip
        super().__init__()
        self.mixing, self.oversampling, self.synthesis = mixing, oversampling, synthesis
        self.n_modes = mixing.n_modes
        self.pointwise = nn.Linear(channels, channels)
        self.modulation = nn.Linear(embedding, 2 * channels)

    def scale_and_shift(self, embedded: Tensor, dim: int) -> tuple[Tensor, Tensor]:
        """Return the factor and the offset that time applies to ``K x + P x``.

        Both have shape ``(batch, 1, ..., channels)``. The bias of the pointwise map is part of the
        offset, so that it is added only once.
        """
        lead = (len(embedded),) + (1,) * dim
        scale, shift = self.modulation(embedded).reshape(*lead, -1).chunk(2, -1)
        return 1 + scale, torch.addcmul(shift + self.pointwise.bias, self.pointwise.bias, scale)

    def forward(self, x: Tensor, embedded: Tensor, grid: Grid, weight: Tensor) -> Tensor:
        """The formula, for any mixing ``weight``; `SpectralStack` is the same with less memory."""
        c = batch_major(mix(mode_major(to_modes(x, grid, self.n_modes)), weight), self.mixing.modes)
        h = self.synthesis.nodes(c, grid, self.n_modes)
        h = h + nn.functional.linear(x, self.pointwise.weight)
        scale, shift = self.scale_and_shift(embedded, grid.dim)
        return x + self._activate(torch.addcmul(shift, h, scale), grid)

    def _activate(self, h: Tensor, grid: Grid) -> Tensor:
        if self.oversampling == 1:
            return nn.functional.silu(h)
        fine = grid.refine(self.oversampling)
        h = nn.functional.silu(from_modes(to_modes(h, grid, grid.shape), fine, grid.shape))
        return from_modes(to_modes(h, fine, grid.shape), grid, grid.shape)


def run_blocks(blocks, h: Tensor, embedded: Tensor, grid: Grid, weights: dict) -> Tensor:
    """``h``, ``(batch, *grid.shape, channels)``, through blocks of equal modes.

    ``weights``: of each block's mixing. Outside autograd ``h`` is used up.
    """
    first = blocks[0]
    if first.oversampling > 1 or _traced(h.device):
        for block in blocks:
            # Not by a call: hooks that count operations refuse parameters as arguments.
            h = block.forward(h, embedded, grid, weights[block.mixing])
        return h
    tensors = []
    for block in blocks:
        tensors += [weights[block.mixing], block.pointwise.weight]
        tensors += block.scale_and_shift(embedded, grid.dim)
    if torch.is_grad_enabled():
        return SpectralStack.apply(grid, first.n_modes, first.synthesis, h, *tensors)
    return run_in_place(h.contiguous(), grid, first.n_modes, first.synthesis, *tensors)


def _traced(device: torch.device) -> bool:
    """Whether a compiler or automatic precision wants to see single operations."""
    return torch.compiler.is_compiling() or torch.is_autocast_enabled(device.type)


class OperatorNetwork(nn.Module):
    """Lifts ``x`` (and coordinates) to channels, transforms them, projects: ``model(x, t)``.

    ``x``: ``(batch, in_channels, *shape)`` on any grid of the box that has the network's modes;
    ``t``: ``(batch,)``; ``condition``: ``(batch, condition_channels)`` parameters. Gives
    ``(batch, out_channels, *shape)``, zero before training.
    """

    def __init__(
        self,
        box: Grid,
        in_channels: int,
        out_channels: int,
        hidden_channels: int,
        n_modes: int | tuple[int, ...],
        coordinates: bool,
        condition_channels: int,
        seed: int,
    ):
        super().__init__()
        modes = (n_modes,) * box.dim if isinstance(n_modes, int) else tuple(n_modes)
        if len(modes) != box.dim or min(modes) < 1:
            raise ValueError(f"n_modes needs {box.dim} positive numbers, got {n_modes}")
        self.box, self.n_modes = box, modes
        self.recompute = False
        self.in_channels, self.out_channels = in_channels, out_channels
        self.coordinates, self.condition_channels = coordinates, condition_channels
        width = hidden_channels
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            features = len(_axis_features(box)) if coordinates else 0
            self.lift = nn.Linear(in_channels + features, width)
            self.embedding = TimeEmbedding(width)
            self.condition = nn.Linear(condition_channels, width) if condition_channels else None
            last = nn.Linear(2 * width, out_channels)
            self.project = nn.Sequential(nn.Linear(width, 2 * width), nn.SiLU(), last)
        # Zero output at the start: a preconditioned denoiser then begins as the linear one.
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)

    def save_memory(self) -> OperatorNetwork:
        """Keep for the backward pass only the input and compute all else again there, a few
        samples at a time: memory for one piece of the batch, a third more time. Returns the
        network."""
        self.recompute = True
        return self

    def transform(self, h: Tensor, embedded: Tensor, grid: Grid, weights: dict) -> Tensor:
        """``(batch, *grid.shape, hidden_channels)`` to the same shape; see `run_blocks`."""
        raise NotImplementedError

    def forward(self, x: Tensor, t: Tensor, condition: Tensor | None = None) -> Tensor:
        grid = self._grid_of(x)
        embedded = self._embed(t.to(x.dtype), condition)
        # Once, not once a piece.
        mixings = [m for m in self.modules() if isinstance(m, SpectralMixing)]
        weights = {mixing: mixing.weight() for mixing in mixings}
        size = piece_size(grid, self.lift.out_features, x.device)
        if _traced(x.device):
            size = len(x)
        run = partial(self._piece, grid=grid, weights=weights)
        if self.recompute and torch.is_grad_enabled():
            run = partial(checkpoint, run, use_reentrant=False, preserve_rng_state=False)
        pieces = [run(*piece) for piece in zip(x.split(size), embedded.split(size))]
        return pieces[0] if len(pieces) == 1 else torch.cat(pieces)

    def _piece(self, x: Tensor, embedded: Tensor, grid: Grid, weights: dict) -> Tensor:
        h = x.movedim(1, -1)
        if self.coordinates:
            features = coordinate_features(grid, x.dtype, x.device)
            h = torch.cat([h, features.expand(len(x), *features.shape)], -1)
        h = self.transform(self.lift(h), embedded, grid, weights)
        if _traced(x.device):
            return self.project(h).movedim(-1, 1)
        first, _, last = self.project
        return Projection.apply(h, first.weight, first.bias, last.weight, last.bias).movedim(-1, 1)

    def _embed(self, t: Tensor, condition: Tensor | None) -> Tensor:
        embedded = self.embedding(t)
        if self.condition is None:
            return embedded
        if condition is None or condition.shape != (len(t), self.condition_channels):
            got = None if condition is None else tuple(condition.shape)
            raise ValueError(
                f"condition must have shape {(len(t), self.condition_channels)}, got {got}"
            )
        return embedded + self.condition(condition)

    def _grid_of(self, x: Tensor) -> Grid:
        if x.ndim != 2 + self.box.dim or x.shape[1] != self.in_channels:
            raise ValueError(
                f"expected (batch, {self.in_channels}, {self.box.dim} axes of nodes), got shape "
                f"{tuple(x.shape)}"
            )
        self.check_shape(tuple(x.shape[2:]))
        return self.box.with_shape(tuple(x.shape[2:]))

    def check_shape(self, shape: tuple[int, ...]) -> None:
        """Raises ValueError where the network cannot work on a grid of this shape."""
        check_modes(self.box.with_shape(shape), self.n_modes)


@final
class FNO(OperatorNetwork):
    """Fourier neural operator on the functions of a box: ``model(x, t, condition=None)``.

    Args:
        box: any grid on the box; its lengths and boundary count, its shape does not.
        n_modes: per axis (or one number), the modes that a grid of that many nodes retains.
        mixing: ``"radial"``, weights shared along ``|k|`` (isotropic), or ``"full"``, one matrix
            a mode.
        coordinates: give the network ``cos(pi x / L)`` (or ``cos, sin (2 pi x / L)`` on a
            periodic axis): needed where the data's law changes over the box otherwise than by
            its boundary.
        condition_channels: numbers a sample that the network is told (parameters).
        oversampling: grid refinement of the activations, see `SpectralBlock`.
        seed: of the initial weights.
    """

    def __init__(
        self,
        box: Grid,
        in_channels: int = 1,
        out_channels: int = 1,
        *,
        hidden_channels: int = 32,
        n_layers: int = 4,
        n_modes: int | tuple[int, ...] = 32,
        mixing: str = "radial",
        coordinates: bool = False,
        condition_channels: int = 0,
        oversampling: int = 1,
        seed: int = 0,
    ):
        super().__init__(
            box, in_channels, out_channels, hidden_channels, n_modes, coordinates,
            condition_channels, seed,
        )  # fmt: skip
        if mixing not in MIXINGS:
            raise ValueError(f"mixing must be one of {sorted(MIXINGS)}, got {mixing!r}")
        width = hidden_channels
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed + 1)
            self.blocks = nn.ModuleList(
                SpectralBlock(
                    box, width, MIXINGS[mixing](box, width, width, self.n_modes), width,
                    oversampling,
                )
                for _ in range(n_layers)
            )  # fmt: skip

    def transform(self, h: Tensor, embedded: Tensor, grid: Grid, weights: dict) -> Tensor:
        return run_blocks(self.blocks, h, embedded, grid, weights)


def _axis_features(box: Grid) -> list[tuple[int, str]]:
    """(axis, function) of every coordinate feature."""
    return [
        (axis, name)
        for axis, kind in enumerate(box.boundary)
        for name in (("cos", "sin") if kind == "periodic" else ("cos",))
    ]


@cached(maxsize=64)
def coordinate_features(grid: Grid, dtype, device) -> Tensor:
    """Smooth functions that tell the nodes apart and respect the boundary: ``(*shape, features)``.

    ``cos(pi x / L)`` is even at both walls; on a periodic axis ``cos`` and ``sin`` of
    ``2 pi x / L``.
    """
    columns = []
    for axis, name in _axis_features(grid):
        turn = 2.0 if grid.boundary[axis] == "periodic" else 1.0
        place = torch.as_tensor(grid.points(axis) - grid.origin[axis], dtype=dtype, device=device)
        angle = turn * math.pi * place / grid.lengths[axis]
        line = torch.cos(angle) if name == "cos" else torch.sin(angle)
        line = line.reshape([-1 if i == axis else 1 for i in range(grid.dim)])
        columns.append(line.expand(grid.shape))
    return torch.stack(columns, -1)
