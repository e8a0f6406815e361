"""Metrics against values that can be worked out by hand."""

import math

import pytest
import torch

from pdefm.metrics import (
    METRICS,
    max_error,
    nrmse,
    radial_spectrum,
    relative_l2,
    sobolev_error,
    spectral_band_error,
    vrmse,
)


def constant(*values: float) -> torch.Tensor:
    """One sample, one step, one channel, one space axis."""
    return torch.tensor(values)[None, None, None]  # [1, 1, 1, points]


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize("space", [(8,), (8, 4), (4, 2, 2)])
def test_an_exact_prediction_has_no_error_and_each_step_and_channel_its_own_value(name, space):
    fields = torch.randn(2, 3, 4, *space, generator=torch.Generator().manual_seed(0))
    assert torch.equal(METRICS[name](fields, fields), torch.zeros(2, 3, 4))
    wrong = fields.clone()
    wrong[1, 2, 3] += 1.0
    error = METRICS[name](wrong, fields)
    assert error.nonzero().tolist() == [[1, 2, 3]]


@pytest.mark.parametrize("metric", [relative_l2, nrmse])
def test_predicting_zero_is_an_error_of_one_and_scaling_is_linear(metric):
    target = constant(3.0, -4.0, 12.0)
    assert metric(torch.zeros_like(target), target).item() == pytest.approx(1.0, rel=1e-6)
    assert metric(1.25 * target, target).item() == pytest.approx(0.25, rel=1e-6)


def test_vrmse_of_the_true_mean_is_one_and_ignores_an_offset():
    target = constant(1.0, 3.0, 5.0, 7.0)
    mean = torch.full_like(target, 4.0)
    assert vrmse(mean, target).item() == pytest.approx(1.0, rel=1e-6)
    prediction = target + constant(1.0, 0.0, 0.0, -1.0)
    # mean square error 1/2 over a variance of 5
    assert vrmse(prediction, target).item() == pytest.approx(math.sqrt(0.1), rel=1e-6)
    shifted = vrmse(prediction + 100, target + 100).item()
    assert shifted == pytest.approx(math.sqrt(0.1), rel=1e-4)


def test_vrmse_takes_the_mean_of_each_channel_over_all_space_axes():
    target = torch.arange(12.0).reshape(1, 1, 2, 3, 2)  # [B, T, C, 3, 2]
    mean = target.mean((-2, -1), keepdim=True).expand_as(target)
    torch.testing.assert_close(vrmse(mean, target), torch.ones(1, 1, 2))


def test_max_error_is_the_largest_absolute_difference():
    assert max_error(constant(1.0, -5.0), constant(2.0, 2.0)).item() == 7.0


@pytest.mark.parametrize("name", METRICS)
def test_points_outside_the_mask_never_count(name):
    generator = torch.Generator().manual_seed(1)
    target, prediction = torch.randn(2, 2, 3, 1, 6, 4, generator=generator)
    mask = torch.zeros(2, 6, 4, dtype=torch.bool)
    mask[0, :3], mask[1, 2:5] = True, True
    error = METRICS[name](prediction, target, mask=mask)
    inside = [METRICS[name](prediction[:1, ..., :3, :], target[:1, ..., :3, :])]
    inside.append(METRICS[name](prediction[1:, ..., 2:5, :], target[1:, ..., 2:5, :]))
    torch.testing.assert_close(error, torch.cat(inside))
    spoilt = torch.where(mask[:, None, None], prediction, torch.tensor(1e6))
    torch.testing.assert_close(METRICS[name](spoilt, target, mask=mask), error)


@pytest.mark.parametrize("name", METRICS)
def test_a_field_that_is_zero_everywhere_has_a_finite_error(name):
    assert math.isfinite(METRICS[name](constant(1.0, 1.0), constant(0.0, 0.0)).item())


@pytest.mark.parametrize("shape", [(16, 16), (16, 24)])
def test_the_spectrum_of_a_wave_has_its_mean_square_in_one_shell(shape):
    nx, ny = shape
    x = torch.arange(nx)[:, None] * 2 * math.pi / nx
    y = torch.arange(ny)[None, :] * 2 * math.pi / ny
    wave = 2 * torch.cos(3 * x + 4 * y)[None, None, None] + 1.5  # [1, 1, 1, nx, ny]
    expected = torch.zeros(9)
    expected[0], expected[5] = 1.5**2, 2.0  # |(3, 4)| = 5
    torch.testing.assert_close(radial_spectrum(wave)[0, 0, 0], expected, atol=1e-5, rtol=1e-5)


def test_the_shells_of_a_band_limited_field_add_up_to_its_mean_square():
    generator = torch.Generator().manual_seed(2)
    coarse = torch.fft.fft2(torch.randn(2, 3, 1, 8, 8, generator=generator), norm="forward")
    spectrum = torch.zeros(2, 3, 1, 32, 32, dtype=coarse.dtype)
    kept = torch.tensor([0, 1, 2, 3, -3, -2, -1])
    spectrum[..., kept[:, None], kept] = coarse[..., kept[:, None], kept]
    fields = torch.fft.ifft2(spectrum, norm="forward").real
    energy = radial_spectrum(fields).sum(-1)
    torch.testing.assert_close(energy, fields.square().mean((-2, -1)))


@pytest.mark.parametrize("space", [(12,), (12, 16), (8, 6, 10)])
def test_the_bands_add_up_to_the_relative_error(space):
    random = torch.Generator().manual_seed(0)
    target, prediction = (torch.randn(2, 3, 2, *space, generator=random) for _ in range(2))
    bands = spectral_band_error(prediction, target)
    total = sum(error.square() for error in bands.values())
    torch.testing.assert_close(total, relative_l2(prediction, target).square())


def wave(kx: int, ky: int, size: int = 24) -> torch.Tensor:
    x = torch.arange(size) / size * 2 * math.pi
    return (kx * x[:, None] + ky * x[None]).cos()[None, None, None]  # [1, 1, 1, size, size]


@pytest.mark.parametrize(
    ("kx", "ky", "band"),
    [(1, 0, "low"), (0, 3, "low"), (4, 0, "mid"), (5, 5, "mid"), (8, 0, "high"), (11, 11, "high")],
)
def test_an_error_of_one_wave_number_falls_into_its_band_alone(kx, ky, band):
    target = wave(2, 1)
    bands = spectral_band_error(target + 0.1 * wave(kx, ky), target)
    for name, error in bands.items():
        assert error.item() == pytest.approx(0.1 if name == band else 0.0, abs=1e-6)


def test_the_sobolev_error_of_order_zero_is_the_relative_error_and_others_weigh_wave_numbers():
    target, error = wave(2, 1), wave(3, 4)
    plain = sobolev_error(target + 0.1 * error, target, order=0.0)
    torch.testing.assert_close(plain, relative_l2(target + 0.1 * error, target))
    for order in (-1.0, 1.0, 2.0):
        found = sobolev_error(target + 0.1 * error, target, order=order).item()
        assert found == pytest.approx(0.1 * (26 / 6) ** (order / 2), rel=1e-4)


def test_what_lies_outside_a_mask_is_in_no_norm():
    target, prediction = wave(2, 1), wave(3, 4)
    mask = torch.zeros(1, 24, 24, dtype=torch.bool)
    mask[:, 4:20, 4:20] = True
    spoilt = prediction.masked_fill(~mask[:, None, None], float("nan"))
    for metric in (lambda p: sobolev_error(p, target, order=1.0, mask=mask),
                   lambda p: spectral_band_error(p, target, mask=mask)["mid"]):  # fmt: skip
        assert metric(spoilt).isfinite()
        torch.testing.assert_close(metric(spoilt), metric(prediction))


def test_the_sobolev_error_of_the_truth_has_a_gradient():
    prediction = wave(2, 1).requires_grad_()
    sobolev_error(prediction, wave(2, 1), order=1.0).sum().backward()
    assert prediction.grad is not None
    assert prediction.grad.isfinite().all()
