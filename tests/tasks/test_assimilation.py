"""Forecasts that sensors correct."""

import math
from dataclasses import replace

import pytest
import torch

from pdefm.data.trajectory import uniform_boundary
from pdefm.domain import BoundaryCondition
from pdefm.metrics import relative_l2
from pdefm.models.gain_head import GainHead, smooth
from tests.tiny_dpot import adapted_model, make_task, task_adapter, task_batch, tiny_model


def fresh_model():
    """As a training starts: the gain is zero."""
    task = make_task("assimilation")
    return task_adapter("assimilation").attach(tiny_model(), task.processor).eval()


def wave(size, wraps):
    """A mode that the boundary allows, on cell centres."""
    x = (torch.arange(size) + 0.5) / size
    return torch.cos((2 if wraps else 1) * math.pi * x)


@pytest.mark.parametrize("wraps", [True, False])
def test_a_gaussian_damps_a_mode_as_its_transform_says(wraps):
    length, mode = torch.tensor(0.1), wave(32, wraps)
    values = mode[None, None, :, None].expand(1, 1, 32, 16)
    turns = 1.0 if wraps else 0.5
    expected = math.exp(-2 * (math.pi * 0.1 * turns) ** 2)
    smoothed = smooth(values, length, (wraps, True))
    assert torch.allclose(smoothed, expected * values, atol=1e-5)


@pytest.mark.parametrize("periodic", [(True, True), (False, True), (False, False)])
def test_smoothing_keeps_the_mean(periodic):
    values = torch.rand(2, 3, 12, 10, generator=torch.Generator().manual_seed(0))
    smoothed = smooth(values, torch.tensor(0.2), periodic)
    assert smoothed.shape == values.shape
    assert torch.allclose(smoothed.mean((2, 3)), values.mean((2, 3)), atol=1e-6)


def test_smoothing_does_not_cross_a_wall():
    values = torch.zeros(1, 1, 32, 8)
    values[:, :, 0] = 1.0
    length = torch.tensor(0.05)
    assert smooth(values, length, (False, True))[0, 0, -1].abs().max() < 1e-6
    assert smooth(values, length, (True, True))[0, 0, -1].abs().min() > 1e-2


def head():
    made, random = GainHead(num_fields=3, hidden_size=8, num_lengths=2), torch.Generator()
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, generator=random.manual_seed(1))
    return made


def test_the_correction_is_linear_in_the_innovation_and_zero_without():
    random = torch.Generator().manual_seed(2)
    forecast, d = (torch.randn(2, 2, 8, 8, generator=random) for _ in range(2))
    sensors = torch.rand(2, 8, 8, generator=random) < 0.3

    def correct(innovation):
        return head()(forecast, innovation, sensors, [2, 0], (True, False))

    assert not correct(torch.zeros_like(d)).any()
    assert correct(d).abs().max() > 0.1
    assert torch.allclose(correct(3 * d), 3 * correct(d), atol=1e-4)
    elsewhere = torch.where(sensors[:, None], d, 99.0)
    assert torch.equal(correct(elsewhere), correct(d)), "only sensors are read"


def test_at_first_nothing_is_corrected():
    task, model = make_task("assimilation"), fresh_model()
    prepared = task.prepare(task_batch("assimilation"))
    free = task.model_baselines(model, prepared)["no_correction"]
    assert torch.equal(task.predict(model, prepared), free)


def test_every_place_has_its_sensor_or_not_and_reports_at_its_own_times():
    task = make_task("assimilation", sensor_fraction=0.3, report_probability=0.5)
    sensors = task.prepare(task_batch("assimilation")).extras["sensors"]
    assert sensors.shape == (2, 4, 16, 16)
    ever, always = sensors[:, :3].any(1), sensors[:, :3].all(1)
    assert 0.1 < ever.float().mean() < 0.35
    assert always.sum() < ever.sum()
    assert not sensors[:, 3].any(), "the last step is a forecast"
    assert not torch.equal(sensors[0], sensors[1])


def test_no_sensor_lies_outside_the_mask():
    mask = torch.ones(2, 16, 16, dtype=torch.bool)
    mask[:, 4:9] = False
    batch = task_batch("assimilation", mask=mask)
    sensors = make_task("assimilation", sensor_fraction=1.0).prepare(batch).extras["sensors"]
    assert sensors.any()
    assert not (sensors & ~mask[:, None]).any()


def test_the_first_history_is_wrong_by_as_much_as_said():
    task = make_task("assimilation", background_error=0.4)
    batch = task_batch("assimilation")
    history = task.prepare(batch).inputs["history"]
    given = task.processor.field_scale(batch.names, history).denormalize(history)
    frames = torch.cat([batch.history, batch.target], 1)
    rms = frames.square().mean((1, 3, 4)).sqrt()
    error = (given - batch.history).square().mean((1, 3, 4)).sqrt() / rms
    assert torch.allclose(error, torch.tensor(0.4), atol=1e-3)
    assert torch.allclose(given[:, 0] - batch.history[:, 0], given[:, 2] - batch.history[:, 2],
                          atol=1e-5)  # fmt: skip


def test_the_truth_reaches_the_model_at_sensors_only():
    task, model = make_task("assimilation"), adapted_model("assimilation")
    batch = task_batch("assimilation")
    prepared = task.prepare(batch)
    seen = prepared.extras["sensors"][:, :, None]
    changed = torch.where(seen, prepared.extras["observations"], 50.0)
    other = replace(prepared, extras=prepared.extras | {"observations": changed})
    assert torch.equal(task.predict(model, prepared), task.predict(model, other))


def test_nudging_with_a_sensor_everywhere_comes_closer_to_the_truth():
    """Only to what is smooth in the error, and this model's is rough."""
    task = make_task(
        "assimilation", sensor_fraction=1.0, report_probability=1.0, noise_fraction=0.0
    )
    level = torch.linspace(1.0, 2.0, 4)[None, :, None, None, None].expand(2, 4, 2, 16, 16)
    prepared = task.prepare(replace(task_batch("assimilation"), target=level))
    found = task.model_baselines(fresh_model(), prepared)
    errors = {k: relative_l2(v, level)[:, :3].mean() for k, v in found.items()}
    assert errors["nudging"] < 0.7 * errors["no_correction"]


def test_walls_are_known_from_the_batch():
    batch = replace(
        task_batch("assimilation"), boundary=uniform_boundary(BoundaryCondition.WALL, 2)
    )
    assert make_task("assimilation").prepare(batch).extras["periodic"] == (False, False)
