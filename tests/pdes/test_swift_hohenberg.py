"""Swift-Hohenberg: growth of a weak roll, its saturated height, and another solver's numbers."""

from math import exp, pi, sqrt

import pytest
import torch

from pdefm.pdes.swift_hohenberg import SwiftHohenberg
from tests.pdes.oracles import as_parameters, oracle_errors, points


class SmallBox(SwiftHohenberg):
    """Three wavelengths, the box of the reference solution."""

    extent = (6 * pi, 6 * pi)


CASE, VALUES = "swift_hohenberg_2d", {"drive": 0.5, "asymmetry": 1.0}


def test_a_weak_roll_grows_at_the_rate_of_the_linear_theory():
    pde = SwiftHohenberg()
    grid = pde.grid(32)
    x, y = points(grid)
    wave = 1e-7 * torch.cos((5 * x + 2 * y) / 6)
    times = torch.tensor([0.0, 2.0], dtype=torch.float64)
    values = as_parameters({"drive": 0.3, "asymmetry": 0.0})
    states = pde.solve(wave[None, None], values, grid, times)
    growth = exp(2 * (0.3 - (1 - 29 / 36) ** 2))
    torch.testing.assert_close(states[0, 1, 0], growth * wave, rtol=0, atol=1e-13)


def test_a_roll_saturates_at_the_height_of_the_amplitude_equation():
    """``2 sqrt(drive / 3) cos x`` up to terms of higher order in ``drive``."""
    pde = SwiftHohenberg()
    grid = pde.grid(32)
    x, _ = points(grid)
    times = torch.tensor([0.0, 400.0], dtype=torch.float64)
    values = as_parameters({"drive": 0.02, "asymmetry": 0.0})
    states = SwiftHohenberg(num_substeps=200).solve(
        0.1 * torch.cos(x)[None, None], values, grid, times
    )
    assert float(states[0, 1, 0].max()) == pytest.approx(2 * sqrt(0.02 / 3), rel=1e-3)


@pytest.mark.parametrize(("num_substeps", "tolerance"), [(512, 5e-9), (None, 2e-5)])
def test_it_agrees_with_another_solver(num_substeps, tolerance):
    assert oracle_errors(SmallBox(num_substeps=num_substeps), CASE, VALUES).max() < tolerance


def test_in_single_precision_it_agrees_to_four_digits():
    assert oracle_errors(SmallBox(), CASE, VALUES, torch.float32).max() < 5e-5
