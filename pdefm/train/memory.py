"""What a training needs of a GPU, of its host and of the disk, from shapes alone."""

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from pdefm.models.dpot.configuration_dpot import DPOTConfig
from pdefm.models.dpot.modeling_dpot import DPOTModel
from pdefm.train.engines.choice import LARGEST_BUCKET, EngineChoice
from pdefm.train.engines.speed import checkpoint_activations

BYTES = 4  # float32 weights, gradients and both Adam moments
MOMENTS = 2 * BYTES


@dataclass(frozen=True)
class Demand:
    """Bytes that one process needs.

    Args:
        weights: Its share of them.
        gradients: Its share of them.
        optimizer: Its share of moments and of ZeRO's own copy of the weights.
        exchange: Buffers, and weights of others that are there while they are used.
        activations: Of one micro-batch, kept for the backward pass.
        host: Memory of the host that an offloaded optimizer takes.
    """

    weights: int
    gradients: int
    optimizer: int
    exchange: int
    activations: int
    host: int

    @property
    def device(self) -> int:
        """All that lies on the GPU."""
        return self.weights + self.gradients + self.optimizer + self.exchange + self.activations

    def with_average(self, num_weights: int) -> "Demand":
        """With averaged weights beside the others."""
        return replace(self, weights=self.weights + BYTES * num_weights)


def demand(
    choice: EngineChoice, num_weights: int, largest_block: int, world_size: int, activations: int
) -> Demand:
    """What each engine keeps where.

    Args:
        choice: The engine.
        num_weights: Of the whole model.
        largest_block: Weights of the largest part that is collected at once.
        world_size: Processes.
        activations: Bytes of a micro-batch.
    """
    share = -(-num_weights // world_size)
    weights = BYTES * (share if choice.weights_are_sharded else num_weights)
    gradients = BYTES * (share if choice.zero_stage >= 2 or choice.fsdp else num_weights)
    exchange = BYTES * (num_weights if world_size > 1 else 0)  # DDP's buckets
    optimizer = MOMENTS * num_weights
    if choice.zero_stage:
        optimizer = (MOMENTS + BYTES) * share
        exchange = 2 * BYTES * min(num_weights, LARGEST_BUCKET)  # one is filled, one is sent
    if choice.fsdp:
        optimizer, exchange = MOMENTS * share, 0
    if choice.weights_are_sharded:
        exchange += 2 * 2 * BYTES * largest_block  # in use and coming; weights and gradients
    host = 0
    if choice.offload_optimizer:
        host, optimizer = optimizer + BYTES * share, 0  # gradients are updated from there
        gradients = 0 if choice.zero_stage >= 2 else gradients
    return Demand(weights, gradients, optimizer, exchange, activations, host)


def checkpoint_bytes(choice: EngineChoice, num_weights: int) -> int:
    """Size of a checkpoint: the model, and what its engine needs to go on."""
    state = MOMENTS
    if choice.zero_stage:
        state += BYTES  # its own copy of the weights
    if choice.zero_stage in (1, 2) or choice.fsdp:
        state += BYTES  # the weights once more, beside the optimizer
    return num_weights * (BYTES + state)


def activation_bytes(
    config: DPOTConfig, inputs: dict[str, Any], *, bf16: bool, checkpointing: bool
) -> int:
    """Bytes that the forward pass keeps for the backward pass, from shapes and types alone.

    An upper bound: the model computes some of it again.

    Args:
        config: The model.
        inputs: Of one micro-batch.
        bf16: With automatic mixed precision.
        checkpointing: Blocks keep their inputs only; one block at a time has all of its own.
    """
    kept = _kept(config, inputs, bf16, checkpointing)
    if not checkpointing:
        return kept
    whole = _kept(config, inputs, bf16, False)
    return kept + (whole - kept) // config.num_hidden_layers


def _kept(config: DPOTConfig, inputs: dict[str, Any], bf16: bool, checkpointing: bool) -> int:
    with torch.device("meta"):  # where nothing is drawn
        model = DPOTModel(config).train()
    fake = FakeTensorMode(allow_non_fake_inputs=True)
    with fake as mode, torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        model.to_empty(device="cpu")
        if checkpointing:
            checkpoint_activations(model)
        weights = {weight.untyped_storage()._cdata for weight in model.parameters()}
        storages: dict[int, Tensor] = {}

        def keep(tensor: Tensor) -> Tensor:
            storages.setdefault(tensor.untyped_storage()._cdata, tensor)
            return tensor

        def fake_of(value: Any) -> Any:
            if isinstance(value, dict):
                return {name: fake_of(entry) for name, entry in value.items()}
            return mode.from_tensor(value) if isinstance(value, Tensor) else value

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            output = model(**fake_of(inputs))
        del output
    return sum(t.untyped_storage().nbytes() for key, t in storages.items() if key not in weights)
