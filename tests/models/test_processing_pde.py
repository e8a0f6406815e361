"""Physical units in, normalised values out, and back; everything is saved with the weights."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoProcessor

from pdefm.data.trajectory import Trajectory
from pdefm.domain import Grid
from pdefm.errors import DataError, ModelError
from pdefm.models.processing_pde import PDEProcessor, sample_mean
from tests.tiny_dpot import NAMES, frames, tiny_model, tiny_processor


def make_trajectory(num_frames=5, mask=None, names=NAMES):
    fields = 3.0 + torch.randn(num_frames, len(names), 16, 16)
    return Trajectory(
        fields, names, Grid.regular((16, 16)), torch.arange(num_frames) * 0.1, mask=mask
    )


@settings(max_examples=50, deadline=None)
@given(
    mean=st.floats(-1e3, 1e3),
    std=st.floats(1e-3, 1e3),
    size=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    normalization=st.sampled_from(["field", "instance"]),
)
def test_denormalize_is_the_inverse_of_normalize(mean, std, size, normalization):
    entry = {"unit": "K", "mean": mean, "std": std}
    processor = PDEProcessor({"t": entry}, 2, normalization=normalization)
    physical = (mean + std * torch.randn(3, 2, 1, *size, dtype=torch.float64)).clone()
    scale = processor.scale(physical, ["t"])
    back = scale.denormalize(scale.normalize(physical))
    torch.testing.assert_close(back, physical, atol=1e-9 * (abs(mean) + std), rtol=1e-9)


def test_each_field_is_shifted_and_divided_by_its_own_statistics():
    processor, history = tiny_processor(), frames()
    scale = processor.scale(history, ("pressure", "density"))
    expected = torch.stack([(history[:, :, 0] - 0.5) / 2.0, history[:, :, 1]], 2)
    torch.testing.assert_close(scale.normalize(history), expected)


@pytest.mark.parametrize("normalization", ["field", "instance"])
@pytest.mark.parametrize("num_dims", [1, 2, 3])
def test_a_constant_field_is_shifted_and_not_divided(normalization, num_dims):
    entry = {"unit": "K", "mean": 300.0, "std": 0.0}
    processor = PDEProcessor({"t": entry}, 2, normalization=normalization)
    history = torch.full((2, 2, 1) + (6,) * num_dims, 300.0)
    scale = processor.scale(history, ["t"])
    assert torch.equal(scale.normalize(history), torch.zeros_like(history))
    assert torch.equal(scale.denormalize(scale.normalize(history)), history)


def test_instance_statistics_are_of_each_sample_alone():
    processor = tiny_processor(normalization="instance")
    history = frames() * torch.tensor([1.0, 100.0]).view(2, 1, 1, 1, 1) + 5.0
    normalised = processor.scale(history, NAMES).normalize(history)
    assert normalised.mean((1, 3, 4)).abs().max() < 1e-4
    torch.testing.assert_close(normalised.std((1, 3, 4), unbiased=False), torch.ones(2, 2))


def test_instance_statistics_use_the_history_only():
    processor = tiny_processor(normalization="instance")
    trajectory = make_trajectory()
    inputs = processor(trajectory)["history"]
    trajectory.fields[:2] += 1e3  # frames that the model does not see
    assert torch.equal(processor(trajectory)["history"], inputs)


def test_instance_statistics_use_the_inside_of_the_mask_only():
    processor = tiny_processor(normalization="instance")
    mask = torch.ones(2, 16, 16, dtype=torch.bool)
    mask[0, :8] = False
    history = frames()
    other = history.masked_fill(~mask[:, None, None], math.nan)
    scale = processor.scale(other, NAMES, mask)
    expected = history[:1, :, :, 8:]
    torch.testing.assert_close(scale.mean[:1], expected.mean((1, 3, 4), keepdim=True))
    torch.testing.assert_close(scale.std[:1], expected.std((1, 3, 4), keepdim=True, unbiased=False))
    plain = processor.scale(history, NAMES)
    torch.testing.assert_close(scale.mean[1:], plain.mean[1:])


def test_the_mean_inside_a_mask_is_counted_by_hand():
    values = torch.arange(8.0).view(1, 2, 1, 4)  # frames 0..3 and 4..7
    mask = torch.tensor([[True, False, False, True]])
    assert sample_mean(values, mask).item() == (0 + 3 + 4 + 7) / 4
    assert sample_mean(values).item() == 3.5


def test_the_inputs_run_through_a_model_as_they_are():
    trajectory = make_trajectory(mask=torch.rand(16, 16) > 0.2)
    inputs = tiny_processor()(trajectory)
    assert set(inputs) == {"history", "field_names", "mask"}
    expected = trajectory.fields[-3:, 1] / 2.0 - 0.25
    torch.testing.assert_close(inputs["history"][0, :, 1], expected)
    assert tiny_model()(**inputs).prediction.isfinite().all()
    assert "mask" not in tiny_processor()(make_trajectory())


def test_a_short_trajectory_is_refused():
    with pytest.raises(DataError) as caught:
        tiny_processor()(make_trajectory(2))
    assert "memory[0]: the model needs 3 frames of history: got 2" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_history_that_is_not_finite_is_refused(value):
    trajectory = make_trajectory()
    trajectory.fields[0, 0, 0, 0] = value  # before the history: nobody sees it
    tiny_processor()(trajectory)
    trajectory.fields[-1, 1, 3, 4] = value
    with pytest.raises(DataError, match="non-finite values in the history"):
        tiny_processor()(trajectory)


def test_values_outside_the_mask_may_be_anything():
    trajectory = make_trajectory(mask=torch.ones(16, 16, dtype=torch.bool))
    trajectory.mask[3, 4] = False
    trajectory.fields[-1, 1, 3, 4] = math.nan
    for normalization in ("field", "instance"):
        inputs = tiny_processor(normalization=normalization)(trajectory)
        assert tiny_model()(**inputs).prediction.isfinite().all()


def test_an_unknown_field_is_refused_with_the_nearest_name():
    with pytest.raises(ModelError, match=r"got 'presure'. Did you mean 'pressure'"):
        tiny_processor().scale(frames(), ("density", "presure"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"normalization": "instanze"}, "Did you mean 'instance'"),
        ({"fields": {"t": {"unit": "K"}}}, "field 't' has no mean, std"),
    ],
)
def test_a_wrong_processor_is_refused(changes, message):
    with pytest.raises(ModelError, match=message):
        tiny_processor(**changes)


def test_saving_keeps_every_attribute(tmp_path):
    processor = tiny_processor(
        horizon=4,
        normalization="instance",
        padding_value=1.0,
        boundaries=["periodic", "wall"],
        dt=[0.1, 0.30000000000000004],
        resolutions=[[16, 16], [32, 64]],
    )
    processor.save_pretrained(tmp_path)
    tiny_model().save_pretrained(tmp_path)  # AutoProcessor reads the model type there
    loaded = AutoProcessor.from_pretrained(tmp_path)
    assert type(loaded) is PDEProcessor
    keys = set(vars(processor)) - {"chat_template"}
    assert {"fields", "history", "horizon", "normalization", "padding_value", "boundaries"} <= keys
    assert {key: getattr(loaded, key) for key in keys} == {k: getattr(processor, k) for k in keys}


@pytest.mark.parametrize("normalization", ["field", "instance"])
def test_a_field_in_a_tiny_unit_is_scaled_like_any_other(normalization):
    fields = {"permeability": {"unit": "m2", "mean": 3e-12, "std": 1e-12}}
    processor = PDEProcessor(fields=fields, history=3, normalization=normalization)
    random = torch.Generator().manual_seed(0)
    history = 3e-12 + 1e-12 * torch.randn(2, 3, 1, 8, 8, generator=random)
    normalized = processor.scale(history, ("permeability",)).normalize(history)
    assert 0.8 < float(normalized.std()) < 1.2
