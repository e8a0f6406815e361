"""What a recipe may say. Keys follow transformers where it has a word."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field as Limits
from pydantic import NonNegativeInt

from pdefm.config import (
    Section,
    merge_values,
    override_values,
    recipe_values,
    section_from_dict,
)
from pdefm.data.source import SourceSection
from pdefm.errors import RecipeError
from pdefm.tasks.forecasting import ForecastingOptions
from pdefm.train.guards import GuardSection


class ModelSection(Section):
    """Shape of a new DPOT; see ``DPOTConfig`` for the meaning of each key."""

    history: int = Limits(default=10, ge=1)
    horizon: int = Limits(default=1, ge=1)
    patch_size: int = Limits(default=8, ge=1)
    hidden_size: int = Limits(default=512, ge=8)
    num_hidden_layers: int = Limits(default=4, ge=1)
    num_attention_heads: int = Limits(default=4, ge=1)
    mlp_ratio: float = Limits(default=1.0, gt=0)
    patch_feature_size: int = Limits(default=35, ge=1)
    decoder_size: int = Limits(default=32, ge=1)
    mixer: str = "afno"
    num_modes: int | None = Limits(default=None, ge=1)
    mode_truncation: str = "symmetric"
    spectral_output_bias: bool = False
    hidden_act: str = "gelu"
    time_aggregation: str = "exp_mlp"
    learned_positions: bool = False
    """A position table for the first source's latent grid, interpolated on others."""
    coordinate_channels: bool = False
    coordinate_encoding: str = "linear"
    spectral_nonlinearity: str = "modulus"
    mask_channel: bool = False
    short_history: str = "mask"
    conditions: list[str] = Limits(default_factory=list)
    """``dt``, ``boundary`` and names of the data's parameters that the blocks are told."""
    prediction: str = "increment"
    normalization: Literal["field", "instance"] = "field"
    """Statistics that the processor uses: per field over the training data, or per sample."""


class DataSection(Section):
    """What is trained on."""

    sources: list[SourceSection] = Limits(min_length=1)
    """Ingredients of the mixture."""
    window_stride: int = Limits(default=1, ge=1)
    """Frames between the starts of neighbouring windows."""
    num_workers: int = Limits(default=0, ge=0)
    """Processes that read ahead; 0 reads in the training process."""
    validation_windows: int = Limits(default=16, ge=1)
    """Windows of each source that a validation looks at, evenly spread."""


class TrainSection(Section):
    """How long, how fast, how often to save."""

    max_steps: int = Limits(default=1000, ge=1)
    global_batch_size: int = Limits(default=16, ge=1)
    """Samples an optimizer step, over all processes."""
    micro_batch_size: int = Limits(default=8, ge=1)
    """Samples a forward pass; all of one source."""
    learning_rate: float = Limits(default=1e-3, gt=0)
    optim: Literal["adamw", "adam"] = "adamw"
    """``adam`` adds the weight decay to the gradient, as the published DPOT does."""
    lr_scheduler_type: Literal["cosine", "one_cycle", "wsd", "constant"] = "cosine"
    decay_fraction: float = Limits(default=0.2, gt=0, le=1)
    """Last share of the steps along which ``wsd`` falls."""
    warmup_steps: int = Limits(default=0, ge=0)
    min_learning_rate_ratio: float = Limits(default=0.01, ge=0, le=1)
    """End of the schedule over its peak."""
    weight_decay: float = Limits(default=1e-4, ge=0)
    adam_beta1: float = Limits(default=0.9, ge=0, lt=1)
    adam_beta2: float = Limits(default=0.95, ge=0, lt=1)
    max_grad_norm: float = Limits(default=1.0, gt=0)
    ema_decay: float | None = Limits(default=None, gt=0, lt=1)
    """Publish and validate an exponential moving average of the weights, such as 0.999."""
    guard: GuardSection = GuardSection()
    """What happens to losses that are not finite or leap."""
    logging_steps: int = Limits(default=10, ge=1)
    eval_steps: int = Limits(default=100, ge=1)
    save_steps: int = Limits(default=200, ge=1)
    save_total_limit: int = Limits(default=2, ge=2)
    """Newest checkpoints that are kept; never fewer than two."""
    keep_every_steps: int | None = Limits(default=None, ge=1)
    """Checkpoints of every so manieth step stay, too; by default none."""
    eval_rollout_steps: NonNegativeInt | Literal["auto"] = 0
    """Validate rollouts of so many predictions, too; 0 validates one step only, and ``auto`` takes
    8, or as many as the held-out trajectories have frames for.
    ``checkpoints/best`` is the checkpoint of the lowest error, of rollouts if there are any."""
    early_stopping_patience: int | None = Limits(default=None, ge=1)
    """Stop after so many validations without a better one, of rollouts if there are any."""
    bf16: bool = False
    """Matrix products in bfloat16; weights, Fourier transforms and losses stay in float32."""
    zero_stage: Literal[0, 1, 2, 3] | None = None
    """DeepSpeed ZeRO: processes share the optimizer state (1), gradients too (2), weights too (3);
    left out, ``accelerate launch`` decides."""
    offload_optimizer: bool | None = None
    """ZeRO keeps the optimizer state in the memory of the host."""
    fsdp: bool | None = None
    """PyTorch's FSDP2: shares what ZeRO 3 shares, without DeepSpeed."""
    gradient_checkpointing: bool = False
    """Blocks are computed again in the backward pass instead of keeping their activations."""
    compile: bool = False
    """Compile the parts of the model; pays off on GPUs, after a minute."""
    deterministic: bool = True
    """Deterministic kernels: the same seed gives the same bits on the same machine."""
    ddp_timeout: float = Limits(default=1800, gt=0)
    """Seconds that the processes wait for one that hangs before the run ends."""
    report_to: Literal["tensorboard", "none"] = "tensorboard"


class TrainingRecipe(Section):
    """What every training run has."""

    name: str
    seed: int = 0
    data: DataSection
    train: TrainSection = TrainSection()


class PretrainRecipe(TrainingRecipe):
    """A pretraining run."""

    model: ModelSection = ModelSection()
    task: ForecastingOptions = ForecastingOptions()


class FinetuneRecipe(TrainingRecipe):
    """A fine-tuning run."""

    name: str = "finetune"
    base: str
    """Model folder, published name or repository id."""
    task: str = "forecasting"
    task_options: dict[str, Any] = Limits(default_factory=dict)
    tuner: str = "lora"
    tuner_options: dict[str, Any] = Limits(default_factory=dict)
    add_fields: dict[str, str | None] = Limits(default_factory=dict)
    """Fields that the base does not know, and a known field whose weights each starts from
    (``null`` starts from zero)."""


DEFAULT_FINETUNE = "finetune/default"


def compose_finetune(
    recipe: str | None,
    given: Mapping[str, Any],
    source: Mapping[str, Any],
    overrides: Sequence[str] = (),
) -> FinetuneRecipe:
    """A fine-tuning recipe with what the command line says laid over it.

    Args:
        recipe: File or shipped name; ``None`` takes the shipped default.
        given: Top-level keys that were given.
        source: Keys of the one data source that was given; empty keeps the recipe's sources.
        overrides: ``a.b=c`` each; laid on last.

    Raises:
        RecipeError: A wrong or missing key.
    """
    name = DEFAULT_FINETUNE if recipe is None else recipe
    values = merge_values(recipe_values(name), given)
    if source:
        named = {"name": Path(str(source["path"])).stem} if "path" in source else {}
        values = merge_values(values, {"data": {"sources": [{**named, **source}]}})
    values = override_values(values, overrides)
    present = {"--model": values.get("base"), "--data": values.get("data", {}).get("sources")}
    for option, value in present.items():
        if not value:
            raise RecipeError(f"fine-tuning needs {option}", do=f"Give {option} or a recipe")
    return section_from_dict(FinetuneRecipe, values, name)
