"""The periodic solver: exact linear part, order, symmetry, independence and step control."""

from math import exp, pi

import pytest
import torch

from pdefm.domain import Field
from pdefm.errors import NumericalError, RecipeError
from pdefm.pdes import PDES
from pdefm.pdes.base import as_column
from pdefm.pdes.spectral import METHODS, SpectralPDE, power_of_two_substeps
from pdefm.pdes.wavenumbers import Wavenumbers
from tests.pdes.oracles import (
    as_parameters,
    assert_alone_as_together,
    assert_single_precision_is_close,
    drawn_batch,
    largest_frame_error,
    points,
)

COARSEST = {
    "acoustic_wave": 8,
    "allen_cahn": 2,
    "burgers": 16,
    "cahn_hilliard": 16,
    "fisher_kpp": 2,
    "gray_scott": 16,
    "kolmogorov_flow": 8,
    "korteweg_de_vries": 32,
    "kuramoto_sivashinsky": 8,
    "navier_stokes": 8,
    "navier_stokes_decaying": 8,
    "navier_stokes_scalar": 8,
    "swift_hohenberg": 8,
}
"""Families with a time error, and the steps a frame from which it falls as it should."""
FAMILIES = ("advection_diffusion", *COARSEST)
every_method = pytest.mark.parametrize("method", list(METHODS))
FORCED = {"navier_stokes", "kolmogorov_flow"}


class Transport(SpectralPDE):
    """``u_t + sum_i u_{x_i} = diffusivity Lap u`` in any dimension: a complex operator."""

    name = "transport"
    solver_version = 1
    fields = (Field("tracer"),)
    parameter_ranges = {"diffusivity": (0.01, 0.02)}  # noqa: RUF012
    dt = 0.1

    def __init__(self, num_dims):
        self.extent = (1.0,) * num_dims
        super().__init__()

    def initial_state(self, parameters, grid, rng):
        return torch.sin(2 * pi * sum(points(grid)))[None]

    def linear_operator(self, wavenumbers, parameters):
        diffusion = as_column(parameters["diffusivity"], 1 + self.num_dims) * wavenumbers.laplacian
        return diffusion - 1j * sum(wavenumbers.axes)

    def nonlinear(self, wavenumbers, parameters):
        return torch.zeros_like

    def time_step_limit(self, state, parameters, grid):
        return torch.full((len(state),), float("inf"))


@pytest.mark.parametrize("num_dims", [1, 2, 3])
def test_linear_transport_is_exact_in_one_two_and_three_dimensions(num_dims):
    pde = Transport(num_dims)
    grid = pde.grid(12)
    times = torch.tensor([0.0, 0.1, 0.35], dtype=torch.float64)
    initial = pde.initial_state({}, grid, None)[None]
    states = pde.solve(initial, as_parameters({"diffusivity": 0.01}), grid, times)
    for time, state in zip(times.tolist(), states[0, :, 0], strict=True):
        decay = exp(-0.01 * num_dims * 4 * pi**2 * time)
        exact = decay * torch.sin(2 * pi * (sum(points(grid)) - num_dims * time))
        torch.testing.assert_close(state, exact, rtol=0, atol=1e-12)


@every_method
@pytest.mark.parametrize("family", FAMILIES)
def test_without_its_nonlinear_term_a_family_is_the_exact_exponential(family, method):
    class Linear(PDES[family]):
        def nonlinear(self, wavenumbers, parameters):
            return torch.zeros_like

    pde = Linear(method=method)
    initial, parameters, grid = drawn_batch(pde, num_points(family), 2)
    times = torch.tensor([0.0, 1.0, 2.5], dtype=torch.float64) * pde.dt
    states = pde.solve(initial, parameters, grid, times)
    waves = Wavenumbers(grid, torch.float64, initial.device)
    factor = torch.exp(2.5 * pde.dt * pde.linear_operator(waves, parameters))
    exact = waves.to_physical(waves.to_spectral(initial) * factor)
    torch.testing.assert_close(states[:, -1], exact, rtol=0, atol=1e-12)


def num_points(family):
    return 64 if PDES[family]().num_dims == 1 else 32


@pytest.mark.parametrize(("family", "coarsest"), COARSEST.items())
def test_a_family_converges_with_fourth_order_in_time(family, coarsest):
    initial, parameters, grid = drawn_batch(PDES[family](), num_points(family), 1)
    times = torch.arange(3, dtype=torch.float64) * PDES[family].dt

    def final(num_substeps):
        return PDES[family](num_substeps=num_substeps).solve(initial, parameters, grid, times)[:, 2]

    reference = final(16 * coarsest)
    errors = [(final(n * coarsest) - reference).abs().max() for n in (1, 2, 4)]
    assert 11 < errors[0] / errors[1] < 24
    assert 11 < errors[1] / errors[2] < 24


@pytest.mark.parametrize(("family", "coarsest"), COARSEST.items())
def test_by_etdrk2_a_family_converges_with_second_order_to_the_same_solution(family, coarsest):
    initial, parameters, grid = drawn_batch(PDES[family](), num_points(family), 1)
    times = torch.arange(2, dtype=torch.float64) * PDES[family].dt

    def final(method, num_substeps):
        pde = PDES[family](method=method, num_substeps=num_substeps)
        return pde.solve(initial, parameters, grid, times)[:, 1]

    # ETDRK4 is so much closer that what differs is the error of ETDRK2.
    reference = final("etdrk4", 16 * coarsest)
    errors = [(final("etdrk2", n * coarsest) - reference).abs().max() for n in (4, 8, 16)]
    assert 3.5 < errors[0] / errors[1] < 4.5
    assert 3.5 < errors[1] / errors[2] < 4.5
    assert errors[2] < 1e-3 * reference.abs().max()


@pytest.mark.parametrize(("method", "tolerance"), [("etdrk4", 3e-4), ("etdrk2", 5e-3)], ids=METHODS)
@pytest.mark.parametrize("family", FAMILIES)
def test_the_chosen_steps_are_accurate(family, method, tolerance):
    pde = PDES[family](method=method)
    initial, parameters, grid = drawn_batch(pde, num_points(family), 4)
    times = torch.arange(6, dtype=torch.float64) * pde.dt
    states = pde.solve(initial, parameters, grid, times)
    fine = PDES[family](num_substeps=64).solve(initial, parameters, grid, times)
    assert largest_frame_error(states, fine) < tolerance


@pytest.mark.parametrize("family", FAMILIES)
def test_single_precision_stays_close_to_double(family):
    pde = PDES[family]()
    initial, parameters, grid = drawn_batch(pde, num_points(family), 2)
    times = torch.arange(6, dtype=torch.float64) * pde.dt
    assert_single_precision_is_close(pde, initial, parameters, grid, times)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_shifted_start_gives_the_shifted_solution(family):
    # The force of a flow has a place; without it every family is the same everywhere.
    still = {"parameter_ranges": {"force_amplitude": 0.0}} if family in FORCED else {}
    pde = PDES[family](**still)
    size, shift = ((48,), (5,)) if pde.num_dims == 1 else ((32, 24), (5, -3))
    axes = tuple(range(-pde.num_dims, 0))
    initial, parameters, grid = drawn_batch(pde, size, 2)
    times = torch.arange(4, dtype=torch.float64) * pde.dt
    states = pde.solve(initial, parameters, grid, times)
    elsewhere = {
        name: value.roll(shift, axes) if value.dim() > 1 else value
        for name, value in parameters.items()
    }
    moved = pde.solve(initial.roll(shift, axes), elsewhere, grid, times)
    torch.testing.assert_close(moved, states.roll(shift, axes), rtol=0, atol=1e-8)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_residual_of_a_solution_falls_with_the_square_of_the_time_between_frames(family):
    pde = PDES[family]()
    initial, parameters, grid = drawn_batch(pde, num_points(family), 1)
    burn_in = torch.tensor([0.0, pde.dt], dtype=torch.float64)
    start = pde.solve(initial, parameters, grid, burn_in)[:, 1]
    errors = []
    for num in (128, 256):
        times = torch.arange(3, dtype=torch.float64) * pde.dt / num
        frames = pde.solve(start, parameters, grid, times)
        errors.append(pde.residual(frames, parameters, grid, times).square().mean().sqrt())
    assert 3.3 < errors[0] / errors[1] < 4.5


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_the_default_resolution_is_close_to_twice_as_many_points(family):
    pde = PDES[family]()
    coarse, fine = (drawn_batch(pde, n, 3) for n in (64, 128))
    times = torch.arange(11, dtype=torch.float64) * pde.dt
    on_coarse = pde.solve(*coarse, times)
    on_fine = pde.solve(*fine, times)[(..., *(slice(None, None, 2),) * pde.num_dims)]
    error = (on_coarse - on_fine).flatten(2).norm(dim=-1) / on_fine.flatten(2).norm(dim=-1)
    assert error[:, 5].max() < 0.1


@every_method
@pytest.mark.parametrize("family", FAMILIES)
def test_a_result_does_not_depend_on_its_batch_partners(family, method):
    pde = PDES[family](method=method)
    initial, parameters, grid = drawn_batch(pde, 20, 4, dtype=torch.float32)
    initial[1] *= 4  # needs smaller steps than the others
    times = torch.arange(3, dtype=torch.float64) * pde.dt
    assert_alone_as_together(pde, initial, parameters, grid, times)


def test_substeps_are_the_smallest_power_of_two_below_the_limit():
    assert power_of_two_substeps(1.0, 2.0) == 1
    assert power_of_two_substeps(1.0, 1.0) == 1
    assert power_of_two_substeps(1.0, 0.5) == 2
    assert power_of_two_substeps(1.0, 0.3) == 4
    assert power_of_two_substeps(1.0, float("inf")) == 1
    assert power_of_two_substeps(1.0, float("nan")) == 0
    assert power_of_two_substeps(1.0, 0.0) == 0


def test_a_sample_that_needs_too_many_steps_is_given_up_and_its_partner_is_not():
    pde = PDES["burgers"]()
    initial, parameters, grid = drawn_batch(pde, 16, 2, dtype=torch.float32)
    times = torch.arange(3, dtype=torch.float64) * pde.dt
    fast = initial * torch.tensor([1.0, 1e5])[:, None, None, None]
    solved = pde.integrate(fast, parameters, grid, times)
    assert solved.faults[0] == ""
    assert solved.faults[1].startswith("time step too small: frame 1")
    assert solved.states[0].isfinite().all()
    assert solved.states[1, 1:].isnan().all()
    with pytest.raises(NumericalError, match="burgers: sample 1 of 2 time step too small"):
        pde.solve(fast, parameters, grid, times)


def test_a_sample_that_blows_up_says_in_which_frame():
    pde = PDES["burgers"](num_substeps=1, dt=5.0)
    initial, parameters, grid = drawn_batch(pde, 32, 1, dtype=torch.float32)
    times = torch.arange(9, dtype=torch.float64) * pde.dt
    assert "became non-finite in frame" in pde.integrate(initial, parameters, grid, times).faults[0]


def test_a_number_of_substeps_below_one_is_refused():
    with pytest.raises(RecipeError, match="num_substeps must be at least 1"):
        PDES["burgers"](num_substeps=0)


def test_the_method_is_part_of_the_configuration_and_etdrk4_is_the_default():
    plain, named, other = (
        PDES["burgers"](**settings).configuration()
        for settings in ({}, {"method": "etdrk4"}, {"method": "etdrk2"})
    )
    assert plain["method"] == "Fourier ETDRK4"
    assert named == plain
    assert other == plain | {"method": "Fourier ETDRK2"}


def test_etdrk2_takes_twice_as_many_steps():
    pde = PDES["burgers"](method="etdrk2")
    initial, parameters, grid = drawn_batch(pde, 32, 1)
    times = torch.tensor([0.0, pde.dt], dtype=torch.float64)
    limit = float(pde.time_step_limit(initial, parameters, grid))
    fixed = PDES["burgers"](method="etdrk2", num_substeps=power_of_two_substeps(pde.dt, limit / 2))
    chosen, given = (solver.solve(initial, parameters, grid, times) for solver in (pde, fixed))
    assert torch.equal(chosen, given)


def test_an_unknown_method_is_refused_with_the_nearest_name():
    with pytest.raises(RecipeError, match=r"burgers: unknown method.*Did you mean 'etdrk2'"):
        PDES["burgers"](method="edtrk2")
