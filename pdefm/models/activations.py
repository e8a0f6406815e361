"""Activations by name: those of transformers, and the three that the published DPOT adds."""

from functools import partial

from torch import nn
from transformers.activations import ACT2FN

# The published code calls these `leaky_relu` (with this slope), `softplus` and `ELU`.
OWN = {
    "leaky_relu_0.1": partial(nn.LeakyReLU, 0.1),
    "softplus": nn.Softplus,
    "elu": nn.ELU,
}


def activation_names() -> list[str]:
    """Every name that ``hidden_act`` may have."""
    return sorted({*ACT2FN, *OWN})


def make_activation(name: str) -> nn.Module:
    """A new module; modules are never shared between layers."""
    return OWN[name]() if name in OWN else ACT2FN[name]
