"""What is said before the first step: the data's state, what trains, memory, time, comparison."""

import math
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from pdefm.data.batch import Batch
from pdefm.data.checks.base import Expectations
from pdefm.data.doctor import quick_diagnosis
from pdefm.data.mixture import Mixture
from pdefm.data.online import OnlineCollection
from pdefm.errors import DataError, RecipeError
from pdefm.progress import duration
from pdefm.tasks.base import Prepared, Task, task_loss
from pdefm.train.data import OpenedSource, noise_generator
from pdefm.train.recipe import FinetuneRecipe, TrainSection

UNITS = {"s": 1.0, "sec": 1.0, "min": 60.0, "m": 60.0, "h": 3600.0}
BUDGET_SHARE = 0.8  # of a budget that is planned for; the rest is for saving, and for surprises
BUDGET_VALIDATIONS = 5
FEW_STEPS = 100  # with fewer, smaller batches learn more in the same time
SMALLEST_BATCH = 4


@dataclass(frozen=True)
class Measured:
    """Two short steps.

    Args:
        step_seconds: An optimizer step.
        validation_seconds: One validation.
        memory: Bytes of weights, gradients, moments and activations of a micro-batch.
    """

    step_seconds: float
    validation_seconds: float
    memory: int


def parse_budget(text: str, option: str = "--budget") -> float:
    """Seconds of ``10min``, ``90s`` or ``1.5h``.

    Args:
        text: As written on the command line.
        option: What it was given to, for the error.

    Raises:
        RecipeError: Anything else.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-z]+)\s*", text)
    if match is None or match[2] not in UNITS or float(match[1]) == 0:
        raise RecipeError(f"{option} is no time", got=f"'{text}'", do="Write 90s, 10min or 1.5h")
    return float(match[1]) * UNITS[match[2]]


def doctor_lines(
    sources: Sequence[OpenedSource], patch_size: int, history: int, horizon: int
) -> list[str]:
    """A line a source, and a line a finding.

    Raises:
        DataError: A finding is an error.
    """
    lines = []
    for source in sources:
        if isinstance(source.train, OnlineCollection):
            continue
        findings = quick_diagnosis(source.train, Expectations(patch_size, history, horizon))
        for finding in findings:
            if finding.severity == "error":
                raise DataError(
                    f"{source.name}: {finding.what} ({finding.code})",
                    got=f"{finding.got} in {finding.where()}",
                    do=finding.do,
                )
        size = f"{len(source.train)} trajectories to train on, {len(source.valid)} held out"
        lines.append(f"data {source.name}: {size}; {len(findings)} findings")
        lines += [f"  {f.severity} {f.code}: {f.what}" for f in findings if f.severity != "note"]
    return lines


def _forward(
    model: nn.Module,
    task: Task,
    batch: Batch,
    seed: int,
    minimised: Callable[[Task, Tensor, Prepared], Tensor],
) -> int:
    """A step without its update; returns the bytes that were kept for the backward pass."""
    known = {weight.untyped_storage().data_ptr() for weight in model.parameters()}
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in known:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    prepared = task.prepare(batch, noise_generator(seed, 0, 0))
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        loss = minimised(task, task.predict(model, prepared), prepared)
    loss.backward()
    return sum(kept.values())


def measure(
    model: nn.Module,
    task: Task,
    mixture: Mixture,
    validation: Mapping[str, list[Batch]],
    device: torch.device | str,
    num_turns: int,
    seed: int,
    loss: Callable[[Task, Tensor, Prepared], Tensor] = task_loss,
) -> Measured:
    """Time and memory of a step; the model and the random numbers are as before afterwards.

    Args:
        model: With the right weights trainable.
        task: Inputs, target and loss.
        mixture: Training micro-batches.
        validation: Batches of a validation.
        device: Where the training runs.
        num_turns: Micro-batches that a process takes a step.
        seed: Of the noise.
        loss: What is minimised.
    """
    model = model.to(device)
    was_training = model.training
    model.train()
    activations, seconds = 0, math.inf
    for _ in range(2):
        start = time.perf_counter()
        activations = _forward(model, task, mixture.load(0, 0).to(device), seed, loss)
        if torch.device(device).type == "cuda":
            torch.cuda.synchronize()
        seconds = min(seconds, time.perf_counter() - start)
    trainable = sum(w.numel() for w in model.parameters() if w.requires_grad)
    weights = sum(w.numel() * w.element_size() for w in model.parameters())
    model.zero_grad(set_to_none=True)
    model.eval()
    first = next(iter(validation.values()))[0]
    start = time.perf_counter()
    with torch.no_grad():
        task.predict(model, task.prepare(first.to(device)))
    once = time.perf_counter() - start
    model.train(was_training)
    batches = sum(map(len, validation.values()))
    return Measured(seconds * num_turns, once * batches, weights + 3 * 4 * trainable + activations)


def steps_within(seconds: float, measured: Measured, section: TrainSection) -> dict[str, Any]:
    """Keys of the ``train`` section with which a training ends in time.

    Where too few steps would fit, the batch is halved, down to a few samples a step.

    Args:
        seconds: That are left.
        measured: With the batch of ``section``.
        section: Says the batch.

    Raises:
        RecipeError: Not even a few steps fit.
    """
    left = BUDGET_SHARE * seconds - (BUDGET_VALIDATIONS + 1) * measured.validation_seconds
    batch, micro, step = section.global_batch_size, section.micro_batch_size, measured.step_seconds
    # Micro-batches shrink along, so that a step has as many of them as before.
    while left / step < FEW_STEPS and micro % 2 == 0 and batch // 2 >= SMALLEST_BATCH:
        batch, micro, step = batch // 2, micro // 2, step / 2
    steps = int(left / step)
    if steps < BUDGET_VALIDATIONS:
        raise RecipeError(
            f"--budget is too short for {BUDGET_VALIDATIONS} steps",
            got=f"{seconds:.0f} s, where a step takes {step:.1f} s",
            do="Give more time, a smaller model, or a smaller train.global_batch_size",
        )
    every = -(-steps // BUDGET_VALIDATIONS)
    return {
        "max_steps": steps,
        "warmup_steps": steps // 20,
        "eval_steps": every,
        "save_steps": every,
        "global_batch_size": batch,
        "micro_batch_size": micro,
    }


def estimate_lines(
    recipe: FinetuneRecipe, measured: Measured, trainable: int, total: int
) -> list[str]:
    """What trains, and what it takes."""
    section = recipe.train
    validations = section.max_steps // section.eval_steps + 1
    seconds = section.max_steps * measured.step_seconds
    seconds += validations * measured.validation_seconds
    return [
        f"trains: {trainable:,} of {total:,} weights ({trainable / total:.2%}) with"
        f" {recipe.tuner}, task {recipe.task}",
        f"memory: about {measured.memory / 2**20:,.0f} MiB;"
        f" time: about {duration(seconds)} for {section.max_steps} steps"
        f" ({measured.step_seconds:.2f} s a step)",
    ]


def comparison_line(
    before: Mapping[str, float], baselines: Mapping[str, Mapping[str, float]]
) -> str:
    """What the result is to be compared with."""
    listed = {"the base before training": before, **baselines}
    parts = [
        f"{label} {', '.join(f'{name} {error:.4f}' for name, error in errors.items())}"
        for label, errors in listed.items()
    ]
    return f"compared with, relative L2: {'; '.join(parts)}"
