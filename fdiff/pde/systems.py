"""What a reaction-diffusion system is: ``u_t = D Laplacian u + f(u)`` for a vector of fields."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import final

import numpy as np

from fdiff.grid import Grid


@final
@dataclass(frozen=True, eq=False)
class System:
    """``d/dt y_c = D_c Laplacian y_c + f_c(y; p)``, c over ``fields``.

    ``rates(y, p, out)`` writes f for one row of cells: ``y`` and ``out`` are (fields, cells)
    float64 arrays, ``p`` the parameters' values in their order. It is plain Python with loops over
    cells; Numba compiles it. ``out`` is 0 when it is called, so that what is not written is a rate
    of 0. ``diffusion`` names the parameter that is D_c, by field, where it is
    not 0; ``rotation[u, v]`` one that couples two of them: u_t = .. - b Laplacian v, v_t = .. + b
    Laplacian u.
    """

    name: str
    equation: str
    fields: tuple[str, ...]
    parameters: Mapping[str, float]
    diffusion: Mapping[str, str]
    rates: Callable
    source: str = ""
    lengths: float = 1.0  # side of the default box
    origin: float = 0.0
    boundary: str = "periodic"
    end: float = 1.0  # default final time
    units: Mapping[str, str] = field(default_factory=dict)
    rotation: Mapping[tuple[str, str], str] = field(default_factory=dict)
    background: tuple[float, ...] = ()  # state of rest by field, for laws of initial data; 0
    spot: tuple[float, ...] = ()  # state in a spot; 1

    def __post_init__(self) -> None:
        if set(self.diffusion) - set(self.fields):
            raise ValueError(
                f"{self.name}: diffusion names a parameter by field, of {self.fields}; "
                f"got {dict(self.diffusion)}"
            )
        missing = set(self.diffusion.values()) - set(self.parameters)
        if missing:
            raise ValueError(f"{self.name}: diffusion names unknown parameters {sorted(missing)}")
        for name, value in self.parameters.items():
            if not np.isfinite(value):
                raise ValueError(f"{self.name}: parameter {name} must be finite, got {value!r}")
        for name in self.diffusion.values():
            if self.parameters[name] < 0:
                raise ValueError(
                    f"{self.name}: diffusion coefficient {name} must be >= 0, "
                    f"got {self.parameters[name]!r}"
                )
        if complaint := _complaint(self.rates, len(self.fields), len(self.parameters)):
            raise ValueError(f"{self.name}: {complaint}")

    def with_parameters(self, **values: float) -> System:
        """The same system with some parameters replaced."""
        unknown = sorted(set(values) - set(self.parameters))
        if unknown:
            raise ValueError(
                f"{self.name} has no parameter {', '.join(unknown)}; "
                f"it has {', '.join(self.parameters)}"
            )
        return replace(
            self, parameters={**self.parameters, **{k: float(v) for k, v in values.items()}}
        )

    def grid(self, shape: int | tuple[int, ...] = 128, dim: int = 2) -> Grid:
        """A grid on the default box; a single number is the side of ``dim`` equal axes."""
        shape = (int(shape),) * dim if np.isscalar(shape) else tuple(shape)  # type: ignore[arg-type]
        return Grid(shape, self.lengths, self.boundary, self.origin)

    @property
    def values(self) -> np.ndarray:
        """The parameters' values, in their order, as ``rates`` gets them."""
        return np.array(list(self.parameters.values()), dtype=np.float64)

    @property
    def diffusivities(self) -> np.ndarray:
        """D_c by field, in units of length^2 / time."""
        named = [self.diffusion.get(c) for c in self.fields]
        return np.array([0.0 if name is None else self.parameters[name] for name in named])

    @property
    def diffusion_matrix(self) -> np.ndarray:
        """M (fields, fields) of ``y_t = M Laplacian y + f(y)``."""
        matrix = np.diag(self.diffusivities)
        for (first, second), name in self.rotation.items():
            i, j = self.fields.index(first), self.fields.index(second)
            matrix[i, j] -= self.parameters[name]
            matrix[j, i] += self.parameters[name]
        return matrix

    def state(self, kind: str) -> np.ndarray:
        """The ``"background"`` or ``"spot"`` state by field."""
        values = self.background if kind == "background" else self.spot
        return np.array(values or (float(kind == "spot"),) * len(self.fields))

    def reaction(self, y: np.ndarray) -> np.ndarray:
        """f(y) for ``y`` of shape (fields, *any)."""
        rows = np.ascontiguousarray(y, dtype=np.float64).reshape(len(self.fields), -1)
        out = np.zeros_like(rows)
        pointer(self.rates)(rows, self.values, out)
        return out.reshape(np.shape(y))


@functools.cache
def _complaint(rates: Callable, fields: int, parameters: int) -> str:
    """What is wrong with a function ``rates``, found by running its Python on a few states; or "".

    Compiled code checks no index: a field or parameter that is not there would be other memory. An
    error of the arithmetic (a root of a negative number) is no complaint, since the state is ours.
    """
    function = getattr(rates, "py_func", rates)
    form = "rates(y, p, out) writes the rate of field c in cell i to out[c, i]"
    wrote = tried = False
    for row in _probes(fields):
        y, p, out = row.copy(), np.ones(parameters), np.full_like(row, np.nan)
        try:
            with np.errstate(all="ignore"):
                result = function(y, p, out)
        except IndexError as error:
            return (
                f"{form}, but this one asks for a field or parameter that is not among the "
                f"{fields} fields and {parameters} parameters ({error})"
            )
        except TypeError as error:
            return f"{form}, but this one cannot be called so: {error}"
        except ValueError as error:
            if "unpack" in str(error):
                return f"{form}; this one takes another number than {fields} fields ({error})"
            continue
        except Exception:  # what the arithmetic does to our states is no fault of the form
            continue
        if result is not None:
            return f"{form}; this one returns a value, which nobody would read"
        if not np.array_equal(y, row):
            return f"{form}; this one writes to y, the state that the integrator goes on with"
        tried, wrote = True, wrote or not np.isnan(out).all()
    if tried and not wrote:
        return f"{form}; this one writes nothing to it. For no reaction at all write out[:] = 0.0"
    return ""


def _probes(fields: int) -> list[np.ndarray]:
    """Rows of states of both signs and several sizes, (fields, cells)."""
    rng = np.random.default_rng(0)
    scales = (0.0, 0.1, 1.0, 10.0)
    return [s * f(rng.standard_normal((fields, 3))) for s in scales for f in (np.abs, np.negative)]


@functools.cache
def pointer(rates: Callable):
    """The compiled ``rates``."""
    from fdiff_kernels.stencil import compile_rates

    return compile_rates(rates)


NONE = "none"
_FILES = {
    "allen-cahn": "allen_cahn",
    "brusselator": "brusselator",
    "fisher-kpp": "fisher_kpp",
    "fitzhugh-nagumo": "fitzhugh_nagumo",
    "ginzburg-landau": "ginzburg_landau",
    "gray-scott": "gray_scott",
    "linear": "linear",
    "schnakenberg": "schnakenberg",
}


def names() -> tuple[str, ...]:
    """The systems that come with the package; `NONE` is none."""
    return tuple(_FILES)


def system(name: str) -> System:
    """The system of that name with its default parameters; ``"none"``: no equation."""
    if name == NONE:
        return importlib.import_module("fdiff.pde.still").SYSTEM
    if name not in _FILES:
        raise ValueError(f"no system is named {name!r}; there are {', '.join(_FILES)}, {NONE}")
    return importlib.import_module(f"fdiff.pde.{_FILES[name]}").SYSTEM
