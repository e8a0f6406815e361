"""Fourier modes: derivatives, the 2/3 cut and the way back."""

from math import pi

import pytest
import torch

from pdefm.domain import Grid
from pdefm.pdes.wavenumbers import Wavenumbers, num_kept_modes
from tests.pdes.oracles import points

DEVICE = torch.device("cpu")


@pytest.mark.parametrize(("num_points", "kept"), [(64, 22), (32, 11), (63, 21), (48, 16), (8, 3)])
def test_the_cut_keeps_modes_below_a_third_of_the_points(num_points, kept):
    assert num_kept_modes(num_points) == kept


@pytest.mark.parametrize("shape", [(24,), (16, 20), (9, 15), (12, 8, 10)])
def test_kept_modes_return_unchanged_and_derivatives_are_exact(shape):
    grid = Grid.regular(shape, tuple(1.0 + i for i in range(len(shape))))
    waves = Wavenumbers(grid, torch.float64, DEVICE)
    phase = [2 * pi * x / axis.extent for x, axis in zip(points(grid), grid.axes, strict=True)]
    total = sum((i + 1) * p for i, p in enumerate(reversed(phase)))
    field = (torch.sin(total) + 0.5 * torch.cos(2 * phase[0]))[None, None]
    field_hat = waves.to_spectral(field)
    torch.testing.assert_close(waves.to_physical(field_hat), field)
    along_first = waves.to_physical(field_hat * waves.derivative[0])
    expected = 2 * pi * (len(shape) * torch.cos(total) - torch.sin(2 * phase[0]))
    torch.testing.assert_close(along_first, expected[None, None])
    inverse = waves.to_physical(field_hat * waves.laplacian * waves.inverse_laplacian)
    torch.testing.assert_close(inverse, field)


def test_products_of_kept_modes_do_not_alias():
    grid = Grid.regular((32, 32))
    waves = Wavenumbers(grid, torch.float64, DEVICE)
    x, _ = points(grid)
    highest = torch.cos(2 * pi * 10 * x)[None, None]
    squared = waves.to_physical(waves.to_spectral(highest * highest))
    torch.testing.assert_close(squared, torch.full_like(squared, 0.5))


@pytest.mark.parametrize("axis", [0, 1])
def test_modes_beyond_the_cut_vanish_on_every_axis(axis):
    grid = Grid.regular((32, 32))
    waves = Wavenumbers(grid, torch.float64, DEVICE)
    field = torch.cos(2 * pi * 11 * points(grid)[axis])[None, None]
    assert waves.to_physical(waves.to_spectral(field)).abs().max() < 1e-13
