"""Fluxes through a face: consistency, mirror symmetry, exact contacts and upwinding."""

import pytest
import torch

from pdefm.pdes.riemann import hll_water_fluxes, hllc_fluxes

GAMMA = torch.full((1, 1), 1.4, dtype=torch.float64)
GRAVITY = torch.full((1, 1), 2.0, dtype=torch.float64)


def gas(num_faces=50, speed=2.0):
    torch.manual_seed(0)
    state = torch.rand(4, 1, num_faces, dtype=torch.float64) + 0.2
    state[2:] = speed * (2 * torch.rand(2, 1, num_faces, dtype=torch.float64) - 1)
    return state


def exact_gas_flux(state, axis):
    density, pressure, velocity = state[0], state[1], state[2:]
    normal = velocity[axis]
    energy = pressure / 0.4 + density * velocity.square().sum(0) / 2
    momentum = density * normal * velocity
    momentum[axis] += pressure
    return torch.stack([density * normal, normal * (energy + pressure), *momentum])


@pytest.mark.parametrize("axis", [0, 1])
def test_equal_states_give_the_flux_of_the_equations(axis):
    state = gas()
    ours = torch.stack(hllc_fluxes(state, state, GAMMA, axis))
    torch.testing.assert_close(ours, exact_gas_flux(state, axis))
    water = state[[0, 2, 3]]
    flux = water[0] * water[1 + axis] * torch.cat((torch.ones_like(water[:1]), water[1:]))
    flux[1 + axis] += water[0].square()
    torch.testing.assert_close(torch.stack(hll_water_fluxes(water, water, GRAVITY, axis)), flux)


def test_a_supersonic_flow_takes_the_flux_of_its_upwind_side():
    below, above = gas(speed=0.1), gas(speed=0.1).flip(-1)
    for wind, side in ((6.0, below), (-6.0, above)):
        for state in (below, above):
            state[2] = wind
        ours = torch.stack(hllc_fluxes(below, above, GAMMA, 0))
        torch.testing.assert_close(ours, exact_gas_flux(side, 0))


def test_a_resting_contact_is_kept_exactly():
    below, above = gas(), gas().flip(-1)
    for state in (below, above):
        state[1], state[2] = 0.7, 0.0
    mass, energy, push, shear = hllc_fluxes(below, above, GAMMA, 0)
    assert max(flux.abs().max() for flux in (mass, energy, shear)) < 1e-15
    torch.testing.assert_close(push, torch.full_like(push, 0.7))


@pytest.mark.parametrize("solver", [hllc_fluxes, hll_water_fluxes])
def test_a_mirrored_face_has_the_mirrored_flux(solver):
    below, above = gas(), gas().flip(-1) * 1.1
    constant = GAMMA
    if solver is hll_water_fluxes:
        below, above, constant = below[[0, 2, 3]], above[[0, 2, 3]], GRAVITY
    normal = below.shape[0] - 2
    turned_below, turned_above = above.clone(), below.clone()
    turned_below[normal] *= -1
    turned_above[normal] *= -1
    sign = -torch.ones(below.shape[0], 1, 1, dtype=torch.float64)
    sign[normal] = 1
    ours = torch.stack(solver(below, above, constant, 0))
    turned = torch.stack(solver(turned_below, turned_above, constant, 0))
    torch.testing.assert_close(turned, sign * ours)


def test_a_face_that_is_dry_on_both_sides_passes_nothing():
    dry = torch.zeros(3, 1, 4, dtype=torch.float64, requires_grad=True)
    fluxes = torch.stack(hll_water_fluxes(dry, dry, GRAVITY, 0))
    assert torch.equal(fluxes, torch.zeros_like(fluxes))
    fluxes.sum().backward()
    assert torch.equal(dry.grad, torch.zeros_like(dry))
