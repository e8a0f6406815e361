"""Lid-driven cavity: published profiles, orders, the walls."""

from math import log

import numpy as np
import pytest
import torch

from pdefm.pdes.lid_driven_cavity import LidDrivenCavity
from tests.pdes.flows import order_in_time, residual_order, solved
from tests.pdes.oracles import drawn_batch

VALUES = {"viscosity": 0.01, "lid_speed": 1.0}
# Ghia, Ghia & Shin (1982), J. Comput. Phys. 48, 387-411, tables I and II, Re = 100:
# velocity_x along the vertical line through the centre, velocity_y along the horizontal one.
GHIA_Y = [0.0547, 0.0703, 0.1016, 0.1719, 0.2813, 0.4531, 0.5, 0.6172, 0.7344, 0.8516, 0.9531]
GHIA_U = [-0.03717, -0.04775, -0.06434, -0.10150, -0.15662, -0.21090, -0.20581, -0.13641]
GHIA_U += [0.00332, 0.23151, 0.68717]
GHIA_X = [0.0625, 0.0781, 0.0938, 0.1563, 0.2266, 0.2344, 0.5, 0.8047, 0.8594, 0.9063, 0.9531]
GHIA_V = [0.09233, 0.10890, 0.12317, 0.16077, 0.17507, 0.17527, 0.05454, -0.24533, -0.22445]
GHIA_V += [-0.16914, -0.08864]


def steady_profiles(num_points):
    """Both centre lines with the walls, after 20 crossings of the lid, and the last change."""
    still = torch.zeros(2, num_points, num_points, dtype=torch.float64)
    frames = solved(LidDrivenCavity(), still, VALUES, [0.0, 5.0, 10.0, 15.0, 20.0])
    half = slice(num_points // 2 - 1, num_points // 2 + 1)
    u, v = frames[-1, 0, half].mean(0), frames[-1, 1, :, half].mean(1)
    return (
        np.r_[0, u.numpy(), 1],
        np.r_[0, v.numpy(), 0],
        float(frames[-2:].diff(dim=0).abs().max()),
    )


@pytest.mark.slow
def test_the_steady_flow_at_reynolds_100_is_the_published_one():
    """Largest error 0.003 in velocity_x and 0.008 in velocity_y on 32 x 32 cells."""
    extremes = []
    for num_points in (16, 32):
        u, v, change = steady_profiles(num_points)
        assert change < 5e-3
        extremes.append(np.array([u.min(), v.max(), v.min()]))
    places = np.r_[0, (np.arange(32) + 0.5) / 32, 1]
    assert np.abs(np.interp(GHIA_Y, places, u) - GHIA_U).max() < 5e-3
    assert np.abs(np.interp(GHIA_X, places, v) - GHIA_V).max() < 1e-2
    assert (np.abs(extremes[1] - [-0.2109, 0.17527, -0.24533]) < 5e-3).all()


def test_the_lid_drags_the_fluid_below_it_along():
    still = torch.zeros(2, 16, 16, dtype=torch.float64)
    end = solved(LidDrivenCavity(), still, VALUES, [0.0, 0.5])[-1]
    assert end[0, 8, -1] > 0.3
    assert end[0, :, :8].min() < 0  # and it comes back below


def test_without_a_lid_the_energy_decays():
    pde = LidDrivenCavity(parameter_ranges={"lid_speed": 0.0})
    initial, values, grid = drawn_batch(pde, 24, 2)
    states = pde.solve(initial, values, grid, torch.linspace(0, 1, 6).double())
    assert (pde.invariants(states, values, grid)["energy"].diff(dim=1) < 0).all()


def start_flow():
    pde = LidDrivenCavity()
    initial, _, _ = drawn_batch(pde, 16, 1)
    return solved(pde, initial[0], VALUES, [0.0, 0.3])[-1]


def test_second_order_in_time():
    assert 1.8 < order_in_time(LidDrivenCavity, start_flow(), VALUES, 0.25, (32, 64, 128)) < 2.3


def test_the_residual_of_its_own_solution_is_of_second_order():
    order = residual_order(LidDrivenCavity(num_substeps=32), start_flow(), VALUES, 0.02)
    assert 1.7 < order < 2.3


def test_first_frames_have_no_divergence():
    pde = LidDrivenCavity()
    initial, values, grid = drawn_batch(pde, 24, 3)
    assert pde.divergence(initial[:, None], values, grid).max() < 1e-12
    assert log(float(initial.abs().max())) > -2
