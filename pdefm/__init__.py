"""pdefm: foundation models for partial differential equations.

Importing this package registers its models with transformers' Auto classes and loads nothing heavy.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from pdefm.models.auto import register_auto_classes

if TYPE_CHECKING:
    from pdefm.data.open import open_trajectories
    from pdefm.data.trajectory import Trajectory
    from pdefm.evaluation.rollout import rollout
    from pdefm.hub.load import load_adapter
    from pdefm.hub.resolve import resolve
    from pdefm.models.dpot.configuration_dpot import DPOTConfig
    from pdefm.models.dpot.modeling_dpot import DPOTModel
    from pdefm.models.processing_pde import PDEProcessor

__version__ = "0.1.0"
__all__ = [
    "DPOTConfig",
    "DPOTModel",
    "PDEProcessor",
    "Trajectory",
    "load_adapter",
    "open_trajectories",
    "resolve",
    "rollout",
]

_HOME = {
    "DPOTConfig": "pdefm.models.dpot.configuration_dpot",
    "DPOTModel": "pdefm.models.dpot.modeling_dpot",
    "PDEProcessor": "pdefm.models.processing_pde",
    "Trajectory": "pdefm.data.trajectory",
    "load_adapter": "pdefm.hub.load",
    "open_trajectories": "pdefm.data.open",
    "resolve": "pdefm.hub.resolve",
    "rollout": "pdefm.evaluation.rollout",
}

register_auto_classes()


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'pdefm' has no attribute '{name}'")
