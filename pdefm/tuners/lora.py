"""LoRA: low-rank updates of the products, full updates of the small field slices."""

from typing import Any, cast

from pydantic import Field as Limits
from torch import Tensor, nn

from pdefm.config import Section
from pdefm.errors import ModelError
from pdefm.models.dpot.modeling_dpot import DPOTModel
from pdefm.models.loading import quiet_upstream
from pdefm.models.mixers import MIXERS
from pdefm.tuners.base import Tuner

MLP_LAYERS = ("fc1", "fc2")


class LoraOptions(Section):
    """Options of LoRA, in PEFT's words."""

    r: int = Limits(default=8, ge=1)
    """Rank of the updates."""
    lora_alpha: int = Limits(default=16, ge=1)
    """The update is scaled by ``lora_alpha / r``."""
    target_modules: tuple[str, ...] | None = None
    """Linear layers that get a low-rank update; by default those of the blocks' MLPs and of the
    mixer."""
    target_parameters: tuple[str, ...] | None = None
    """Stacks of matrices ``[slices, d, d]`` that get one low-rank pair a slice; by default the
    mixer's spectral weights."""
    modules_to_save: tuple[str, ...] | None = None
    """Modules that train whole; by default those that hold the field slices, which are small."""


def _with_field_slices(model: DPOTModel) -> tuple[str, ...]:
    """Modules of this base that own a slice a field."""
    slices = ("patch_embedding", "decoder")
    return slices if model.modulation is None else (*slices, "modulation")


def _targets(model: DPOTModel, options: LoraOptions) -> dict[str, list[str]]:
    """What PEFT is told to change: as the options say, else what suits this model's mixer."""
    mixer = MIXERS[model.config.mixer]
    defaults = {
        "target_modules": (*MLP_LAYERS, *mixer.linear_names),
        "target_parameters": tuple(f"mixer.{name}" for name in mixer.matrix_names),
        "modules_to_save": _with_field_slices(model),
    }
    chosen = {key: getattr(options, key) for key in defaults}
    return {key: list(defaults[key] if v is None else v) for key, v in chosen.items()}


def _check_targets(model: nn.Module, targets: dict[str, list[str]]) -> None:
    """Refuse a name that PEFT would skip, or stumble over."""
    modules = [name for name, _ in model.named_modules()]
    parameters = [name for name, _ in model.named_parameters()]
    for key, known in (
        ("target_modules", modules),
        ("target_parameters", parameters),
        ("modules_to_save", modules),
    ):
        for target in targets[key]:
            if not any(f".{name}".endswith(f".{target}") for name in known):
                raise ModelError(
                    f"{key} names nothing in the model",
                    got=f"'{target}'",
                    do="Leave the option out, or name a part of the model as print(model) shows it",
                )


class LoraTuner(Tuner):
    """``W + (lora_alpha / r) B A`` on every target, by PEFT.

    Source: LoRA (arXiv 2106.09685).
    """

    name = "lora"
    options_class = LoraOptions

    def apply(self, model: DPOTModel) -> nn.Module:
        """Wrap the model with PEFT; the base weights freeze.

        Raises:
            ModelError: A target that the model does not have.
        """
        from peft import LoraConfig, get_peft_model

        options = cast(LoraOptions, self.options)
        targets = _targets(model, options)
        _check_targets(model, targets)
        # PEFT wonders about a model without a text vocabulary and asks transformers by an old name.
        with quiet_upstream():
            return get_peft_model(
                cast(Any, model),
                LoraConfig(
                    r=options.r,
                    lora_alpha=options.lora_alpha,
                    **cast(Any, targets),
                ),
            )

    def merge(self, model: nn.Module) -> DPOTModel:
        """Add the products to the weights, by PEFT."""
        return cast(DPOTModel, cast(Any, model).merge_and_unload())

    def state(self, model: nn.Module) -> dict[str, Tensor]:
        """The adapter's tensors under PEFT's names."""
        from peft import get_peft_model_state_dict

        return get_peft_model_state_dict(cast(Any, model))

    def load_state(self, model: nn.Module, state: dict[str, Tensor]) -> None:
        """Load under PEFT's names; every tensor must find its place."""
        from peft import set_peft_model_state_dict

        expected = self.state(model)
        if wrong := sorted(state.keys() ^ expected.keys()):
            raise ModelError("adapter weights do not fit the base", got=wrong[0])
        for name, tensor in state.items():
            if tensor.shape != expected[name].shape:
                raise ModelError(
                    f"adapter tensor {name} must be {list(expected[name].shape)}",
                    got=list(tensor.shape),
                )
        set_peft_model_state_dict(cast(Any, model), state)

    def config(self, model: nn.Module) -> dict[str, Any]:
        """PEFT's own configuration, so that PEFT can load the folder too."""
        config = cast(Any, model).peft_config["default"].to_dict()
        return {
            key: sorted(value) if isinstance(value, set) else value for key, value in config.items()
        }
