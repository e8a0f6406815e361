"""Allen-Cahn: the exact reaction, falling energy, and another solver's numbers."""

import pytest
import torch

from pdefm.pdes.allen_cahn import AllenCahn
from pdefm.pdes.wavenumbers import Wavenumbers
from tests.pdes.oracles import as_parameters, drawn_batch, oracle_errors


def test_a_uniform_phase_follows_the_exact_reaction():
    pde = AllenCahn(num_substeps=64)
    times = torch.tensor([0.0, 0.5, 2.0], dtype=torch.float64)
    initial = torch.full((1, 1, 16, 16), 0.1, dtype=torch.float64)
    states = pde.solve(initial, as_parameters({"interface_energy": 4e-3}), pde.grid(16), times)
    exact = 0.1 * times.exp() / (1 + 0.01 * ((2 * times).exp() - 1)).sqrt()
    assert (states[0, :, 0, 3, 5] - exact).abs().max() < 1e-8


def test_the_free_energy_never_grows():
    pde = AllenCahn()
    initial, values, grid = drawn_batch(pde, 48, 3)
    times = torch.arange(8, dtype=torch.float64) * pde.dt
    states = pde.solve(initial, values, grid, times)
    waves = Wavenumbers(grid, torch.float64, states.device)
    flat = states.flatten(0, 1)
    slopes = waves.to_physical(waves.to_spectral(flat) * waves.derivative)
    interface = values["interface_energy"].repeat_interleave(8)[:, None, None] / 2
    energy = interface * slopes.square().sum(1) + (1 - flat[:, 0].square()).square() / 4
    energy = energy.mean((-2, -1)).unflatten(0, (3, 8))
    assert (energy.diff(dim=1) < 0).all()


@pytest.mark.parametrize(("num_substeps", "tolerance"), [(128, 1e-8), (None, 2e-5)])
def test_it_agrees_with_another_solver(num_substeps, tolerance):
    pde = AllenCahn(num_substeps=num_substeps)
    assert oracle_errors(pde, "allen_cahn_2d", {"interface_energy": 4e-3}).max() < tolerance


def test_in_single_precision_it_agrees_to_four_digits():
    errors = oracle_errors(AllenCahn(), "allen_cahn_2d", {"interface_energy": 4e-3}, torch.float32)
    assert errors.max() < 3e-5
