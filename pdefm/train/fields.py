"""Which fields a fine-tuning has to do with: those of the base, of the data, and of the task."""

import math
from typing import Any

import torch

from pdefm.data.batch import collate
from pdefm.errors import ModelError
from pdefm.models.dpot.modeling_dpot import DPOTModel
from pdefm.models.processing_pde import PDEProcessor
from pdefm.tasks.base import FieldPlan, Task
from pdefm.train.data import OpenedSource, condition_statistics, evenly, head, make_processor

SAMPLES = 64  # trajectories of a source that the statistics of a task's own fields come from


def adapted_processor(base: PDEProcessor, sources: list[OpenedSource]) -> PDEProcessor:
    """The base's fields, with the statistics of the new data where the data have them."""
    own = make_processor(
        sources, history=base.history, horizon=base.horizon, normalization=base.normalization
    )
    own.fields = base.fields | own.fields
    own.conditions, own.min_history = base.conditions, base.min_history
    return own


def fit_processor(task: Task, sources: list[OpenedSource]) -> None:
    """Give the task's processor the statistics of what the task alone asks for.

    Raises:
        DataError: The data cannot serve the task.
        RecipeError: No trajectory has a parameter that is to be estimated.
    """
    for source in sources:
        for example in source.heads():
            task.check(example)
    found: dict[str, list[torch.Tensor]] = {}
    for source in sources:
        count = source.train.num_typical or len(source.train)
        for index in evenly(count, SAMPLES):
            batch = collate([head(source.train, index)], history=0)
            for name, values in task.extra_fields(batch).items():
                found.setdefault(name, []).append(values.double().flatten())
    for name, parts in found.items():
        values = torch.cat(parts)
        std = float(values.std(correction=0))
        mean = float(values.mean())
        task.processor.fields[name] = {
            "unit": "unknown",
            "mean": mean if math.isfinite(mean) else 0.0,
            "std": std,
        }
    if task.target_parameters:
        task.processor.targets = condition_statistics(sources, task.target_parameters)


def found_fields(task: Task, sources: list[OpenedSource]) -> list[str]:
    """Names of the data's fields, and of those that the task adds."""
    names: dict[str, None] = {}
    for source in sources:
        names |= dict.fromkeys(source.first.names)
        batch = collate([source.first], history=0)
        names |= dict.fromkeys(task.extra_fields(batch))
    return list(names)


def plan_fields(
    task: Task, base: DPOTModel, sources: list[OpenedSource], given: dict[str, str | None]
) -> FieldPlan:
    """What becomes of the base's fields; the processor forgets those that are dropped.

    Raises:
        ModelError: A field that neither the base nor the plan knows; says both ways to add it.
    """
    known = list(base.config.field_names or [])
    plan = task.field_plan(known, found_fields(task, sources), given)
    for source in sources:
        for name in source.first.names:
            if name not in plan.kept and name not in plan.added:
                raise ModelError(
                    f"{source.name}: the base does not know field '{name}'",
                    got=f"a base with {', '.join(known)}",
                    do=f"Add it with --add-field {name} (starts from zero) or"
                    f" --add-field {name}={known[0]} (starts from that field's weights)",
                )
    for name in plan.dropped:
        task.processor.fields.pop(name, None)
    return plan


def plan_values(plan: FieldPlan) -> dict[str, Any]:
    """What an adapter keeps of a plan."""
    return {"added_fields": plan.added, "dropped_fields": plan.dropped}
