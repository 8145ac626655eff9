"""Trajectories against references, closed forms, invariants and orders."""

import h5py
import numpy as np
import pytest
from numpy.testing import assert_allclose
from problems import shared_data
from scipy.linalg import expm

import fdiff
from fdiff import pde

FHN = pde.system("fitzhugh-nagumo")
TIMES = np.linspace(0, 5, 101)


def relative(a, b):
    """Relative L2 distance by time; arrays (times, ...)."""
    difference, size = (x.reshape(len(x), -1) for x in (a - b, b))
    return np.linalg.norm(difference, axis=1) / np.linalg.norm(size, axis=1)


def smooth(grid, fields=2, size=0.7):
    """A smooth state that the cosine basis of a box without flux resolves."""
    y, x = (np.pi * (c - o) / length for c, o, length in
            zip(grid.coordinates(), grid.origin, grid.lengths))  # fmt: skip
    u = size * (np.cos(2 * x) * np.cos(y) + 0.4 * np.cos(3 * y) + 0 * x)
    return np.stack([u, 0.5 * np.cos(x + 0 * y) - 0.2 * u])[:fields]


def decay(y, p, out):
    for i in range(y.shape[1]):
        u, v = y[0, i], y[1, i]
        out[0, i] = u - v
        out[1, i] = u - v


LINEAR = pde.System("linear", "", ("u", "v"), {"Du": 1e-3, "Dv": 5e-3}, {"u": "Du", "v": "Dv"},
                    decay, lengths=2.0, origin=-1.0, boundary="neumann")  # fmt: skip


@pytest.mark.parametrize("n", [32, 128])
def test_pdebench_trajectories_meet_the_reference_at_every_stored_time(n):
    grid = FHN.grid(n)
    with h5py.File(shared_data(f"fhn_reference_{n}.h5")) as file:
        for seed, group in file.items():
            start = pde.PDEBenchInitial().draw(FHN, grid, 0, int(seed))
            found = pde.solve(FHN, start, grid, TIMES)
            expected = np.moveaxis(group["tight"][...], -1, 1)
            ours = np.stack([found.at(t) for t in group["t"]])
            errors = relative(ours, expected)
            assert errors.max() < 2.5e-5, errors
            assert errors.max() < 4 * found.error  # what it says of itself


@pytest.mark.parametrize("n", [32, 128])
def test_interpolated_times_are_as_good_as_the_steps(n):
    grid = FHN.grid(n)
    start = pde.PDEBenchInitial().draw(FHN, grid, 0, 2)
    found = pde.solve(FHN, start, grid, TIMES)
    tight = pde.solve(FHN, start, grid, TIMES, tolerance=1e-9)
    assert relative(found.fields, tight.fields).max() < 2.5e-5
    assert found.steps < 80  # fewer than the stored times: they are interpolated


def test_pdebench_initial_data_are_numpy_s_own():
    grid = FHN.grid(16)
    generator = np.random.default_rng(12)
    u = generator.standard_normal(256).reshape(16, 16)
    v = generator.standard_normal(256).reshape(16, 16)
    assert (pde.PDEBenchInitial().draw(FHN, grid, 5, 7) == np.stack([u, v])).all()


def test_the_distance_to_pdebench_s_file_is_pdebench_s_own_error():
    """Its adaptive RK45 runs at a tolerance of 1e-3; the reference records what that leaves."""
    grid = FHN.grid(32)
    with (
        h5py.File(shared_data("pdebench_diff_react_32.h5")) as file,
        h5py.File(shared_data("fhn_reference_32.h5")) as reference,
    ):
        for seed in range(4):
            theirs = np.moveaxis(file[f"{seed:04d}/data"][...], -1, 1)
            start = pde.PDEBenchInitial().draw(FHN, grid, 0, seed)
            assert (start.astype("f4") == theirs[0]).all()
            known = reference[f"{seed:04d}"]
            places = [np.argmin(np.abs(TIMES - t)) for t in known["t"]]
            ours = pde.solve(FHN, start, grid, TIMES, dtype="f4")
            errors = relative(ours.fields[places], theirs[places])
            assert_allclose(errors, known.attrs["rk45_relative_l2_error"], rtol=0.15)


@pytest.mark.parametrize("boundary", ["neumann", "periodic"])
def test_linear_system_is_the_exponential_of_each_mode(boundary):
    grid = fdiff.Grid((12, 9), (2.0, 1.5), boundary)
    rng = np.random.default_rng(3)
    # Any field: the finite-difference symbols are exact for the stencil.
    start = rng.standard_normal((2, 12, 9))
    basis = grid.basis
    symbol = np.zeros(basis.shape)
    for axis, (n, h) in enumerate(zip(grid.shape, grid.spacing)):
        k = basis.wavenumbers(axis)
        angle = np.pi * k / n * (1.0 if boundary == "periodic" else 0.5)
        line = 4 / h**2 * np.sin(angle) ** 2
        symbol += line.reshape([-1 if i == axis else 1 for i in range(2)])
    c = basis.forward(start)
    times = [0.3, 1.0]
    found = pde.solve(LINEAR, start, grid, times, tolerance=1e-8)
    for i, t in enumerate(times):
        exact = np.empty_like(c)
        for k in np.ndindex(basis.shape):
            a = np.array([[1 - 1e-3 * symbol[k], -1], [1, -1 - 5e-3 * symbol[k]]])
            exact[(slice(None), *k)] = expm(t * a) @ c[(slice(None), *k)]
        assert_allclose(found.fields[i], basis.inverse(exact), rtol=0, atol=1e-7)


@pytest.mark.parametrize("shape", [(5,), (4, 6), (3, 4, 5), (1, 1), (2,)])
def test_constant_fields_obey_the_ordinary_equation(shape):
    grid = fdiff.Grid(shape, 2.0, "neumann")
    start = np.empty((2, *shape))
    start[0], start[1] = 0.8, -0.3
    end = pde.solve(FHN, start, grid, [5.0], tolerance=1e-12).fields[0]
    # scipy's Radau and DOP853 agree on these digits at a tolerance of 1e-12.
    assert_allclose(end[0], 0.01569822368, rtol=0, atol=2e-11)
    assert_allclose(end[1], 0.19372545441, rtol=0, atol=2e-11)


def test_the_steady_state_stays():
    rest = -(5e-3 ** (1 / 3))
    grid = FHN.grid(8)
    end = pde.solve(FHN, np.full((2, 8, 8), rest), grid, [5.0]).fields[0]
    assert_allclose(end, rest, rtol=1e-12)
    assert_allclose(rest, -0.1709975947, rtol=1e-9)


def test_the_flow_commutes_with_the_symmetries_of_the_square():
    grid = FHN.grid(24)
    start = pde.PDEBenchInitial().draw(FHN, grid, 0, 4)
    end = pde.solve(FHN, start, grid, [1.0]).fields[0]
    for move in (lambda y: y[:, ::-1], lambda y: y[:, :, ::-1], lambda y: y.swapaxes(1, 2)):
        moved = pde.solve(FHN, np.ascontiguousarray(move(start)), grid, [1.0]).fields[0]
        assert_allclose(moved, move(end), rtol=0, atol=1e-12)


def test_without_k_the_sign_flips_with_the_start():
    system = FHN.with_parameters(k=0.0)
    grid = system.grid(16)
    start = smooth(grid)
    a, b = (pde.solve(system, s * start, grid, [2.0]).fields for s in (1, -1))
    assert_allclose(a, -b, rtol=0, atol=1e-13)


def test_shifts_commute_with_the_flow_on_a_periodic_box():
    grid = fdiff.Grid((12, 10), 2.0, "periodic")
    start = np.random.default_rng(0).standard_normal((2, 12, 10))
    end = pde.solve(FHN, start, grid, [0.5]).fields[0]
    moved = pde.solve(FHN, np.roll(start, (3, -2), (1, 2)), grid, [0.5]).fields[0]
    assert_allclose(moved, np.roll(end, (3, -2), (1, 2)), rtol=0, atol=1e-12)


def test_energy_changes_as_the_identity_says():
    """d/dt |y|^2/2 = -Du |grad u|^2 - Dv |grad v|^2 + |u|^2 - |u|_4^4 - k int u - |v|^2."""
    grid = FHN.grid(32)
    times = np.linspace(0.5, 1.5, 201)
    start = pde.GRFInitial().draw(FHN, grid, 0, 0)
    y = pde.solve(FHN, start, grid, np.concatenate([[0.0], times]), tolerance=1e-9).fields[1:]
    w, h = grid.cell_volume, grid.spacing
    energy = 0.5 * w * (y**2).sum(axis=(1, 2, 3))
    u, v = y[:, 0], y[:, 1]
    rate = w * (u**2 - u**4 - 5e-3 * u - v**2).sum(axis=(1, 2))
    for field, d in ((u, 1e-3), (v, 5e-3)):
        for axis in (1, 2):
            rate -= d * w / h[axis - 1] ** 2 * (np.diff(field, axis=axis) ** 2).sum(axis=(1, 2))
    # Simpson's rule: error of the order of the step's fourth power.
    weights = np.full(201, 2.0)
    weights[1::2], weights[[0, -1]] = 4.0, 1.0
    integral = weights @ rate * (times[1] - times[0]) / 3
    assert_allclose(energy[-1] - energy[0], integral, rtol=1e-7)


def test_mass_is_conserved_without_reaction():
    def nothing(y, p, out):
        out[:] = 0.0

    system = pde.System("heat", "", ("u",), {"D": 0.1}, {"u": "D"}, nothing)
    for boundary in ("neumann", "periodic"):
        grid = fdiff.Grid((7, 11), 1.0, boundary)
        start = np.random.default_rng(1).standard_normal((1, 7, 11))
        end = pde.solve(system, start, grid, [0.4]).fields[0]
        assert_allclose(end.sum(), start.sum(), rtol=1e-11)
        assert np.abs(end).max() < np.abs(start).max()


def test_fewer_and_fewer_errors_of_order_four_in_the_tolerance():
    """The estimate is of order 3, the result of order 4: error ~ tolerance^(5/4) or better."""
    grid = FHN.grid(32)
    start = smooth(grid)
    exact = pde.solve(FHN, start, grid, [2.0], tolerance=1e-12).fields
    tolerances = np.array([1e-4, 1e-5, 1e-6, 1e-7, 1e-8])
    runs = [pde.solve(FHN, start, grid, [2.0], tolerance=t) for t in tolerances]
    errors = np.array([relative(run.fields, exact)[0] for run in runs])
    steps = np.array([run.steps for run in runs])
    order = -np.polyfit(np.log(steps), np.log(errors), 1)[0]
    assert 3.7 < order < 4.8, (order, errors, steps)


def test_finite_volumes_have_order_two_in_space():
    """Runs at n and 2n cells, the finer one averaged over 2 x 2: all of it is C h^2."""
    sizes = (32, 64, 128, 256)
    ends = []
    for n in sizes:
        grid = FHN.grid(n)
        ends.append(pde.solve(FHN, smooth(grid), grid, [1.0], tolerance=1e-7).fields[0])
    gaps = []
    for n, coarse, fine in zip(sizes, ends, ends[1:]):
        mean = fine.reshape(2, n, 2, n, 2).mean((2, 4))
        gaps.append(np.sqrt(((mean - coarse) ** 2).mean()))
    orders = np.log2(np.array(gaps[:-1]) / gaps[1:])
    assert (np.abs(orders - 2) < 0.1).all(), (orders, gaps)


def test_grf_is_one_function_at_every_resolution():
    law = pde.GRFInitial()
    fields = {n: law.draw(FHN, FHN.grid(n), 9, 3) for n in (32, 128, 256)}
    c = {n: FHN.grid(n).basis.forward(f) for n, f in fields.items()}
    assert_allclose(c[128][:, :32, :32], c[32], rtol=0, atol=1e-14)
    assert_allclose(c[256][:, :128, :128], c[128], rtol=0, atol=1e-14)
    assert np.abs(c[256][:, 128:]).max() < 1e-14
    # At 128 it is white with standard deviation 1, PDEBench's law.
    assert_allclose(fields[128].std(), 1.0, rtol=0.02)
    assert (law.draw(FHN, FHN.grid(32), 9, 4) != fields[32]).all()


def test_native_runs_agree_across_resolutions_on_the_same_functions():
    """Standard deviation of u at t = 2.5 at 64, 128 and 256 cells: within 2.5 %."""
    squares = {}
    for n in (64, 128, 256):
        u = pde.ensemble(FHN, FHN.grid(n), 6, [2.5], seed=1, workers=2)[:, 0, 0]
        squares[n] = (u.astype(float) ** 2).mean(axis=(1, 2))
    # Paired: the ratio on the same functions scatters far less than either value.
    for n in (64, 256):
        ratio = np.sqrt(squares[n] / squares[128])
        assert abs(ratio.mean() - 1) < 0.025, ratio
    assert np.sqrt((squares[64] / squares[128]).mean()) > 1.01  # and the solver does see its grid


def test_the_ensemble_does_not_depend_on_workers_or_place():
    grid = FHN.grid(16)
    one = pde.ensemble(FHN, grid, 4, [0.5, 1.0], seed=2, workers=1)
    two = pde.ensemble(FHN, grid, 4, [0.5, 1.0], seed=2, workers=2)
    later = pde.ensemble(FHN, grid, 2, [0.5, 1.0], seed=2, first=2)
    assert one.shape == (4, 2, 2, 16, 16)
    assert (one == two).all()
    assert (one[2:] == later).all()


def test_a_state_that_explodes_is_named_with_its_time():
    def explode(y, p, out):
        for i in range(y.shape[1]):
            out[0, i] = y[0, i] * y[0, i]

    system = pde.System("blow-up", "u_t = u^2", ("u",), {"D": 0.0}, {"u": "D"}, explode)
    grid = fdiff.Grid((4, 4))
    with pytest.raises(pde.DivergenceError, match=r"blow-up: .* after t = ") as caught:
        pde.solve(system, np.ones((1, 4, 4)), grid, [2.0])
    assert_allclose(caught.value.time, 1.0, atol=0.01)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"initial": np.zeros((1, 8, 8))}, r"shape \(2, 8, 8\)"),
        ({"initial": np.zeros((2, 8, 8), complex)}, "fields are real"),
        ({"initial": np.full((2, 8, 8), np.nan)}, "not finite"),
        ({"times": [1.0, 0.5]}, "must increase"),
        ({"times": []}, "list of numbers"),
        ({"tolerance": 0.0}, "relative error"),
        ({"grid": fdiff.Grid((8, 8), 2.0, "dirichlet")}, "not dirichlet"),
        ({"dtype": "i4"}, "float32 or float64"),
    ],
)
def test_what_does_not_fit_is_refused_in_words(change, message):
    grid = FHN.grid(8)
    arguments = {"initial": np.zeros((2, 8, 8)), "grid": grid, "times": [1.0]} | change
    with pytest.raises((ValueError, TypeError), match=message):
        pde.solve(FHN, **arguments)


def test_a_system_checks_its_parameters():
    with pytest.raises(ValueError, match=r"no parameter nu.* Du, Dv, k"):
        FHN.with_parameters(nu=1.0)
    with pytest.raises(ValueError, match="must be >= 0"):
        FHN.with_parameters(Du=-1.0)
    with pytest.raises(ValueError, match="there are"):
        pde.system("navier-stokes")
