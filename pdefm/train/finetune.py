"""From a base, some data, a task and a tuner to a run folder with an adapter."""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import nn

from pdefm.adapters import WEIGHTS_NAME, Adapter, BaseReference, save_adapter, tuner_loss
from pdefm.config import section_from_dict
from pdefm.errors import RecipeError
from pdefm.models.loading import load_model, weights_sha256
from pdefm.models.processing_pde import PDEProcessor
from pdefm.tasks import TASKS
from pdefm.tasks.base import Task
from pdefm.train import ranks
from pdefm.train.accelerator import Engine
from pdefm.train.assemble import assemble_and_run
from pdefm.train.briefing import (
    comparison_line,
    doctor_lines,
    estimate_lines,
    measure,
    steps_within,
)
from pdefm.train.data import (
    OpenedSource,
    check_grids,
    make_mixture,
    open_sources,
    validation_batches,
)
from pdefm.train.fields import adapted_processor, fit_processor, plan_fields, plan_values
from pdefm.train.ranks import explained_loss
from pdefm.train.recipe import FinetuneRecipe
from pdefm.train.run_folder import RECIPE_NAME, check_run_folder, is_run_folder
from pdefm.train.session import Trainee
from pdefm.train.signals import handled_signals
from pdefm.train.validation import baseline_errors, validation_errors
from pdefm.tuners import TUNERS
from pdefm.tuners.base import trainable_share
from pdefm.yaml_text import parse_yaml


@handled_signals()
@explained_loss()
def finetune(
    recipe: FinetuneRecipe,
    base_folder: Path,
    out: str | Path,
    *,
    overwrite: bool = False,
    epochs: float | None = None,
    budget_seconds: float | None = None,
    announce: Callable[[str], None] | None = None,
) -> dict[str, Any]:
    """Adapt a base, or continue the run that ``out`` holds.

    Args:
        recipe: Resolved recipe; ``recipe.base`` is only recorded.
        base_folder: Where the base lies.
        out: Run folder; its checkpoints' ``model/`` is the adapter folder.
        overwrite: Remove a run that is there and start anew.
        epochs: Replaces ``train.max_steps`` by so many passes over the training windows.
        budget_seconds: Replaces it by what ends in this time, from the start of this call.
        announce: Told, before the first step, the state of the data, what trains, memory and time,
            and what the result is compared with; an error in the data then stops the run.

    Returns:
        As :func:`~pdefm.train.pretrain.pretrain`, with ``num_trainable``.

    Raises:
        PdefmError: As the parts say.
    """
    started = time.perf_counter()
    out = Path(out)
    if epochs is not None or budget_seconds is not None:
        recipe = _with_steps_of_before(recipe, out, overwrite=overwrite)
    check_run_folder(out, recipe, overwrite=overwrite)
    task_class = TASKS[recipe.task]
    task_options = section_from_dict(task_class.options_class, recipe.task_options, "task_options")
    tuner_class = TUNERS[recipe.tuner]
    section_from_dict(tuner_class.options_class, recipe.tuner_options, "tuner_options")
    base, base_processor = load_model(base_folder)
    sha256 = weights_sha256(base)
    engine = Engine(recipe.train, out, recipe.seed)
    with engine.main_first():
        sources = open_sources(recipe.data, str(engine.device))
    say = announce if announce is not None and engine.is_main else _silent
    check_grids(sources, base.config.patch_size, base.config.num_dims)
    processor = adapted_processor(base_processor, sources)
    task = task_class(processor, task_options)
    _check_task(recipe, task, engine)
    fit_processor(task, sources)
    plan = plan_fields(task, base, sources, recipe.add_fields)
    for line in plan.lines():
        say(line)
    adapter = Adapter(
        base=BaseReference(recipe.base, sha256),
        task=recipe.task,
        tuner=recipe.tuner,
        tuner_options=recipe.tuner_options,
        **plan_values(plan),
        task_options=recipe.task_options,
        recipe=recipe.model_dump(mode="json"),
    )
    torch.manual_seed(recipe.seed)
    model = adapter.attach(base, processor)
    counts = trainable_share(model)
    if announce is not None or epochs is not None or budget_seconds is not None:
        left = None
        if budget_seconds is not None:
            left = budget_seconds - (time.perf_counter() - started)
        if is_run_folder(out) and not overwrite:
            epochs = left = None  # the steps are picked
        recipe = _briefed(recipe, engine, sources, processor, task, model, say, epochs, left)
        adapter = replace(adapter, recipe=recipe.model_dump(mode="json"))
    trainee = Trainee(
        model=model,
        task=task,
        write=lambda folder, module: save_adapter(folder, adapter, module, processor),
        read=lambda folder: adapter.load_state(model, load_file(folder / WEIGHTS_NAME)),
        title=f"finetune {recipe.name} ({recipe.tuner}, {counts[0]:,} weights)",
        loss=tuner_loss(recipe.tuner, recipe.tuner_options),
    )
    summary = assemble_and_run(recipe, out, engine, sources, trainee, overwrite=overwrite)
    return summary | {"num_parameters": counts[1], "num_trainable": counts[0]}


def _check_task(recipe: FinetuneRecipe, task: Task, engine: Engine) -> None:
    """Refuse what this task cannot have.

    Raises:
        RecipeError: Rollouts of a task that does not forecast, or shared weights.
    """
    if recipe.train.eval_rollout_steps not in (0, "auto") and not task.forecasts:
        raise RecipeError(
            f"train.eval_rollout_steps: task {recipe.task} does not forecast",
            got=recipe.train.eval_rollout_steps,
            do="Leave it out",
        )
    if engine.weights_are_sharded and not task.forecasts:
        raise RecipeError(
            f"task {recipe.task} needs its weights whole on every process",
            got="weights shared between the processes",
            do="Use train.zero_stage 0, 1 or 2, without train.fsdp",
        )


def _silent(line: str) -> None:
    """Nobody asked."""


def _with_steps_of_before(recipe: FinetuneRecipe, out: Path, *, overwrite: bool) -> FinetuneRecipe:
    """A run that goes on keeps the steps that were picked for it."""
    path = out / RECIPE_NAME
    if overwrite or not path.is_file():
        return recipe
    before = parse_yaml(path.read_text(), str(path))["train"]
    keys = ("max_steps", "warmup_steps", "eval_steps", "save_steps")
    keys += ("global_batch_size", "micro_batch_size")
    return _with_train(recipe, {key: before[key] for key in keys if key in before})


def _with_train(recipe: FinetuneRecipe, changes: dict[str, Any]) -> FinetuneRecipe:
    return recipe.model_copy(update={"train": recipe.train.model_copy(update=changes)})


def _briefed(
    recipe: FinetuneRecipe,
    engine: Engine,
    sources: list[OpenedSource],
    processor: PDEProcessor,
    task: Task,
    model: nn.Module,
    say: Callable[[str], None],
    epochs: float | None,
    seconds: float | None,
) -> FinetuneRecipe:
    """Look at the data, measure two short steps, pick the steps, and say what is to come."""
    config: Any = model.config
    for line in doctor_lines(sources, config.patch_size, processor.history, processor.horizon):
        say(line)
    mixture = make_mixture(
        sources,
        recipe,
        task,
        num_slots=engine.num_slots,
    )
    validation = validation_batches(sources, recipe.data, task)
    measured = measure(
        model,
        task,
        mixture,
        validation,
        engine.device,
        engine.num_slots // engine.world_size,
        recipe.seed,
        tuner_loss(recipe.tuner, recipe.tuner_options),
    )
    if seconds is not None:
        recipe = _with_train(recipe, ranks.from_main(steps_within(seconds, measured, recipe.train)))
    elif epochs is not None:
        num_windows = sum(len(pool) for s in mixture.sources for pool in s.windows)
        steps = max(1, round(epochs * num_windows / recipe.train.global_batch_size))
        recipe = _with_train(recipe, {"max_steps": steps})
    for line in estimate_lines(recipe, measured, *trainable_share(model)):
        say(line)
    model.eval()
    before = validation_errors(model, task, validation, engine.device)
    baselines = baseline_errors(task, validation, engine.device, model)
    model.train()
    say(comparison_line(before, baselines))
    return recipe
