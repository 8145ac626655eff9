"""Speed of a sampler's step.

``em_vs_torchsde``: an Euler-Maruyama step of the reverse process, 16 fields of 128 x 128, with the
exact score of Gaussian data and keyed Q-noise, beside a step of torchsde's Euler method with white
noise and a linear drift; both on one thread, as a ratio of times.
"""

from __future__ import annotations

from benchmarks.measure import row, seconds

BARS = {"em_vs_torchsde": 3.0}
FIELDS, SIDE, STEPS = 16, 128, 100


def rows():
    """One dictionary a row."""
    yield versus_torchsde()


def versus_torchsde() -> dict:
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        ours, peer = (t / STEPS for t in seconds(fdiff_steps(), torchsde_steps(), runs=3))
    finally:
        torch.set_num_threads(threads)
    name = "em_vs_torchsde"
    return row(name, ours, peer, "s/step", better="higher", bar=BARS[name], ratio=peer / ours)


def fdiff_steps():
    """A job of `STEPS` steps, from the draw of the start to the fields."""
    import fdiff

    grid = fdiff.Grid((SIDE, SIDE))
    prior = fdiff.MaternCovariance(1.0, 0.1, 1.5)
    process = fdiff.ForwardProcess(prior, fdiff.LinearSchedule())
    score = fdiff.GaussianScore(process, 0.0, fdiff.MaternCovariance(1.0, 0.2, 2.5))
    solver = fdiff.solvers.EulerMaruyama()
    return lambda: fdiff.sample(score, grid, FIELDS, STEPS, solver, close=False)


def torchsde_steps():
    """The same number of steps of ``dX = -X dt + dW``, W white on the nodes."""
    import torch
    import torchsde

    class Linear(torch.nn.Module):
        noise_type, sde_type = "diagonal", "ito"

        def f(self, t, x):
            return -x

        def g(self, t, x):
            return torch.ones_like(x)

    sde, start = Linear(), torch.zeros(FIELDS, SIDE * SIDE, dtype=torch.float64)
    times = torch.tensor([0.0, 1.0], dtype=torch.float64)

    @torch.no_grad()
    def job():
        return torchsde.sdeint(sde, start, times, dt=1.0 / STEPS, method="euler")

    return job
