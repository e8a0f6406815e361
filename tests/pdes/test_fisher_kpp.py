"""Fisher-KPP: the logistic law, an exact front, and another solver's numbers."""

from math import sqrt

import pytest
import torch

from pdefm.pdes.fisher_kpp import FisherKPP
from tests.pdes.oracles import as_parameters, oracle_errors, points

CASE, VALUES = "fisher_kpp_2d", {"diffusivity": 5e-3, "growth": 2.0}


def test_an_even_population_follows_the_logistic_law():
    pde = FisherKPP(num_substeps=128)
    times = torch.tensor([0.0, 0.5, 2.0], dtype=torch.float64)
    initial = torch.full((1, 1, 16, 16), 0.1, dtype=torch.float64)
    states = pde.solve(initial, as_parameters(VALUES), pde.grid(16), times)
    exact = 1 / (1 + 9 * torch.exp(-2 * times))
    assert (states[0, :, 0, 3, 5] - exact).abs().max() < 1e-8


def test_a_front_runs_as_the_exact_solution_of_ablowitz_and_zeppetella():
    """``(1 + exp(z / sqrt 6))^-2`` with ``z = sqrt(r/d) (x - 5 sqrt(r d / 6) t)``, both ways."""
    pde = FisherKPP()
    grid = pde.grid((192, 8))
    x, _ = points(grid)
    diffusivity, growth = 5e-4, 3.0

    def front(distance):
        return (1 + torch.exp(sqrt(growth / diffusivity) * distance / sqrt(6))).pow(-2)

    def exact(time):
        return front((x - 0.5).abs() - 0.25 - 5 * sqrt(growth * diffusivity / 6) * time)

    times = torch.tensor([0.0, 0.5, 1.0], dtype=torch.float64)
    values = as_parameters({"diffusivity": diffusivity, "growth": growth})
    states = pde.solve(exact(0.0)[None, None], values, grid, times)
    assert (states[0, 2, 0] - exact(1.0)).abs().max() < 2e-3
    assert (states[0, 2, 0] - exact(0.9)).abs().max() > 2e-2


@pytest.mark.parametrize(("num_substeps", "tolerance"), [(256, 1e-9), (None, 1e-4)])
def test_it_agrees_with_another_solver(num_substeps, tolerance):
    pde = FisherKPP(num_substeps=num_substeps)
    assert oracle_errors(pde, CASE, VALUES).max() < tolerance


def test_in_single_precision_it_agrees_to_four_digits():
    assert oracle_errors(FisherKPP(), CASE, VALUES, torch.float32).max() < 1e-4
