"""PyTorch's FSDP2: weights, gradients and optimizer state spread over processes.

``fully_shard`` is called here, because accelerate 1.15 trains unsharded copies on machines without
GPUs and does not say so.
"""

import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor
from torch.optim import Optimizer

from pdefm.errors import EnvironmentFault
from pdefm.train.engines.base import Strategy, filled, skeleton

GATHERED = StateDictOptions(full_state_dict=True, cpu_offload=True)
SCATTERED = StateDictOptions(full_state_dict=True, broadcast_from_rank0=True)


def _shard(model: nn.Module, device: torch.device, world_size: int) -> None:
    """Shard every block that the model names, then the rest."""
    mesh = init_device_mesh(device.type, (world_size,))
    blocks: set[str] = set()
    for module in model.modules():
        blocks |= set(getattr(module, "_no_split_modules", None) or ())
    for module in list(model.modules()):
        if type(module).__name__ in blocks:
            fully_shard(module, mesh=mesh)
    fully_shard(model, mesh=mesh)
    whole = [name for name, weight in model.named_parameters() if not isinstance(weight, DTensor)]
    if whole:
        raise EnvironmentFault("FSDP2 left weights whole on every process", got=whole[0])


class FullySharded(Strategy):
    """FSDP2 behind the calls of the loop."""

    skeleton: nn.Module | None = None

    def wrap(self, model: nn.Module, optimizer: Optimizer) -> tuple[nn.Module, Any]:
        """Shard the model in place; the optimizer then holds the shards."""
        # The loop changes no output of the model in place.
        warnings.filterwarnings("ignore", message="FSDP2-wrapped module .* returned a view")
        if self.rank == 0:
            self.skeleton = skeleton(model)
        model.to(self.device)
        names = {id(weight): name for name, weight in model.named_parameters()}
        _shard(model, self.device, self.world_size)
        shards = dict(model.named_parameters())
        for group in optimizer.param_groups:
            group["params"] = [shards[names[id(weight)]] for weight in group["params"]]
        return model, optimizer

    def unwrap(self, model: nn.Module) -> nn.Module:
        """The model itself; its weights come when its ``forward`` runs."""
        return model

    @contextmanager
    def accumulate(self, model: nn.Module, *, last: bool) -> Iterator[None]:
        """Gradients are exchanged in the last micro-batch of a step only."""
        cast(FSDPModule, model).set_requires_gradient_sync(last)
        yield

    def backward(self, model: nn.Module, loss: Tensor) -> None:
        """Back-propagate."""
        loss.backward()

    def clip(self, model: nn.Module) -> float:
        """Clip by the norm over all shards."""
        norm = nn.utils.clip_grad_norm_(model.parameters(), self.section.max_grad_norm)
        return float(norm.full_tensor() if isinstance(norm, DTensor) else norm)

    def whole(self, model: nn.Module) -> AbstractContextManager[nn.Module]:
        """The weights come together in the host memory of process 0."""
        state = get_model_state_dict(model, options=GATHERED)
        return (
            nullcontext(model)
            if self.skeleton is None
            else filled(self.skeleton, cast(dict[str, Tensor], state))
        )

    def save(self, folder: Path, model: nn.Module, optimizer: Any) -> Any:
        """Weights and optimizer state by name, whole: any number of processes can load them."""
        return {
            "model": get_model_state_dict(model, options=GATHERED),
            "optimizer": get_optimizer_state_dict(model, optimizer, options=GATHERED),
        }

    def load(self, folder: Path, kept: Any, model: nn.Module, optimizer: Any) -> str | None:
        """Process 0 sends each process its shards."""
        first = self.rank == 0
        set_model_state_dict(model, kept["model"] if first else {}, options=SCATTERED)
        state = kept["optimizer"] if first else {}
        set_optimizer_state_dict(model, optimizer, state, options=SCATTERED)
        return None
