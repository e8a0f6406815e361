"""Buoyant smoke: states of rest, exact decay, conservation, symmetry, orders, restarts."""

from itertools import pairwise
from math import exp, log, pi

import torch

from pdefm.pdes.buoyant_smoke import BuoyantSmoke
from pdefm.pdes.staggered_cells import Sides, StaggeredCells
from tests.pdes.flows import order_in_time, residual_order, solved
from tests.pdes.oracles import as_parameters, drawn_batch, points

VALUES = {"buoyancy": 0.4, "viscosity": 2e-3, "diffusivity": 1e-3}


class SlipperySmoke(BuoyantSmoke):
    def box_sides(self, rows):
        return Sides(slip=True)


def smooth_state(num_points):
    """Smoke with a slope of zero at the walls, in still air."""
    x, y = points(BuoyantSmoke().grid(num_points))
    smoke = 0.5 + 0.3 * torch.cos(pi * x) * torch.cos(2 * pi * y) + 0.2 * torch.cos(2 * pi * x)
    return torch.stack((torch.zeros_like(x), torch.zeros_like(x), smoke))


def test_smoke_in_level_layers_stays_at_rest():
    """Denser smoke above lifts nothing; pressure carries it and only diffusion moves it."""
    state = smooth_state(16)
    y = points(BuoyantSmoke().grid(16))[1]
    state[2] = 0.5 + 0.3 * torch.cos(pi * y)
    end = solved(BuoyantSmoke(), state, VALUES, [0.0, 1.0])[-1]
    assert end[:2].abs().max() < 1e-12
    assert (end[2] - state[2]).abs().max() > 1e-3


def test_without_buoyancy_a_cosine_of_smoke_decays_as_heat_does():
    x, y = points(BuoyantSmoke().grid(48))
    mode = torch.cos(2 * pi * x) * torch.cos(pi * y)
    state = torch.stack((0 * x, 0 * x, 0.5 + 0.4 * mode))
    values = VALUES | {"buoyancy": 0.0, "diffusivity": 5e-3}
    end = solved(BuoyantSmoke(), state, values, [0.0, 1.0])[-1, 2]
    exact = 0.5 + 0.4 * exp(-5e-3 * 5 * pi**2) * mode
    assert (end - exact).abs().max() < 2e-4


def test_taylor_green_vortices_in_a_slippery_box_decay_at_the_exact_rate():
    errors = []
    for num_points in (16, 32):
        grid = SlipperySmoke().grid(num_points)
        wave = torch.sin(pi * torch.linspace(0, 1, num_points + 1, dtype=torch.float64)) / pi
        cells = StaggeredCells(grid, False, torch.float64, torch.device("cpu"))
        start = cells.from_stream_function(pi * torch.outer(wave, wave))
        state = torch.cat((start, torch.zeros_like(start[:1])))
        values = VALUES | {"buoyancy": 0.0, "viscosity": 0.02}
        end = solved(SlipperySmoke(), state, values, [0.0, 0.5])[-1]
        x, y = points(grid)
        u, v = torch.sin(pi * x) * torch.cos(pi * y), -torch.cos(pi * x) * torch.sin(pi * y)
        decay = exp(-2 * pi**2 * 0.02 * 0.5)
        errors.append(float((end[:2] - decay * torch.stack((u, v))).abs().max()))
    assert errors[1] < 2e-3
    assert log(errors[0] / errors[1], 2) > 1.8


def test_smoke_is_conserved_stays_between_its_bounds_and_the_flow_has_no_divergence():
    pde = BuoyantSmoke()
    initial, values, grid = drawn_batch(pde, 32, 3, dtype=torch.float32)
    states = pde.solve(initial, values, grid, torch.tensor([0.0, 1.0, 2.0]).double())
    mass = states[:, :, 2].double().mean((-2, -1))
    torch.testing.assert_close(mass, mass[:, :1].expand_as(mass), rtol=1e-5, atol=0)
    assert states[:, :, 2].min() > -1e-6
    assert states[:, :, 2].max() < 1 + 1e-6
    assert pde.divergence(states, values, grid).max() < 1e-5
    assert states[:, -1, :2].abs().amax() > 0.1


def test_a_mirror_image_of_the_smoke_gives_the_mirror_image_of_the_flow():
    pde = BuoyantSmoke()
    state = smooth_state(24)
    state[2] = state[2] * (1 + 0.2 * points(pde.grid(24))[0])
    one = solved(pde, state, VALUES, [0.0, 1.0])[-1]
    other = solved(pde, state.flip(1), VALUES, [0.0, 1.0])[-1]
    sign = torch.tensor([-1.0, 1.0, 1.0])[:, None, None]
    assert (one[0] - one[0].flip(0)).abs().max() > 1e-2
    torch.testing.assert_close(other, sign * one.flip(1), rtol=0, atol=1e-12)


def test_it_goes_on_from_any_of_its_own_frames():
    frames = solved(BuoyantSmoke(), smooth_state(24), VALUES, [0.0, 0.5, 1.0])
    again = solved(BuoyantSmoke(), frames[1], VALUES, [0.0, 0.5])
    torch.testing.assert_close(again[1], frames[2], rtol=0, atol=1e-11)


def test_second_order_in_time():
    order = order_in_time(BuoyantSmoke, smooth_state(16), VALUES, 0.5, (32, 64, 128))
    assert 1.8 < order < 2.3


def test_second_order_in_space():
    """Every third cell centre of three times the grid is one of the grid.

    Without the thin layers at walls that hold the flow, which need more points than this.
    """
    values = VALUES | {"viscosity": 5e-3, "diffusivity": 5e-3}
    ends = [solved(SlipperySmoke(), smooth_state(n), values, [0.0, 0.3])[-1] for n in (8, 24, 72)]
    errors = [(a - b[:, 1::3, 1::3]).square().mean((1, 2)).sqrt() for a, b in pairwise(ends)]
    assert (errors[0] > 3**1.8 * errors[1]).all()


def test_the_residual_of_its_own_solution_is_of_second_order():
    state = solved(BuoyantSmoke(), smooth_state(24), VALUES, [0.0, 0.5])[-1]
    assert 1.7 < residual_order(BuoyantSmoke(num_substeps=32), state, VALUES, 0.02) < 2.3


def test_the_tendency_is_what_a_short_step_does():
    pde = BuoyantSmoke(num_substeps=1)
    state = solved(BuoyantSmoke(), smooth_state(16), VALUES, [0.0, 0.5])[-1]
    slope = pde.tendency(state[None], as_parameters(VALUES), pde.grid(16))[0]
    step = solved(pde, state, VALUES, [0.0, 1e-6])
    torch.testing.assert_close((step[1] - step[0]) / 1e-6, slope, rtol=0, atol=1e-4)
