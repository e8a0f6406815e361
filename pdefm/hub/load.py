"""Loading by name: a model, or an adapter onto its base."""

from pathlib import Path

from torch import nn

from pdefm.adapted import AdaptedModel, adapter_name
from pdefm.adapters import attach_adapter
from pdefm.errors import ModelError
from pdefm.hub.resolve import resolve
from pdefm.models.dpot.modeling_dpot import DPOTModel
from pdefm.models.loading import load_model
from pdefm.models.processing_pde import PDEProcessor


def load_adapter(
    model: DPOTModel | AdaptedModel,
    folder_or_repo: str | Path,
    revision: str | None = None,
    name: str | None = None,
) -> AdaptedModel:
    """Put an adapter onto its base, beside those that it has.

    Args:
        model: The base, as loaded, or what this function returned before. The base keeps every bit.
        folder_or_repo: Adapter folder, run folder of a fine-tuning, or repository id, also
            ``owner/name@revision``.
        revision: Commit, tag or branch of a repository.
        name: For ``set_adapter``; by default the last part of the path.

    Returns:
        The model with the new adapter active: ``set_adapter``, ``merge``, ``delete_adapter``, and
        the attribute ``processor`` of the active adapter.

    Raises:
        ModelError: Another base (both hashes are named), or damaged files.
    """
    if not isinstance(model, DPOTModel | AdaptedModel):
        raise ModelError(
            "an adapter goes onto a DPOTModel", got=type(model).__name__, do="Load the base again"
        )
    adapted = model if isinstance(model, AdaptedModel) else AdaptedModel(model)
    chosen = adapter_name(folder_or_repo, adapted.adapters) if name is None else name
    adapted.load(resolve(folder_or_repo, revision), chosen)
    return adapted


def load_by_name(
    model: str, adapter: str | None = None, revision: str | None = None
) -> tuple[nn.Module, PDEProcessor]:
    """Model and processor by name, with an adapter if one is named."""
    base, processor = load_model(resolve(model, revision))
    if adapter is None:
        return base, processor
    return attach_adapter(base, resolve(adapter))
