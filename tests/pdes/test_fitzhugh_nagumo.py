"""FitzHugh-Nagumo: exact linear waves, walls without flux, orders, the public data's setting."""

from itertools import pairwise
from math import pi

import torch

from pdefm.pdes.fitzhugh_nagumo import FitzHughNagumo
from tests.pdes.flows import order_in_time, residual_order, solved
from tests.pdes.oracles import drawn_batch, points

PDEBENCH = {"diffusivity_u": 1e-3, "diffusivity_v": 5e-3, "offset": 5e-3}


def smooth_state(num_points):
    x, y = points(FitzHughNagumo().grid(num_points))
    u = 0.6 * torch.cos(pi * x) * torch.cos(pi * y / 2) + 0.3 * torch.cos(pi * y)
    return torch.stack((u, 0.4 * torch.cos(pi * x / 2) - 0.2 * torch.cos(1.5 * pi * y)))


def test_a_weak_cosine_mode_follows_the_linear_equation_exactly():
    pde = FitzHughNagumo()
    x, y = points(pde.grid(32))
    mode = torch.cos(3 * pi * x / 2) * torch.cos(pi * y)
    squared = (3 * pi / 2) ** 2 + pi**2
    system = torch.tensor([[1 - 1e-3 * squared, -1.0], [1.0, -1 - 5e-3 * squared]]).double()
    start = torch.tensor([1e-7, -5e-8], dtype=torch.float64)
    values = PDEBENCH | {"offset": 0.0}
    state = solved(pde, start[:, None, None] * mode, values, [0.0, 2.0])[-1]
    amplitudes = torch.linalg.matrix_exp(2 * system) @ start
    # Limited by the step of the explicit exchange between the substances.
    torch.testing.assert_close(state, amplitudes[:, None, None] * mode, rtol=0, atol=1e-10)


def test_fourth_order_in_time():
    assert 3.7 < order_in_time(FitzHughNagumo, smooth_state(24), PDEBENCH, 1.0, (4, 8, 16)) < 4.4


def test_spectral_in_space():
    """Every third point of three times the grid is a point of the grid."""
    pde = FitzHughNagumo(num_substeps=32)
    ends = [solved(pde, smooth_state(n), PDEBENCH, [0.0, 1.0])[-1] for n in (18, 54, 162)]
    errors = [(a - b[:, 1::3, 1::3]).abs().max() for a, b in pairwise(ends)]
    assert errors[1] < 1e-4 * errors[0]
    assert errors[1] < 1e-6


def test_exchanging_the_axes_exchanges_the_solution():
    state = smooth_state(24)
    pde = FitzHughNagumo()
    one = solved(pde, state, PDEBENCH, [0.0, 1.0])
    other = solved(pde, state.mT.contiguous(), PDEBENCH, [0.0, 1.0])
    torch.testing.assert_close(one.mT, other, rtol=0, atol=1e-12)


def test_the_residual_of_its_own_solution_is_of_second_order():
    pde = FitzHughNagumo(num_substeps=16)
    assert 1.9 < residual_order(pde, smooth_state(32), PDEBENCH, 0.1) < 2.1


def test_single_precision_agrees_to_five_digits():
    pde = FitzHughNagumo()
    initial, values, grid = drawn_batch(pde, 32, 2)
    times = torch.tensor([0.0, 1.0], dtype=torch.float64)
    double = pde.solve(initial, values, grid, times)
    single = pde.solve(initial.float(), values, grid, times)
    torch.testing.assert_close(single.double(), double, rtol=0, atol=2e-5)


def test_the_setting_of_the_public_data_is_within_the_ranges():
    for name, value in PDEBENCH.items():
        low, high = FitzHughNagumo.parameter_ranges[name]
        assert low <= value <= high
