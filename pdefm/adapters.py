"""Adapter: a task, the weights that a tuner moved, and the processor, tied to one base.

::

    adapter/
      adapter_config.json          base {name, revision, sha256}, task, tuner, added_fields, recipe;
                                   for LoRA also PEFT's keys, so that PEFT reads it too
      adapter_model.safetensors
      processor_config.json
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from pdefm.config import section_from_dict
from pdefm.errors import ModelError
from pdefm.files import write_json_atomic
from pdefm.models.dpot.modeling_dpot import DPOTModel
from pdefm.models.loading import load_processor, weights_sha256
from pdefm.models.processing_pde import PDEProcessor
from pdefm.tuners import TUNERS
from pdefm.tuners.base import Tuner

FORMAT_VERSION = 1
CONFIG_NAME = "adapter_config.json"
WEIGHTS_NAME = "adapter_model.safetensors"


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
        recipe: Resolved recipe of the training.
    """

    base: BaseReference
    task: str
    tuner: str
    tuner_options: dict[str, Any] = field(default_factory=dict)
    added_fields: dict[str, str | None] = field(default_factory=dict)
    recipe: dict[str, Any] = field(default_factory=dict)

    def make_tuner(self) -> Tuner:
        """The tuner with its options."""
        tuner_class = TUNERS[self.tuner]
        options = section_from_dict(tuner_class.options_class, self.tuner_options, "tuner_options")
        return tuner_class(options)

    def attach(self, model: DPOTModel) -> nn.Module:
        """Add the fields and wrap the base for training; outputs for known fields stay."""
        if self.added_fields:
            model.add_fields(self.added_fields)
        return self.make_tuner().apply(model)


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
    tensors = {name: t.detach().cpu().contiguous() for name, t in tuner.state(model).items()}
    save_file(tensors, folder / WEIGHTS_NAME, metadata={"format": "pt"})
    processor.save_pretrained(folder)
    own = {
        "format_version": FORMAT_VERSION,
        "base": vars(adapter.base),
        "task": adapter.task,
        "tuner": adapter.tuner,
        "tuner_options": adapter.tuner_options,
        "added_fields": adapter.added_fields,
        "recipe": adapter.recipe,
    }
    foreign = tuner.config(model) | {"base_model_name_or_path": adapter.base.name}
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
        known = {name: content[name] for name in Adapter.__dataclass_fields__}
        return Adapter(**{**known, "base": BaseReference(**known["base"])})
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, KeyError, TypeError) as error:
        raise ModelError(
            f"{folder} is no adapter of pdefm",
            got=f"{type(error).__name__} {error}",
            do=f"Give a folder with {CONFIG_NAME} and {WEIGHTS_NAME}",
        ) from error


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
    adapter = read_adapter(folder)
    found = weights_sha256(model)
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
    adapted = adapter.attach(model)
    adapter.make_tuner().load_state(adapted, state)
    return adapted.eval(), load_processor(folder)
