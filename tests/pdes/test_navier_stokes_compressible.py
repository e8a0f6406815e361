"""Friction and heat conduction: exact derivatives, a decaying shear wave, and no friction."""

import pytest
import torch

from pdefm.pdes.euler import Euler
from pdefm.pdes.navier_stokes_compressible import NavierStokesCompressible
from tests.pdes.oracles import as_parameters, drawn_batch, points

VALUES = {"gamma": 1.4, "viscosity": 0.02, "prandtl": 0.72}


def smooth_state(pde, num_points):
    x, y = (2 * torch.pi * p for p in points(pde.grid(num_points)))
    density = 1 + 0.3 * torch.sin(x) * torch.cos(y)
    pressure = 1 + 0.2 * torch.cos(x - 2 * y)
    return torch.stack(
        (density, pressure, torch.sin(x + y) + 0.3 * torch.cos(y), torch.cos(2 * x) * torch.sin(y))
    )


def derivative(field, axis):
    """Spectral derivative on the unit box."""
    n = field.shape[axis]
    wave = 2j * torch.pi * torch.fft.fftfreq(n, 1 / n, dtype=torch.float64)
    wave = wave.reshape(-1, 1) if axis == 0 else wave
    return torch.fft.ifft(torch.fft.fft(field, dim=axis) * wave, dim=axis).real


def exact_viscous_part(state, gamma, viscosity, prandtl):
    """Of the tendency of the pressure and the velocity, from the differential equations."""
    density, pressure, *velocity = state
    gradient = [[derivative(v, axis) for axis in (0, 1)] for v in velocity]
    divergence = gradient[0][0] + gradient[1][1]
    stress = [
        [
            viscosity * (gradient[i][j] + gradient[j][i] - (i == j) * 2 / 3 * divergence)
            for j in (0, 1)
        ]
        for i in (0, 1)
    ]
    force = [sum(derivative(stress[i][j], j) for j in (0, 1)) for i in (0, 1)]
    conductivity = viscosity * gamma / ((gamma - 1) * prandtl)
    temperature = pressure / density
    work = sum(stress[i][j] * gradient[i][j] for i in (0, 1) for j in (0, 1))
    heat = sum(derivative(conductivity * derivative(temperature, j), j) for j in (0, 1))
    return torch.stack([(gamma - 1) * (work + heat), *[f / density for f in force]])


def test_friction_and_heat_conduction_converge_to_the_equations_with_second_order():
    pde = NavierStokesCompressible()
    errors = []
    for n in (32, 64):
        state = smooth_state(pde, n)[None]
        slope = pde.tendency(state, as_parameters(VALUES), pde.grid(n))
        without = Euler().tendency(state, as_parameters({"gamma": 1.4}), pde.grid(n))
        exact = exact_viscous_part(state[0], **VALUES)
        errors.append((slope - without)[0, 1:].sub(exact).abs().amax((-2, -1)))
        assert (slope - without)[0, 0].abs().max() == 0
    assert (torch.log2(errors[0] / errors[1]) > 1.9).all()


@pytest.mark.parametrize("axis", [0, 1])
def test_a_weak_shear_wave_decays_as_the_viscosity_says(axis):
    pde = NavierStokesCompressible()
    grid = pde.grid((32, 8) if axis == 0 else (8, 32))
    wave = 1e-3 * torch.sin(2 * torch.pi * points(grid)[axis])
    initial = torch.ones(1, 4, *grid.shape, dtype=torch.float64)
    initial[0, 2:] = 0.0
    initial[0, 3 - axis] = wave
    times = torch.tensor([0.0, 0.2, 0.5], dtype=torch.float64)
    states = pde.solve(initial, as_parameters(VALUES), grid, times)
    decay = torch.exp(-0.02 * 4 * torch.pi**2 * times)
    size = states[0, :, 3 - axis].flatten(1).norm(dim=1) / wave.norm()
    torch.testing.assert_close(size, decay, rtol=0.02, atol=0)


def test_without_viscosity_it_is_the_gas_without_friction():
    pde = NavierStokesCompressible(parameter_ranges={"viscosity": 0.0})
    initial, parameters, grid = drawn_batch(pde, 16, 2)
    times = torch.arange(4, dtype=torch.float64) * pde.dt
    plain = Euler().solve(initial, {"gamma": parameters["gamma"]}, grid, times)
    torch.testing.assert_close(pde.solve(initial, parameters, grid, times), plain)


def test_mass_momentum_and_energy_are_kept_to_rounding():
    pde = NavierStokesCompressible()
    initial, parameters, grid = drawn_batch(pde, 16, 2)
    times = torch.arange(4, dtype=torch.float64) * pde.dt
    for value in pde.invariants(
        pde.solve(initial, parameters, grid, times), parameters, grid
    ).values():
        assert (value - value[:, :1]).abs().max() < 1e-14


def test_a_very_sticky_gas_does_not_blow_up():
    pde = NavierStokesCompressible(parameter_ranges={"viscosity": 0.2})
    initial, parameters, grid = drawn_batch(pde, 16, 1)
    times = torch.arange(3, dtype=torch.float64) * pde.dt
    states = pde.solve(initial, parameters, grid, times)
    speed = states[:, :, 2:].std((-2, -1))
    assert states.isfinite().all()
    assert (speed[:, -1] < 0.5 * speed[:, 0]).all()
