"""Named groups of the base's own weights train, by default the decoder; the rest is frozen."""

from typing import Literal, cast

from pydantic import Field as Limits
from torch import Tensor, nn

from pdefm.config import Section
from pdefm.errors import ModelError
from pdefm.models.dpot.modeling_dpot import DPOTModel
from pdefm.tuners.base import Tuner, load_trainable_state, trainable_state

Group = Literal["patch_embedding", "time_aggregation", "blocks", "decoder", "conditions"]
MODULES: dict[str, str] = {
    "patch_embedding": "patch_embedding",
    "time_aggregation": "time_aggregation",
    "blocks": "layers",
    "decoder": "decoder",
    "conditions": "conditioning",
}


class HeadOptions(Section):
    """Options of the head tuner."""

    groups: tuple[Group, ...] = Limits(default=("decoder",), min_length=1)
    """Parts of the model that train: ``patch_embedding``, ``time_aggregation``, ``blocks``,
    ``decoder`` and, where the model has it, ``conditions``."""


class HeadTuner(Tuner):
    """The chosen groups train; a head that the task brings trains too."""

    name = "head"
    options_class = HeadOptions

    def apply(self, model: DPOTModel) -> nn.Module:
        """Freeze all but the groups.

        Raises:
            ModelError: A group that this model does not have.
        """
        model.requires_grad_(False)
        for group in cast(HeadOptions, self.options).groups:
            module = getattr(model, MODULES[group])
            if module is None:
                present = [name for name, at in MODULES.items() if getattr(model, at) is not None]
                raise ModelError(
                    f"the model has no group '{group}' to train",
                    got=f"a model with {', '.join(present)}",
                    do="Leave the group out",
                )
            module.requires_grad_(True)
        return model

    def merge(self, model: nn.Module) -> DPOTModel:
        """It is a plain model already."""
        return cast(DPOTModel, model)

    def state(self, model: nn.Module) -> dict[str, Tensor]:
        """The weights of the groups."""
        return trainable_state(model)

    def load_state(self, model: nn.Module, state: dict[str, Tensor]) -> None:
        """Put the weights of the groups back."""
        load_trainable_state(model, state)
