"""An exponential moving average of the weights, which is what is validated and published."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


class ExponentialAverage:
    """``e <- d e + (1 - d) w`` after every step, with ``d = min(decay, (1 + n) / (10 + n))``.

    The smaller ``d`` of the first steps ``n`` forgets the random start (as in TensorFlow's
    ``ExponentialMovingAverage``).

    Args:
        model: The unwrapped model; only weights that train are averaged.
        decay: ``d`` in the long run.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.num_updates = 0
        self.weights: dict[str, Tensor] = {
            name: weight.detach().clone()
            for name, weight in model.named_parameters()
            if weight.requires_grad
        }

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Take in the weights after a step."""
        decay = min(self.decay, (1 + self.num_updates) / (10 + self.num_updates))
        self.num_updates += 1
        live = dict(model.named_parameters())
        for name, average in self.weights.items():
            average.lerp_(live[name], 1 - decay)

    def state(self, model: nn.Module) -> dict[str, Any]:
        """What a checkpoint keeps beside the averages, which are its model: the live weights."""
        live = dict(model.named_parameters())
        weights = {name: live[name].detach().clone() for name in self.weights}
        return {"num_updates": self.num_updates, "weights": weights}

    @torch.no_grad()
    def restore(self, model: nn.Module, state: dict[str, Any]) -> None:
        """Take the model's weights as the averages, and give it the live ones back."""
        live = dict(model.named_parameters())
        self.num_updates = state["num_updates"]
        for name, weight in state["weights"].items():
            self.weights[name] = live[name].detach().clone()
            live[name].copy_(weight)

    @contextmanager
    def applied(self, model: nn.Module) -> Iterator[None]:
        """The model has the averaged weights inside the block, and its own again after it."""
        self._swap(model)
        try:
            yield
        finally:
            self._swap(model)

    @torch.no_grad()
    def _swap(self, model: nn.Module) -> None:
        live = dict(model.named_parameters())
        for name, average in self.weights.items():
            own = live[name].detach().clone()
            live[name].copy_(average)
            average.copy_(own)
