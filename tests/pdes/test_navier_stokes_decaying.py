"""Decaying flow: an exact vortex, what friction alone removes, and another solver's numbers."""

import pytest
import torch

from pdefm.pdes.navier_stokes_decaying import NavierStokesDecaying
from tests.pdes.flows import assert_a_taylor_green_vortex_decays
from tests.pdes.oracles import drawn_batch, oracle_errors

CASE, VALUES = "navier_stokes_2d_decaying", {"viscosity": 1e-3}


def test_a_taylor_green_vortex_decays_exactly():
    assert_a_taylor_green_vortex_decays(NavierStokesDecaying(), torch.cos, {"viscosity": 5e-3})


def test_almost_without_viscosity_energy_and_enstrophy_stay():
    pde = NavierStokesDecaying(parameter_ranges={"viscosity": 1e-12}, num_substeps=16)
    initial, values, grid = drawn_batch(pde, 32, 2)
    times = torch.linspace(0, 0.2, 3, dtype=torch.float64)
    found = pde.invariants(pde.solve(initial, values, grid, times), values, grid)
    # Frame 0 may hold modes beyond the 2/3 cut on this coarse grid; later frames do not.
    for name in ("energy", "enstrophy"):
        torch.testing.assert_close(found[name][:, 2], found[name][:, 1], rtol=1e-7, atol=0)


@pytest.mark.parametrize(("num_substeps", "tolerance"), [(64, 2e-6), (None, 2e-5)])
def test_it_agrees_with_another_solver(num_substeps, tolerance):
    pde = NavierStokesDecaying(num_substeps=num_substeps)
    assert oracle_errors(pde, CASE, VALUES).max() < tolerance


def test_in_single_precision_it_agrees_to_five_digits():
    assert oracle_errors(NavierStokesDecaying(), CASE, VALUES, torch.float32).max() < 3e-5
