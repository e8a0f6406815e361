"""Memory for time, and compile time for run time."""

from contextlib import AbstractContextManager
from typing import Any, cast

from torch import nn
from transformers import PreTrainedModel

from pdefm.errors import RecipeError
from pdefm.models.recompute import computed_again_whole

# One compilation for each combination of fields and grid that the sources bring.
COMPILED_VARIANTS = 64


def _network(model: nn.Module, key: str) -> PreTrainedModel:
    """The network that tuners may have wrapped."""
    for module in model.modules():
        if isinstance(module, PreTrainedModel):
            return module
    raise RecipeError(f"{key} does not know this model", got=type(model).__name__)


def _contexts() -> tuple[AbstractContextManager[Any], AbstractContextManager[Any]]:
    """Around a block's forward pass, and around the one in the backward pass."""
    return computed_again_whole(), computed_again_whole()


def checkpoint_activations(model: nn.Module, *, compiled: bool = False) -> None:
    """Blocks keep their input only and are computed again in the backward pass.

    Args:
        model: The network, tuned or not.
        compiled: The blocks are going to be compiled, so that their parts keep nothing anyway.
    """
    network = _network(model, "train.gradient_checkpointing")
    # The blocks draw no random numbers, so there is no generator to wind back.
    options: dict[str, Any] = {"use_reentrant": False, "preserve_rng_state": False}
    if not compiled:  # the compiler takes no contexts but its own
        options["context_fn"] = _contexts
    network.activation_checkpointing_enable(options)


def compile_parts(model: nn.Module) -> None:
    """Compile embedding, every block and decoder by themselves: blocks share one compilation."""
    import torch._dynamo

    torch._dynamo.config.recompile_limit = max(
        torch._dynamo.config.recompile_limit, COMPILED_VARIANTS
    )
    for child in _network(model, "train.compile").children():
        parts = child if isinstance(child, nn.ModuleList) else [child]
        for part in parts:
            cast(nn.Module, part).compile()
