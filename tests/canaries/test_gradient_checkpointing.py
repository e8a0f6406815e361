"""Activation checkpointing by transformers' own switches: same gradients, less kept, no warning."""

import warnings

import pytest
import torch

from tests.tiny_dpot import frames, tiny_model


def enable(model, name):
    """The deprecated name may say so; nothing else may be said."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        if name.startswith("gradient"):
            warnings.filterwarnings("ignore", ".*deprecated", FutureWarning)
        getattr(model, name)()


def step(model):
    """Gradients of one backward pass, and the bytes that autograd kept for it."""
    kept = 0

    def pack(tensor):
        nonlocal kept
        kept += tensor.numel() * tensor.element_size()
        return tensor

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            loss = model(frames()).prediction.square().mean()
        loss.backward()
    return {name: parameter.grad for name, parameter in model.named_parameters()}, kept


@pytest.mark.parametrize(
    "name", ["gradient_checkpointing_enable", "activation_checkpointing_enable"]
)
def test_checkpointing_keeps_less_and_changes_no_gradient(name):
    expected, kept_without = step(tiny_model(num_hidden_layers=4).train())
    model = tiny_model(num_hidden_layers=4).train()
    enable(model, name)
    assert model.is_activation_checkpointing
    assert all(layer.gradient_checkpointing for layer in model.layers)
    found, kept = step(model)
    assert kept < 0.7 * kept_without
    assert found.keys() == expected.keys()
    for key, gradient in expected.items():
        assert torch.equal(found[key], gradient), key


def test_checkpointing_can_be_switched_off_and_does_nothing_in_evaluation():
    model = tiny_model().train()
    model.activation_checkpointing_enable()
    _, kept_with = step(model)
    _, kept_in_evaluation = step(model.eval())
    model.train().activation_checkpointing_disable()
    _, kept_off = step(model)
    assert kept_with < kept_off == kept_in_evaluation
