"""Kolmogorov flow: its laminar solution, and the flow without force and drag."""

import torch

from pdefm.pdes.kolmogorov_flow import KolmogorovFlow
from pdefm.pdes.navier_stokes_decaying import NavierStokesDecaying
from tests.pdes.oracles import as_parameters, drawn_batch, points


def test_from_rest_the_force_drives_its_own_jets():
    pde = KolmogorovFlow()
    grid = pde.grid(32)
    _, y = points(grid)
    times = torch.tensor([0.0, 1.0, 3.0], dtype=torch.float64)
    values = as_parameters({"viscosity": 0.05, "drag": 0.1, "force_amplitude": 1.5})
    states = pde.solve(torch.zeros(1, 1, 32, 32, dtype=torch.float64), values, grid, times)
    rate = 16 * 0.05 + 0.1
    exact = (1 - torch.exp(-rate * times))[:, None, None] / rate * -4 * 1.5 * torch.cos(4 * y)
    torch.testing.assert_close(states[0, :, 0], exact, rtol=0, atol=1e-12)


def test_without_force_and_drag_it_is_the_decaying_flow():
    class LargeBox(NavierStokesDecaying):
        extent = KolmogorovFlow.extent

    initial, _, grid = drawn_batch(KolmogorovFlow(), 32, 2)
    times = torch.tensor([0.0, 0.25, 0.5], dtype=torch.float64)
    settings = {"viscosity": 0.01, "drag": 0.0, "force_amplitude": 0.0}
    forced = KolmogorovFlow().solve(initial, as_parameters(settings, 2), grid, times)
    free = LargeBox().solve(initial, as_parameters({"viscosity": 0.01}, 2), grid, times)
    torch.testing.assert_close(forced, free, rtol=0, atol=1e-12)


def test_a_shift_by_a_wavelength_of_the_force_shifts_the_solution():
    pde = KolmogorovFlow()
    initial, values, grid = drawn_batch(pde, 32, 2)
    times = torch.arange(4, dtype=torch.float64) * pde.dt
    states = pde.solve(initial, values, grid, times)
    moved = pde.solve(initial.roll((3, 8), (-2, -1)), values, grid, times)
    torch.testing.assert_close(moved, states.roll((3, 8), (-2, -1)), rtol=0, atol=1e-9)
