"""Forced flow: exact solutions, conservation and another solver's numbers."""

from math import pi

import pytest
import torch

from pdefm.pdes.navier_stokes import NavierStokes
from tests.pdes.flows import assert_a_taylor_green_vortex_decays
from tests.pdes.oracles import as_parameters, drawn_batch, oracle_errors, points


def test_a_taylor_green_vortex_decays_exactly():
    values = {"viscosity": 5e-3, "force_amplitude": 0.0}
    assert_a_taylor_green_vortex_decays(NavierStokes(), torch.sin, values)


def test_from_rest_the_force_drives_its_own_laminar_flow():
    pde = NavierStokes()
    grid = pde.grid(32)
    x, y = points(grid)
    times = torch.tensor([0.0, 1.0, 3.0], dtype=torch.float64)
    values = as_parameters({"viscosity": 2e-3, "force_amplitude": 0.1})
    states = pde.solve(torch.zeros(1, 1, 32, 32, dtype=torch.float64), values, grid, times)
    rate = 8 * pi**2 * 2e-3
    shape = 0.1 * (torch.sin(2 * pi * (x + y)) + torch.cos(2 * pi * (x + y)))
    exact = (1 - torch.exp(-rate * times))[:, None, None] / rate * shape
    torch.testing.assert_close(states[0, :, 0], exact, rtol=0, atol=1e-12)


def test_without_force_and_almost_without_viscosity_energy_and_enstrophy_stay():
    ranges = {"force_amplitude": 0.0, "viscosity": 1e-12}
    pde = NavierStokes(parameter_ranges=ranges, num_substeps=16)
    initial, values, grid = drawn_batch(pde, 32, 2)
    times = torch.linspace(0, 0.2, 3, dtype=torch.float64)
    states = pde.solve(initial, values, grid, times)
    enstrophy = states.square().mean((-3, -2, -1))
    torch.testing.assert_close(enstrophy[:, -1], enstrophy[:, 0], rtol=1e-8, atol=0)
    assert states.mean((-2, -1)).abs().max() < 1e-13


@pytest.mark.parametrize(("num_substeps", "tolerance"), [(128, 1e-7), (None, 2e-6)])
def test_it_agrees_with_another_solver(num_substeps, tolerance):
    values = {"viscosity": 1e-3, "force_amplitude": 0.1}
    pde = NavierStokes(num_substeps=num_substeps)
    assert oracle_errors(pde, "navier_stokes_2d_forced", values).max() < tolerance


def test_in_single_precision_it_agrees_to_five_digits():
    values = {"viscosity": 1e-3, "force_amplitude": 0.1}
    errors = oracle_errors(NavierStokes(), "navier_stokes_2d_forced", values, torch.float32)
    assert errors.max() < 1e-5
