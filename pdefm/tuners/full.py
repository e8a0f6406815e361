"""Full fine-tuning: every weight moves, and the adapter is as large as the model."""

from typing import cast

from torch import Tensor, nn

from pdefm.config import Section
from pdefm.errors import ModelError
from pdefm.models.dpot.modeling_dpot import DPOTModel
from pdefm.tuners.base import Tuner


class FullOptions(Section):
    """Full fine-tuning has no options."""


class FullTuner(Tuner):
    """All weights train."""

    name = "full"
    options_class = FullOptions

    def apply(self, model: DPOTModel) -> nn.Module:
        """Every parameter requires a gradient."""
        return model.requires_grad_(True)

    def merge(self, model: nn.Module) -> DPOTModel:
        """It is a plain model already."""
        return cast(DPOTModel, model)

    def state(self, model: nn.Module) -> dict[str, Tensor]:
        """The whole state dict."""
        return dict(model.state_dict())

    def load_state(self, model: nn.Module, state: dict[str, Tensor]) -> None:
        """Replace the whole state dict."""
        try:
            model.load_state_dict(state, strict=True)
        except RuntimeError as error:
            detail = str(error).splitlines()[1].strip()
            raise ModelError("adapter weights do not fit the base", got=detail) from error
