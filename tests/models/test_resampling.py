"""Averages over cells, interpolation, and what averages lose."""

import math

import pytest
import torch

from pdefm.models.resampling import (
    along_axes,
    averaging_matrix,
    cell_averages,
    centres,
    cubic_matrix,
    deconvolution_matrix,
    linear_matrix,
    lost_part,
    resample,
    spectral_matrix,
    with_averages,
)


def waves(size, most, seed=0):
    """A periodic field with frequencies up to ``most``, as values at centres."""
    random = torch.Generator().manual_seed(seed)
    angle = 2 * math.pi * centres(size)[:, None] * torch.arange(most + 1)
    a, b = torch.randn(2, most + 1, generator=random, dtype=torch.float64)
    return angle.cos() @ a + angle.sin() @ b


@pytest.mark.parametrize(("fine", "coarse"), [(16, 4), (16, 6), (64, 24), (7, 5)])
def test_averages_keep_the_mean_and_are_averages(fine, coarse):
    matrix = averaging_matrix(fine, coarse)
    assert (matrix >= 0).all()
    assert torch.allclose(matrix.sum(1), torch.ones(coarse, dtype=torch.float64))
    assert torch.allclose(matrix.sum(0), torch.full((fine,), coarse / fine, dtype=torch.float64))


def test_whole_factors_are_the_plain_means():
    values = torch.randn(2, 3, 2, 8, 12, dtype=torch.float64)
    plain = values.unflatten(4, (3, 4)).unflatten(3, (4, 2)).mean((4, 6))
    assert torch.allclose(cell_averages(values, (4, 3)), plain)


def test_a_cell_that_is_cut_counts_by_its_share():
    # Cells of 3 / 2 points: the middle point belongs to both halves.
    values = torch.tensor([1.0, 10.0, 4.0]).view(1, 1, 1, 3)
    assert torch.allclose(cell_averages(values, (2,)).flatten(), torch.tensor([4.0, 6.0]))


def test_points_outside_the_mask_leave_the_averages_alone():
    values = torch.arange(8.0).view(1, 1, 1, 8).clone()
    mask = torch.tensor([[True, False, True, True, False, False, True, True]])
    values[..., 1], values[..., 4] = float("nan"), 1e9
    found = cell_averages(values, (4,), mask).flatten()
    assert torch.allclose(found, torch.tensor([0.0, 2.5, (0.0 + 2.5 + 6.5) / 3, 6.5]))


@pytest.mark.parametrize("coarse", [9, 10, 16])
@pytest.mark.parametrize("fine", [23, 64])
def test_spectral_interpolation_is_exact_for_waves_that_the_grid_bears(coarse, fine):
    found = resample(waves(coarse, 4), (fine,), (True,), spectral_matrix)
    assert torch.allclose(found, waves(fine, 4), atol=1e-10)


def test_spectral_interpolation_at_whole_factors_is_zero_padding():
    values = torch.randn(8, dtype=torch.float64)
    spectrum = torch.fft.rfft(values, norm="forward")
    angle = 2 * math.pi * (centres(24)[:, None] - 0.5 / 8) * torch.arange(5)
    weights = torch.tensor([1.0, 2, 2, 2, 1], dtype=torch.float64)
    padded = (angle.cos() * spectrum.real - angle.sin() * spectrum.imag) @ weights
    assert torch.allclose(resample(values, (24,), (True,), spectral_matrix), padded)


@pytest.mark.parametrize("matrix", [linear_matrix, cubic_matrix, spectral_matrix])
@pytest.mark.parametrize("periodic", [True, False])
def test_interpolation_returns_the_points_and_keeps_a_constant(matrix, periodic):
    same = matrix(9, centres(9), periodic)
    assert torch.allclose(same, torch.eye(9, dtype=torch.float64), atol=1e-10)
    sums = matrix(9, centres(40), periodic).sum(1)
    assert torch.allclose(sums, torch.ones(40, dtype=torch.float64))


def test_walls_do_not_see_around_the_corner():
    ramp = centres(8)
    between = resample(ramp, (32,), (False,), cubic_matrix)
    assert torch.allclose(between[6:-6], centres(32)[6:-6])
    assert between.diff().min() > -0.02
    assert resample(ramp, (32,), (True,), cubic_matrix).diff().min() < -0.1


def test_even_waves_between_walls_are_exact():
    def wave(size):
        return torch.cos(3 * math.pi * centres(size)) + 2.0

    assert torch.allclose(resample(wave(8), (50,), (False,), spectral_matrix), wave(50))


@pytest.mark.parametrize("periodic", [True, False])
@pytest.mark.parametrize("coarse", [11, 16, 24])
def test_deconvolution_undoes_averages_of_what_the_coarse_grid_bears(periodic, coarse):
    field = waves(64, 5) if periodic else torch.cos(4 * math.pi * centres(64)) + 1.0
    averages = averaging_matrix(64, coarse) @ field
    found = along_axes(averages, [deconvolution_matrix(64, coarse, periodic)])
    assert torch.allclose(found, field, atol=1e-9)


def test_deconvolved_fields_have_the_averages_that_were_given():
    given = torch.randn(2, 6, 8, dtype=torch.float64)
    matrices = [deconvolution_matrix(16, 6, True), deconvolution_matrix(20, 8, False)]
    back = [averaging_matrix(16, 6), averaging_matrix(20, 8)]
    assert torch.allclose(along_axes(along_axes(given, matrices), back), given)


def test_the_lost_part_has_no_averages_and_is_lost_once():
    values = torch.randn(3, 16, 12, dtype=torch.float64)
    lost = lost_part(values, (6, 5))
    averages = along_axes(lost, [averaging_matrix(16, 6), averaging_matrix(12, 5)])
    assert averages.abs().max() < 1e-10
    assert torch.allclose(lost_part(lost, (6, 5)), lost)
    assert not torch.allclose(lost, values)


def test_the_nearest_field_with_given_averages_has_them_and_is_never_worse():
    truth, guess = torch.randn(2, 4, 16, 12, dtype=torch.float64)
    matrices = [averaging_matrix(16, 6), averaging_matrix(12, 4)]
    averages = along_axes(truth, matrices)
    found = with_averages(guess, averages, 2)
    assert torch.allclose(along_axes(found, matrices), averages)
    assert (found - truth).norm() < (guess - truth).norm()
    assert torch.allclose(with_averages(truth, averages, 2), truth)
