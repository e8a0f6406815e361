"""The model as a whole: what it takes, what it refuses, and what must never change a bit."""

import pytest
import torch
from transformers import AutoModel

from pdefm.errors import ModelError
from pdefm.models.dpot.modeling_dpot import DPOTModel, TokenGroupNorm, coordinates
from tests.tiny_dpot import NAMES, frames, randomize, tiny_config, tiny_model

LEGACY = {
    "mode_truncation": "one_sided",
    "spectral_output_bias": True,
    "prediction": "state",
    "num_modes": 2,
    "hidden_act": "silu",
}


def refusal(model, *arguments, **keywords) -> str:
    with pytest.raises(ModelError) as caught:
        model(*arguments, **keywords)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_wrong_number_of_frames_is_refused():
    text = refusal(tiny_model(), torch.cat([frames(), frames()], 1))
    assert "takes up to 3 frames of history: got 6" in text
    assert "got 0" in refusal(tiny_model(), frames()[:, :0])


def test_more_channels_than_names_are_refused():
    assert "3 channels for 2 field names" in refusal(tiny_model(), frames(3))
    assert "2 channels for 1 field names" in refusal(tiny_model(), frames(), ["density"])


def test_a_grid_that_the_patch_does_not_divide_is_refused():
    text = refusal(tiny_model(), frames(size=(16, 18)))
    assert "divisible by the patch size 4: got 16 x 18" in text


@pytest.mark.parametrize("shape", [(3, 2, 16, 16), (1, 3, 2, 8, 8, 8), (1, 3, 2, 64)])
@pytest.mark.usefixtures("users_shapes")
def test_a_history_with_other_axes_is_refused(shape):
    assert "[batch, frames, channel, x, y]" in refusal(tiny_model(), torch.zeros(shape))


@pytest.mark.parametrize("size", [(8, 24), (24, 8), (32, 32), (4, 4), (20, 12)])
@pytest.mark.parametrize("num_modes", [None, 2])
def test_any_grid_that_the_patch_divides_runs(size, num_modes):
    model = tiny_model(num_modes=num_modes, horizon=2)
    output = model(frames(size=size))
    assert output.prediction.shape == (2, 2, 2, *size)
    assert output.last_hidden_state.shape == (2, 16, size[0] // 4, size[1] // 4)
    assert output.prediction.isfinite().all()


def test_the_position_table_is_used_as_it_is_on_its_own_grid_and_interpolated_on_others():
    model = tiny_model()
    without = tiny_model(position_size=None)
    without.load_state_dict(model.state_dict(), strict=False)
    for size in ((16, 16), (32, 16)):
        expected = without(frames(size=size)).prediction
        assert (model(frames(size=size)).prediction - expected).norm() > 1e-2 * expected.norm()
        zero = tiny_model()
        torch.nn.init.zeros_(zero.time_aggregation.position)
        torch.testing.assert_close(zero(frames(size=size)).prediction, expected)
    torch.nn.init.constant_(model.time_aggregation.position, 0.3)
    small = model.time_aggregation(torch.zeros(1, 4, 4, 3, 8))
    large = model.time_aggregation(torch.zeros(1, 8, 6, 3, 8))
    torch.testing.assert_close(large, small[:, :1, :1].expand_as(large))


def test_coordinates_run_from_zero_to_one_along_their_own_axis():
    grid = coordinates(torch.linspace(0, 1, 3), (5, 9), "linear")
    assert grid.shape == (3, 3, 5, 9)
    assert grid[0, 0, :, 4].tolist() == [0.0, 0.25, 0.5, 0.75, 1.0]
    assert grid[2, 1, 3, [0, 4, 8]].tolist() == [0.0, 0.5, 1.0]
    assert grid[:, 2, 1, 1].tolist() == [0.0, 0.5, 1.0]


def test_fourier_coordinates_close_without_a_seam_and_mean_the_same_at_every_resolution():
    coarse, fine = (coordinates(torch.zeros(1), (n, 2 * n), "fourier")[0] for n in (4, 8))
    torch.testing.assert_close(fine[:, ::2, ::2], coarse)
    steps = torch.diff(fine[:2], dim=1, append=fine[:2, :1]).square().sum(0)  # along x, around
    torch.testing.assert_close(steps, steps[:1, :1].expand_as(steps))
    assert fine.shape == (5, 8, 16)  # sine and cosine of two axes, and time


def test_an_untrained_increment_model_is_persistence_bit_for_bit():
    torch.manual_seed(0)
    history = frames()
    for horizon in (1, 3):
        prediction = DPOTModel(tiny_config(horizon=horizon)).eval()(history).prediction
        assert torch.equal(prediction, history[:, -1:].expand_as(prediction))
    assert DPOTModel(tiny_config(prediction="state"))(history).prediction.std() > 1e-3


@pytest.mark.parametrize("filling", [float("nan"), float("inf"), 1e30])
def test_what_lies_outside_the_mask_never_reaches_the_output(filling):
    model, history = tiny_model(), frames()
    mask = torch.ones(2, 16, 16, dtype=torch.bool)
    mask[:, 5:9, 3:11] = False
    other = history.masked_fill(~mask[:, None, None], filling)
    expected = model(history, mask=mask).prediction
    assert expected.isfinite().all()
    assert torch.equal(model(other, mask=mask).prediction, expected)
    assert not torch.equal(model(history).prediction, expected)


@pytest.mark.parametrize("changes", [{}, LEGACY], ids=["default", "legacy"])
def test_a_saved_model_comes_back_bit_for_bit(tmp_path, changes):
    model, history = tiny_model(**changes), frames()
    model.save_pretrained(tmp_path)
    loaded = AutoModel.from_pretrained(tmp_path)
    assert type(loaded) is DPOTModel
    assert not loaded.training
    assert torch.equal(loaded(history).prediction, model(history).prediction)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "model.safetensors"]


@pytest.mark.parametrize("changes", [{}, LEGACY], ids=["default", "legacy"])
def test_every_parameter_receives_a_gradient(changes):
    model = tiny_model(**changes)
    model(frames()).prediction.square().sum().backward()
    without = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert without == []


def test_a_field_that_a_batch_lacks_receives_no_gradient():
    model = tiny_model()
    model(frames(1), ["pressure"]).prediction.square().sum().backward()
    for weight in (model.patch_embedding.field_weight, model.decoder.field_weight):
        assert not weight.grad[0].any()
        assert weight.grad[1].any()


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_gradient_checkpointing_gives_the_same_gradients():
    gradients = []
    for checkpointing in (False, True):
        model = tiny_model().train()
        if checkpointing:
            model.gradient_checkpointing_enable()
        calls = []
        model.layers[0].mixer.register_forward_hook(lambda *_, calls=calls: calls.append(1))
        model(frames()).prediction.square().mean().backward()
        assert len(calls) == (2 if checkpointing else 1)
        gradients.append([p.grad for p in model.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))


def test_bfloat16_autocast_stays_close():
    model, history = tiny_model(), frames()
    expected = model(history).prediction
    with torch.autocast("cpu", torch.bfloat16):
        prediction = model(history).prediction
    error = (prediction.float() - expected).norm() / (expected - history[:, -1:]).norm()
    assert 1e-5 < error < 0.05  # bfloat16 was used, and its eight bits were enough


@pytest.mark.parametrize("mixer", ["afno", "fno", "axial_attention"])
def test_bfloat16_autocast_gives_nearly_the_same_gradients(mixer):
    model, history = tiny_model(mixer=mixer, num_modes=2).train(), frames()
    gradients = []
    for enabled in (False, True):
        model.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            prediction = model(history).prediction
        (prediction.float() - history[:, -1:]).square().mean().backward()
        gradients.append(torch.cat([p.grad.flatten() for p in model.parameters()]))
    error = (gradients[1] - gradients[0]).norm() / gradients[0].norm()
    assert 1e-5 < error < 0.05


def test_a_sample_does_not_see_the_others_of_its_batch():
    model, history = tiny_model(), frames(batch=4)
    torch.testing.assert_close(model(history).prediction[2:3], model(history[2:3]).prediction)


def test_the_frames_are_not_interchangeable():
    model, history = tiny_model(prediction="state"), frames()
    there, back = model(history).prediction, model(history.flip(1)).prediction
    assert (there - back).norm() > 1e-2 * there.norm()
    with torch.no_grad():  # the same weights at every time, and no time in the coordinates
        aggregation, embedding = model.time_aggregation, model.patch_embedding
        aggregation.weight[:] = aggregation.weight[:1].clone()
        aggregation.gamma.zero_()
        embedding.coordinate_weight[-1] = 0.0
    there, back = model(history).prediction, model(history.flip(1)).prediction
    torch.testing.assert_close(there, back)


def test_the_weights_of_a_new_model_depend_on_the_seed_alone():
    models = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        models.append(DPOTModel(tiny_config()).state_dict())
    assert all(torch.equal(models[0][name], models[1][name]) for name in models[0])
    assert not torch.equal(models[0]["layers.0.fc1.weight"], models[2]["layers.0.fc1.weight"])
    assert all(tensor.isfinite().all() for tensor in models[0].values())


def test_randomize_moves_every_weight():
    """The tests above rest on it."""
    before, after = DPOTModel(tiny_config()), tiny_model()
    randomize(after, 1)
    pairs = zip(before.parameters(), after.parameters(), strict=True)
    assert all((a != b).all() for a, b in pairs)
    assert tuple(before.config.field_names) == NAMES


def test_a_model_in_one_dimension_runs_and_interpolates_its_positions():
    model = tiny_model(num_dims=1, position_size=[4], conditions=["boundary"], mask_channel=True)
    for size in (16, 24):
        history = torch.randn(2, 3, 2, size)
        prediction = model(history, mask=torch.ones(2, size, dtype=torch.bool)).prediction
        assert prediction.shape == (2, 1, 2, size)
        assert prediction.isfinite().all()


@pytest.mark.parametrize("frozen", ["weight", "bias", None])
def test_a_norm_whose_input_needs_no_gradient_trains(frozen):
    norm = TokenGroupNorm(8, 64)
    if frozen is not None:
        getattr(norm, frozen).requires_grad_(False)
    tokens = torch.randn(2, 4, 4, 64)
    norm(tokens).square().sum().backward()
    expected = torch.nn.GroupNorm(8, 64)
    expected(tokens.movedim(-1, 1).contiguous()).square().sum().backward()
    for name in {"weight", "bias"} - {frozen}:
        torch.testing.assert_close(getattr(norm, name).grad, getattr(expected, name).grad)
