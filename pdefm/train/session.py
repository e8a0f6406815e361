"""What a run is made of."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from pdefm.data.batch import Batch
from pdefm.data.mixture import Mixture
from pdefm.tasks.base import Prepared, Task, task_loss
from pdefm.train.accelerator import Engine
from pdefm.train.lock import RunLock
from pdefm.train.recipe import TrainingRecipe


@dataclass(frozen=True)
class Trainee:
    """What is trained, and how its published form is written and read.

    Args:
        model: With the right weights trainable.
        task: Inputs, target and loss.
        write: Writes what is published into a folder, from a module like ``model``.
        read: Puts the weights of such a folder back into ``model``.
        title: Shown beside the progress bar.
        loss: What is minimised.
    """

    model: nn.Module
    task: Task
    write: Callable[[Path, nn.Module], None]
    read: Callable[[Path], None]
    title: str
    loss: Callable[[Task, Tensor, Prepared], Tensor] = task_loss


@dataclass(frozen=True)
class Session:
    """Everything that a run needs, assembled from a recipe.

    Args:
        recipe: Steps, seed and data workers.
        engine: One process or many.
        trainee: What is trained.
        mixture: Training micro-batches.
        validation: Fixed batches of each source.
        rollouts: The same with longer targets; empty if only one step is validated.
        made_with: What decides the numbers of the run; see :mod:`pdefm.train.identity`.
        lock: Of the run folder; ``None`` on all but the main process.
    """

    recipe: TrainingRecipe
    run_folder: Path
    engine: Engine
    trainee: Trainee
    mixture: Mixture
    validation: dict[str, list[Batch]]
    rollouts: dict[str, list[Batch]]
    made_with: dict[str, Any]
    lock: RunLock | None = None
