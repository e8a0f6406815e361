"""Tells transformers' Auto classes about our models, at the moment they are imported.

Importing transformers costs seconds, and ``import pdefm`` must not; so a finder on
``sys.meta_path`` waits for the Auto modules and registers right after each has run. Where our own
modules are what pulled transformers in, they register themselves when they have run to their end.
"""

import sys
from collections.abc import Callable
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType
from typing import Any


def _register_config(auto: ModuleType) -> None:
    from pdefm.models.dpot.configuration_dpot import DPOTConfig

    auto.AutoConfig.register(DPOTConfig.model_type, DPOTConfig, exist_ok=True)


def _register_model(auto: ModuleType) -> None:
    from pdefm.models.dpot.configuration_dpot import DPOTConfig
    from pdefm.models.dpot.modeling_dpot import DPOTModel

    auto.AutoModel.register(DPOTConfig, DPOTModel, exist_ok=True)


def _register_processor(auto: ModuleType) -> None:
    from pdefm.models.dpot.configuration_dpot import DPOTConfig
    from pdefm.models.processing_pde import PDEProcessor

    auto.AutoProcessor.register(DPOTConfig, PDEProcessor, exist_ok=True)


REGISTRARS: dict[str, Callable[[ModuleType], None]] = {
    "transformers.models.auto.configuration_auto": _register_config,
    "transformers.models.auto.modeling_auto": _register_model,
    "transformers.models.auto.processing_auto": _register_processor,
}


OURS = (
    "pdefm.models.dpot.configuration_dpot",
    "pdefm.models.dpot.modeling_dpot",
    "pdefm.models.processing_pde",
)


def _half_imported(name: str) -> bool:
    """True while the module called ``name`` is still running its body."""
    spec = getattr(sys.modules.get(name), "__spec__", None)
    return bool(getattr(spec, "_initializing", False))


class _RegisteringLoader(Loader):
    """Runs the module's own loader, then our registration."""

    def __init__(self, loader: Loader, register: Callable[[ModuleType], None]) -> None:
        self.loader, self.register = loader, register

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self.loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self.loader.exec_module(module)
        if not any(_half_imported(name) for name in OURS):
            self.register(module)


class _AutoClassFinder(MetaPathFinder):
    """Finds nothing itself; wraps the loader of the Auto modules."""

    def find_spec(
        self, fullname: str, path: Any, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in REGISTRARS:
            return None
        sys.meta_path.remove(self)
        try:
            spec = find_spec(fullname)
        finally:
            sys.meta_path.insert(0, self)
        if spec is not None and spec.loader is not None:
            spec.loader = _RegisteringLoader(spec.loader, REGISTRARS[fullname])
        return spec


def register_auto_classes(finished: str | None = None) -> None:
    """Register now where transformers is loaded already, and on import where it is not.

    Args:
        finished: Name of one of our modules whose last line makes this call.
    """
    if any(_half_imported(name) for name in OURS if name != finished):
        return
    for name, register in REGISTRARS.items():
        if name in sys.modules and not _half_imported(name):
            register(sys.modules[name])
    if not any(isinstance(finder, _AutoClassFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _AutoClassFinder())
