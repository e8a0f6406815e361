"""Runs and measures that the tests of several flows share."""

from math import log, pi

import torch

from tests.pdes.oracles import as_parameters, points


def solved(pde, initial, values, moments):
    """Frames of one sample, ``[time, channel, *space]``, in the precision of the state."""
    times = torch.tensor(moments, dtype=torch.float64)
    grid = pde.grid(tuple(initial.shape[1:]))
    return pde.solve(initial[None], as_parameters(values), grid, times)[0]


def order_in_time(family, initial, values, span, counts):
    """Measured order from runs with three numbers of steps, each twice the one before."""
    ends = [solved(family(num_substeps=n), initial, values, [0.0, span])[-1] for n in counts]
    return log(float((ends[0] - ends[1]).norm() / (ends[1] - ends[2]).norm()), 2)


def residual_order(pde, state, values, span):
    """Order in which the residual of the solver's own frames falls with the time between them."""
    sizes = []
    for count in (1, 2):
        times = torch.tensor([0.0, span / count], dtype=torch.float64)
        grid, parameters = pde.grid(tuple(state.shape[1:])), as_parameters(values)
        frames = pde.solve(state[None], parameters, grid, times)
        sizes.append(float(pde.residual(frames, parameters, grid, times).norm()))
    return log(sizes[0] / sizes[1], 2)


def assert_a_taylor_green_vortex_decays(pde, wave, values):
    """``wave(2 pi x) wave(2 pi y)`` as vorticity keeps its shape and dies by friction alone."""
    x, y = points(pde.grid(32))
    initial = (wave(2 * pi * x) * wave(2 * pi * y))[None]
    moments = torch.tensor([0.0, 0.5, 2.0], dtype=torch.float64)
    states = solved(pde, initial, values, moments.tolist())
    decay = torch.exp(-8 * pi**2 * values["viscosity"] * moments)[:, None, None]
    torch.testing.assert_close(states[:, 0], decay * initial, rtol=0, atol=1e-13)
