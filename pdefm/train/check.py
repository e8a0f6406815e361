"""What a recipe will need, before an hour is spent."""

import math
from typing import Any

import torch

from pdefm.data.batch import Batch
from pdefm.data.mixture import Mixture
from pdefm.data.windows import EndlessWindows
from pdefm.errors import EnvironmentFault, RecipeError
from pdefm.models.dpot.modeling_dpot import DPOTModel
from pdefm.tasks.forecasting import ForecastingTask
from pdefm.train.data import (
    make_mixture,
    open_sources,
    validation_batches,
)
from pdefm.train.engines.choice import EngineChoice, choose_engine
from pdefm.train.memory import Demand, activation_bytes, checkpoint_bytes, demand
from pdefm.train.pretrain import design_model
from pdefm.train.recipe import DataSection, PretrainRecipe, TrainSection

MEBIBYTE = 2**20
GIBIBYTE = 2**30
# What the driver, the kernels and the fragments of the allocator take of a GPU.
USABLE_SHARE = 0.9


def check_recipe(
    recipe: PretrainRecipe, *, world_size: int = 1, gpu_memory: float | None = None
) -> dict[str, Any]:
    """Open the data, build the model without memory for it, run the shapes of one batch through it.

    Args:
        recipe: Resolved recipe.
        world_size: Processes that shall train it.
        gpu_memory: Of one GPU, GiB; ``None`` takes that of this machine, if it has one.

    Returns:
        Parameters; mebibytes that one process needs, by what they are for, and of checkpoints;
        shapes of the first micro-batch; samples and shares.

    Raises:
        RecipeError: The processes do not divide the batch.
        EnvironmentFault: It does not fit into a GPU.
        PdefmError: Whatever a run of the recipe would meet in its first step.
    """
    section = recipe.train
    _check_batch(section, world_size)
    choice = choose_engine(section)
    sources = open_sources(_few_samples(recipe.data))
    config, processor = design_model(recipe, sources)
    task = ForecastingTask(processor, recipe.task)
    mixture = make_mixture(
        sources,
        recipe,
        task,
        num_slots=section.global_batch_size // section.micro_batch_size,
    )
    validation_batches(sources, recipe.data, task)
    batch = mixture.load(0, 0)
    prepared = task.prepare(batch)
    activations = activation_bytes(
        config, prepared.inputs, bf16=section.bf16, checkpointing=section.gradient_checkpointing
    )
    with torch.device("meta"):
        model = DPOTModel(config)
    block = sum(weight.numel() for weight in model.layers[0].parameters())
    num_weights = model.num_parameters()
    needed = demand(choice, num_weights, block, world_size, activations)
    if section.ema_decay is not None:
        needed = needed.with_average(num_weights)
    _check_memory(needed, gpu_memory)
    return {
        "parameters": num_weights,
        "fields": ", ".join(processor.fields),
        **_shapes(batch, prepared.target.shape[1]),
        **_processes(section, world_size, choice),
        **_memory(needed),
        **_checkpoints(section, choice, num_weights),
        **_windows(mixture, section),
        "left out, not finite": sum(len(source.dropped) for source in sources),
    }


def _few_samples(data: DataSection) -> DataSection:
    """As little as possible of the equations that a run would go on solving: shapes need no more.

    What is solved once stays whole, because the run finds it in the cache.
    """
    few = {"buffer": 1, "batch": 1, "workers": 0, "num_validation": 1}
    sources = [
        source
        if source.online is None
        else source.model_copy(update={"online": source.online.model_copy(update=few)})
        for source in data.sources
    ]
    return data.model_copy(update={"sources": sources})


def _check_batch(section: TrainSection, world_size: int) -> None:
    if section.global_batch_size % section.micro_batch_size:
        raise RecipeError(
            "train.global_batch_size must be a multiple of train.micro_batch_size",
            got=f"{section.global_batch_size} and {section.micro_batch_size}",
            do="Change one of them",
        )
    samples = section.micro_batch_size * world_size
    if section.global_batch_size % samples:
        fitting = math.gcd(section.global_batch_size, samples) // world_size
        smaller = section.global_batch_size % world_size == 0 and fitting
        advice = f"train.micro_batch_size {fitting} or " if smaller else ""
        raise RecipeError(
            "train.global_batch_size must be a multiple of micro_batch_size x processes",
            got=f"{section.global_batch_size} for {section.micro_batch_size} x {world_size}",
            do=f"Use {advice}a global batch that is a multiple of {samples}",
        )


def _check_memory(needed: Demand, gpu_memory: float | None) -> None:
    """Refuse what does not fit into a GPU."""
    if gpu_memory is None and torch.cuda.is_available():
        gpu_memory = torch.cuda.get_device_properties(0).total_memory / GIBIBYTE
    if gpu_memory is None or needed.device <= USABLE_SHARE * gpu_memory * GIBIBYTE:
        return
    largest = max(
        (needed.activations, "lower train.micro_batch_size or set train.gradient_checkpointing"),
        (needed.optimizer, "set train.zero_stage 1 or train.offload_optimizer"),
        (needed.gradients, "set train.zero_stage 2"),
        (needed.weights + needed.exchange, "set train.fsdp or train.zero_stage 3"),
    )
    raise EnvironmentFault(
        f"a process needs {needed.device / GIBIBYTE:.1f} GiB of GPU memory",
        got=f"{gpu_memory:g} GiB, of which {USABLE_SHARE:.0%} can be used",
        do=f"The largest part is {largest[0] / GIBIBYTE:.1f} GiB: {largest[1]}; or use more GPUs",
    )


def _shapes(batch: Batch, horizon: int) -> dict[str, Any]:
    history = batch.history.shape
    prediction = (history[0], horizon, *history[2:])
    return {
        "history": " x ".join(map(str, history)),
        "prediction": " x ".join(map(str, prediction)),
    }


def _processes(section: TrainSection, world_size: int, choice: EngineChoice) -> dict[str, Any]:
    mine = section.global_batch_size // world_size
    return {
        "processes": world_size,
        "engine": choice.name + (", offloaded" if choice.offload_optimizer else ""),
        "samples a step": section.global_batch_size,
        "samples a step and process": mine,
        "micro-batches a step and process": mine // section.micro_batch_size,
    }


def _memory(needed: Demand) -> dict[str, Any]:
    parts = {
        "training memory, MiB": needed.device,
        "weights, MiB": needed.weights,
        "gradients, MiB": needed.gradients,
        "optimizer, MiB": needed.optimizer,
        "exchange, MiB": needed.exchange,
        "activations of a micro-batch, MiB": needed.activations,
        "memory of the host, MiB": needed.host,
    }
    return {name: size / MEBIBYTE for name, size in parts.items()}


def _checkpoints(section: TrainSection, choice: EngineChoice, num_weights: int) -> dict[str, Any]:
    one = checkpoint_bytes(choice, num_weights)
    if section.ema_decay is not None:
        one += 4 * num_weights
    kept = section.save_total_limit + 1  # the next one is written before the oldest one goes
    if section.keep_every_steps is not None:
        kept += section.max_steps // section.keep_every_steps
    return {"checkpoint, MiB": one / MEBIBYTE, "disk, MiB": kept * one / MEBIBYTE}


def _windows(mixture: Mixture, section: TrainSection) -> dict[str, Any]:
    return {
        "windows": ", ".join(
            f"{s.name} {'endless' if isinstance(s.windows[0], EndlessWindows) else s.num_windows}"
            for s in mixture.sources
        ),
        "shares": ", ".join(f"{k} {v:.3f}" for k, v in mixture.shares(section.max_steps).items()),
    }
