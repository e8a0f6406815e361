"""Poisson: data on the walls, manufactured and harmonic solutions, conservation."""

import numpy as np
import torch

from pdefm.pdes.poisson import Poisson
from tests.pdes.steady_problems import cell_centres, darcy_system, orders, solved


def with_walls(num_points, source, left, right, lower, upper):
    """Sample of wall values ``g(y)`` and outward slopes ``q(x)``, each ``[n]``."""
    x, y = cell_centres(num_points)
    return {
        "source": source,
        "wall_value": (1 - x) * left + x * right,
        "wall_flux": (1 - y) * lower[:, None] + y * upper[:, None],
    }


def test_zero_walls_agree_with_the_closed_form_with_second_order():
    errors = []
    for n in (32, 64, 128):
        x, y = cell_centres(n)
        u = np.sin(np.pi * x) * np.sin(2 * np.pi * y)
        solution = darcy_system(np.ones((n, n)), 5 * np.pi**2 * u).solve()
        errors.append(np.abs(solution - u).max())
    assert errors[0] < 4e-3
    assert np.all(np.abs(orders(errors) - 2) < 0.1)


def test_values_and_fluxes_on_the_walls_give_the_manufactured_solution_with_second_order():
    """``u = e^x sin y + x^2``, ``f = -2``."""
    pde, errors = Poisson(), []
    for n in (32, 64, 128):
        x, y = cell_centres(n)
        along_y, along_x = y[0], x[:, 0]
        sample = with_walls(
            n,
            np.full((n, n), -2.0),
            np.sin(along_y),
            np.e * np.sin(along_y) + 1,
            -np.exp(along_x),
            np.exp(along_x) * np.cos(1.0),
        )
        solution = pde.system(sample, pde.grid(n)).solve()
        errors.append(np.abs(solution - np.exp(x) * np.sin(y) - x**2).max())
    assert errors[0] < 1e-3
    assert np.all(np.abs(orders(errors) - 2) < 0.15)


def test_a_linear_potential_is_exact():
    n, pde = 16, Poisson()
    x, y = cell_centres(n)
    ones, along = np.ones(n), y[0]
    sample = with_walls(n, np.zeros((n, n)), 3 * along, 2 + 3 * along, -3 * ones, 3 * ones)
    np.testing.assert_allclose(pde.system(sample, pde.grid(n)).solve(), 2 * x + 3 * y, atol=1e-12)


def test_without_source_and_flux_the_extremes_lie_on_the_walls():
    pde = Poisson(parameter_ranges={"source_amplitude": 0.0, "flux_amplitude": 0.0})
    solution, parameters = solved(pde, 3)
    value = parameters["wall_value"]
    for u, g in zip(solution.fields[:, 0, 0], value, strict=True):
        walls = torch.stack((1.5 * g[0] - 0.5 * g[1], 1.5 * g[-1] - 0.5 * g[-2]))
        assert walls.min() <= u.min()
        assert u.max() <= walls.max()


def test_what_the_source_and_the_fluxes_feed_in_leaves_through_the_other_walls():
    solution, parameters = solved(Poisson(), 2)
    n, u = 32, solution.fields[:, 0, 0]
    value, flux = parameters["wall_value"], parameters["wall_flux"]
    fed = parameters["source"].mean((1, 2))
    fed = fed + (1.5 * flux[..., 0] - 0.5 * flux[..., 1]).mean(1)
    fed = fed + (1.5 * flux[..., -1] - 0.5 * flux[..., -2]).mean(1)
    lower = (u[:, 0] - 1.5 * value[:, 0] + 0.5 * value[:, 1]) * 2 * n
    upper = (u[:, -1] - 1.5 * value[:, -1] + 0.5 * value[:, -2]) * 2 * n
    torch.testing.assert_close((lower + upper).mean(1), fed, rtol=1e-9, atol=1e-9)


def test_samples_converge_with_the_grid():
    coarse, fine = (solved(Poisson(), 2, resolution=n)[0].fields[:, 0] for n in (32, 96))
    difference = (fine[..., 1::3, 1::3] - coarse).abs().amax()
    assert difference < 5e-3 * fine.abs().amax()
