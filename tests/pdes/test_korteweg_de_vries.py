"""Korteweg-de Vries: solitons pass through each other, and every soliton keeps its shape."""

import torch

from pdefm.pdes.korteweg_de_vries import KortewegDeVries
from tests.pdes.oracles import as_parameters, oracle_errors, points


class LongCanal(KortewegDeVries):
    """The box of the reference solution."""

    extent = (80.0,)


def test_two_solitons_pass_through_each_other_as_in_the_exact_solution():
    pde = LongCanal(num_substeps=2048)
    assert oracle_errors(pde, "kdv_1d", {"dispersion": 1.0}).max() < 5e-7


def soliton_error(num_points, num_substeps):
    """Error of one soliton ``2 d k^2 sech^2(k (x - 4 d k^2 t))`` after a tenth of the box."""
    pde = KortewegDeVries(num_substeps=num_substeps)
    grid = pde.grid(num_points)
    (x,) = points(grid)
    dispersion, k, time = 1.5, 1.0, 0.5

    def exact(t):
        height = 2 * dispersion * k**2
        return height / torch.cosh(k * (x - 13 - 4 * dispersion * k**2 * t)).square()

    times = torch.tensor([0.0, time], dtype=torch.float64)
    states = pde.solve(exact(0)[None, None], as_parameters({"dispersion": 1.5}), grid, times)
    return float((states[0, 1, 0] - exact(time)).abs().max())


def test_more_points_converge_faster_than_any_power():
    coarse, middle, fine = (soliton_error(n, 1024) for n in (48, 96, 192))
    assert middle < coarse / 30
    assert fine < middle / 100


def test_a_mirrored_start_run_backwards_is_the_mirrored_solution():
    """``u(-x, -t)`` solves the equation too: forward, mirror, forward again leads home."""
    pde = KortewegDeVries(num_substeps=64)
    grid = pde.grid(64)
    (x,) = points(grid)
    initial = (0.5 * torch.sin(2 * torch.pi * x / 32) + 0.2 * torch.cos(x * torch.pi / 4))[
        None, None
    ]
    times = torch.tensor([0.0, 0.5], dtype=torch.float64)
    values = as_parameters({"dispersion": 1.2})
    there = pde.solve(initial, values, grid, times)[:, 1]
    back = pde.solve(there.flip(-1).roll(1, -1), values, grid, times)[:, 1]
    torch.testing.assert_close(back.flip(-1).roll(1, -1), initial, rtol=0, atol=1e-7)
