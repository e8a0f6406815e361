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


@pytest.mark.parametrize("shape", [(64,), (20, 20), (15, 9), (64, 64), (10, 9, 8)])
def test_every_sample_fills_whole_blocks_of_modes(shape):
    waves = Wavenumbers(Grid.regular(shape), torch.float32, DEVICE)
    field_hat = waves.to_spectral(torch.randn(2, 1, *shape))
    assert tuple(field_hat.shape[2:]) == waves.shape == tuple(waves.laplacian.shape)
    assert field_hat[0].numel() % 16 == 0
    again = waves.to_spectral(waves.to_physical(field_hat))
    torch.testing.assert_close(again, field_hat, rtol=0, atol=1e-4)


def test_the_gradient_of_a_wave_is_exact():
    grid = Grid.regular((24, 20), (2.0, 3.0))
    waves = Wavenumbers(grid, torch.float64, DEVICE)
    x, y = points(grid)
    phase = pi * x + 4 * pi / 3 * y
    gradient = waves.gradient(torch.sin(phase)[None, None])[0]
    expected = torch.stack((pi * torch.cos(phase), 4 * pi / 3 * torch.cos(phase)))
    torch.testing.assert_close(gradient, expected)
