"""The only door to accelerate (and through it to DeepSpeed and FSDP).

``backward``, ``clip``, ``gather`` and ``wait`` are collective: every rank calls them.
"""

import os
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer

from pdefm.errors import EnvironmentFault, RecipeError
from pdefm.train.recipe import TrainSection

# Variables by which a launcher would quietly change what the recipe says.
CONTRADICTIONS = {"ACCELERATE_GRADIENT_ACCUMULATION_STEPS": "train.micro_batch_size"}


class Engine:
    """One process or many behind the same few calls.

    Args:
        section: Precision, batch sizes and trackers.
        run_folder: Where trackers write; ``None`` keeps none.
        seed: Seed of every library's global generator, the same on all ranks.

    Raises:
        RecipeError: The environment contradicts the recipe, or the world does not divide the batch.
        EnvironmentFault: The launched processes do not form one group.
    """

    def __init__(self, section: TrainSection, run_folder: Path | None, seed: int) -> None:
        from accelerate import Accelerator
        from accelerate.utils import set_seed

        precision = os.environ.get("ACCELERATE_MIXED_PRECISION", "no")
        wanted = "bf16" if section.bf16 else "no"
        if precision not in ("no", wanted):
            raise RecipeError(
                "the launcher's precision contradicts train.bf16",
                got=f"ACCELERATE_MIXED_PRECISION={precision}, train.bf16={section.bf16}",
                do="Change one of them",
            )
        for variable, key in CONTRADICTIONS.items():
            if os.environ.get(variable, "1") != "1":
                raise RecipeError(
                    f"{variable} contradicts the recipe",
                    got=os.environ[variable],
                    do=f"Unset it; accumulation follows from {key}",
                )
        tracker = None if section.report_to == "none" or run_folder is None else section.report_to
        self.accelerator = Accelerator(
            # Unless told so, accelerate starts no process group on a machine without accelerators.
            cpu=not torch.accelerator.is_available(),
            mixed_precision=wanted,
            log_with=tracker,
            project_dir=None if run_folder is None else str(run_folder),
            step_scheduler_with_optimizer=False,
        )
        launched = int(os.environ.get("WORLD_SIZE", "1"))
        if launched != self.world_size:
            raise EnvironmentFault(
                f"{launched} processes were launched but {self.world_size} found each other",
                do="Launch one process a device, or set ACCELERATE_USE_CPU=true",
            )
        set_seed(seed)
        if section.deterministic:
            os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
            torch.use_deterministic_algorithms(True, warn_only=True)
        self.section = section
        samples = section.micro_batch_size * self.world_size
        if section.global_batch_size % samples:
            raise RecipeError(
                "train.global_batch_size must be a multiple of micro_batch_size x processes",
                got=f"{section.global_batch_size} for {section.micro_batch_size}"
                f" x {self.world_size}",
                do=f"Use a multiple of {samples}",
            )

    @property
    def num_slots(self) -> int:
        """Micro-batches an optimizer step, over all ranks."""
        return self.section.global_batch_size // self.section.micro_batch_size

    @property
    def rank(self) -> int:
        """Number of this process."""
        return self.accelerator.process_index

    @property
    def world_size(self) -> int:
        """Number of processes."""
        return self.accelerator.num_processes

    @property
    def is_main(self) -> bool:
        """True on the process that writes files and shows progress."""
        return self.accelerator.is_main_process

    @property
    def device(self) -> torch.device:
        """Where this process computes."""
        return self.accelerator.device

    def prepare(self, model: nn.Module, optimizer: Optimizer) -> tuple[nn.Module, Optimizer]:
        """Wrap for the engine; the loader stays ours, because its order does."""
        return self.accelerator.prepare(model, optimizer)

    def unwrap(self, model: nn.Module) -> nn.Module:
        """The model inside the wrappers.

        Accelerate's own would import DeepSpeed, for seconds, in runs that do not use it.
        """
        return model.module if isinstance(model, DistributedDataParallel) else model

    def accumulate(self, model: nn.Module, *, last: bool) -> AbstractContextManager[Any]:
        """Gradients are exchanged in the last micro-batch of a step only."""
        return nullcontext() if last else self.accelerator.no_sync(model)

    def backward(self, loss: Tensor) -> None:
        """Back-propagate."""
        self.accelerator.backward(loss)

    def clip(self, model: nn.Module) -> float:
        """Clip the gradient norm; returns the norm before."""
        norm = self.accelerator.clip_grad_norm_(model.parameters(), self.section.max_grad_norm)
        return float(norm) if norm is not None else float("nan")

    def gather(self, values: Tensor) -> Tensor:
        """Concatenate a tensor of every rank."""
        return cast(Tensor, self.accelerator.gather(values))

    def main_first(self) -> AbstractContextManager[Any]:
        """The main process runs the block before the others, as for work that is kept on disk."""
        return self.accelerator.main_process_first()

    def wait(self) -> None:
        """Barrier."""
        self.accelerator.wait_for_everyone()

    def start_trackers(self) -> None:
        """Open the trackers; the run folder must exist."""
        if self.accelerator.log_with:
            self.accelerator.init_trackers("tensorboard")

    def log(self, values: Mapping[str, float], step: int) -> None:
        """Send numbers to the trackers."""
        self.accelerator.log(dict(values), step=step)

    def close(self) -> None:
        """Flush the trackers and leave the process group in order."""
        self.wait()
        self.accelerator.end_training()
