"""LoRA: the base stays as it is, a few weights move, and only they are stored."""

import copy

import pytest
import torch

from pdefm.adapters import WEIGHTS_NAME, Adapter, BaseReference, save_adapter
from pdefm.errors import ModelError
from pdefm.models.dpot.configuration_dpot import DPOTConfig
from pdefm.models.dpot.modeling_dpot import DPOTModel
from pdefm.models.mixers import MIXERS
from pdefm.models.processing_pde import PDEProcessor
from pdefm.tuners.base import trainable_share
from pdefm.tuners.lora import MLP_LAYERS, LoraOptions, LoraTuner
from tests.tiny_dpot import frames, randomize, tiny_model


def tuner(**options):
    return LoraTuner(LoraOptions(**({"r": 2} | options)))


def trained(seed=1, **options):
    model = tuner(**options).apply(tiny_model()).eval()
    randomize(model, seed, trainable_only=True)
    return model


def test_a_new_adapter_changes_no_bit_of_the_output():
    model = tuner().apply(tiny_model()).eval()
    assert torch.equal(model(frames()).prediction, tiny_model()(frames()).prediction)


def test_the_targets_and_the_field_slices_train_and_nothing_else():
    model = tuner().apply(tiny_model())
    names = {name for name, p in model.named_parameters() if p.requires_grad}
    assert any("fc1.lora_A" in name for name in names)
    assert any("mixer" in name and "lora_B" in name for name in names)
    assert any("upsample.lora_A" in name for name in names)
    whole = {name.removeprefix("base_model.model.") for name in names if "lora_" not in name}
    assert whole == {
        *("patch_embedding.field_weight", "patch_embedding.coordinate_weight"),
        *("patch_embedding.bias", "decoder.field_weight", "decoder.field_bias"),
        *("decoder.upsample_bias", "decoder.projection.weight", "decoder.projection.bias"),
    } & {name for name, _ in tiny_model().named_parameters()}
    assert {"patch_embedding.field_weight", "decoder.field_weight", "decoder.field_bias"} <= whole
    trainable, total = trainable_share(model)
    assert 0 < trainable < total


def test_every_trainable_weight_receives_a_gradient():
    model = trained().train()
    model(frames()).prediction.square().sum().backward()
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None, name
            assert parameter.grad.any(), name
        else:
            assert parameter.grad is None, name


def test_training_leaves_the_base_bit_unchanged_but_for_the_field_slices():
    base = tiny_model()
    before = copy.deepcopy(base.state_dict())
    model = tuner().apply(base)
    whole = {name.removeprefix("base_model.model.") for name in tuner().state(model)}
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=1.0)
    for _ in range(2):
        model(frames()).prediction.square().mean().backward()
        optimizer.step()
    assert not torch.equal(model(frames()).prediction, tiny_model()(frames()).prediction)
    model.unload()
    for name, tensor in base.state_dict().items():
        assert torch.equal(before[name], tensor) == (name not in whole), name


def test_the_update_is_scaled_by_alpha_over_r():
    changes = []
    for alpha in (2, 4):
        model = trained(lora_alpha=alpha, modules_to_save=(), target_modules=("fc1",),
                        target_parameters=())  # fmt: skip
        layer = model.base_model.model.layers[0].fc1
        z = torch.ones(1, 9, 16)
        changes.append(layer(z) - layer.base_layer(z))
    torch.testing.assert_close(changes[1], 2 * changes[0], atol=1e-5, rtol=1e-4)


def test_the_state_comes_back_onto_a_fresh_base():
    model = trained()
    state = {name: tensor.clone() for name, tensor in tuner().state(model).items()}
    assert sum(t.numel() for t in state.values()) == trainable_share(model)[0]
    fresh = tuner().apply(tiny_model()).eval()
    tuner().load_state(fresh, state)
    assert torch.equal(fresh(frames()).prediction, model(frames()).prediction)


def drop(state):
    del state[sorted(state)[0]]


def rename(state):
    state["bogus"] = state.pop(sorted(state)[0])


def widen(state):
    name = sorted(state)[0]
    state[name] = torch.cat([state[name], state[name]])


@pytest.mark.parametrize("edit", [drop, rename, widen])
def test_weights_that_do_not_fit_are_refused_by_name(edit):
    model = trained()
    before = model(frames()).prediction
    state = dict(tuner().state(model))
    first = sorted(state)[0]
    edit(state)
    with pytest.raises(ModelError) as caught:
        tuner().load_state(model, state)
    assert first in str(caught.value) or "bogus" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert torch.equal(model(frames()).prediction, before)


def test_the_state_of_another_rank_is_refused():
    with pytest.raises(ModelError, match="must be"):
        tuner(r=3).load_state(tuner(r=3).apply(tiny_model()), tuner().state(trained()))


@pytest.mark.parametrize(
    ("option", "name"),
    [("target_modules", "fc9"), ("target_parameters", "weight9"), ("modules_to_save", "head")],
)
def test_a_target_that_the_model_lacks_is_refused(option, name):
    model = tiny_model()
    with pytest.raises(ModelError, match=f"{option} names nothing in the model: got '{name}'"):
        tuner(**{option: (name,)}).apply(model)
    assert all(p.requires_grad for p in model.parameters())


def test_every_field_slice_trains():
    model = tuner().apply(tiny_model(instance_normalization=True))
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    base = model.base_model.model
    for module, name in base.field_slices():
        assert getattr(module, name).requires_grad
    assert "base_model.model.modulation.scale_weight" in trained


def test_a_module_that_is_named_to_train_whole_is_stored_in_full():
    model = trained(modules_to_save=("decoder", "time_aggregation"), target_modules=("fc1",))
    state = {name: tensor.clone() for name, tensor in tuner().state(model).items()}
    assert "base_model.model.decoder.upsample.weight" in state
    assert "base_model.model.time_aggregation.weight" in state
    options = {"modules_to_save": ("decoder", "time_aggregation"), "target_modules": ("fc1",)}
    fresh = tuner(**options).apply(tiny_model()).eval()
    tuner(**options).load_state(fresh, state)
    assert torch.equal(fresh(frames()).prediction, model(frames()).prediction)


def test_a_file_that_holds_the_whole_decoder_is_refused_in_one_line():
    state = dict(tuner().state(trained(modules_to_save=("patch_embedding", "decoder"),
                                       target_modules=MLP_LAYERS)))  # fmt: skip
    with pytest.raises(ModelError, match=r"do not fit the base: got base_model.*upsample") as found:
        tuner().load_state(tuner().apply(tiny_model()), state)
    assert "\n" not in str(found.value)


def test_the_adapter_of_the_tiny_shape_is_small(tmp_path):
    config = DPOTConfig(
        field_names=["a", "b", "c", "d"], patch_size=8, hidden_size=512, num_hidden_layers=4,
        num_attention_heads=4, patch_feature_size=35, decoder_size=32, history=10,
        position_size=[16, 16], coordinate_channels=True,
    )  # fmt: skip
    adapter = Adapter(BaseReference("tiny", ""), "forecasting", "lora")
    model = adapter.attach(DPOTModel(config))
    save_adapter(tmp_path, adapter, model, PDEProcessor({}, history=10))
    assert (tmp_path / WEIGHTS_NAME).stat().st_size < 2 * 2**20
    trained, total = trainable_share(model)
    assert trained < 0.05 * total


@pytest.mark.parametrize("mixer", sorted(MIXERS))
def test_the_defaults_change_every_mixer_and_the_mlps(mixer):
    model = tuner().apply(tiny_model(mixer=mixer, num_modes=2))
    changed = {name for name, p in model.named_parameters() if p.requires_grad}
    for part in ("layers.0.mixer", "layers.1.mixer", "fc1", "fc2", "upsample"):
        assert any(part in name and "lora" in name for name in changed), part
