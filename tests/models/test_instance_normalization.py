"""The model-internal scaling of every sample, and the modulation that remembers it."""

import pytest
import torch

from pdefm.models.dpot.modeling_dpot import DPOTModel
from tests.tiny_dpot import frames, tiny_config, tiny_model


def test_a_prediction_scales_with_its_sample_when_the_modulation_is_the_identity():
    torch.manual_seed(0)
    model = tiny_model(instance_normalization=True)
    with torch.no_grad():
        model.modulation.initialize()
    history = frames()
    plain = model(history).prediction
    scaled = model(5.0 * history + 3.0).prediction
    torch.testing.assert_close(scaled, 5.0 * plain + 3.0, atol=1e-3, rtol=1e-4)


def test_the_modulation_tells_the_scale():
    model = tiny_model(instance_normalization=True)
    history = frames()
    scaled, expected = model(5.0 * history).prediction, 5.0 * model(history).prediction
    assert (scaled - expected).norm() > 1e-2 * expected.norm()
    with torch.no_grad():  # the biases stay: a and b are the same for every sample
        model.modulation.scale_weight.zero_()
        model.modulation.shift_weight.zero_()
    scaled, expected = model(5.0 * history).prediction, 5.0 * model(history).prediction
    torch.testing.assert_close(scaled, expected, atol=1e-3, rtol=1e-4)


def test_the_modulation_is_what_its_docstring_states():
    module = tiny_model(instance_normalization=True).modulation
    latent, mean, std = (
        torch.randn(2, 4, 4, 16),
        torch.randn(2, 1, 2, 1, 1),
        torch.rand(2, 1, 2, 1, 1),
    )
    a, b = module.scale_bias.expand(2, -1), module.shift_bias.expand(2, -1)
    for field in range(2):
        for part, values in enumerate((mean, std)):
            value = values[:, 0, field, 0]  # [B, 1]
            a = a + value * module.scale_weight[field, part]
            b = b + value * module.shift_weight[field, part]
    expected = a[:, None, None] * latent + b[:, None, None]
    torch.testing.assert_close(module(latent, mean, std, [0, 1]), expected)


def test_a_constant_field_stays_finite():
    model = tiny_model(instance_normalization=True)
    history = frames()
    history[:, :, 1] = 2.0
    assert bool(torch.isfinite(model(history).prediction).all())


def test_values_outside_the_mask_do_not_count():
    model = tiny_model(instance_normalization=True)
    mask = torch.ones(2, 16, 16, dtype=torch.bool)
    mask[:, :5] = False
    first, second = frames(), frames()
    first[..., :5, :] = float("nan")
    second[..., :5, :] = 1e6
    a, b = (model(history, mask=mask).prediction for history in (first, second))
    assert bool(torch.isfinite(a).all())
    assert torch.equal(a, b)


@pytest.mark.parametrize("like", [None, "density"])
def test_adding_a_field_leaves_the_known_ones(like):
    model = tiny_model(instance_normalization=True)
    before = model(frames()).prediction
    model.add_fields({"energy": like})
    after = model(frames(), field_names=("density", "pressure")).prediction
    assert torch.equal(before, after)
    assert model.modulation.scale_weight.shape[0] == 3


def test_it_comes_back_from_a_folder(tmp_path):
    model = tiny_model(instance_normalization=True, num_dims=3, position_size=[2, 2, 2])
    model.save_pretrained(tmp_path)
    loaded = DPOTModel.from_pretrained(tmp_path)
    cube = torch.randn(1, 3, 2, 8, 8, 8, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        assert torch.equal(loaded(cube).prediction, model(cube).prediction)


def test_an_untrained_model_is_still_persistence():
    model = DPOTModel(tiny_config(instance_normalization=True)).eval()
    history = frames()
    torch.testing.assert_close(model(history).prediction, history[:, -1:], atol=1e-5, rtol=1e-5)


def test_the_rounding_noise_of_a_constant_field_is_not_blown_up():
    model = tiny_model(instance_normalization=True)
    history = frames()
    history[:, :, 1] = 5.0 + 1e-6 * frames()[:, :, 1]
    still = history.clone()
    still[:, :, 1] = 5.0
    difference = model(history).prediction - model(still).prediction
    assert difference[:, :, 0].abs().max() < 0.003  # without a floor the noise looks like a field
    published = tiny_model(instance_normalization=True, instance_std_floor=0.0)
    difference = published(history).prediction - published(still).prediction
    assert difference[:, :, 0].abs().max() > 0.05
