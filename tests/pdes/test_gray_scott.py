"""Gray-Scott: feeding without reaction, positive concentrations, another solver's numbers."""

import pytest
import torch

from pdefm.pdes.gray_scott import GrayScott
from tests.pdes.oracles import as_parameters, drawn_batch, oracle_errors

VALUES = {"diffusivity_u": 4e-4, "diffusivity_v": 2e-4, "feed": 0.04, "kill": 0.06}


def test_without_a_partner_a_substance_is_only_fed():
    pde = GrayScott()
    times = torch.tensor([0.0, 10.0, 30.0], dtype=torch.float64)
    initial = torch.zeros(1, 2, 16, 16, dtype=torch.float64)
    initial[:, 0] = 0.3
    states = pde.solve(initial, as_parameters(VALUES), pde.grid(16), times)
    exact = 1 - 0.7 * torch.exp(-0.04 * times)
    torch.testing.assert_close(states[0, :, 0, 4, 7], exact, rtol=0, atol=1e-12)
    assert states[0, :, 1].abs().max() == 0


def test_the_reaction_moves_mass_from_one_substance_to_the_other():
    """Without feed and kill, and with any diffusion, the total is conserved."""
    pde = GrayScott(parameter_ranges={"feed": 0.0, "kill": 0.0})
    initial, values, grid = drawn_batch(pde, 32, 2)
    times = torch.tensor([0.0, 5.0, 20.0], dtype=torch.float64)
    states = pde.solve(initial, values, grid, times)
    mass = states.mean((-2, -1))
    torch.testing.assert_close(mass.sum(2), mass.sum(2)[:, :1].expand(-1, 3), rtol=1e-12, atol=0)
    assert (mass[:, -1, 1] - mass[:, 0, 1]).min() > 0.02


@pytest.mark.parametrize(("num_substeps", "tolerance"), [(128, 5e-6), (None, 5e-5)])
def test_it_agrees_with_another_solver(num_substeps, tolerance):
    pde = GrayScott(num_substeps=num_substeps)
    assert oracle_errors(pde, "gray_scott_2d", VALUES).max() < tolerance


def test_in_single_precision_it_agrees_to_four_digits():
    assert oracle_errors(GrayScott(), "gray_scott_2d", VALUES, torch.float32).max() < 5e-5
