"""Loading by name: a model, or an adapter onto its base."""

from torch import nn

from pdefm.adapters import attach_adapter
from pdefm.errors import ModelError
from pdefm.hub.resolve import resolve
from pdefm.models.dpot.modeling_dpot import DPOTModel
from pdefm.models.loading import load_model
from pdefm.models.processing_pde import PDEProcessor


def load_adapter(model: DPOTModel, path_or_repo: str, revision: str | None = None) -> nn.Module:
    """Put an adapter onto its base.

    Args:
        model: The base, as loaded; it is modified.
        path_or_repo: Adapter folder, run folder of a fine-tuning, or repository id.
        revision: Commit, tag or branch of a repository.

    Returns:
        The adapted model; its attribute ``processor`` is the adapter's processor.

    Raises:
        ModelError: Another base (both hashes are named), or damaged files.
    """
    if not isinstance(model, DPOTModel):
        raise ModelError(
            "an adapter goes onto a DPOTModel", got=type(model).__name__, do="Load the base again"
        )
    adapted, processor = attach_adapter(model, resolve(path_or_repo, revision))
    adapted.processor = processor  # type: ignore[assignment]
    return adapted


def load_by_name(
    model: str, adapter: str | None = None, revision: str | None = None
) -> tuple[nn.Module, PDEProcessor]:
    """Model and processor by name, with an adapter if one is named."""
    base, processor = load_model(resolve(model, revision))
    if adapter is None:
        return base, processor
    return attach_adapter(base, resolve(adapter))
