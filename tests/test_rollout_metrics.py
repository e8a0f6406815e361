"""Errors of rollouts and ensembles against closed forms."""

import math

import pytest
import torch

from pdefm.metrics import relative_l2
from pdefm.rollout_metrics import (
    blow_up,
    conservation_drift,
    correlation,
    correlation_time,
    crps,
    dpot_128_l2re,
    rollout_relative_l2,
    spectrum_distance,
    spread_skill,
)

X = torch.arange(32) / 32
WAVE = torch.sin(2 * math.pi * X)[:, None].expand(32, 16)


def frames(*values):
    """One sample, one field, a frame a value."""
    return torch.stack(list(values))[None, :, None]


def test_the_error_of_a_rollout_takes_space_and_time_as_one_vector():
    target = frames(WAVE, 3 * WAVE)
    prediction = frames(WAVE, 4 * WAVE)
    assert rollout_relative_l2(prediction, target).item() == pytest.approx(1 / math.sqrt(10))
    assert relative_l2(prediction, target).mean().item() == pytest.approx(1 / 6, rel=1e-5)


@pytest.mark.parametrize("shift", [0.0, 0.1, 0.25, 0.5])
def test_the_correlation_of_a_shifted_wave_is_the_cosine_of_the_shift(shift):
    moved = torch.sin(2 * math.pi * (X - shift))[:, None].expand(32, 16)
    found = correlation(frames(5 + 2 * moved), frames(WAVE)).item()
    assert found == pytest.approx(math.cos(2 * math.pi * shift), abs=1e-5)


def test_the_correlation_time_is_the_first_step_below_the_threshold():
    shifts = (0.0, 0.05, 0.09, 0.2, 0.0)  # cos: 1, 0.95, 0.84, 0.31, 1
    moved = [torch.sin(2 * math.pi * (X - s))[:, None].expand(32, 16) for s in shifts]
    target = frames(*[WAVE] * 5)
    assert correlation_time(frames(*moved), target).item() == 3
    assert correlation_time(target, target).item() == 5
    assert correlation_time(frames(*moved), target, threshold=0.9).item() == 2
    assert correlation(frames(torch.ones(32, 16)), frames(WAVE)).item() == 0


def test_rollouts_that_grow_or_leave_the_finite_numbers_have_blown_up():
    target = frames(WAVE, 2 * WAVE)
    broken = WAVE.clone()
    broken[3, 3] = math.nan
    assert blow_up(frames(WAVE, 7.9 * WAVE), target).item() == 0  # the largest of the truth counts
    assert blow_up(frames(8.1 * WAVE, WAVE), target).item() == 1
    assert blow_up(frames(WAVE, broken), target).item() == 1
    assert correlation_time(frames(WAVE, broken), target).item() == 1


def test_the_drift_is_the_shift_of_the_mean_over_the_rms():
    start = frames(2 + WAVE)
    found = conservation_drift(frames(2 + WAVE, 2.3 + 5 * WAVE), start)
    assert found[0, 0, 0] == pytest.approx(0, abs=1e-6)
    assert found[0, 1, 0].item() == pytest.approx(0.3 / math.sqrt(4.5), rel=1e-5)


def test_a_factor_in_amplitude_is_twice_its_logarithm_in_the_spectrum():
    random = torch.randn(1, 1, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    assert spectrum_distance(10 * random, random).item() == pytest.approx(2.0, rel=1e-4)
    assert spectrum_distance(random, random).item() == 0


def test_crps_of_one_member_is_the_absolute_error():
    assert crps(frames(WAVE + 0.5)[None], frames(WAVE)).item() == pytest.approx(0.5, rel=1e-5)


def test_crps_of_a_normal_ensemble_is_the_closed_form_whatever_its_size():
    """Gneiting and Raftery (2007): for y = 0, sigma (2 phi(0) - 1 / sqrt(pi))."""
    random = torch.Generator().manual_seed(1)
    expected = 2 / math.sqrt(2 * math.pi) - 1 / math.sqrt(math.pi)
    for members in (2, 5, 20):
        ensemble = torch.randn(members, 1, 1, 1, 200, 200, generator=random)
        found = crps(ensemble, torch.zeros(1, 1, 1, 200, 200)).item()
        assert found == pytest.approx(expected, abs=0.01)


def test_an_ensemble_from_the_truth_s_distribution_has_a_spread_as_large_as_its_error():
    random = torch.Generator().manual_seed(2)
    for members in (2, 8):
        ensemble = torch.randn(members, 1, 1, 1, 200, 200, generator=random)
        target = torch.randn(1, 1, 1, 200, 200, generator=random)
        assert spread_skill(ensemble, target).item() == pytest.approx(1.0, abs=0.02)
        assert spread_skill(0.5 * ensemble, target).item() < 0.7
    with pytest.raises(ValueError, match="at least two members"):
        spread_skill(ensemble[:1], target)


def test_points_outside_the_mask_never_count():
    mask = torch.ones(1, 32, 16, dtype=torch.bool)
    mask[:, :7] = False
    random = torch.Generator().manual_seed(3)
    target, other = (torch.randn(1, 3, 1, 32, 16, generator=random) for _ in range(2))
    ensemble = torch.stack([target + 0.1 * other, target - 0.2 * other])

    def spoiled(values):
        return values.masked_fill(~mask[:, None, None], torch.nan)

    for metric in (rollout_relative_l2, correlation_time, correlation):
        clean = metric(other, target, mask=mask)
        assert torch.allclose(metric(spoiled(other), spoiled(target), mask=mask), clean)
        assert clean.isfinite().all()
    clean = conservation_drift(other, target[:, :1], mask=mask)
    assert torch.allclose(conservation_drift(spoiled(other), target[:, :1], mask=mask), clean)
    for metric in (crps, spread_skill):
        clean = metric(ensemble, target, mask=mask)
        hurt = torch.stack([spoiled(member) for member in ensemble])
        assert torch.allclose(metric(hurt, target, mask=mask), clean)


def plane(nx, ny, seed=5, num_frames=2):
    random = torch.Generator().manual_seed(seed)
    return torch.randn(1, num_frames, 2, nx, ny, generator=random)


def test_on_its_own_grid_dpot_s_error_is_that_of_the_rollout():
    target, other = plane(128, 128), plane(128, 128, seed=6)
    expected = rollout_relative_l2(other, target)
    assert torch.equal(dpot_128_l2re(other, target), expected)
    assert dpot_128_l2re(1.25 * target, target) == pytest.approx(torch.full((1, 2), 0.25))


def test_coarse_data_are_measured_at_every_second_point_of_dpot_s_grid():
    """Of 64 points, point 2j is 3/4 of point j and 1/4 of j - 1, and the first is the first."""
    amplitude = 0.2
    rows = torch.arange(64) % 2 * -2.0 + 1  # 1, -1, 1, ...: the shortest wave along x
    target = torch.ones(1, 3, 1, 64, 64)
    prediction = target + amplitude * rows[:, None]
    seen = amplitude * math.sqrt((63 * 0.5**2 + 1) / 64)
    assert dpot_128_l2re(prediction, target).item() == pytest.approx(seen, rel=1e-5)
    assert rollout_relative_l2(prediction, target).item() == pytest.approx(amplitude, rel=1e-5)


def test_points_between_those_of_coarse_data_never_count_on_dpot_s_grid():
    target = plane(128, 128)
    prediction = target.clone()
    prediction[..., 1::2, :] += 5.0
    assert dpot_128_l2re(prediction, target, native=(64, 64)).max() == 0
    assert dpot_128_l2re(prediction, target).min() > 1
    prediction[..., ::4, ::4] += 1.0
    assert dpot_128_l2re(prediction, target, native=(32, 32)).min() > 0.9


def test_an_axis_as_fine_as_dpot_s_grid_is_measured_at_every_point():
    target, other = plane(96, 192), plane(96, 192, seed=6)
    on_grid = (
        torch.nn.functional.interpolate(v.flatten(0, 1), (128, 128), mode="bilinear")[None]
        for v in (other, target)
    )
    expected = rollout_relative_l2(*(v.view(1, 2, 2, 128, 128) for v in on_grid))
    torch.testing.assert_close(dpot_128_l2re(other, target), expected)


def test_dpot_s_error_takes_space_and_time_as_one_vector():
    target = torch.stack([torch.ones(16, 16), 3 * torch.ones(16, 16)])[None, :, None]
    prediction = target.clone()
    prediction[:, 1] += 1.0
    assert dpot_128_l2re(prediction, target).item() == pytest.approx(1 / math.sqrt(10), rel=1e-5)
