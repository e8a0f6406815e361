"""DeepSpeed ZeRO: optimizer state (1), gradients (2) and weights (3) spread over processes.

DeepSpeed's own clipping, boundaries and checkpoints are used, at the points that the loop names.
"""

import os
import shutil
import subprocess
import sys
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

import torch
from torch import Tensor, nn
from torch.optim import Adam, AdamW, Optimizer

from pdefm.errors import EnvironmentFault, ModelError, RecipeError
from pdefm.train import ranks
from pdefm.train.engines.base import Strategy, filled, skeleton
from pdefm.train.engines.choice import LARGEST_BUCKET, EngineChoice

TAG = "deepspeed"
# Smaller weights stay whole on every process in stage 3; DeepSpeed's default.
PERSISTENT_ELEMENTS = 100_000


def load_deepspeed() -> Any:
    """Import DeepSpeed, for which nothing is compiled.

    Raises:
        EnvironmentFault: It is not installed.
    """
    # PyTorch announces new names for two calls of DeepSpeed, on every process.
    warnings.filterwarnings("ignore", category=FutureWarning, module="torch.distributed")
    if not torch.accelerator.is_available():
        os.environ.setdefault("DS_ACCELERATOR", "cpu")
    try:
        import deepspeed
        import deepspeed.ops
    except ImportError as error:
        raise EnvironmentFault(
            "train.zero_stage needs DeepSpeed", got=error, do="pip install 'pdefm[deepspeed]'"
        ) from error
    # Shared memory between CPU processes would be compiled for half a minute, for inference only.
    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    return deepspeed


class ZeroOptimizer:
    """The loop's view of DeepSpeed's optimizer: ``step`` applies, ``zero_grad`` discards."""

    def __init__(self, engine: Any) -> None:
        self.engine = engine
        self.pending = False

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """Groups of the inner optimizer, whose learning rates may be set."""
        return self.engine.optimizer.param_groups

    def step(self) -> None:
        """Clip and apply the gradients."""
        self.engine.step()
        self.pending = False

    def zero_grad(self) -> None:
        """Discard gradients that were not applied, as DeepSpeed does after an overflow."""
        if not self.pending:
            return
        inner = self.engine.optimizer
        invalid = torch.tensor(-1.0, device=inner.device)
        name = "_get_norm_groups" if hasattr(inner, "_get_norm_groups") else "scaled_global_norm"
        result = [invalid] if name == "_get_norm_groups" else invalid
        setattr(inner, name, lambda *_, **__: result)
        try:
            self.step()
        finally:
            delattr(inner, name)


class Zero(Strategy):
    """DeepSpeed ZeRO behind the calls of the loop."""

    def __init__(self, choice: EngineChoice, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.choice = choice
        self.deepspeed = load_deepspeed()
        self.skeleton: nn.Module | None = None
        self.optimizer: ZeroOptimizer | None = None

    def configuration(self, num_weights: int) -> dict[str, Any]:
        """DeepSpeed's configuration; whatever it does not name keeps DeepSpeed's default.

        Args:
            num_weights: Of the model; no exchange needs a larger buffer, and it is allocated.
        """
        section = self.section
        turns = section.global_batch_size // section.micro_batch_size // self.world_size
        zero: dict[str, Any] = {
            "stage": self.choice.zero_stage,
            "reduce_bucket_size": min(num_weights, LARGEST_BUCKET),
            "overlap_comm": self.device.type != "cpu",
            # Weights go at once after use, as the memory that was promised has no room for them.
            "stage3_max_reuse_distance": 0,
            "stage3_param_persistence_threshold": PERSISTENT_ELEMENTS,
        }
        if self.choice.offload_optimizer:
            pinned = self.device.type != "cpu"
            zero["offload_optimizer"] = {"device": "cpu", "pin_memory": pinned}
        return {
            "train_micro_batch_size_per_gpu": section.micro_batch_size,
            "gradient_accumulation_steps": turns,
            "gradient_clipping": section.max_grad_norm,
            "zero_optimization": zero,
            # PyTorch's fused Adam is as fast on the host, and needs no compiler.
            "zero_force_ds_cpu_optimizer": False,
            "steps_per_print": None,
        }

    def wrap(self, model: nn.Module, optimizer: Optimizer) -> tuple[nn.Module, Any]:
        """Hand both to DeepSpeed."""
        if not isinstance(optimizer, Adam | AdamW):
            raise RecipeError(
                "ZeRO flattens the weights, which only Adam and AdamW do not mind",
                got=type(optimizer).__name__,
                do="Set train.zero_stage to 0 or choose another train.optim",
            )
        if self.choice.offload_optimizer:
            for group in optimizer.param_groups:
                group["fused"], group["foreach"] = True, False
        if self.choice.weights_are_sharded and self.rank == 0:
            self.skeleton = skeleton(model)
        configuration = self.configuration(sum(weight.numel() for weight in model.parameters()))
        engine, *_ = self.deepspeed.initialize(
            model=model.to(self.device), optimizer=optimizer, config=configuration
        )
        self.optimizer = ZeroOptimizer(engine)
        return engine, self.optimizer

    def unwrap(self, model: nn.Module) -> nn.Module:
        """The model; in stage 3 its weights come when its ``forward`` runs."""
        inner = model.module if isinstance(model, self.deepspeed.DeepSpeedEngine) else model
        return cast(nn.Module, inner)

    @contextmanager
    def accumulate(self, model: nn.Module, *, last: bool) -> Iterator[None]:
        """The last micro-batch is DeepSpeed's accumulation boundary."""
        model.set_gradient_accumulation_boundary(last)  # pyright: ignore[reportCallIssue]
        yield
        assert self.optimizer is not None
        self.optimizer.pending = last

    def backward(self, model: nn.Module, loss: Tensor) -> None:
        """Back-propagate a loss that the loop has divided already."""
        model.backward(loss, scale_wrt_gas=False)  # pyright: ignore[reportCallIssue]

    def clip(self, model: nn.Module) -> float:
        """The norm by which the step that follows will clip."""
        inner: Any = model.optimizer
        if self.choice.zero_stage == 3:
            from deepspeed.runtime.utils import combine_grad_norm_groups

            inner._pre_step()
            return float(combine_grad_norm_groups(inner._get_norm_groups()))
        inner._wait_for_offload_copies()
        return float(inner.scaled_global_norm())

    def whole(self, model: nn.Module) -> AbstractContextManager[nn.Module]:
        """Stage 3 collects the weights one by one in the host memory of process 0."""
        if not self.choice.weights_are_sharded:
            return nullcontext(self.unwrap(model))
        inner, state = self.unwrap(model), {}
        for name, parameter in inner.named_parameters():
            with self.deepspeed.zero.GatheredParameters([parameter]):
                if self.rank == 0:
                    state[name] = parameter.detach().cpu().clone()
        for name, buffer in inner.named_buffers():
            state[name] = buffer
        if self.skeleton is None:
            return nullcontext(inner)
        known = self.skeleton.state_dict().keys()
        return filled(self.skeleton, {n: tensor for n, tensor in state.items() if n in known})

    def save(self, folder: Path, model: nn.Module, optimizer: Any) -> Any:
        """Every process writes its shards under an explicit tag."""
        engine: Any = model
        engine.save_checkpoint(str(folder), tag=TAG, save_latest=False)
        if self.rank == 0:
            for script in folder.glob("*.py"):  # which DeepSpeed adds; scripts are no state
                script.unlink()
        return None

    def load(self, folder: Path, kept: Any, model: nn.Module, optimizer: Any) -> str | None:
        """Same processes: DeepSpeed's shards. Others: through the universal checkpoint."""
        engine: Any = model
        shards = len(list((folder / TAG).glob("*_optim_states.pt")))
        if shards == self.world_size:
            self._load(engine, folder, TAG)
            return None
        step = folder.parent
        # Swept away at the next start, should this process be killed.
        universal = ranks.from_main(step.with_name(f".{step.name}.{uuid4().hex[:8]}.universal"))
        try:
            with ranks.together("convert the optimizer state"):
                if self.rank == 0:
                    _convert(folder / TAG, universal / TAG)
            engine._config.load_universal_checkpoint = True
            with _own_settings(engine.optimizer.optimizer):
                self._load(engine, universal, TAG)
        finally:
            engine._config.load_universal_checkpoint = False
            ranks.of_all(None)  # nobody reads it any more
            if self.rank == 0:
                shutil.rmtree(universal, ignore_errors=True)
        return f"optimizer state of {shards} processes converted for {self.world_size}"

    def _load(self, engine: Any, folder: Path, tag: str) -> None:
        try:
            path, _ = engine.load_checkpoint(str(folder), tag=tag, load_lr_scheduler_states=False)
        except (RuntimeError, KeyError, OSError, ValueError, AssertionError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise ModelError(
                f"DeepSpeed cannot load {folder / tag}", got=reason, do="Use an older checkpoint"
            ) from error
        if path is None:
            raise ModelError(f"DeepSpeed found no state in {folder / tag}")


@contextmanager
def _own_settings(optimizer: Optimizer) -> Iterator[None]:
    """Undo what loading a universal checkpoint does to an optimizer with several groups.

    DeepSpeed 0.19.8 gives all groups the settings of the first one, and in stage 3 one counter of
    steps, which each group then counts up.
    """
    settings = [
        {name: value for name, value in group.items() if name != "params"}
        for group in optimizer.param_groups
    ]
    yield
    for group, own in zip(optimizer.param_groups, settings, strict=True):
        group.update(own)
    for state in optimizer.state.values():
        if isinstance(state.get("step"), Tensor):
            state["step"] = state["step"].clone()


def _convert(shards: Path, out: Path) -> None:
    """Make the universal checkpoint, which any number of processes can load."""
    shutil.rmtree(out.parent, ignore_errors=True)
    module = "deepspeed.checkpoint.ds_to_universal"
    command = [sys.executable, "-m", module, "--inject_missing_state"]
    command = [*command, "--input_folder", str(shards), "--output_folder", str(out)]
    own = {n: v for n, v in os.environ.items() if n not in ("RANK", "WORLD_SIZE", "LOCAL_RANK")}
    done = subprocess.run(command, env=own, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ModelError(
            f"{shards} cannot be converted for another number of processes",
            got=(done.stderr.strip() or done.stdout.strip()).splitlines()[-1:],
            do="Resume with as many processes as wrote it, and check the free disk space",
        )
