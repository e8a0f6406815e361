"""Cahn-Hilliard: growth of a weak wave, kept mass, and another solver's numbers."""

from math import exp, pi

import pytest
import torch

from pdefm.pdes.cahn_hilliard import CahnHilliard
from tests.pdes.oracles import as_parameters, drawn_batch, oracle_errors, points

CASE, VALUES = "cahn_hilliard_2d", {"mobility": 0.01, "interface_energy": 4e-3}


@pytest.mark.parametrize("mean", [0.0, 0.3])
def test_a_weak_wave_grows_at_the_rate_of_the_linear_theory(mean):
    pde = CahnHilliard(num_substeps=32)
    grid = pde.grid(32)
    x, y = points(grid)
    wave = 1e-6 * torch.cos(2 * pi * (x + y))
    times = torch.tensor([0.0, 1.0], dtype=torch.float64)
    states = pde.solve((mean + wave)[None, None], as_parameters(VALUES), grid, times)
    square = 8 * pi**2
    growth = exp(0.01 * square * (1 - 3 * mean**2 - 4e-3 * square))
    torch.testing.assert_close(states[0, 1, 0], mean + growth * wave, rtol=0, atol=1e-10)


def test_mass_is_kept_to_rounding():
    pde = CahnHilliard()
    initial, values, grid = drawn_batch(pde, 32, 3)
    times = torch.arange(5, dtype=torch.float64) * pde.dt
    mass = pde.invariants(pde.solve(initial, values, grid, times), values, grid)["mass"]
    assert (mass - mass[:, :1]).abs().max() < 1e-13


@pytest.mark.parametrize(("num_substeps", "tolerance"), [(512, 5e-9), (None, 2e-5)])
def test_it_agrees_with_another_solver(num_substeps, tolerance):
    pde = CahnHilliard(num_substeps=num_substeps)
    assert oracle_errors(pde, CASE, VALUES).max() < tolerance


def test_in_single_precision_it_agrees_to_four_digits():
    assert oracle_errors(CahnHilliard(), CASE, VALUES, torch.float32).max() < 5e-5
