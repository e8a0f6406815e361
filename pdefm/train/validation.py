"""Losses and errors of a run."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from pdefm.data.batch import Batch
from pdefm.tasks.base import Task


def mean_loss(totals: Tensor) -> float:
    """Mean over all micro-batches of ``[source, (sum, count)]``."""
    return float(totals[:, 0].sum() / totals[:, 1].sum())


class Interrupted(Exception):  # noqa: N818  # nothing went wrong
    """A validation that was asked to stop."""


@torch.no_grad()
def validation_errors(
    model: nn.Module,
    task: Task,
    validation: dict[str, list[Batch]],
    device: torch.device | str = "cpu",
    interrupted: Callable[[], bool] | None = None,
) -> dict[str, float]:
    """Mean relative L2 error of every source, over samples and target frames.

    Raises:
        Interrupted: ``interrupted``, asked before each batch, said so.
    """
    errors = {}
    for name, batches in validation.items():
        found = []
        for batch in batches:
            if interrupted is not None and interrupted():
                raise Interrupted
            prepared = task.prepare(batch.to(device))
            found.append(task.metrics(task.predict(model, prepared), prepared)["relative_l2"])
        errors[name] = float(torch.cat(found).mean())
    return errors


@torch.no_grad()
def baseline_errors(
    task: Task,
    validation: dict[str, list[Batch]],
    device: torch.device | str = "cpu",
    model: nn.Module | None = None,
) -> dict[str, dict[str, float]]:
    """Mean relative L2 error of every baseline of the task on every source.

    Args:
        task: Its baselines.
        validation: Batches of every source.
        device: Where the model lies.
        model: Before the task's training; without it, only what needs no model is measured.
    """
    found: dict[str, dict[str, list[torch.Tensor]]] = {}
    for name, batches in validation.items():
        for batch in batches:
            prepared = task.prepare(batch.to(device))
            predictions = task.baselines(prepared)
            if model is not None:
                predictions |= task.model_baselines(model, prepared)
            for label, prediction in predictions.items():
                errors = task.metrics(prediction, prepared)["relative_l2"]
                found.setdefault(label, {}).setdefault(name, []).append(errors)
    return {
        label: {name: float(torch.cat(parts).mean()) for name, parts in by_source.items()}
        for label, by_source in found.items()
    }
