"""Shallow water: Stoker's dam break, a lake at rest, an exact vortex, falling energy."""

import pytest
import torch

from pdefm.domain import BoundaryCondition
from pdefm.pdes.shallow_water import ShallowWater
from tests.pdes.gas_and_water import reference, tube, vortex_errors, water_vortex
from tests.pdes.oracles import as_parameters, drawn_batch, points


class OpenWater(ShallowWater):
    """``ShallowWater`` with open sides, a long box."""

    boundary = BoundaryCondition.OPEN
    extent = (5.0, 5.0)


class Channel(OpenWater):
    """``OpenWater`` in one dimension."""

    extent = (5.0,)


class Large(ShallowWater):
    """``ShallowWater`` in a larger box."""

    extent = (10.0, 10.0)


@pytest.mark.parametrize("bottom", [None, 0.3])
def test_a_dam_break_follows_stokers_solution_over_any_flat_bottom(bottom):
    case = reference("shallow_water_dam_break_1d")
    values = {"gravity": 1.0}
    if bottom is not None:
        values["topography"] = torch.full((200,), bottom)
    pde = Channel()
    states = pde.solve(case["initial"][None], as_parameters(values), pde.grid(200), case["times"])
    errors = (states[0, 1:] - case["states"]).abs().mean(-1)
    assert errors.max() < 5e-3


@pytest.mark.parametrize("axis", [0, 1])
def test_along_either_axis_of_a_plane_the_dam_break_is_the_same(axis):
    case = reference("shallow_water_dam_break_1d")
    initial = tube(case["initial"], [0, 1], axis)[None]
    pde = OpenWater()
    grid = pde.grid(tuple(initial.shape[2:]))
    states = pde.solve(initial, as_parameters({"gravity": 1.0}), grid, case["times"])
    exact = torch.stack([tube(state, [0, 1], axis) for state in case["states"]])
    errors = (states[0, 1:] - exact).abs().mean((-2, -1))
    assert errors[:, [0, 1 + axis]].max() < 5e-3
    assert errors[:, 2 - axis].max() == 0


@pytest.mark.parametrize("boundary", list(BoundaryCondition))
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 2e-14), (torch.float32, 1e-5)])
def test_a_lake_at_rest_stays_at_rest(boundary, dtype, tolerance):
    class Lake(ShallowWater):
        """``ShallowWater`` with one of the boundaries."""

    Lake.boundary = boundary
    pde = Lake()
    grid = pde.grid((16, 12))
    x, y = points(grid)
    bottom = 0.3 * torch.sin(7 * x) * torch.cos(9 * y) + 0.3 * (x > 0.4)
    initial = torch.stack((1 - bottom, 0 * x, 0 * x))[None].to(dtype)
    times = torch.tensor([0.0, 0.5, 1.0], dtype=torch.float64)
    values = as_parameters({"gravity": 2.0, "topography": bottom})
    states = pde.solve(initial, values, grid, times)
    assert (states - initial[:, None]).abs().max() < tolerance


def test_a_vortex_in_a_wind_converges_with_second_order():
    errors = vortex_errors(Large(), water_vortex, {"gravity": 1.0}, (40, 80))
    assert (torch.log2(errors[0] / errors[1]) > 1.8).all()
    assert errors[1].max() < 1e-3


def test_a_stationary_flow_over_a_hill_has_no_tendency_up_to_second_order():
    """``h u`` and ``u^2 / 2 + g (h + b)`` are constant: Bernoulli's law gives ``b`` from ``h``."""
    pde = ShallowWater()
    sizes = []
    for n in (32, 64, 128):
        grid = pde.grid((n, 8))
        x, y = points(grid)
        depth = 1 + 0.2 * torch.sin(2 * torch.pi * x)
        bottom = 2 - depth - (0.4 / depth).square() / 2
        state = torch.stack((depth, 0.4 / depth, 0 * y))[None]
        values = as_parameters({"gravity": 1.0, "topography": bottom})
        sizes.append(pde.tendency(state, values, grid).abs().mean())
    assert sizes[0] / sizes[1] > 3
    assert sizes[1] / sizes[2] > 3


def test_mass_is_kept_to_rounding_and_energy_falls():
    pde = ShallowWater()
    initial, parameters, grid = drawn_batch(pde, 32, 3)
    times = torch.arange(8, dtype=torch.float64) * pde.dt
    values = pde.invariants(pde.solve(initial, parameters, grid, times), parameters, grid)
    assert values["mass"].diff(dim=1).abs().max() < 1e-14
    assert values["energy"].diff(dim=1).max() < 0


def test_exchanging_the_axes_exchanges_the_solution():
    pde = ShallowWater()
    initial, parameters, grid = drawn_batch(pde, 24, 2)
    times = torch.arange(4, dtype=torch.float64) * pde.dt
    states = pde.solve(initial, parameters, grid, times)
    turned = {name: value.transpose(-2, -1) for name, value in parameters.items() if value.ndim > 1}
    exchanged = initial[:, [0, 2, 1]].transpose(-2, -1)
    solved = pde.solve(exchanged, {**parameters, **turned}, grid, times)
    back = solved[:, :, [0, 2, 1]].transpose(-2, -1)
    torch.testing.assert_close(back, states, rtol=0, atol=1e-12)


def test_water_that_is_torn_apart_over_a_high_sill_stays_positive():
    pde = ShallowWater()
    initial = torch.ones(1, 3, 16, 16, dtype=torch.float64)
    initial[:, 1:] = 0.0
    initial[0, 1, :8], initial[0, 1, 8:] = -5.0, 5.0
    initial[0, 0, 4:12] = 1e-3
    bottom = torch.zeros(16, 16, dtype=torch.float64)
    bottom[7:9] = 3.0
    values = as_parameters({"gravity": 1.0, "topography": bottom})
    times = torch.arange(6, dtype=torch.float64) * pde.dt
    states = pde.solve(initial, values, pde.grid(16), times)
    assert states[:, :, 0].min() > 0


def test_a_bottom_above_the_surface_is_refused():
    pde = ShallowWater()
    initial = torch.ones(2, 3, 16, 16, dtype=torch.float64)
    initial[1, 0, 3, 3] = -0.1
    times = torch.arange(3, dtype=torch.float64) * pde.dt
    solved = pde.integrate(initial, as_parameters({"gravity": 1.0}, 2), pde.grid(16), times)
    assert solved.faults == ("", "became non-finite or negative before frame 1")
