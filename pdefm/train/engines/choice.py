"""Which engine a run gets: what the recipe says, or else the launcher; never two opinions."""

import os
from dataclasses import dataclass

from pdefm.errors import RecipeError
from pdefm.train.recipe import TrainSection

LARGEST_BUCKET = 200_000_000  # weights whose gradients ZeRO exchanges at once
# Switches of the launcher that turn on what no recipe asks for, and the values that do nothing.
IDLE = {"", "no", "none", "false", "0", "1", "auto"}
IDLE_NORMS = {"", "none", "auto"}
FOREIGN = {
    "ACCELERATE_GRADIENT_ACCUMULATION_STEPS": "accumulation follows from train.micro_batch_size",
    "ACCELERATE_USE_MEGATRON_LM": "there is no such engine",
    "ACCELERATE_USE_PARALLELISM_CONFIG": "there is no such engine",
    "ACCELERATE_DEEPSPEED_CONFIG_FILE": "DeepSpeed is configured from train.zero_stage and others",
    "ACCELERATE_DEEPSPEED_OFFLOAD_PARAM_DEVICE": "only the optimizer can be offloaded",
    "ACCELERATE_DEEPSPEED_ZERO3_INIT": "weights are partitioned after they were built",
    "FSDP_OFFLOAD_PARAMS": "only ZeRO offloads: train.offload_optimizer",
    "FSDP_ACTIVATION_CHECKPOINTING": "train.gradient_checkpointing decides",
}
# What accelerate and transformers act upon by themselves.
HIDDEN = ("ACCELERATE_USE_DEEPSPEED", "ACCELERATE_USE_FSDP", "ACCELERATE_DYNAMO_BACKEND")


@dataclass(frozen=True)
class EngineChoice:
    """What is spread over the processes.

    Args:
        zero_stage: 0 nothing; 1 optimizer state; 2 and gradients; 3 and weights (DeepSpeed).
        offload_optimizer: Optimizer state lies in the memory of the host.
        fsdp: All three, by PyTorch's own FSDP2.
    """

    zero_stage: int = 0
    offload_optimizer: bool = False
    fsdp: bool = False

    @property
    def name(self) -> str:
        """Short name that checkpoints and reports carry."""
        if self.fsdp:
            return "fsdp2"
        return f"zero{self.zero_stage}" if self.zero_stage else "replicated"

    @property
    def weights_are_sharded(self) -> bool:
        """True if no process holds all weights."""
        return self.fsdp or self.zero_stage == 3


def _switched_on(variable: str) -> bool:
    return os.environ.get(variable, "").lower() in ("1", "true", "yes")


def _refuse(variable: str, key: str, value: object) -> None:
    raise RecipeError(
        f"the launcher contradicts {key}",
        got=f"{variable}={os.environ[variable]}, {key}={value}",
        do="Change one of them, or leave the key out of the recipe to take the launcher's",
    )


def _agreed(key: str, asked: object, variable: str, launched: object) -> None:
    """Refuse a launcher that asks for an engine which the recipe rules out."""
    if asked is not None and variable in os.environ and asked != launched:
        _refuse(variable, key, asked)


def _check_foreign(section: TrainSection) -> None:
    for variable, reason in FOREIGN.items():
        if os.environ.get(variable, "").lower() not in IDLE:
            raise RecipeError(
                f"{variable} contradicts the recipe",
                got=os.environ[variable],
                do=f"Unset it; {reason}",
            )
    precision, wanted = "ACCELERATE_MIXED_PRECISION", "bf16" if section.bf16 else "no"
    if os.environ.get(precision, "no") not in ("no", wanted):
        _refuse(precision, "train.bf16", section.bf16)
    clipping = "ACCELERATE_GRADIENT_CLIPPING"
    norm = os.environ.get(clipping, "none").lower()
    if norm not in IDLE_NORMS and float(norm) != section.max_grad_norm:
        _refuse(clipping, "train.max_grad_norm", section.max_grad_norm)
    backend = "ACCELERATE_DYNAMO_BACKEND"
    if os.environ.get(backend, "no").lower() not in ("", "no") and not section.compile:
        _refuse(backend, "train.compile", section.compile)


def choose_engine(section: TrainSection) -> EngineChoice:
    """The engine that the recipe asks for; keys that it leaves out are the launcher's to say.

    Raises:
        RecipeError: Recipe and environment contradict each other, or keys exclude each other.
    """
    _check_foreign(section)
    if os.environ.get("FSDP_RESHARD_AFTER_FORWARD", "true").lower() != "true":
        raise RecipeError(
            "FSDP_RESHARD_AFTER_FORWARD contradicts the recipe",
            got=os.environ["FSDP_RESHARD_AFTER_FORWARD"],
            do="Unset it; weights are shared again after use",
        )
    stage, offload, fsdp = section.zero_stage, section.offload_optimizer, section.fsdp
    if _switched_on("ACCELERATE_USE_DEEPSPEED"):
        variable = "ACCELERATE_DEEPSPEED_ZERO_STAGE"
        launched = int(os.environ.setdefault(variable, "2"))
        _agreed("train.zero_stage", stage, variable, launched)
        _agreed("train.fsdp", fsdp, "ACCELERATE_USE_DEEPSPEED", False)
        variable = "ACCELERATE_DEEPSPEED_OFFLOAD_OPTIMIZER_DEVICE"
        device = os.environ.get(variable, "none")
        if device not in ("none", "cpu"):
            _refuse(variable, "train.offload_optimizer", offload)
        _agreed("train.offload_optimizer", offload, variable, device == "cpu")
        stage, offload = launched, device == "cpu"
    elif _switched_on("ACCELERATE_USE_FSDP"):
        if os.environ.get("FSDP_VERSION", "1") != "2":
            _refuse_old_fsdp()
        _agreed("train.fsdp", fsdp, "ACCELERATE_USE_FSDP", True)
        _agreed("train.zero_stage", stage or None, "ACCELERATE_USE_FSDP", 0)
        fsdp = True
    choice = EngineChoice(stage or 0, bool(offload), bool(fsdp))
    _check_choice(choice, section)
    return choice


def _refuse_old_fsdp() -> None:
    raise RecipeError(
        "the launcher asks for FSDP 1", do="Set fsdp_version: 2, as recipes/accelerate/fsdp2.yaml"
    )


def _check_choice(choice: EngineChoice, section: TrainSection) -> None:
    """Refuse keys that exclude each other."""
    if choice.fsdp and choice.zero_stage:
        raise RecipeError(
            "train.fsdp and train.zero_stage exclude each other",
            got=f"zero_stage {choice.zero_stage}",
            do="Leave one of them out",
        )
    if choice.offload_optimizer and not choice.zero_stage:
        raise RecipeError(
            "train.offload_optimizer needs ZeRO", do="Set train.zero_stage to 1, 2 or 3"
        )
    if choice.zero_stage == 3 and section.compile:
        raise RecipeError(
            "train.compile does not go with train.zero_stage 3",
            do="Use train.fsdp, or train.zero_stage 2, or leave train.compile out",
        )
    if choice.weights_are_sharded and section.ema_decay is not None:
        raise RecipeError(
            "train.ema_decay needs all weights on every process",
            got=choice.name,
            do="Use train.zero_stage 2 or lower, or leave train.ema_decay out",
        )


def hide_launcher() -> dict[str, str]:
    """Take away which engine the launcher asked for, as that has been settled here.

    Accelerate would act upon it, and transformers would load weights on one process only.

    Returns:
        Variables to put back at the end.
    """
    return {name: os.environ.pop(name) for name in HIDDEN if name in os.environ}
