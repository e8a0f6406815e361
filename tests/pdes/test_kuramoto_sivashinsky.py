"""Kuramoto-Sivashinsky: growth of small waves, and another solver's numbers."""

from math import exp, pi

import pytest
import torch

from pdefm.pdes.kuramoto_sivashinsky import KuramotoSivashinsky
from tests.pdes.oracles import as_parameters, oracle_errors, points

CASE, VALUES = "kuramoto_sivashinsky_2d", {"hyperdiffusivity": 1.0}


@pytest.mark.parametrize(
    ("mode", "hyperdiffusivity"), [((3, 1), 1.0), ((5, 4), 0.8), ((1, 0), 1.2)]
)
def test_a_weak_wave_grows_or_decays_at_its_own_rate(mode, hyperdiffusivity):
    pde = KuramotoSivashinsky()
    grid = pde.grid(32)
    x, y = points(grid)
    wave = 1e-7 * torch.cos(2 * pi / 32 * (mode[0] * x + mode[1] * y))
    times = torch.tensor([0.0, 1.0, 5.0], dtype=torch.float64)
    values = as_parameters({"hyperdiffusivity": hyperdiffusivity})
    states = pde.solve(wave[None, None], values, grid, times)
    square = (2 * pi / 32) ** 2 * (mode[0] ** 2 + mode[1] ** 2)
    growth = exp(5 * (square - hyperdiffusivity * square**2))
    torch.testing.assert_close(states[0, 2, 0], growth * wave, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("num_substeps", "tolerance"), [(64, 5e-6), (None, 3e-4)])
def test_it_agrees_with_another_solver(num_substeps, tolerance):
    pde = KuramotoSivashinsky(num_substeps=num_substeps)
    errors = oracle_errors(pde, CASE, VALUES)
    assert errors.max() < tolerance
    if num_substeps:
        assert errors[:2].max() < 5e-8


def test_in_single_precision_it_agrees_to_four_digits():
    errors = oracle_errors(KuramotoSivashinsky(), CASE, VALUES, torch.float32)
    assert errors.max() < 5e-4
