"""Flow with a dye: the dye follows the vorticity's own law, and does not act on the flow."""

from math import pi

import torch

from pdefm.pdes.navier_stokes_decaying import NavierStokesDecaying
from pdefm.pdes.navier_stokes_scalar import NavierStokesScalar
from tests.pdes.oracles import as_parameters, drawn_batch, oracle_errors, points

EQUAL = {"viscosity": 1e-3, "diffusivity": 1e-3}


def test_a_dye_that_starts_as_the_vorticity_stays_equal_to_it():
    pde = NavierStokesScalar()
    initial, _, grid = drawn_batch(pde, 32, 2)
    initial[:, 1] = initial[:, 0]
    times = torch.arange(5, dtype=torch.float64) * pde.dt
    states = pde.solve(initial, as_parameters(EQUAL, 2), grid, times)
    torch.testing.assert_close(states[:, :, 1], states[:, :, 0], rtol=0, atol=1e-9)


def test_the_flow_does_not_notice_the_dye():
    pde = NavierStokesScalar()
    initial, values, grid = drawn_batch(pde, 32, 2)
    times = torch.arange(4, dtype=torch.float64) * pde.dt
    states = pde.solve(initial, values, grid, times)
    alone = NavierStokesDecaying().solve(initial[:, :1], values, grid, times)
    torch.testing.assert_close(states[:, :, :1], alone, rtol=0, atol=1e-12)


def test_the_flow_agrees_with_another_solver():
    class FlowOnly(NavierStokesScalar):
        def solve(self, initial, parameters, grid, times):
            both = torch.cat((initial, torch.zeros_like(initial)), dim=1)
            return super().solve(both, parameters, grid, times)[:, :, :1]

    assert oracle_errors(FlowOnly(), "navier_stokes_2d_decaying", EQUAL).max() < 2e-5


def test_in_still_water_a_dye_only_diffuses():
    pde = NavierStokesScalar()
    grid = pde.grid(16)
    x, y = points(grid)
    wave = 0.5 + 0.4 * torch.cos(2 * pi * (x + 2 * y))
    initial = torch.stack((torch.zeros_like(wave), wave))[None]
    times = torch.tensor([0.0, 1.0, 4.0], dtype=torch.float64)
    states = pde.solve(initial, as_parameters(EQUAL), grid, times)
    decay = torch.exp(-1e-3 * 20 * pi**2 * times)[:, None, None]
    torch.testing.assert_close(states[0, :, 1], 0.5 + decay * (wave - 0.5), rtol=0, atol=1e-12)
