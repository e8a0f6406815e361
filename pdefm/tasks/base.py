"""The contract of a task."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from pdefm.config import Section
from pdefm.data.batch import Batch
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


class Task(ABC):
    """Turns a batch into model inputs and an output into a loss.

    Args:
        processor: Statistics and units of the model that is trained.
        options: Validated options of the task.
    """

    name: ClassVar[str]
    options_class: ClassVar[type[Section]]

    def __init__(self, processor: PDEProcessor, options: Section) -> None:
        self.processor = processor
        self.options = options
        self.progress = 1.0
        """Share of the training that is done; what a curriculum depends on."""

    @property
    def num_target_frames(self) -> int:
        """Frames that a training window has after its history."""
        return self.processor.horizon

    @abstractmethod
    def prepare(self, batch: Batch, generator: torch.Generator | None = None) -> Prepared:
        """Inputs and target of a batch; randomness of training comes from ``generator`` alone."""

    def head(self, config: DPOTConfig) -> nn.Module | None:
        """A module that replaces the model's decoder, or ``None`` to keep it."""
        return None

    def predict(self, model: nn.Module, prepared: Prepared) -> Tensor:
        """Prediction in physical units."""
        return prepared.scale.denormalize(model(**prepared.inputs).prediction)

    @abstractmethod
    def loss(self, prediction: Tensor, prepared: Prepared) -> Tensor:
        """Scalar to minimise; mean over the samples."""

    @abstractmethod
    def metrics(self, prediction: Tensor, prepared: Prepared) -> dict[str, Tensor]:
        """Named errors, one value a sample."""
