"""Random fields: mean, scale, smoothness and independence of the grid."""

import numpy as np
import pytest
import torch

from pdefm.domain import Grid
from pdefm.metrics import radial_spectrum
from pdefm.pdes.initial_states import random_periodic_field, random_pulses, waves_of_one_size


@pytest.mark.parametrize("shape", [(64,), (64, 48), (40, 40, 40)])
def test_a_field_has_zero_mean_and_unit_mean_square(shape):
    field = random_periodic_field(Grid.regular(shape), np.random.default_rng(0), peak_mode=3.0)
    assert field.shape == shape
    assert field.dtype == torch.float64
    assert float(field.mean()) == pytest.approx(0, abs=1e-12)
    assert float(field.square().mean()) == pytest.approx(1, rel=1e-10)


def test_a_seed_gives_the_same_function_at_any_resolution():
    coarse, fine = (
        random_periodic_field(Grid.regular((n, n)), np.random.default_rng(5), peak_mode=3.0)
        for n in (48, 96)
    )
    torch.testing.assert_close(coarse, fine[::2, ::2])


def test_the_energy_is_largest_at_the_peak_mode():
    fields = [
        random_periodic_field(Grid.regular((64, 64)), np.random.default_rng(i), peak_mode=4.0)
        for i in range(40)
    ]
    spectrum = radial_spectrum(torch.stack(fields)[:, None, None]).mean((0, 1, 2))
    assert int(spectrum.argmax()) == 4
    assert float(spectrum[13:].sum()) < 0.02


def test_a_coarse_grid_leaves_out_the_modes_that_it_cannot_hold():
    field = random_periodic_field(Grid.regular((16, 16)), np.random.default_rng(0), peak_mode=6.0)
    spectrum = torch.fft.rfft2(field).abs()
    assert float(spectrum[:, 6:].max()) < 1e-10
    assert float(spectrum[:, 1:6].max()) > 1


@pytest.mark.parametrize("shape", [(64,), (64, 48), (24, 24, 24)])
def test_a_pulse_is_a_periodic_gaussian_of_height_one(shape):
    rng = np.random.default_rng(3)
    pulse = random_pulses(Grid.regular(shape), rng, num_pulses=1, width=0.08)
    assert pulse.shape == shape
    assert 0.9 < float(pulse.max()) <= 1
    mass = float(pulse.mean())
    assert mass == pytest.approx((0.08 * np.sqrt(2 * np.pi)) ** len(shape), rel=0.15)


def test_pulses_are_the_same_function_at_any_resolution_and_know_no_edge():
    coarse, fine = (
        random_pulses(Grid.regular((n, n)), np.random.default_rng(5), num_pulses=4, width=0.06)
        for n in (48, 96)
    )
    torch.testing.assert_close(coarse, fine[::2, ::2])
    jump = (fine[0] - fine[-1]).abs().max()
    assert jump <= 1.1 * fine.diff(dim=0).abs().max()


def test_waves_of_one_size_are_one_channel_as_high_as_asked():
    grid, rng = Grid.regular((48, 48)), np.random.default_rng(2)
    for _ in range(5):
        waves = waves_of_one_size(grid, rng, peak_mode=(2.0, 4.0), amplitude=(0.5, 0.6))
        assert waves.shape == (1, 48, 48)
        assert 0.5 <= float(waves.square().mean().sqrt()) <= 0.6
