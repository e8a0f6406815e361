"""Coefficients and order of the exponential Runge-Kutta methods."""

import cmath
from math import pi

import pytest
import torch

from pdefm.pdes.etdrk import ETDRK2, ETDRK4, phi_functions

NUM_CONTOUR_POINTS = 64
every_stepper = pytest.mark.parametrize("stepper", [ETDRK2, ETDRK4])


def contour_phi(z, order):
    """Cauchy's integral over a circle around ``z``, as Kassam & Trefethen (2005) do it."""

    def direct(s):
        value = (cmath.exp(s) - 1) / s
        if order >= 2:
            value = (value - 1) / s
        if order >= 3:
            value = (value - 0.5) / s
        return value

    corners = [cmath.exp(2j * pi * (j + 0.5) / NUM_CONTOUR_POINTS) for j in range(64)]
    return sum(direct(z + 2 * corner) for corner in corners) / NUM_CONTOUR_POINTS


@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("z", [0.0, -1e-9, 1e-4, -0.3, 0.999, -1.001, 1.5, -7.0])
def test_phi_functions_agree_with_the_contour_integral(z, order):
    ours = phi_functions(torch.tensor(z, dtype=torch.float64))[order - 1]
    assert float(ours) == pytest.approx(contour_phi(z, order).real, rel=2e-14)


@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("z", [1e-7j, 0.5 + 0.5j, -1 + 3j, 0.99j, 1.01j])
def test_phi_functions_agree_with_the_contour_integral_in_the_complex_plane(z, order):
    ours = complex(phi_functions(torch.tensor(z, dtype=torch.complex128))[order - 1])
    assert abs(ours - contour_phi(z, order)) < 2e-14


def test_phi_functions_of_a_large_decay_rate_are_finite():
    phi_1, phi_2, phi_3 = phi_functions(torch.tensor([-1e6], dtype=torch.float64))
    torch.testing.assert_close(phi_1, torch.tensor([1e-6], dtype=torch.float64))
    torch.testing.assert_close(phi_2, torch.tensor([1e-6 - 1e-12], dtype=torch.float64))
    torch.testing.assert_close(phi_3, torch.tensor([0.5e-6 - 1e-12], dtype=torch.float64))


@pytest.mark.parametrize(("stepper", "ratios"), [(ETDRK2, (3.4, 4.9)), (ETDRK4, (12, 24))])
@pytest.mark.parametrize("rate", [-1.0 + 0j, -30.0 + 0j, 0.5 + 2j])
def test_each_method_converges_with_its_order(stepper, ratios, rate):
    """``u' = rate u + u^2`` from 0.4 has the solution of Bernoulli's equation."""
    start, end = 0.4, 0.5
    growth = cmath.exp(rate * end)
    exact = rate * start * growth / (rate + start * (1 - growth))
    linear = torch.full((1, 1, 1), rate, dtype=torch.complex128)
    errors = []
    for num_steps in (8, 16):
        method = stepper(linear, end / num_steps, torch.complex128)
        state = torch.full((1, 1, 1), start, dtype=torch.complex128)
        for _ in range(num_steps):
            state = method.step(state, lambda u: u * u)
        errors.append(abs(complex(state) - exact))
    assert ratios[0] < errors[0] / errors[1] < ratios[1]


@every_stepper
def test_a_constant_force_is_exact(stepper):
    """``u' = rate u + 3`` from 1, a stiff one too: ``u = (1 + 3 / rate) e^(rate t) - 3 / rate``."""
    linear = torch.tensor([-200.0, -2.0, 1.5], dtype=torch.float64).reshape(1, 1, 3)
    state = torch.ones(1, 1, 3, dtype=torch.complex128)
    result = stepper(linear, 0.3, torch.complex128).step(state, lambda u: torch.full_like(u, 3.0))
    exact = (1 + 3 / linear) * torch.exp(0.3 * linear) - 3 / linear
    torch.testing.assert_close(result, exact.to(result), rtol=1e-13, atol=0)
    assert torch.equal(state, torch.ones_like(state))


@every_stepper
def test_without_a_nonlinear_term_one_step_is_exact(stepper):
    linear = torch.tensor([-200.0, -0.01, 0.0, 3.0], dtype=torch.float64).reshape(1, 1, 4)
    state = torch.ones(1, 1, 4, dtype=torch.complex128)
    result = stepper(linear, 0.7, torch.complex128).step(state, torch.zeros_like)
    torch.testing.assert_close(result.real, torch.exp(0.7 * linear), rtol=1e-14, atol=0)
