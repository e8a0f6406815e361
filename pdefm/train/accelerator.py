"""The only door to accelerate, DeepSpeed and FSDP.

Everything that touches gradients, weights or optimizer state is collective: every rank calls it.
"""

import os
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta
from functools import wraps
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer

from pdefm.errors import EnvironmentFault, ModelError, RecipeError
from pdefm.train.engines.base import Strategy
from pdefm.train.engines.choice import EngineChoice, choose_engine, hide_launcher
from pdefm.train.engines.group import form_group_of_one, leave_group, let_group_rest
from pdefm.train.engines.speed import checkpoint_activations, compile_parts
from pdefm.train.recipe import TrainSection


class Replicated(Strategy):
    """Whole copies: one process, or PyTorch's DDP, through accelerate."""

    def __init__(self, accelerator: Any, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.accelerator = accelerator

    def wrap(self, model: nn.Module, optimizer: Optimizer) -> tuple[nn.Module, Any]:
        """Accelerate's own; the loader stays ours, because its order does."""
        return self.accelerator.prepare(model, optimizer)

    def unwrap(self, model: nn.Module) -> nn.Module:
        """Accelerate's own would import DeepSpeed, for seconds, in runs that do not use it."""
        return model.module if isinstance(model, DistributedDataParallel) else model

    def accumulate(self, model: nn.Module, *, last: bool) -> AbstractContextManager[Any]:
        """Gradients are exchanged in the last micro-batch of a step only."""
        return nullcontext() if last else self.accelerator.no_sync(model)

    def backward(self, model: nn.Module, loss: Tensor) -> None:
        """Back-propagate."""
        self.accelerator.backward(loss)

    def clip(self, model: nn.Module) -> float:
        """Clip at once."""
        norm = self.accelerator.clip_grad_norm_(model.parameters(), self.section.max_grad_norm)
        return float(norm) if norm is not None else float("nan")

    def whole(self, model: nn.Module) -> AbstractContextManager[nn.Module]:
        """The model is whole."""
        return nullcontext(self.unwrap(model))

    def save(self, folder: Path, model: nn.Module, optimizer: Any) -> Any:
        """All processes have the same state."""
        return optimizer.state_dict()

    def load(self, folder: Path, kept: Any, model: nn.Module, optimizer: Any) -> str | None:
        """Any number of processes can load it."""
        optimizer.load_state_dict(kept)
        return None


class Engine:
    """One process or many, whole copies or shards, behind the same few calls.

    Args:
        section: Engine, precision, batch sizes and trackers.
        run_folder: Where trackers write; ``None`` keeps none.
        seed: Seed of every library's global generator, the same on all ranks.

    Raises:
        RecipeError: The environment contradicts the recipe, or the world does not divide the batch.
        EnvironmentFault: The launched processes do not form one group, or DeepSpeed is missing.
    """

    def __init__(self, section: TrainSection, run_folder: Path | None, seed: int) -> None:
        from accelerate import Accelerator
        from accelerate.utils import InitProcessGroupKwargs, set_seed

        self.section = section
        self.choice = choose_engine(section)
        tracker = None if section.report_to == "none" or run_folder is None else section.report_to
        self.hidden = hide_launcher()
        self.accelerator = Accelerator(
            # Unless told so, accelerate starts no process group on a machine without GPUs.
            cpu=not torch.accelerator.is_available(),
            mixed_precision="bf16" if section.bf16 else "no",
            log_with=tracker,
            project_dir=None if run_folder is None else str(run_folder),
            step_scheduler_with_optimizer=False,
            kwargs_handlers=[
                InitProcessGroupKwargs(timeout=timedelta(seconds=section.ddp_timeout))
            ],
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
        samples = section.micro_batch_size * self.world_size
        if section.global_batch_size % samples:
            raise RecipeError(
                "train.global_batch_size must be a multiple of micro_batch_size x processes",
                got=f"{section.global_batch_size} for {section.micro_batch_size}"
                f" x {self.world_size}",
                do=f"Use a multiple of {samples}",
            )
        self.strategy = self._make_strategy()

    def _make_strategy(self) -> Strategy:
        common = (self.section, self.device, self.rank, self.world_size)
        if self.choice == EngineChoice():
            return Replicated(self.accelerator, *common)
        form_group_of_one(self.device)
        if self.choice.fsdp:
            from pdefm.train.engines.fsdp import FullySharded

            return FullySharded(*common)
        from pdefm.train.engines.zero import Zero

        return Zero(self.choice, *common)

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

    def prepare(self, model: nn.Module, optimizer: Optimizer) -> tuple[nn.Module, Any]:
        """Wrap both for the engine, with what the recipe says about memory and speed."""
        if self.section.gradient_checkpointing:
            checkpoint_activations(model, compiled=self.section.compile)
        if self.section.compile:
            compile_parts(model)
        if self.section.bf16 and not isinstance(self.strategy, Replicated):
            self._autocast(model)
        self.model, wrapped = self.strategy.wrap(model, optimizer)
        return self.model, wrapped

    def _autocast(self, model: nn.Module) -> None:
        """As accelerate does for whole copies: weights, loss and gradients stay float32."""
        from accelerate.utils import convert_to_fp32

        forward = model.forward

        @wraps(forward)
        def run(*arguments: Any, **named: Any) -> Any:
            with torch.autocast(self.device.type, torch.bfloat16):
                output = forward(*arguments, **named)
            return convert_to_fp32(output)

        model.forward = run

    def unwrap(self, model: nn.Module) -> nn.Module:
        """The model inside the wrappers, to call; to write it, use :meth:`whole`."""
        return self.strategy.unwrap(model)

    def whole(self) -> AbstractContextManager[nn.Module]:
        """A plain module with all weights, whatever the engine; only the main process uses it."""
        return self.strategy.whole(self.model)

    @property
    def weights_are_sharded(self) -> bool:
        """True if no rank holds all weights; :meth:`load_state` then puts them back, too."""
        return self.choice.weights_are_sharded

    def accumulate(self, model: nn.Module, *, last: bool) -> AbstractContextManager[Any]:
        """Around one micro-batch; ``last`` is the last one of a step."""
        return self.strategy.accumulate(model, last=last)

    def backward(self, loss: Tensor) -> None:
        """Back-propagate."""
        self.strategy.backward(self.model, loss)

    def clip(self, model: nn.Module) -> float:
        """Clip the gradient norm; returns the norm before."""
        return self.strategy.clip(model)

    def save_state(self, shards: Path, optimizer: Any) -> dict[str, Any]:
        """Collect what a resume needs.

        Args:
            shards: Folder, the same on all ranks, that is made if every rank has files of its own.
            optimizer: As :meth:`prepare` returned it.

        Returns:
            What the main process keeps in the common file.
        """
        kept = self.strategy.save(shards, self.model, optimizer)
        return {"engine": self.choice.name, "world_size": self.world_size, "optimizer": kept}

    def load_state(self, folder: Path, state: Mapping[str, Any], optimizer: Any) -> str | None:
        """Undo :meth:`save_state`.

        Args:
            folder: Where the files of the shards lie now: ``state/`` of a checkpoint.
            state: The common file; it has what :meth:`save_state` returned.
            optimizer: As :meth:`prepare` returned it.

        Returns:
            What was converted on the way, for the journal; ``None`` if nothing.

        Raises:
            ModelError: Another engine wrote it, or it does not fit.
        """
        if state["engine"] != self.choice.name:
            raise ModelError(
                f"{folder} was written by another engine",
                got=f"{state['engine']}, now {self.choice.name}",
                do="Resume with the same engine, or start another run",
            )
        return self.strategy.load(folder, state["optimizer"], self.model, optimizer)

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
        let_group_rest()
        self.accelerator.end_training()
        leave_group()
        os.environ.update(self.hidden)
