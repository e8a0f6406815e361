"""Helpers of the tests of finite-volume families."""

import torch
from safetensors.torch import load_file

from tests.pdes.oracles import GOLDEN, as_parameters, points


def reference(case):
    """Tensors of a reference file, its times with the initial one in front."""
    tensors = load_file(GOLDEN / f"{case}.safetensors")
    times = torch.cat([torch.zeros(1, dtype=torch.float64), tensors["times"]])
    return tensors | {"times": times}


def tube(values, order, axis, num_across=8):
    """A 1-D state (scalars and one velocity, last) as a 2-D one along an axis.

    Args:
        values: ``[channel, x]``.
        order: Of the channels, velocity last.
        axis: Of the tube.
        num_across: Cells on the other axis.
    """
    *scalars, along = values[order]
    still = torch.zeros_like(along)
    velocity = (along, still) if axis == 0 else (still, along)
    flat = torch.stack([*scalars, *velocity])
    wide = flat[:, :, None].expand(-1, -1, num_across)
    return wide if axis == 0 else wide.transpose(1, 2)


def gas_vortex(pde, num_points, time, gamma=1.4, wind=(1.0, 1.0), strength=5.0):
    """Isentropic vortex carried by a wind through a periodic box, an exact solution.

    Source: Shu (1998), Lecture Notes in Mathematics 1697, section 5.1.
    """
    x, y, bump = _vortex(pde, num_points, time, wind)
    drop = (gamma - 1) * strength**2 / (8 * gamma * torch.pi**2) * bump.square()
    density = (1 - drop) ** (1 / (gamma - 1))
    spin = strength / (2 * torch.pi) * bump
    return torch.stack([density, density * (1 - drop), wind[0] - spin * y, wind[1] + spin * x])


def water_vortex(pde, num_points, time, gravity=1.0, wind=(1.0, 0.5), strength=4.0):
    """The same for shallow water: ``h = 1 - s^2 / (8 pi^2 g) exp(1 - r^2)``."""
    x, y, bump = _vortex(pde, num_points, time, wind)
    depth = 1 - strength**2 / (8 * torch.pi**2 * gravity) * bump.square()
    spin = strength / (2 * torch.pi) * bump
    return torch.stack([depth, wind[0] - spin * y, wind[1] + spin * x])


def _vortex(pde, num_points, time, wind):
    x, y = (
        (p - speed * time) % length - length / 2
        for p, speed, length in zip(points(pde.grid(num_points)), wind, pde.extent, strict=True)
    )
    return x, y, torch.exp((1 - x.square() - y.square()) / 2)


def vortex_errors(pde, vortex, parameters, resolutions, time=1.0):
    """Mean absolute error ``[resolution, channel]`` after the vortex has moved."""
    times = torch.tensor([0.0, time], dtype=torch.float64)
    errors = []
    for n in resolutions:
        start, end = vortex(pde, n, 0.0), vortex(pde, n, time)
        states = pde.solve(start[None], as_parameters(parameters), pde.grid(n), times)
        errors.append((states[0, 1] - end).abs().mean((-2, -1)))
    return torch.stack(errors)


def mirrored(state, vector_start, axis):
    """A state and its mirror image beyond the upper side of an axis."""
    image = state.flip(1 + axis).clone()
    image[vector_start + axis] *= -1
    return torch.cat((state, image), dim=1 + axis)
