"""Euler: exact shock tube and vortex, another solver's numbers, conservation, symmetry."""

import pytest
import torch

from pdefm.domain import BoundaryCondition
from pdefm.pdes.euler import Euler
from tests.pdes.gas_and_water import gas_vortex, reference, tube, vortex_errors
from tests.pdes.oracles import as_parameters, drawn_batch


class OpenEuler(Euler):
    """``Euler`` with open sides."""

    boundary = BoundaryCondition.OPEN


class Tube(OpenEuler):
    """``OpenEuler`` in one dimension."""

    extent = (1.0,)


class Large(Euler):
    """``Euler`` in a larger box."""

    extent = (10.0, 10.0)


SOD_BOUNDS = torch.tensor([5e-3, 4e-3, 1e-2], dtype=torch.float64)


def test_a_shock_tube_follows_the_exact_riemann_solution():
    case = reference("euler_sod_1d")
    pde = Tube()
    initial = case["initial"][[0, 2, 1]][None]
    states = pde.solve(initial, as_parameters({"gamma": 1.4}), pde.grid(200), case["times"])
    errors = (states[0, 1:] - case["states"][:, [0, 2, 1]]).abs().mean(-1)
    assert (errors < SOD_BOUNDS).all()


@pytest.mark.parametrize("axis", [0, 1])
def test_along_either_axis_of_a_plane_the_tube_is_the_same(axis):
    case = reference("euler_sod_1d")
    initial = tube(case["initial"], [0, 2, 1], axis)[None]
    pde = OpenEuler()
    states = pde.solve(
        initial, as_parameters({"gamma": 1.4}), pde.grid(tuple(initial.shape[2:])), case["times"]
    )
    exact = torch.stack([tube(state, [0, 2, 1], axis) for state in case["states"]])
    errors = (states[0, 1:] - exact).abs().mean((-2, -1))
    assert (errors[:, [0, 1, 2 + axis]] < SOD_BOUNDS).all()
    assert errors[:, 3 - axis].max() == 0


def test_four_quadrants_agree_with_another_solver_and_with_their_mirror_image():
    case = reference("euler_four_quadrants_2d")
    order = [0, 3, 1, 2]
    pde = OpenEuler()
    states = pde.solve(
        case["initial"][order][None], as_parameters({"gamma": 1.4}), pde.grid(64), case["times"]
    )[0, 1:]
    errors = (states - case["states_fine"][:, order]).abs().mean((-2, -1))
    assert errors.max() < 1.5e-2
    exchanged = states[:, [0, 1, 3, 2]].transpose(-2, -1)
    torch.testing.assert_close(exchanged, states, rtol=0, atol=1e-12)


def test_a_vortex_in_a_wind_converges_with_second_order():
    errors = vortex_errors(Large(), gas_vortex, {"gamma": 1.4}, (40, 80))
    assert (torch.log2(errors[0] / errors[1]) > 1.8).all()
    assert errors[1].max() < 1e-3


@pytest.mark.slow
def test_a_vortex_in_a_wind_converges_with_second_order_on_finer_grids():
    errors = vortex_errors(Large(), gas_vortex, {"gamma": 1.4}, (64, 128, 256))
    assert (torch.log2(errors[:-1] / errors[1:]) > 1.8).all()


@pytest.mark.parametrize(("order", "low", "high"), [(2, 3.5, 4.5), (3, 6.0, 10.0)])
def test_the_time_stepping_has_the_order_it_says(order, low, high):
    class Ordered(Large):
        """``Euler`` with another Runge-Kutta method."""

        order_in_time = order

    initial = gas_vortex(Ordered(), 16, 0.0)[None]
    times = torch.tensor([0.0, 1.0], dtype=torch.float64)

    def final(num_substeps):
        pde = Ordered(num_substeps=num_substeps)
        return pde.solve(initial, as_parameters({"gamma": 1.4}), pde.grid(16), times)[:, 1]

    best = final(128)
    errors = [(final(n) - best).abs().mean() for n in (10, 20)]
    assert low < errors[0] / errors[1] < high


def test_the_tendency_of_the_vortex_is_its_time_derivative():
    pde, h = Large(), 1e-4
    errors = []
    for n in (40, 160):
        slope = pde.tendency(
            gas_vortex(pde, n, 0.0)[None], as_parameters({"gamma": 1.4}), pde.grid(n)
        )
        exact = (gas_vortex(pde, n, h) - gas_vortex(pde, n, -h)) / (2 * h)
        errors.append((slope[0] - exact).abs().mean((-2, -1)))
    assert (errors[0] / errors[1] > 4**1.4).all()


def test_mass_momentum_and_energy_are_kept_to_rounding_through_shocks():
    pde = Euler()
    initial, parameters, grid = drawn_batch(pde, 24, 3)
    times = torch.arange(6, dtype=torch.float64) * pde.dt
    values = pde.invariants(pde.solve(initial, parameters, grid, times), parameters, grid)
    assert set(values) == set(pde.invariant_kinds)
    for value in values.values():
        torch.testing.assert_close(value, value[:, :1].expand_as(value), rtol=0, atol=1e-14)


def test_density_and_pressure_stay_positive_behind_a_strong_blast():
    pde = Euler()
    initial = torch.ones(1, 4, 32, 32, dtype=torch.float64)
    initial[:, 1], initial[:, 2:] = 1e-3, 0.0
    initial[:, 1, 14:18, 14:18] = 100.0
    times = torch.arange(4, dtype=torch.float64) * 0.01
    states = pde.solve(initial, as_parameters({"gamma": 1.4}), pde.grid(32), times)
    assert states[:, :, :2].min() > 0


def test_three_dimensions_agree_with_two_if_nothing_changes_along_the_third():
    class Space(Euler):
        """``Euler`` in three dimensions."""

        extent = (1.0, 1.0, 1.0)

    pde = Euler(num_substeps=8)
    initial, parameters, grid = drawn_batch(pde, 16, 1)
    times = torch.arange(3, dtype=torch.float64) * pde.dt
    flat = pde.solve(initial, parameters, grid, times)
    space = Space(num_substeps=8)
    deep = torch.cat((initial, torch.zeros_like(initial[:, :1])), dim=1)
    deep = deep[..., None].expand(-1, -1, -1, -1, 8)
    solved = space.solve(deep, parameters, space.grid((16, 16, 8)), times)
    torch.testing.assert_close(solved[:, :, :4, :, :, 3], flat, rtol=0, atol=1e-13)
    assert solved[:, :, 4].abs().max() < 1e-14


def test_the_tendency_is_differentiated_correctly():
    pde = Euler()
    grid = pde.grid(8)
    torch.manual_seed(0)
    state = torch.rand(1, 4, 8, 8, dtype=torch.float64) + 0.5
    direction = torch.randn_like(state)
    parameters = as_parameters({"gamma": 1.4})
    state.requires_grad_()
    weight = torch.randn_like(state)
    (gradient,) = torch.autograd.grad((pde.tendency(state, parameters, grid) * weight).sum(), state)
    h = 1e-7
    with torch.no_grad():
        difference = [pde.tendency(state + s * h * direction, parameters, grid) for s in (1, -1)]
    numeric = ((difference[0] - difference[1]) * weight).sum() / (2 * h)
    torch.testing.assert_close((gradient * direction).sum(), numeric, rtol=1e-5, atol=1e-5)


def test_the_residual_of_the_vortex_is_of_second_order_in_the_time_between_frames():
    pde = Large(num_substeps=16)
    parameters, grid = as_parameters({"gamma": 1.4}), pde.grid(24)
    sizes = []
    for dt in (0.2, 0.1):
        times = torch.tensor([0.0, dt], dtype=torch.float64)
        states = pde.solve(gas_vortex(pde, 24, 0.0)[None], parameters, grid, times)
        sizes.append(pde.residual(states, parameters, grid, times).abs().mean())
    assert 3 < sizes[0] / sizes[1] < 5
