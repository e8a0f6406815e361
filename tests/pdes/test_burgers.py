"""Burgers: the exact solution of Cole and Hopf, and another solver's numbers."""

from math import pi

import pytest
import torch

from pdefm.pdes.burgers import Burgers
from tests.pdes.oracles import as_parameters, oracle_errors, points


@pytest.mark.parametrize("axis", [0, 1])
def test_a_plane_wave_follows_the_cole_hopf_solution(axis):
    """``u = -2 nu phi_x / phi`` with ``phi = 1.2 + exp(-4 pi^2 nu t) cos(2 pi x)``."""
    viscosity = 0.05
    pde = Burgers()
    grid = pde.grid(64)
    position = points(grid)[axis]

    def exact(time):
        decay = torch.exp(torch.tensor(-4 * pi**2 * viscosity * time, dtype=torch.float64))
        phi = 1.2 + decay * torch.cos(2 * pi * position)
        return 4 * pi * viscosity * decay * torch.sin(2 * pi * position) / phi

    initial = torch.zeros(1, 2, 64, 64, dtype=torch.float64)
    initial[0, axis] = exact(0.0)
    times = torch.tensor([0.0, 0.2, 0.6], dtype=torch.float64)
    states = Burgers(num_substeps=64).solve(
        initial, as_parameters({"viscosity": viscosity}), grid, times
    )
    assert (states[0, 1, axis] - exact(0.2)).abs().max() < 1e-6
    assert (states[0, 2, axis] - exact(0.6)).abs().max() < 1e-6
    assert states[0, :, 1 - axis].abs().max() < 1e-13


@pytest.mark.parametrize(("num_substeps", "tolerance"), [(128, 1e-9), (None, 1e-7)])
def test_it_agrees_with_another_solver(num_substeps, tolerance):
    pde = Burgers(num_substeps=num_substeps)
    assert oracle_errors(pde, "burgers_2d", {"viscosity": 0.05}).max() < tolerance


def test_in_single_precision_it_agrees_to_five_digits():
    errors = oracle_errors(Burgers(), "burgers_2d", {"viscosity": 0.05}, torch.float32)
    assert errors.max() < 1e-5
