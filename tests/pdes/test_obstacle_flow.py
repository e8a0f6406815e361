"""Flow past obstacles: the empty channel, what obstacles do, the outlet, orders."""

import pytest
import torch

from pdefm.domain import BoundaryCondition
from pdefm.pdes.obstacle_flow import ObstacleFlow
from pdefm.pdes.sample import solve_samples
from tests.pdes.flows import order_in_time, residual_order, solved
from tests.pdes.oracles import drawn_batch, points


def disc(num_points):
    x, y = points(ObstacleFlow().grid(num_points))
    return (x - 0.6) ** 2 + (y - 0.5) ** 2 > 0.15**2


def start(num_points, values):
    u = torch.full((num_points, num_points), values["inflow"], dtype=torch.float64)
    return torch.stack((u, torch.zeros_like(u)))


VALUES = {"viscosity": 4e-3, "inflow": 0.8}


def test_in_an_empty_channel_a_uniform_flow_stays():
    values = VALUES | {"mask": torch.ones(16, 16, dtype=torch.bool)}
    end = solved(ObstacleFlow(), start(16, values), values, [0.0, 0.5])[-1]
    torch.testing.assert_close(end, start(16, values), rtol=0, atol=1e-12)


def test_an_eddy_leaves_through_the_outlet():
    x, y = points(ObstacleFlow().grid(32))
    bump = torch.exp(-((x - 1.4) ** 2 + (y - 0.5) ** 2) / 0.02)
    values = VALUES | {"mask": torch.ones(32, 32, dtype=torch.bool)}
    uniform = start(32, values)
    state = uniform + torch.stack((-(y - 0.5) * bump, (x - 1.4) * bump)) * 5
    frames = solved(ObstacleFlow(), state, values, [0.0, 0.1, 1.5])
    assert (frames[1] - uniform).abs().max() > 0.2
    assert (frames[2] - uniform).abs().max() < 0.02


def test_an_obstacle_stops_the_flow_in_it_and_speeds_it_up_beside_it():
    mask = disc(48)
    values = VALUES | {"mask": mask}
    end = solved(ObstacleFlow(), start(48, values), values, [0.0, 0.6])[-1]
    inside = ~mask & ~mask.roll(1, 0) & ~mask.roll(-1, 0) & ~mask.roll(1, 1) & ~mask.roll(-1, 1)
    assert end[:, inside].abs().max() < 0.1 * 0.8
    assert end[0].max() > 1.2 * 0.8
    flux = end[0].mean(1)
    torch.testing.assert_close(flux, torch.full_like(flux, 0.8), rtol=0, atol=1e-12)
    mirrored = torch.stack((end[0].flip(1), -end[1].flip(1)))
    torch.testing.assert_close(end, mirrored, rtol=0, atol=1e-10)


def test_second_order_in_time():
    values = VALUES | {"mask": disc(24)}
    state = solved(ObstacleFlow(), start(24, values), values, [0.0, 0.3])[-1]
    assert 1.8 < order_in_time(ObstacleFlow, state, values, 0.1, (32, 64, 128)) < 2.3


@pytest.mark.slow
def test_about_first_order_in_space():
    coarse, middle, fine = (
        solved(ObstacleFlow(), start(n, VALUES), VALUES | {"mask": disc(n)}, [0.0, 0.2])[-1]
        for n in (12, 36, 108)
    )
    first, second = (
        (a - b[:, 1::3, 1::3]).square().mean().sqrt() for a, b in ((coarse, middle), (middle, fine))
    )
    assert first > 3**0.8 * second


def test_the_residual_of_its_own_solution_is_of_second_order():
    values = VALUES | {"mask": disc(24)}
    state = solved(ObstacleFlow(), start(24, values), values, [0.0, 0.5])[-1]
    assert 1.7 < residual_order(ObstacleFlow(num_substeps=32), state, values, 4e-3) < 2.3


def test_the_mask_is_stored_and_the_sides_are_named():
    solution = solve_samples(ObstacleFlow(), 2, resolution=16, num_frames=2, seed=0)
    wall = BoundaryCondition.WALL
    assert solution.mask.shape == (2, 16, 16)
    assert 0 < (~solution.mask).float().mean() < 0.3
    assert not solution.constants
    assert solution.boundary == ((BoundaryCondition.OPEN,) * 2, (wall, wall))


def test_first_frames_go_round_the_obstacles():
    pde = ObstacleFlow()
    initial, values, grid = drawn_batch(pde, 32, 3)
    assert pde.divergence(initial[:, None], values, grid).max() < 1e-11
    speed = initial.square().sum(1).sqrt() / values["inflow"][:, None, None]
    assert speed[~values["mask"]].mean() < 0.5 * speed[values["mask"]].mean()
