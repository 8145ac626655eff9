"""The systems, the spectral integrator, the stochastic forcing, the laws of initial states."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.integrate import solve_ivp
from scipy.linalg import expm

import fdiff
from fdiff import pde
from fdiff.pde import etdrk4, forcing

FHN = pde.system("fitzhugh-nagumo")


def relative(a, b):
    return np.linalg.norm(a - b) / np.linalg.norm(b)


def smooth_start(system, grid):
    """The state of rest and a few smooth modes of size 0.1."""
    waves = 1.0
    for axis, x in enumerate(grid.coordinates()):
        turn = 2 * np.pi if grid.boundary[axis] == "periodic" else np.pi
        waves = waves * np.cos(turn * (x - grid.origin[axis]) / grid.lengths[axis])
    rest = system.state("background").reshape(-1, *[1] * grid.dim)
    sizes = np.linspace(0.1, -0.05, len(system.fields)).reshape(rest.shape)
    return rest + sizes * waves


@pytest.mark.parametrize("name", pde.names())
def test_constant_states_obey_the_equation_as_it_is_written(name):
    """The text of the equation, evaluated by Python, against the compiled rates."""
    system = pde.system(name)
    state = np.random.default_rng(1).uniform(0.2, 1.0, len(system.fields))
    scope = dict(system.parameters) | dict(zip(system.fields, state)) | {"Lap": 0.0}
    if name == "ginzburg-landau":
        a = complex(*state)
        rate = a - (1 + 1j * system.parameters["c"]) * abs(a) ** 2 * a
        expected = [rate.real, rate.imag]
    else:
        expected = [eval(side, scope) for side in right_sides(system.equation)]
    assert_allclose(system.reaction(state), expected, rtol=1e-13)


def right_sides(equation):
    """Python expressions of the reaction: "u_t = D Lap u + u (1 - u)" gives "u * (1 - u)"."""
    import re

    for part in equation.split(";"):
        side = part.split("=", 1)[1].replace("^", "**").split(" Lap ", 1)[1]
        side = side.split(" ", 1)[1]  # drop the field after Lap
        side = re.sub(r"(?<=[\w)]) (?=[\w(])", " * ", side)
        yield side.lstrip("+ ")


@pytest.mark.parametrize("name", pde.names())
def test_both_methods_agree_on_a_smooth_state_up_to_the_grid(name):
    system = pde.system(name)
    if system.rotation:
        pytest.skip("finite volumes do not take a coupling by diffusion")
    errors = []
    for n in (24, 48):
        grid = system.grid(n)
        start = smooth_start(system, grid)
        times = [system.end / 50]
        a, b = (pde.solve(system, start, grid, times, 1e-8, method=m).fields for m in pde.METHODS)
        errors.append(relative(a, b))
    assert errors[1] < 2e-3
    assert 3.3 < errors[0] / errors[1] < 4.5, errors  # the finite volumes' h^2


@pytest.mark.parametrize("boundary", ["periodic", "neumann", "dirichlet", ("neumann", "periodic")])
def test_the_spectral_method_is_exact_in_space_for_the_linear_system(boundary):
    system = pde.system("linear")
    grid = fdiff.Grid((10, 9), (2.0, 1.5), boundary)
    basis = grid.basis
    white = np.random.default_rng(2).standard_normal((2, 10, 9))
    start = basis.inverse(basis.project(basis.forward(white)))
    end = pde.solve(system, start, grid, [0.7], 1e-9, method="etdrk4").fields[0]
    c = basis.forward(start)
    exact = np.empty_like(c)
    for k in np.ndindex(basis.shape):
        mu = basis.laplacian[k]
        a = np.array([[1 - 1e-3 * mu, -1], [1, -1 - 5e-3 * mu]])
        exact[(slice(None), *k)] = expm(0.7 * a) @ c[(slice(None), *k)]
    assert_allclose(end, basis.inverse(exact), rtol=0, atol=1e-8)


def test_phi_functions_against_their_integrals():
    """phi_j(z) = int_0^1 e^{(1 - s) z} s^{j-1} / (j-1)! ds, by Gauss-Legendre quadrature."""
    z = -np.array([0.0, 1e-8, 1e-3, 0.5, 0.999, 1.001, 3.0, 30.0, 200.0])
    x, w = np.polynomial.legendre.leggauss(200)
    s, w = (x + 1) / 2, w / 2
    for j, values in enumerate(etdrk4.phi_functions(z, 3), start=1):
        weights = w * s ** (j - 1) / [1, 1, 2][j - 1]
        exact = np.array([weights @ np.exp((1 - s) * v) for v in z])
        assert_allclose(values, exact, rtol=2e-12)


def test_etdrk4_has_order_four():
    grid = FHN.grid(16)
    problem = etdrk4.Spectral(FHN, grid)
    start = problem.forward(4 * smooth_start(FHN, grid))

    def run(steps):
        step, c = etdrk4.Step(problem, 2.0 / steps), start
        for _ in range(steps):
            c, _ = step.advance(c, problem.reaction(c))
        return c

    exact = run(512)
    errors = [np.linalg.norm(run(n) - exact) for n in (8, 16, 32, 64)]
    orders = np.log2(np.array(errors[:-1]) / errors[1:])
    assert (np.abs(orders - 4) < 0.35).all(), orders


def test_the_spectral_error_control_keeps_what_it_promises():
    grid = FHN.grid(32)
    start = pde.GRFInitial().draw(FHN, grid, 0, 1)
    times = np.linspace(0, 5, 21)
    exact = pde.solve(FHN, start, grid, times, 1e-10, method="etdrk4").fields
    for tolerance in (1e-4, 1e-6):
        found = pde.solve(FHN, start, grid, times, tolerance, method="etdrk4")
        error = max(relative(a, b) for a, b in zip(found.fields, exact))
        assert error < 5 * tolerance
        assert error < 10 * found.error


def test_dealiasing_makes_a_cubic_exact():
    """N(c) of a field with modes up to K: the product on a fine grid, cut at the same modes."""
    system = pde.system("allen-cahn")
    grid, fine = fdiff.Grid((12, 11)), fdiff.Grid((64, 64))
    problem = etdrk4.Spectral(system, grid)
    rng = np.random.default_rng(4)
    c = grid.basis.project(grid.basis.forward(rng.standard_normal((1, 12, 11))))
    u = fine.basis.inverse(fdiff.levels.prolong(c, grid, fine))
    exact = fdiff.levels.restrict(fine.basis.forward(u - u**3), fine, grid)
    assert_allclose(problem.reaction(c), grid.basis.project(exact), rtol=0, atol=1e-12)


def test_ginzburg_landau_plane_waves_are_solutions():
    """A = R e^{i (q x - w t)}, R^2 = 1 - D q^2, w = b q^2 + c R^2."""
    system = pde.system("ginzburg-landau")
    grid = fdiff.Grid((16, 12), (20.0, 15.0))
    d, b, c = (system.parameters[k] for k in ("D", "b", "c"))
    q = 2 * np.pi / 20.0
    size = np.sqrt(1 - d * q**2)
    speed = b * q**2 + c * size**2
    x = grid.coordinates()[0] + 0 * grid.coordinates()[1]

    def wave(t):
        phase = q * x - speed * t
        return size * np.stack([np.cos(phase), np.sin(phase)])

    end = pde.solve(system, wave(0.0), grid, [3.0], 1e-8, method="etdrk4").fields[0]
    assert_allclose(end, wave(3.0), rtol=0, atol=1e-6)
    with pytest.raises(ValueError, match="use method etdrk4"):
        pde.solve(system, wave(0.0), grid, [3.0])


def test_allen_cahn_lowers_its_energy():
    system = pde.system("allen-cahn")
    grid = system.grid(24)
    start = pde.SpotsInitial(3, 0.1).draw(system, grid, 0, 0) - 0.4
    y = pde.solve(system, start, grid, np.linspace(0, 5, 26), 1e-7).fields[:, 0]
    energy = ((1 - y**2) ** 2 / 4).sum(axis=(1, 2))
    for axis, h in zip((1, 2), grid.spacing):
        energy += 1e-3 / 2 * ((np.roll(y, -1, axis) - y) ** 2).sum(axis=(1, 2)) / h**2
    assert (np.diff(energy) < 0).all()


def test_fisher_fronts_move_at_their_speed():
    """2 sqrt(D r) = 2, approached from below by (3 / 2) log(t) / sqrt(r / D)."""
    system = pde.system("fisher-kpp").with_parameters(D=1.0, r=1.0)
    grid = fdiff.Grid((600,), 120.0, "neumann")
    start = (grid.points(0) < 5).astype(float)[None]
    times = np.array([20.0, 40.0])
    y = pde.solve(system, start, grid, times, 1e-6).fields[:, 0]
    place = (y > 0.5).sum(axis=1) * grid.spacing[0]
    speed = (place[1] - place[0]) / 20
    assert abs(speed - (2 - 1.5 * np.log(2) / 20)) < 0.03


def test_a_user_s_own_system_and_a_compiled_reaction():
    from numba import njit

    @njit
    def rates(y, p, out):
        for i in range(y.shape[1]):
            out[0, i] = p[1] * (1 - y[0, i])

    system = pde.System("relax", "", ("u",), {"D": 0.1, "r": 2.0}, {"u": "D"}, rates)
    grid = fdiff.Grid((6, 6))
    end = pde.solve(system, np.zeros((1, 6, 6)), grid, [1.0], 1e-9).fields
    assert_allclose(end, 1 - np.exp(-2), rtol=1e-7)


def test_three_dimensions_against_scipy():
    system = pde.system("gray-scott").with_parameters(Da=0.01, Db=0.005)
    grid = fdiff.Grid((4, 5, 6), (1.0, 1.2, 1.5), ("periodic", "neumann", "periodic"))
    start = pde.SpotsInitial(2, 0.2).draw(system, grid, 0, 0)

    def rate(_, flat):
        y = flat.reshape(start.shape)
        out = system.reaction(y)
        for axis, (h, kind) in enumerate(zip(grid.spacing, grid.boundary), start=1):
            pad = [(1, 1) if i == axis else (0, 0) for i in range(4)]
            wide = np.pad(y, pad, mode="wrap" if kind == "periodic" else "edge")
            lap = np.diff(wide, 2, axis) / h**2
            out += np.array([0.01, 0.005]).reshape(2, 1, 1, 1) * lap
        return out.ravel()

    exact = solve_ivp(rate, (0, 3), start.ravel(), rtol=1e-11, atol=1e-12, method="DOP853")
    found = pde.solve(system, start, grid, [3.0], 1e-9).fields[0]
    assert_allclose(found, exact.y[:, -1].reshape(start.shape), rtol=0, atol=1e-7)


def test_the_stochastic_convolution_has_its_exact_variance():
    """Without reaction each mode is an Ornstein-Uhlenbeck process, whatever the step."""

    def nothing(y, p, out):
        out[:] = 0.0

    system = pde.System("ou", "", ("u",), {"D": 0.02}, {"u": "D"}, nothing)
    grid = fdiff.Grid((6, 5), 1.0, "neumann")
    q = fdiff.BesselCovariance(1.0, 10.0, 1.5).eigenvalues(grid)
    decay = 0.02 * grid.basis.laplacian
    exact = np.where(decay > 0, -np.expm1(-2 * decay) / np.where(decay > 0, 2 * decay, 1), 1.0) * q
    ends = []
    for sample in range(400):
        out = np.empty((1, 6, 5, 1))
        draw = forcing.keyed(grid, 1, 3, sample)
        forcing.trajectory(system, np.zeros((1, 6, 5)), grid, np.array([1.0]), 0.5, q, draw, out)
        ends.append(grid.basis.forward(out[0, ..., 0]))
    ratio = (np.array(ends) ** 2).mean(axis=0) / exact
    assert abs(ratio.mean() - 1) < 5 * np.sqrt(2 / 400 / ratio.size)
    assert np.abs(ratio - 1).max() < 5 * np.sqrt(2 / 400)


def test_forcing_has_strong_order_one():
    """Coarse noise is the fine convolution composed: the same path at every step."""
    system = pde.system("allen-cahn")
    grid = system.grid(16)
    q = fdiff.BesselCovariance(200.0, 60.0, 2.0).eigenvalues(grid)
    problem = etdrk4.Spectral(system, grid)
    finest, samples = 256, 8

    def noise_of(draw, steps):
        """Standard numbers of a run with ``steps`` steps in [0, 1] from those of the finest."""
        h, many = 1.0 / finest, finest // steps
        std, decay = forcing.convolution_std(problem, q, h), np.exp(h * problem.linear)
        whole = forcing.convolution_std(problem, q, h * many)

        def composed(step):
            z = 0.0
            for i in range(many):
                z = decay * z + std * draw(step * many + i)
            return z / np.where(whole > 0, whole, 1.0)

        return composed

    errors = {n: [] for n in (8, 16, 32)}
    for sample in range(samples):
        draw = forcing.keyed(grid, 1, 0, sample)
        ends = {}
        for n in (*errors, finest):
            out = np.empty((1, 16, 16, 1))
            forcing.trajectory(
                system, np.zeros((1, 16, 16)), grid, np.array([1.0]), 1.0 / n, q,
                noise_of(draw, n), out,
            )  # fmt: skip
            ends[n] = out
        for n, found in errors.items():
            found.append(((ends[n] - ends[finest]) ** 2).mean())
    rms = np.array([np.sqrt(np.mean(e)) for e in errors.values()])
    order = -np.polyfit(np.log(list(errors)), np.log(rms), 1)[0]
    assert 0.85 < order < 1.25, (order, rms)


@pytest.mark.parametrize(
    "law",
    [
        pde.GaussianInitial({"family": "matern", "std": 0.3, "length": 0.3, "smoothness": 2.0}),
        pde.SpotsInitial(4, 0.1),
    ],
)
def test_laws_give_one_function_at_every_resolution(law):
    """Values at shared points of a periodic grid; spots exactly, fields up to their fine modes."""
    system = pde.system("gray-scott")
    a, b = (law.draw(system, system.grid(n), 5, 2) for n in (64, 128))
    assert np.abs(a - b[:, ::2, ::2]).max() < (1e-13 if law.name == "spots" else 0.02)
    other = law.draw(system, system.grid(64), 5, 3)
    assert np.abs(a - other).max() > 0.05


def test_a_covariance_family_is_named():
    with pytest.raises(ValueError, match="family is one of bessel"):
        pde.covariance_from({"family": "cubic"})
