"""Adapter: a task, the weights that a tuner moved, and the processor, tied to one base.

::

    adapter/
      adapter_config.json          base {name, revision, sha256}, task, tuner, added_fields, recipe;
                                   for LoRA also PEFT's keys, so that PEFT reads it too
      adapter_model.safetensors    the tuner's tensors, and those of the task's head under ``head.``
      processor_config.json
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from pdefm.config import section_from_dict
from pdefm.errors import ModelError
from pdefm.files import write_json_atomic
from pdefm.models.dpot.configuration_dpot import DPOTConfig
from pdefm.models.dpot.modeling_dpot import DPOTModel
from pdefm.models.loading import load_processor, weights_sha256
from pdefm.models.processing_pde import PDEProcessor
from pdefm.tasks import TASKS
from pdefm.tasks.base import Prepared, Task
from pdefm.tuners import TUNERS
from pdefm.tuners.base import Tuner

FORMAT_VERSION = 1
CONFIG_NAME = "adapter_config.json"
WEIGHTS_NAME = "adapter_model.safetensors"
LATER = ("dropped_fields", "task_options")
"""Keys that the first adapters do not have."""
HEAD = "head"
HEAD_PREFIX = f"{HEAD}."


def make_tuner(name: str, options: dict[str, Any]) -> Tuner:
    """A tuner of the table.

    Raises:
        RecipeError: Unknown tuner or option.
    """
    tuner_class = TUNERS[name]
    return tuner_class(section_from_dict(tuner_class.options_class, options, "tuner_options"))


def tuner_loss(name: str, options: dict[str, Any]) -> Callable[[Task, Tensor, Prepared], Tensor]:
    """What a training with this tuner minimises under any task.

    Raises:
        RecipeError: Unknown tuner or option.
    """
    tuner = make_tuner(name, options)

    def minimised(task: Task, prediction: Tensor, prepared: Prepared) -> Tensor:
        def of_task() -> Tensor:
            return task.loss(prediction, prepared)

        return tuner.loss(of_task, prediction, prepared.target, prepared.mask)

    return minimised


@dataclass(frozen=True)
class BaseReference:
    """The base that an adapter belongs to."""

    name: str
    sha256: str
    revision: str | None = None


@dataclass(frozen=True)
class Adapter:
    """Everything about an adapter but its weights.

    Args:
        base: The model that it was trained on.
        task: Name in ``TASKS``.
        tuner: Name in ``TUNERS``.
        tuner_options: Options of the tuner.
        added_fields: Fields that the base did not know, and the field each started from.
        dropped_fields: Fields of the base that the adapted model has not.
        task_options: Options of the task.
        recipe: Resolved recipe of the training.
    """

    base: BaseReference
    task: str
    tuner: str
    tuner_options: dict[str, Any] = field(default_factory=dict)
    added_fields: dict[str, str | None] = field(default_factory=dict)
    recipe: dict[str, Any] = field(default_factory=dict)
    dropped_fields: list[str] = field(default_factory=list)
    task_options: dict[str, Any] = field(default_factory=dict)

    def make_task(self, processor: PDEProcessor) -> Task:
        """The task with its options."""
        task_class = TASKS[self.task]
        options = section_from_dict(task_class.options_class, self.task_options, "task_options")
        return task_class(processor, options)

    def make_tuner(self) -> Tuner:
        """The tuner with its options."""
        return make_tuner(self.tuner, self.tuner_options)

    def attach(self, model: DPOTModel, processor: PDEProcessor | None = None) -> nn.Module:
        """Add and drop the fields, wrap the base for training, and put the task's head beside it.

        Args:
            model: The base; outputs for the fields that it keeps stay.
            processor: Of the data; by default one without statistics.

        Returns:
            The adapted model; where the task has a head, it is the submodule ``head`` and trains.
        """
        if self.added_fields:
            model.add_fields(self.added_fields)
        if self.dropped_fields:
            model.drop_fields(self.dropped_fields)
        if processor is None:
            config = model.config
            processor = PDEProcessor({}, history=config.history, horizon=config.horizon)
        task = self.make_task(processor)
        head = task.head(cast(DPOTConfig, model.config))
        adapted = self.make_tuner().apply(model)
        if not task.uses_decoder:
            for name, weight in adapted.named_parameters():
                if ".decoder." in f".{name}":
                    weight.requires_grad_(False)
        if head is not None:
            device = next(adapted.parameters()).device
            adapted.add_module(HEAD, head.to(device).requires_grad_(True))
        return adapted

    def state(self, model: nn.Module) -> dict[str, Tensor]:
        """What is stored of a model that :meth:`attach` returned."""
        with without_head(model) as head:
            tensors = dict(self.make_tuner().state(model))
        own = {} if head is None else head.state_dict(prefix=HEAD_PREFIX)
        return tensors | own

    def load_state(self, model: nn.Module, state: dict[str, Tensor]) -> None:
        """Put stored weights into a model that :meth:`attach` returned.

        Raises:
            ModelError: Missing, unknown or wrongly shaped tensors.
        """
        with without_head(model) as head:
            prefix = "" if head is None else HEAD_PREFIX
            own = {name: t for name, t in state.items() if prefix and name.startswith(prefix)}
            rest = {name: tensor for name, tensor in state.items() if name not in own}
            if head is not None:
                try:
                    head.load_state_dict({name.removeprefix(prefix): t for name, t in own.items()})
                except RuntimeError as error:
                    detail = str(error).splitlines()[1].strip()
                    raise ModelError("weights of the task's head do not fit", got=detail) from error
            self.make_tuner().load_state(model, rest)


@contextmanager
def without_head(model: nn.Module) -> Iterator[nn.Module | None]:
    """Inside the block the model is as the tuner made it; gives the task's head."""
    modules = vars(model)["_modules"]
    head = modules.pop(HEAD, None)
    try:
        yield head
    finally:
        if head is not None:
            modules[HEAD] = head


def save_adapter(
    folder: str | Path, adapter: Adapter, model: nn.Module, processor: PDEProcessor
) -> None:
    """Write an adapter folder.

    Args:
        folder: An existing folder.
        adapter: What was trained.
        model: The model that :meth:`Adapter.attach` returned.
        processor: Statistics of the data that it was adapted to.
    """
    folder = Path(folder)
    tuner = adapter.make_tuner()
    tensors = {name: t.detach().cpu().contiguous() for name, t in adapter.state(model).items()}
    save_file(tensors, folder / WEIGHTS_NAME, metadata={"format": "pt"})
    processor.save_pretrained(folder)
    own = vars(adapter) | {"format_version": FORMAT_VERSION, "base": vars(adapter.base)}
    with without_head(model):
        foreign = tuner.config(model)
    foreign = foreign | {"base_model_name_or_path": adapter.base.name}
    write_json_atomic(folder / CONFIG_NAME, foreign | own)


def read_adapter(folder: str | Path) -> Adapter:
    """Read ``adapter_config.json``.

    Raises:
        ModelError: Missing, damaged, or written by a newer pdefm.
    """
    path = Path(folder) / CONFIG_NAME
    try:
        content = json.loads(path.read_text())
        written_by = content["format_version"]
        if written_by > FORMAT_VERSION:
            raise ModelError(
                f"{path} was saved by a newer pdefm (format {written_by})", do="Upgrade pdefm"
            )
        known = {
            part.name: content[part.name]
            for part in fields(Adapter)
            if part.name in content or part.name not in LATER
        }
        return Adapter(**{**known, "base": BaseReference(**known["base"])})
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, KeyError, TypeError) as error:
        raise ModelError(
            f"{folder} is no adapter of pdefm",
            got=f"{type(error).__name__} {error}",
            do=f"Give a folder with {CONFIG_NAME} and {WEIGHTS_NAME}",
        ) from error


def checked_adapter(
    base: DPOTModel, folder: str | Path, sha256: str | None = None
) -> tuple[Adapter, dict[str, Tensor], PDEProcessor]:
    """Read an adapter folder and make sure that it belongs to a base.

    Args:
        base: Unchanged since it was loaded.
        folder: Adapter folder.
        sha256: Hash of the base's weights, where it is known already.

    Raises:
        ModelError: Another base, or damaged files.
    """
    adapter = read_adapter(folder)
    found = weights_sha256(base) if sha256 is None else sha256
    if found != adapter.base.sha256:
        raise ModelError(
            f"adapter {folder} belongs to base '{adapter.base.name}' ({adapter.base.sha256[:12]})",
            got=f"a base with weights {found[:12]}",
            do=f"Load it onto '{adapter.base.name}'",
        )
    path = Path(folder) / WEIGHTS_NAME
    try:
        state = load_file(path)
    except (OSError, SafetensorError) as error:
        raise ModelError(f"cannot load {path}", got=str(error), do="Copy it again") from error
    for name, tensor in sorted(state.items()):
        if not bool(torch.isfinite(tensor).all()):
            raise ModelError(f"weights in {path} are not finite", got=name)
    return adapter, state, load_processor(folder)


def attach_adapter(model: DPOTModel, folder: str | Path) -> tuple[nn.Module, PDEProcessor]:
    """Put an adapter onto its base.

    Args:
        model: The base, unchanged since it was loaded; it is modified.
        folder: Adapter folder.

    Returns:
        The adapted model in evaluation mode, and the adapter's processor.

    Raises:
        ModelError: Another base, or damaged files.
    """
    adapter, state, processor = checked_adapter(model, folder)
    adapted = adapter.attach(model, processor)
    adapter.load_state(adapted, state)
    return adapted.eval(), processor
