"""Forecasting: how noisy the training history is, and what the loss counts."""

import math
from dataclasses import replace

import pytest
import torch

from pdefm.config import section_from_dict
from pdefm.errors import RecipeError
from pdefm.tasks.forecasting import ForecastingOptions, ForecastingTask
from tests.tiny_dpot import NAMES, tiny_batch, tiny_model, tiny_processor


def task(noise=0.1, **processor):
    return ForecastingTask(tiny_processor(**processor), ForecastingOptions(noise_fraction=noise))


def physical(prepared):
    return prepared.scale.denormalize(prepared.inputs["history"])


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("fraction", [0.02, 0.5])
def test_the_noise_is_the_stated_fraction_of_the_rms_of_each_sample_and_field(fraction):
    scales = torch.tensor([[1.0, 1e3], [50.0, 1e-2]])[:, None, :, None, None]
    history = (torch.rand(2, 3, 2, 64, 64) - 0.2) * scales
    batch = tiny_batch(history=history, target=history[:, :1])
    prepared = task(fraction, normalization="instance").prepare(batch, seeded())
    noise = physical(prepared) - batch.history
    rms = batch.history.square().mean((1, 3, 4)).sqrt()
    found = noise.std((1, 3, 4)) / rms
    torch.testing.assert_close(found, torch.full((2, 2), fraction), rtol=0.03, atol=0.0)
    assert (noise.mean((1, 3, 4)) / rms).abs().max() < 0.03 * fraction


def test_the_noise_does_not_change_the_statistics_that_normalise():
    batch, noisy = tiny_batch(), task(0.5, normalization="instance")
    clean, dirty = noisy.prepare(batch), noisy.prepare(batch, seeded())
    assert torch.equal(clean.scale.mean, dirty.scale.mean)
    assert torch.equal(clean.scale.std, dirty.scale.std)
    assert not torch.equal(clean.inputs["history"], dirty.inputs["history"])


@pytest.mark.parametrize(("noise", "generator"), [(0.1, None), (0.0, seeded())])
def test_without_a_generator_or_a_fraction_there_is_no_noise(noise, generator):
    batch = tiny_batch()
    prepared = task(noise).prepare(batch, generator)
    expected = (batch.history[:, :, 1] - 0.5) / 2.0
    assert torch.equal(prepared.inputs["history"][:, :, 1], expected)
    assert prepared.inputs["field_names"] == NAMES
    assert torch.equal(prepared.target, batch.target)


def test_the_same_seed_gives_the_same_noise_and_another_seed_another():
    first, again, other = (
        task().prepare(tiny_batch(), seeded(seed)).inputs["history"] for seed in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_the_noise_comes_from_the_generator_alone():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    task().prepare(tiny_batch(), seeded())
    assert torch.equal(torch.get_rng_state(), before)


def test_values_outside_the_mask_do_not_reach_the_noise():
    mask = torch.rand(2, 16, 16) > 0.3
    batch = tiny_batch(mask=mask)
    outside = ~mask[:, None, None]
    hostile = tiny_batch(mask=mask, history=batch.history.masked_fill(outside, math.nan))
    expected = task().prepare(batch, seeded()).inputs["history"].masked_fill(outside, 0.0)
    found = task().prepare(hostile, seeded()).inputs["history"].masked_fill(outside, 0.0)
    assert torch.equal(found, expected)
    inside = batch.history.masked_fill(outside, 0.0)
    count = mask.sum((1, 2))[:, None] * 3
    rms = (inside.square().sum((1, 3, 4)) / count).sqrt()
    noise = (physical(task().prepare(batch, seeded())) - batch.history).std((1, 3, 4))
    torch.testing.assert_close(noise / rms, torch.full((2, 2), 0.1), rtol=0.15, atol=0.0)


@pytest.mark.parametrize("masked", [False, True])
def test_the_loss_and_the_metrics_equal_a_hand_computation(masked):
    mask = torch.rand(2, 16, 16) > 0.4 if masked else None
    batch = tiny_batch(mask=mask)
    prepared = task().prepare(batch)
    prediction = batch.target + torch.randn(batch.target.shape)
    errors, variances = torch.zeros(2), torch.zeros(2)
    for i in range(2):
        for c in range(2):
            inside = slice(None) if mask is None else mask[i]
            found, true = prediction[i, 0, c][inside], batch.target[i, 0, c][inside]
            errors[i] += (found - true).norm() / true.norm() / 2
            variances[i] += (found - true).square().mean().sqrt() / true.std(unbiased=False) / 2
    metrics = task().metrics(prediction, prepared)
    torch.testing.assert_close(metrics["relative_l2"], errors)
    torch.testing.assert_close(metrics["vrmse"], variances)
    torch.testing.assert_close(task().loss(prediction, prepared), errors.mean())


def test_metrics_are_one_value_a_sample():
    batch = tiny_batch()
    prediction = batch.target.clone()
    prediction[1] += 1.0
    for name, values in task().metrics(prediction, task().prepare(batch)).items():
        assert values.shape == (2,), name
        assert values[0] == 0.0, name
        assert values[1] > 0.1, name


def test_the_prediction_is_in_physical_units():
    batch, model = tiny_batch(), tiny_model()
    for parameter in (model.decoder.field_weight, model.decoder.field_bias):
        torch.nn.init.zeros_(parameter)
    prediction = task().predict(model, task().prepare(batch))
    torch.testing.assert_close(prediction, batch.history[:, -1:])  # the untrained increment


def test_a_perfect_and_a_zero_prediction_have_loss_zero_and_one():
    batch = tiny_batch()
    prepared = task().prepare(batch)
    assert task().loss(batch.target, prepared).item() == 0.0
    assert task().loss(torch.zeros_like(batch.target), prepared).item() == pytest.approx(1.0)


def test_negative_noise_is_refused():
    with pytest.raises(RecipeError, match="noise_fraction"):
        section_from_dict(ForecastingOptions, {"noise_fraction": -0.1}, "task")


def rolled(steps, **options):
    """A task, a model and a batch with ``steps`` target frames."""
    given = ForecastingOptions(noise_fraction=0.0, rollout_steps=steps, **options)
    batch = tiny_batch()
    target = torch.cat([batch.target + i for i in range(steps)], 1)
    return (
        ForecastingTask(tiny_processor(), given),
        tiny_model().eval(),
        replace(batch, target=target),
    )


def by_hand(task, model, batch, steps):
    """Predictions of a rollout, each from the frames before it."""
    window = task.processor.scale(batch.history, batch.names, batch.mask).normalize(batch.history)
    frames = []
    for _ in range(steps):
        frames.append(model(window, field_names=batch.names, mask=batch.mask).prediction)
        window = torch.cat([window[:, 1:], frames[-1]], 1)
    return frames


@pytest.mark.parametrize("gradient", ["last", "all"])
def test_a_rollout_feeds_predictions_back_and_stops_the_gradient_where_it_says(gradient):
    task, model, batch = rolled(3, rollout_gradient=gradient)
    prepared = task.prepare(batch, seeded())
    prediction = task.predict(model, prepared)
    frames = by_hand(task, model, batch, 3)
    whole = prepared.scale.denormalize(torch.cat(frames, 1))
    expected = whole if gradient == "all" else whole[:, -1:]
    torch.testing.assert_close(prediction, expected)
    assert torch.equal(prepared.target, batch.target if gradient == "all" else batch.target[:, -1:])
    task.loss(prediction, prepared).backward()
    found = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    if gradient == "all":
        loss = task.loss(whole, prepared)
    else:
        window = torch.cat([prepared.inputs["history"], *frames], 1)[:, 2:-1].detach()
        last = model(window[:, -batch.history.shape[1] :], field_names=batch.names).prediction
        loss = task.loss(prepared.scale.denormalize(last), prepared)
    loss.backward()
    for name, parameter in model.named_parameters():
        if parameter.grad is not None:
            torch.testing.assert_close(found[name], parameter.grad)


def test_rollouts_and_noise_change_along_the_training():
    task, _, batch = rolled(4, rollout_growth=0.5, noise_fraction_end=0.1)
    lengths = []
    for progress in (0.0, 0.2, 0.4, 0.5, 1.0):
        task.progress = progress
        lengths.append(task.prepare(batch, seeded()).num_steps)
    assert lengths == [1, 2, 3, 4, 4]
    assert task.num_target_frames == 4
    task.progress = 0.25
    noisy = task.prepare(batch, seeded()).inputs["history"]
    clean = task.prepare(batch).inputs["history"]
    task.progress = 0.5
    more = task.prepare(batch, seeded()).inputs["history"]
    torch.testing.assert_close(more - clean, 2 * (noisy - clean), rtol=1e-3, atol=1e-5)
