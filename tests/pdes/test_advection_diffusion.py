"""Advection and diffusion: exact in two and three dimensions."""

import pytest
import torch

from pdefm.pdes.advection_diffusion import AdvectionDiffusion
from tests.pdes.oracles import as_parameters, oracle_errors, points

VALUES = {"velocity_x": 1.0, "velocity_y": -0.4, "diffusivity": 0.005}


class InSpace(AdvectionDiffusion):
    """The same equation in three dimensions."""

    extent = (1.0, 1.0, 1.0)
    parameter_ranges = AdvectionDiffusion.parameter_ranges | {"velocity_z": (-1.0, 1.0)}


def test_it_agrees_with_the_exact_solution():
    assert oracle_errors(AdvectionDiffusion(), "advection_diffusion_2d", VALUES).max() < 1e-12


def test_it_agrees_with_the_exact_solution_in_three_dimensions():
    values = {"velocity_x": 1.0, "velocity_y": -0.5, "velocity_z": 0.25, "diffusivity": 0.01}
    assert oracle_errors(InSpace(), "advection_diffusion_3d", values).max() < 1e-12


def test_in_single_precision_it_agrees_to_five_digits():
    errors = oracle_errors(AdvectionDiffusion(), "advection_diffusion_2d", VALUES, torch.float32)
    assert errors.max() < 1e-5


def test_without_diffusion_a_pattern_returns_after_crossing_the_box():
    pde = AdvectionDiffusion()
    grid = pde.grid(32)
    x, y = points(grid)
    initial = torch.exp(torch.sin(2 * torch.pi * x) * torch.cos(2 * torch.pi * y))[None, None]
    values = as_parameters({"velocity_x": 1.0, "velocity_y": -2.0, "diffusivity": 0.0})
    states = pde.solve(initial, values, grid, torch.tensor([0.0, 0.3, 1.0], dtype=torch.float64))
    assert (states[0, 1] - initial[0]).abs().max() > 0.5
    torch.testing.assert_close(states[0, 2], initial[0], rtol=0, atol=1e-6)


@pytest.mark.parametrize("num_points", [16, 32])
def test_more_points_converge_faster_than_any_power(num_points):
    """The error of a smooth pattern falls by orders of magnitude when the points are doubled."""

    def error(num):
        pde = AdvectionDiffusion()
        x, y = points(pde.grid(num))
        initial = torch.exp(torch.sin(2 * torch.pi * x) + torch.cos(2 * torch.pi * y))[None, None]
        times = torch.tensor([0.0, 0.5], dtype=torch.float64)
        solve = pde.solve(initial, as_parameters(VALUES), pde.grid(num), times)
        return solve[0, 1, 0, :: num // 8, :: num // 8]

    reference = error(128)
    coarse, fine = ((error(n) - reference).abs().max() for n in (num_points, 2 * num_points))
    assert fine < coarse / 20 or fine < 1e-12
