"""What `rates` leaves unwritten is a rate of zero; functions of another form are refused."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

import fdiff
from fdiff import pde
from fdiff.pde import System

GRIDS = (
    fdiff.Grid((7,), 1.0, "periodic"),
    fdiff.Grid((5, 8), (1.0, 2.0), ("neumann", "periodic")),
    fdiff.Grid((3, 4, 5), (1.0, 2.0, 0.5), "neumann"),
)


def decay_of_u(y, p, out):  # v is left alone
    for i in range(y.shape[1]):
        out[0, i] = -p[0] * y[0, i]


def decay_where_positive(y, p, out):  # what is written depends on the state
    for i in range(y.shape[1]):
        for c in range(2):
            if y[c, i] > 0.0:
                out[c, i] = -p[0] * y[c, i]


def nothing_in_odd_cells(y, p, out):
    for i in range(0, y.shape[1], 2):
        out[0, i] = -p[0] * y[0, i]
        out[1, i] = -p[0] * y[1, i]


def decay_whole(y, p, out):
    out[:] = -p[0] * y


def system_with(rates, fields=("u", "v"), parameters=None):
    return System(
        name="mine", equation="", fields=fields, parameters=parameters or {"r": 0.7},
        diffusion={}, rates=rates,
    )  # fmt: skip


WRITTEN = {
    decay_of_u: lambda y: np.stack([np.ones(y.shape[1:], bool), np.zeros(y.shape[1:], bool)]),
    decay_where_positive: lambda y: y > 0,
    nothing_in_odd_cells: lambda y: np.broadcast_to(np.arange(y.shape[-1]) % 2 == 0, y.shape),
    decay_whole: lambda y: np.ones(y.shape, bool),
}


@pytest.mark.parametrize("method", pde.METHODS)
@pytest.mark.parametrize("rates", [decay_of_u, decay_where_positive, decay_whole])
@settings(max_examples=6)
@given(which=st.integers(0, len(GRIDS) - 1), seed=st.integers(0, 99))
def test_what_is_not_written_stays(rates, method, which, seed):
    """Without diffusion every cell decays by itself: exp(-r t) where written, else constant."""
    grid, t = GRIDS[which], 1.5
    # Constant over the box, so that the spectral method is exact as well; the fields differ.
    values = np.random.default_rng(seed).uniform(0.5, 2.0, 2) * (1, -1)
    y = values.reshape(2, *[1] * grid.dim) * np.ones(grid.shape)
    found = pde.solve(system_with(rates), y, grid, [t], 1e-8, method=method).fields[0]
    expected = np.where(WRITTEN[rates](y), y * np.exp(-0.7 * t), y)
    assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("grid", GRIDS, ids=lambda g: f"{g.dim}D")
@pytest.mark.parametrize("rates", WRITTEN)
def test_cells_are_written_or_stay_in_every_dimension(rates, grid):
    """Rough states: neighbouring rows differ in what they write, and share the scratch memory."""
    y = np.random.default_rng(0).standard_normal((2, *grid.shape))
    found = pde.solve(system_with(rates), y, grid, [0.0, 1.0], 1e-8)
    expected = np.where(WRITTEN[rates](y), y * np.exp(-0.7), y)
    assert_allclose(found.fields[1], expected, rtol=1e-6)
    one_row = y.reshape(2, -1)  # as `reaction` hands it over
    rate = system_with(rates).reaction(y).reshape(2, -1)
    assert_allclose(rate, np.where(WRITTEN[rates](one_row), -0.7 * one_row, 0.0))


def returns(y, p, out):
    return -y


def rebinds(y, p, out):
    out = -y  # noqa: F841


def writes_to_the_state(y, p, out):
    for i in range(y.shape[1]):
        y[0, i] *= 0.5
        out[0, i] = -y[0, i]


def third_field(y, p, out):
    for i in range(y.shape[1]):
        out[2, i] = -y[0, i]


def third_parameter(y, p, out):
    for i in range(y.shape[1]):
        out[0, i] = -p[2] * y[0, i]


def two_arguments(y, out):
    out[:] = -y


def unpacks_three(y, p, out):
    u, v, w = y
    out[0] = u * v * w


@pytest.mark.parametrize(
    ("rates", "words"),
    [
        (returns, "returns a value, which nobody would read"),
        (rebinds, "writes nothing to it. For no reaction at all write out[:] = 0.0"),
        (writes_to_the_state, "writes to y, the state"),
        (third_field, "not among the 2 fields and 1 parameters"),
        (third_parameter, "not among the 2 fields and 1 parameters"),
        (two_arguments, "cannot be called so"),
        (unpacks_three, "2 fields"),
    ],
)
def test_rates_of_another_form_are_refused_in_a_sentence(rates, words):
    with pytest.raises(ValueError, match=r"^mine: rates") as error:
        system_with(rates)
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def root(y, p, out):
    import math

    for i in range(y.shape[1]):
        out[0, i] = math.sqrt(y[0, i])
        out[1, i] = 1.0 / y[1, i]


def test_arithmetic_that_some_states_do_not_take_is_no_fault_of_the_form():
    assert system_with(root).with_parameters(r=2.0).parameters["r"] == 2.0
