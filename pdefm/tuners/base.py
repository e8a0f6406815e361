"""The contract of a tuner."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from pdefm.config import Section
from pdefm.errors import ModelError
from pdefm.models.dpot.modeling_dpot import DPOTModel


class Tuner(ABC):
    """Decides which weights train, and how only those are stored.

    Args:
        options: Validated options of the tuner.
    """

    name: ClassVar[str]
    options_class: ClassVar[type[Section]]

    def __init__(self, options: Section) -> None:
        self.options = options

    @abstractmethod
    def apply(self, model: DPOTModel) -> nn.Module:
        """Make the right weights trainable, wrapping the model if need be."""

    @abstractmethod
    def state(self, model: nn.Module) -> dict[str, Tensor]:
        """What an adapter stores of a model that :meth:`apply` returned."""

    @abstractmethod
    def load_state(self, model: nn.Module, state: dict[str, Tensor]) -> None:
        """Put stored weights into a model that :meth:`apply` returned.

        Raises:
            ModelError: Missing, unknown or wrongly shaped tensors.
        """

    def loss(
        self, of_task: Callable[[], Tensor], prediction: Tensor, target: Tensor, mask: Tensor | None
    ) -> Tensor:
        """Scalar that the training minimises: the task's, unless the tuner weighs errors anew.

        Args:
            of_task: Computes the task's own loss.
            prediction: What the task predicts, physical units.
            target: What it should be.
            mask: True inside the domain.
        """
        return of_task()

    def merge(self, model: nn.Module) -> DPOTModel:
        """A plain model with the adapter in its own weights; ``model`` is used up.

        Raises:
            ModelError: What this tuner adds has no place in a plain model.
        """
        raise ModelError(
            f"an adapter of tuner '{self.name}' cannot be merged", do="Keep it as an adapter"
        )

    def config(self, model: nn.Module) -> dict[str, Any]:
        """Keys that ``adapter_config.json`` carries for other libraries."""
        return {}


def trainable_share(model: nn.Module) -> tuple[int, int]:
    """Number of trainable parameters, and of all."""
    counts = [(p.numel(), p.requires_grad) for p in model.parameters()]
    return sum(n for n, trains in counts if trains), sum(n for n, _ in counts)


def trainable_state(model: nn.Module) -> dict[str, Tensor]:
    """The weights that train, under their own names."""
    return {name: p.detach() for name, p in model.named_parameters() if p.requires_grad}


def load_trainable_state(model: nn.Module, state: dict[str, Tensor]) -> None:
    """Undo :func:`trainable_state`.

    Raises:
        ModelError: Missing, unknown or wrongly shaped tensors.
    """
    expected = trainable_state(model)
    if wrong := sorted(state.keys() ^ expected.keys()):
        raise ModelError("adapter weights do not fit the base", got=wrong[0])
    for name, tensor in state.items():
        if tensor.shape != expected[name].shape:
            raise ModelError(
                f"adapter tensor {name} must be {list(expected[name].shape)}",
                got=list(tensor.shape),
            )
    with torch.no_grad():
        for name, tensor in state.items():
            expected[name].copy_(tensor)
