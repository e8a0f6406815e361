"""Flow from a random field: its variance, and that the solver's grid is not the data's."""

from math import pi

import numpy as np
import pytest
import torch

from pdefm.domain import Grid
from pdefm.pdes.navier_stokes import NavierStokes
from pdefm.pdes.navier_stokes_random import NavierStokesRandom, refined
from tests.pdes.oracles import drawn_batch


def test_the_initial_vorticity_has_the_published_variance():
    pde = NavierStokesRandom()
    grid = pde.grid(64)
    draws = [pde.initial_state({}, grid, np.random.default_rng(seed)) for seed in range(200)]
    found = torch.stack(draws).square().mean().sqrt().item()
    k = np.arange(-200, 201)
    squares = k[:, None] ** 2 + k[None] ** 2
    variances = 2 * 7**3 * (4 * pi**2 * squares[squares > 0] + 49.0) ** -2.5
    assert found == pytest.approx(np.sqrt(variances.sum()), rel=0.05)


def test_finer_grids_hold_the_same_functions():
    values = torch.rand(2, 1, 15, 9, dtype=torch.float64)
    assert torch.allclose(refined(values, (45, 18))[..., ::3, ::2], values)
    pde = NavierStokesRandom()
    coarse, fine = (pde.initial_state({}, pde.grid(n), np.random.default_rng(3)) for n in (64, 128))
    assert torch.allclose(refined(coarse, (128, 128)), fine)


def test_a_coarse_grid_is_solved_on_a_finer_one():
    pde = NavierStokesRandom(parameter_ranges={"viscosity": 1e-4}, solver_points=64)
    initial, values, grid = drawn_batch(pde, 32, 1)
    times = torch.tensor([0.0, 1.0], dtype=torch.float64)
    found = pde.solve(initial, values, grid, times)
    plain = NavierStokes(dt=1.0)
    fine = Grid.regular((64, 64), (1.0, 1.0), True)
    expected = plain.solve(refined(initial, (64, 64)), values, fine, times)[..., ::2, ::2]
    assert torch.allclose(found, expected)
    assert "solver_points" in pde.configuration()
