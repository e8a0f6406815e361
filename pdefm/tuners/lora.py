"""LoRA: low-rank updates of the products, full updates of the small field slices."""

from typing import Any, cast

from pydantic import Field as Limits
from torch import Tensor, nn

from pdefm.config import Section
from pdefm.errors import ModelError
from pdefm.models.dpot.modeling_dpot import DPOTModel
from pdefm.models.loading import quiet_upstream
from pdefm.models.mixers import MIXERS
from pdefm.tuners.base import Tuner, trainable_state

MLP_LAYERS = ("fc1", "fc2")
UPSAMPLE = "decoder.upsample"
PEFT_COPIES = (".base_layer.", ".original_module.")
"""Parts of a name that tell a frozen weight which PEFT trains in another way."""
PEFT_OWN = (".lora_", ".modules_to_save.")


class LoraOptions(Section):
    """Options of LoRA, in PEFT's words."""

    r: int = Limits(default=8, ge=1)
    """Rank of the updates."""
    lora_alpha: int = Limits(default=16, ge=1)
    """The update is scaled by ``lora_alpha / r``."""
    target_modules: tuple[str, ...] | None = None
    """Linear layers that get a low-rank update; by default those of the blocks' MLPs, of the
    mixer, and the decoder's upsampling."""
    target_parameters: tuple[str, ...] | None = None
    """Stacks of matrices ``[slices, d, d]`` that get one low-rank pair a slice; by default the
    mixer's spectral weights."""
    modules_to_save: tuple[str, ...] = ()
    """More modules that train whole, each stored in full. The field slices and the small weights
    beside them always do."""


def _whole(model: DPOTModel) -> list[nn.Parameter]:
    """Weights that train in place: of the modules that own a slice a field, all that is small."""
    upsample = model.decoder.upsample.weight
    owners = {id(module): module for module, _ in model.field_slices()}
    return [p for module in owners.values() for p in module.parameters() if p is not upsample]


def _targets(model: DPOTModel, options: LoraOptions) -> dict[str, list[str]]:
    """What PEFT is told to change: as the options say, else what suits this model's mixer."""
    mixer = MIXERS[model.config.mixer]
    defaults = {
        "target_modules": (*MLP_LAYERS, *mixer.linear_names, UPSAMPLE),
        "target_parameters": tuple(f"mixer.{name}" for name in mixer.matrix_names),
    }
    chosen = {key: getattr(options, key) for key in defaults}
    found = {key: list(defaults[key] if v is None else v) for key, v in chosen.items()}
    return found | {"modules_to_save": list(options.modules_to_save)}


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
    """``W + (lora_alpha / r) B A`` on every target, by PEFT; field slices train in place.

    The file has PEFT's names throughout, so that PEFT loads all of it onto a base that has the
    fields. A field slice replaces that of the base: only the update of the targets can be switched
    off by PEFT, and :class:`~pdefm.adapted.AdaptedModel` keeps the base as it is.

    Source: LoRA (arXiv 2106.09685).
    """

    name = "lora"
    options_class = LoraOptions

    def apply(self, model: DPOTModel) -> nn.Module:
        """Wrap the model with PEFT; the base weights freeze, but for the field slices.

        Raises:
            ModelError: A target that the model does not have.
        """
        from peft import LoraConfig, get_peft_model

        options = cast(LoraOptions, self.options)
        targets = _targets(model, options)
        _check_targets(model, targets)
        whole = {id(weight) for weight in _whole(model)}
        # PEFT wonders about a model without a text vocabulary and asks transformers by an old name.
        with quiet_upstream():
            wrapped = get_peft_model(
                cast(Any, model),
                LoraConfig(
                    r=options.r,
                    lora_alpha=options.lora_alpha,
                    **cast(Any, targets),
                ),
            )
        for name, weight in wrapped.named_parameters():
            if id(weight) in whole and not any(part in name for part in PEFT_COPIES):
                weight.requires_grad_(True)
        return wrapped

    def merge(self, model: nn.Module) -> DPOTModel:
        """Add the products to the weights, by PEFT; the field slices are there already."""
        return cast(DPOTModel, cast(Any, model).merge_and_unload())

    def state(self, model: nn.Module) -> dict[str, Tensor]:
        """The adapter's tensors and the field slices under PEFT's names."""
        from peft import get_peft_model_state_dict

        return get_peft_model_state_dict(cast(Any, model)) | _in_place(model)

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
        own = _in_place(model)
        set_peft_model_state_dict(
            cast(Any, model), {name: t for name, t in state.items() if name not in own}
        )
        for name, weight in own.items():
            weight.copy_(state[name])

    def config(self, model: nn.Module) -> dict[str, Any]:
        """PEFT's own configuration, so that PEFT can load the folder too."""
        config = cast(Any, model).peft_config["default"].to_dict()
        return {
            key: sorted(value) if isinstance(value, set) else value for key, value in config.items()
        }


def _in_place(model: nn.Module) -> dict[str, Tensor]:
    """What trains of the base's own weights."""
    return {
        name: weight
        for name, weight in trainable_state(model).items()
        if not any(part in name for part in PEFT_OWN)
    }
