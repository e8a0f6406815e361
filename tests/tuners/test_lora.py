"""LoRA: the base stays as it is, a few weights move, and only they are stored."""

import copy

import pytest
import torch

from pdefm.errors import ModelError
from pdefm.models.mixers import MIXERS
from pdefm.tuners.base import trainable_share
from pdefm.tuners.lora import LoraOptions, LoraTuner
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
    assert any("patch_embedding.modules_to_save" in name for name in names)
    for name in names:
        assert "lora_" in name or "modules_to_save" in name, name
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


def test_training_leaves_the_base_bit_unchanged():
    base = tiny_model()
    before = copy.deepcopy(base.state_dict())
    model = tuner().apply(base)
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=1.0)
    for _ in range(2):
        model(frames()).prediction.square().mean().backward()
        optimizer.step()
    assert not torch.equal(model(frames()).prediction, tiny_model()(frames()).prediction)
    with model.disable_adapter():
        assert torch.equal(model(frames()).prediction, tiny_model()(frames()).prediction)
    model.unload()
    assert all(torch.equal(before[name], base.state_dict()[name]) for name in before
               if not name.startswith(("patch_embedding", "decoder")))  # fmt: skip


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


def test_every_module_with_field_slices_trains_by_default():
    model = tuner().apply(tiny_model(instance_normalization=True))
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    for module in ("patch_embedding", "decoder", "modulation"):
        assert any(f"{module}.modules_to_save" in name for name in trained)


@pytest.mark.parametrize("mixer", sorted(MIXERS))
def test_the_defaults_change_every_mixer_and_the_mlps(mixer):
    model = tuner().apply(tiny_model(mixer=mixer, num_modes=2))
    changed = {name for name, p in model.named_parameters() if p.requires_grad}
    for part in ("layers.0.mixer", "layers.1.mixer", "fc1", "fc2"):
        assert any(part in name and "lora" in name for name in changed), part
