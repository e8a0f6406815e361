"""Values that are cheap to compute again are not kept for the backward pass."""

import torch
from torch import nn
from torch.nn import functional as F

from pdefm.models.recompute import recomputed


def run(recompute):
    torch.manual_seed(0)
    x = torch.randn(7, 16, requires_grad=True)
    layer, made = nn.Linear(16, 3), []

    def make():
        made.append(1)
        return F.gelu(x)

    saved = []
    activated = F.gelu(x)
    if recompute:
        with recomputed(activated, make):
            y = layer(activated)
    else:
        with torch.autograd.graph.saved_tensors_hooks(lambda t: saved.append(t) or t, lambda t: t):
            y = layer(activated)
    y.square().sum().backward()
    return [x.grad, layer.weight.grad, layer.bias.grad], len(made), y


def test_gradients_are_bit_for_bit_those_of_keeping_the_value():
    kept, num_made, _ = run(recompute=False)
    assert num_made == 0
    again, num_made, _ = run(recompute=True)
    assert num_made == 1
    assert all(torch.equal(a, b) for a, b in zip(kept, again, strict=True))


def test_the_value_is_freed():
    import weakref

    x = torch.randn(5, 4, requires_grad=True)
    layer = nn.Linear(4, 2)
    activated = F.gelu(x)
    storage = weakref.ref(activated.untyped_storage())
    with recomputed(activated, lambda: F.gelu(x)):
        y = layer(activated)
    del activated
    assert storage() is None
    y.sum().backward()


def test_nothing_happens_without_gradients():
    x = torch.randn(5, 4)
    activated = F.gelu(x)
    with recomputed(activated, lambda: F.gelu(x)):
        assert torch.equal(activated @ torch.ones(4, 1), F.gelu(x) @ torch.ones(4, 1))
