"""Open sides: waves leave; round dams stay round."""

import numpy as np
import torch

from pdefm.pdes.shallow_water_dam_break import ShallowWaterDamBreak
from tests.pdes.oracles import as_parameters, points


def round_dam(pde, num_points):
    x, y = points(pde.grid(num_points))
    radius = ((x - 0.5).square() + (y - 0.5).square()).sqrt()
    covered = (0.5 - (radius - 0.2) * num_points).clamp(0, 1)
    return torch.stack((1 + covered, 0 * x, 0 * x))[None], radius


def test_a_round_dam_breaks_into_a_round_wave():
    pde = ShallowWaterDamBreak()
    initial, radius = round_dam(pde, 64)
    times = torch.tensor([0.0, 0.15], dtype=torch.float64)
    state = pde.solve(initial, as_parameters({"gravity": 1.0}), pde.grid(64), times)[0, 1]
    along = np.interp(radius.diagonal()[32:48], radius[32, 32:], state[0, 32, 32:])
    assert np.abs(along - state[0].diagonal()[32:48].numpy()).mean() < 0.01


def test_waves_leave_through_open_sides():
    pde = ShallowWaterDamBreak()
    initial, _ = round_dam(pde, 32)
    times = torch.tensor([0.0, 0.3, 3.0], dtype=torch.float64)
    states = pde.solve(initial, as_parameters({"gravity": 1.0}), pde.grid(32), times)
    contrast = states[0, :, 0].std((-2, -1))
    assert contrast[2] < 0.03 * contrast[0]
    mass = states[0, :, 0].mean((-2, -1))
    assert mass[2] < mass[0] - 0.05
