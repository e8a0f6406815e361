"""The contract of a task."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from pdefm.config import Section
from pdefm.data.batch import Batch
from pdefm.data.trajectory import Trajectory
from pdefm.errors import ModelError
from pdefm.models.dpot.configuration_dpot import DPOTConfig
from pdefm.models.processing_pde import PDEProcessor, Scale


@dataclass(frozen=True)
class Prepared:
    """Keyword inputs of the model, the physical target, and the way back to physical units."""

    inputs: dict[str, Any]
    target: Tensor
    scale: Scale
    mask: Tensor | None
    num_steps: int = 1
    """Predictions in a row."""
    extras: dict[str, Any] = field(default_factory=dict)
    """What the task's head needs beside the model's output."""


@dataclass(frozen=True)
class FieldPlan:
    """What becomes of a base's fields.

    Args:
        added: New fields, and the known field whose weights each starts from (``None``: zero).
        dropped: Fields that are forgotten.
        kept: Fields that stay.
    """

    added: dict[str, str | None]
    dropped: list[str]
    kept: list[str]

    def lines(self) -> list[str]:
        """The difference, a line a field; nothing if there is none."""
        if not self.added and not self.dropped:
            return []
        return [
            *(f"+ {name} (from {like or 'zero'})" for name, like in self.added.items()),
            *(f"- {name}" for name in self.dropped),
            *(f"= {name}" for name in self.kept),
        ]


class Task(ABC):
    """Turns a batch into model inputs and an output into a loss.

    Args:
        processor: Statistics and units of the model that is trained.
        options: Validated options of the task.
    """

    name: ClassVar[str]
    options_class: ClassVar[type[Section]]
    definitions: ClassVar[dict[str, str]] = {
        "relative_l2": "||prediction - target|| / (||target|| + 1e-8) of every frame, L2 norms over"
        " space; mean over frames and fields.",
        "vrmse": "sqrt(<(prediction - target)^2> / (<(target - <target>)^2> + 1e-7)) of every"
        " frame, means over space; mean over frames and fields.",
    }
    """What each name in :meth:`metrics` is, in one sentence."""
    forecasts: ClassVar[bool] = False
    """Whether what is predicted are the next frames, so that rollouts make sense."""

    def __init__(self, processor: PDEProcessor, options: Section) -> None:
        self.processor = processor
        self.options = options
        self.progress = 1.0
        """Share of the training that is done; what a curriculum depends on."""

    @property
    def num_history_frames(self) -> int:
        """Frames of a window that become the batch's history."""
        return self.processor.history

    @property
    def num_target_frames(self) -> int:
        """Frames that a training window has after its history."""
        return self.processor.horizon

    def num_validation_frames(self, num_predictions: int = 1) -> int:
        """Frames that a validation window has after its history.

        Args:
            num_predictions: Predictions in a row; matters to tasks that forecast.
        """
        return self.num_target_frames

    @property
    def target_parameters(self) -> tuple[str, ...]:
        """Parameters of the equation that the model estimates; the processor has their scale."""
        return ()

    def check(self, example: Trajectory) -> None:  # noqa: B027  # most tasks serve any data
        """Refuse data that cannot serve the task.

        Args:
            example: The first frames of a trajectory.

        Raises:
            DataError: Says what is missing.
        """

    def extra_fields(self, batch: Batch) -> dict[str, Tensor]:
        """Channels ``[batch, *space]`` that the model is given or asked for beside the batch's own.

        They depend on all but the batch's frames. The model knows them by name, and the processor
        has their statistics.
        """
        return {}

    def field_plan(
        self, known: Sequence[str], found: Sequence[str], given: dict[str, str | None]
    ) -> FieldPlan:
        """Which fields come, go and stay: here, only what is given comes.

        Args:
            known: The base's fields.
            found: Fields of the data, and those of :meth:`extra_fields`.
            given: New fields, and the known field that each starts from.

        Raises:
            ModelError: A field to add that the data do not have.
        """
        refuse_absent(found, given)
        return FieldPlan(dict(given), [], list(known))

    @property
    def uses_decoder(self) -> bool:
        """Whether predictions come from the model's decoder; if not, it stays frozen."""
        return True

    @abstractmethod
    def prepare(self, batch: Batch, generator: torch.Generator | None = None) -> Prepared:
        """Inputs and target of a batch; randomness of training comes from ``generator`` alone."""

    def head(self, config: DPOTConfig) -> nn.Module | None:
        """A module beside the model that trains whole, or ``None`` if the model suffices."""
        return None

    def predict(self, model: nn.Module, prepared: Prepared) -> Tensor:
        """Prediction in physical units; begins with the axes of the target."""
        return prepared.scale.denormalize(model(**prepared.inputs).prediction)

    @abstractmethod
    def loss(self, prediction: Tensor, prepared: Prepared) -> Tensor:
        """Scalar to minimise; mean over the samples."""

    @abstractmethod
    def metrics(self, prediction: Tensor, prepared: Prepared) -> dict[str, Tensor]:
        """Named errors, one value a sample; ``relative_l2`` is what trainings are judged by."""

    def baselines(self, prepared: Prepared) -> dict[str, Tensor]:
        """Predictions that need no model, by name; what a model has to beat."""
        return {}

    def model_baselines(self, model: nn.Module, prepared: Prepared) -> dict[str, Tensor]:
        """Predictions that the model can make without the task's training, by name."""
        return {}


def problem_field_plan(
    known: Sequence[str], found: Sequence[str], given: dict[str, str | None]
) -> FieldPlan:
    """All fields of a problem come, the base's other fields go.

    Args:
        known: The base's fields.
        found: Fields of the problem.
        given: Where named new fields start from; the others start from the base's first field.

    Raises:
        ModelError: A field to add that the data do not have.
    """
    refuse_absent(found, given)
    added = {name: given.get(name, known[0]) for name in found if name not in known}
    dropped = [name for name in known if name not in found]
    return FieldPlan(added, dropped, [name for name in known if name in found])


def refuse_absent(found: Sequence[str], given: dict[str, str | None]) -> None:
    """Refuse to add a field that the data do not have.

    Raises:
        ModelError: Names the field.
    """
    if missing := [name for name in given if name not in found]:
        raise ModelError(
            "the data have no field to add",
            got=f"'{missing[0]}'",
            do=f"They have {', '.join(found)}",
        )


def task_loss(task: Task, prediction: Tensor, prepared: Prepared) -> Tensor:
    """The loss that the task itself asks for."""
    return task.loss(prediction, prepared)


def head_of(model: nn.Module) -> nn.Module:
    """The task's head beside an adapted model, which may be wrapped for several processes."""
    inner: Any = getattr(model, "module", model)
    return inner.head
