"""Waves: exact at constant speed; at any speed, a known tendency, kept energy and reversal."""

from math import pi

import pytest
import torch

from pdefm.pdes.acoustic_wave import AcousticWave
from tests.pdes.oracles import as_parameters, drawn_batch, oracle_errors, points


@pytest.mark.parametrize(("num_substeps", "tolerance"), [(512, 1e-7), (None, 2e-3)])
def test_at_constant_speed_it_agrees_with_the_exact_solution(num_substeps, tolerance):
    pde = AcousticWave(num_substeps=num_substeps)
    speed = torch.full((64, 64), 0.8, dtype=torch.float64)
    values = {"mean_speed": 0.8, "contrast": 0.0, "wave_speed": speed}
    assert oracle_errors(pde, "wave_2d", values).max() < tolerance


def test_at_variable_speed_the_tendency_is_the_manufactured_one():
    pde = AcousticWave()
    grid = pde.grid(48)
    x, y = points(grid)
    kx, ky = 2 * pi, 4 * pi
    stiffness = 2 + torch.sin(kx * x) + 0.5 * torch.cos(ky * y)
    pressure, rate = torch.cos(kx * x) * torch.sin(ky * y), torch.sin(kx * (x - y))
    exact = (
        -(kx**2 + ky**2) * stiffness * pressure
        - kx**2 * torch.cos(kx * x) * torch.sin(kx * x) * torch.sin(ky * y)
        - 0.5 * ky**2 * torch.sin(ky * y) * torch.cos(kx * x) * torch.cos(ky * y)
    )
    values = as_parameters({"mean_speed": 1.0, "contrast": 0.0, "wave_speed": stiffness.sqrt()})
    found = pde.tendency(torch.stack((pressure, rate))[None], values, grid)[0]
    torch.testing.assert_close(found, torch.stack((rate, exact)), rtol=0, atol=1e-9)


def test_the_discrete_equations_keep_the_energy_to_the_order_of_the_time_step():
    errors = []
    for num_substeps in (4, 8):
        pde = AcousticWave(num_substeps=num_substeps)
        initial, values, grid = drawn_batch(pde, 32, 2)
        times = torch.arange(8, dtype=torch.float64) * pde.dt
        energy = pde.invariants(pde.solve(initial, values, grid, times), values, grid)["energy"]
        # Frame 0 may hold modes beyond the 2/3 cut.
        errors.append(float((energy[:, -1] / energy[:, 1] - 1).abs().max()))
    assert errors[0] < 1e-3
    assert errors[1] < errors[0] / 20


def test_a_wave_with_its_rate_reversed_runs_back():
    pde = AcousticWave(num_substeps=32)
    initial, values, grid = drawn_batch(pde, 32, 2)
    times = torch.arange(5, dtype=torch.float64) * pde.dt
    states = pde.solve(initial, values, grid, times)
    flip = torch.tensor([1.0, -1.0])[:, None, None]
    back = pde.solve(states[:, -1] * flip, values, grid, times)
    torch.testing.assert_close(back[:, 3] * flip, states[:, 1], rtol=0, atol=1e-6)


def test_a_disturbance_does_not_outrun_the_fastest_speed():
    pde = AcousticWave()
    grid = pde.grid(64)
    x, y = points(grid)
    distance = ((x - 0.5).square() + (y - 0.5).square()).sqrt()
    pulse = torch.exp(-distance.square() / (2 * 0.04**2))
    speed = 0.8 + 0.2 * torch.sin(2 * pi * x)
    values = as_parameters({"mean_speed": 0.8, "contrast": 0.0, "wave_speed": speed})
    times = torch.tensor([0.0, 0.2], dtype=torch.float64)
    states = pde.solve(torch.stack((pulse, 0 * pulse))[None], values, grid, times)
    outside = distance > 0.2 + 5 * 0.04
    assert states[0, 1, 0].abs()[outside].max() < 1e-3 < states[0, 1, 0].abs().max()
