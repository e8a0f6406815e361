"""What every engine does for the loop, and the one that keeps whole copies."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from pdefm.train.recipe import TrainSection


class Strategy(ABC):
    """One way of spreading a training over processes; all methods are collective.

    Args:
        section: Clipping and batch sizes.
        device: Of this process.
        rank: Number of this process; process 0 writes what exists once.
        world_size: Number of processes.
    """

    def __init__(
        self, section: TrainSection, device: torch.device, rank: int, world_size: int
    ) -> None:
        self.section, self.device = section, device
        self.rank, self.world_size = rank, world_size

    @abstractmethod
    def wrap(self, model: nn.Module, optimizer: Optimizer) -> tuple[nn.Module, Any]:
        """Model and optimizer as the loop uses them."""

    @abstractmethod
    def unwrap(self, model: nn.Module) -> nn.Module:
        """The model inside the wrappers; every process calls its ``forward`` alike."""

    @abstractmethod
    def accumulate(self, model: nn.Module, *, last: bool) -> AbstractContextManager[Any]:
        """Around one micro-batch; gradients need not be exchanged before the last of a step."""

    @abstractmethod
    def backward(self, model: nn.Module, loss: Tensor) -> None:
        """Back-propagate."""

    @abstractmethod
    def clip(self, model: nn.Module) -> float:
        """Clip the gradient norm, now or in the step that follows; returns the norm before."""

    @abstractmethod
    def whole(self, model: nn.Module) -> AbstractContextManager[nn.Module]:
        """A plain module with all weights to write from; only process 0 may use it."""

    @abstractmethod
    def save(self, folder: Path, model: nn.Module, optimizer: Any) -> Any:
        """Write this process's own files; returns what process 0 keeps in the common file."""

    @abstractmethod
    def load(self, folder: Path, kept: Any, model: nn.Module, optimizer: Any) -> str | None:
        """Undo :meth:`save`.

        Returns:
            What had to be converted on the way, for the journal; ``None`` if nothing.

        Raises:
            ModelError: The state does not fit.
        """


def skeleton(model: nn.Module) -> nn.Module:
    """A copy of a module without memory for its tensors."""
    tensors = [*model.parameters(), *model.buffers()]
    memo: dict[int, Any] = {id(tensor): tensor.to("meta") for tensor in tensors}
    for parameter in model.parameters():
        memo[id(parameter)] = nn.Parameter(memo[id(parameter)], parameter.requires_grad)
    return deepcopy(model, memo)


@contextmanager
def filled(module: nn.Module, state: dict[str, Tensor]) -> Iterator[nn.Module]:
    """A skeleton that has tensors inside the block; an empty state leaves it as it is."""
    if not state:
        yield module
        return
    module.load_state_dict(state, assign=True)
    try:
        yield module
    finally:
        module.to("meta")
