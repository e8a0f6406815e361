"""Very small DPOTs, processors and batches; no weight is at its start, so that each one counts."""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from pdefm.adapters import Adapter, BaseReference
from pdefm.data.batch import Batch
from pdefm.data.trajectory import uniform_boundary
from pdefm.domain import BoundaryCondition
from pdefm.models.dpot.configuration_dpot import DPOTConfig
from pdefm.models.dpot.modeling_dpot import DPOTModel
from pdefm.models.loading import weights_sha256
from pdefm.models.processing_pde import PDEProcessor
from pdefm.tasks import TASKS
from pdefm.tasks.base import Task

NAMES = ("density", "pressure")
TASK_OPTIONS: dict[str, dict[str, Any]] = {"inverse": {"parameters": ["viscosity"]}}
"""What a task cannot do without."""
TARGETS = {"viscosity": {"log": True, "mean": 0.0, "std": 1.0}}


def tiny_config(**changes: Any) -> DPOTConfig:
    content: dict[str, Any] = {
        "field_names": list(NAMES),
        "patch_size": 4,
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "patch_feature_size": 8,
        "decoder_size": 8,
        "history": 3,
        "position_size": [4, 4],
    }
    return DPOTConfig(**(content | changes))


def randomize(model: torch.nn.Module, seed: int = 0, trainable_only: bool = False) -> None:
    """Move every weight away from zeros and ones."""
    random = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        if parameter.requires_grad or not trainable_only:
            parameter.data.normal_(0.0, 0.2, generator=random)


def tiny_model(seed: int = 0, **changes: Any) -> DPOTModel:
    model = DPOTModel(tiny_config(**changes)).eval()
    randomize(model, seed)
    return model


def tiny_processor(names: tuple[str, ...] = NAMES, **changes: Any) -> PDEProcessor:
    fields = {
        name: {"unit": f"u{i}", "mean": 0.5 * i, "std": 1.0 + i} for i, name in enumerate(names)
    }
    return PDEProcessor(**({"fields": fields, "history": 3} | changes))


def frames(num_channels: int = 2, *, batch: int = 2, size: tuple[int, int] = (16, 16)) -> Tensor:
    """Normalised history ``[batch, 3, channel, nx, ny]``."""
    random = torch.Generator().manual_seed(7)
    return torch.randn(batch, 3, num_channels, *size, generator=random)


def tiny_batch(names: tuple[str, ...] = NAMES, mask: Tensor | None = None, **changes: Any) -> Batch:
    random = torch.Generator().manual_seed(3)
    fields = 1.0 + torch.randn(2, 4, len(names), 16, 16, generator=random)
    content: dict[str, Any] = {
        "history": fields[:, :3],
        "target": fields[:, 3:],
        "names": names,
        "dt": torch.full((2,), 0.1),
        "extent": torch.ones(2, 2),
        "boundary": uniform_boundary(BoundaryCondition.PERIODIC, 2),
        "mask": mask,
    }
    return Batch(**(content | changes))


def task_names(task: str) -> tuple[str, ...]:
    """Fields of a model that can be given :func:`task_batch`."""
    return (*NAMES, "permeability") if task == "steady_state" else NAMES


def make_task(name: str, **options: Any) -> Task:
    """A task with a processor that knows :func:`task_batch`."""
    given = TASK_OPTIONS.get(name, {}) | options
    processor = tiny_processor(task_names(name), targets=TARGETS)
    return TASKS[name](processor, TASKS[name].options_class(**given))


def task_adapter(name: str, tuner: str = "full") -> Adapter:
    """What ties :func:`make_task` to a base."""
    base = BaseReference("tiny", weights_sha256(tiny_model(field_names=list(task_names(name)))))
    return Adapter(base, name, tuner, task_options=TASK_OPTIONS.get(name, {}))


def adapted_model(name: str, tuner: str = "full", seed: int = 0) -> torch.nn.Module:
    """A base with the task's head, trainable weights moved."""
    base = tiny_model(field_names=list(task_names(name)))
    processor = tiny_processor(task_names(name), targets=TARGETS)
    model = task_adapter(name, tuner).attach(base, processor).eval()
    randomize(model, seed, trainable_only=True)
    return model


def task_batch(task: str, **changes: Any) -> Batch:
    """A batch as the task's windows are: a steady problem has a coefficient and no history."""
    batch = tiny_batch(**changes)
    if task == "inverse":
        found = {"viscosity": torch.tensor([0.5, 2.0])}
        return replace(batch, target=batch.target[:, :0], parameters=found)
    if task != "steady_state":
        return batch
    random = torch.Generator().manual_seed(5)
    constants = torch.rand(2, 1, 16, 16, generator=random)
    return replace(
        batch,
        history=batch.history[:, :0],
        constants=constants,
        constant_names=("permeability",),
    )
