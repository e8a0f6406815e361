"""Several adapters on one base: swapped without reloading, merged, or removed without a trace.

Every adapter gets a model of its own whose weights lie in the base's memory, except for those that
the adapter moves or adds. So an adapter costs its own few megabytes, a swap costs nothing, and
the base keeps every bit.
"""

import copy
from pathlib import Path
from typing import Any, cast

from torch import Tensor, nn

from pdefm.adapters import HEAD, Adapter, checked_adapter
from pdefm.errors import ModelError
from pdefm.models.dpot.modeling_dpot import DPOTModel
from pdefm.models.loading import weights_sha256
from pdefm.models.processing_pde import PDEProcessor
from pdefm.registry import nearest_name_hint


def shared_copy(model: nn.Module) -> nn.Module:
    """Modules of its own over the same weights; each weight can be replaced or frozen alone."""
    memo: dict[int, Any] = {}
    for weight in model.parameters():
        memo[id(weight)] = nn.Parameter(weight.detach(), weight.requires_grad)
    return copy.deepcopy(model, memo)


def unshare(model: nn.Module, base: nn.Module) -> None:
    """Give a model memory of its own for all that trains, so that the base stays as it is."""
    pointers = {weight.data_ptr() for weight in base.parameters()}
    for weight in model.parameters():
        if weight.requires_grad and weight.data_ptr() in pointers:
            weight.data = weight.data.clone()


class AdaptedModel(nn.Module):
    """A base and its adapters, of which one is active; without one it is the base.

    Args:
        base: As loaded; no bit of it changes.
    """

    def __init__(self, base: DPOTModel) -> None:
        super().__init__()
        self.base = base
        self.sha256 = weights_sha256(base)
        self.members = nn.ModuleDict()
        self.active: str | None = None
        self.adapters: dict[str, Adapter] = {}
        self.processors: dict[str, PDEProcessor] = {}

    @property
    def current(self) -> nn.Module:
        """The model that answers: that of the active adapter, or the base."""
        return self.base if self.active is None else self.members[self.active]

    @property
    def config(self) -> Any:
        """Of the model that answers."""
        return self.current.config

    @property
    def processor(self) -> PDEProcessor | None:
        """Of the active adapter."""
        return None if self.active is None else self.processors[self.active]

    @property
    def head(self) -> nn.Module | None:
        """Of the active adapter's task."""
        return getattr(self.current, HEAD, None)

    @property
    def task(self) -> Any:
        """Of the active adapter, ready to prepare batches."""
        name = self._known(self.active)
        return self.adapters[name].make_task(self.processors[name])

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the active adapter, or the base, makes of the inputs."""
        return self.current(*args, **kwargs)

    def load(self, folder: str | Path, name: str) -> None:
        """Read an adapter and make it the active one.

        Raises:
            ModelError: Another base, damaged files, or a name that is taken.
        """
        if name in self.adapters:
            raise ModelError(
                f"an adapter '{name}' is loaded already", do="Give another name, or delete_adapter"
            )
        adapter, state, processor = checked_adapter(self.base, folder, self.sha256)
        member = adapter.attach(cast(DPOTModel, shared_copy(self.base)), processor)
        unshare(member, self.base)
        adapter.load_state(member, state)
        self.members[name] = member.eval()
        self.adapters[name], self.processors[name] = adapter, processor
        self.active = name

    def set_adapter(self, name: str | None) -> None:
        """Let another adapter answer; ``None`` is the base.

        Raises:
            ModelError: No such adapter is loaded.
        """
        self.active = None if name is None else self._known(name)

    def delete_adapter(self, name: str) -> None:
        """Forget an adapter; if it was active, the base answers from now on.

        Raises:
            ModelError: No such adapter is loaded.
        """
        del self.members[self._known(name)], self.adapters[name], self.processors[name]
        if self.active == name:
            self.active = None

    def merge(self, name: str | None = None) -> DPOTModel:
        """A full model with an adapter's weights in its own, for ``save_pretrained``.

        Args:
            name: Default the active adapter.

        Raises:
            ModelError: No such adapter, or one whose task has a head of its own.
        """
        name = self._known(self.active if name is None else name)
        member = copy.deepcopy(self.members[name])
        if getattr(member, HEAD, None) is not None:
            raise ModelError(
                f"adapter '{name}' has a head for {self.adapters[name].task}, which is no part of"
                " a model",
                do="Keep it as an adapter",
            )
        merged = self.adapters[name].make_tuner().merge(member)
        return cast(DPOTModel, merged.requires_grad_(True).eval())

    def _known(self, name: str | None) -> str:
        if name is None or name not in self.adapters:
            hint = nearest_name_hint(name or "", list(self.adapters)) if self.adapters else None
            raise ModelError(
                "no adapter is active" if name is None else f"no adapter '{name}' is loaded",
                do=hint or "Load one with pdefm.load_adapter",
            )
        return name

    def memory(self) -> dict[str, int]:
        """Bytes that each adapter holds beside the base."""
        shared = {weight.data_ptr() for weight in self.base.parameters()}

        def own(weight: Tensor) -> int:
            return 0 if weight.data_ptr() in shared else weight.numel() * weight.element_size()

        return {n: sum(map(own, member.parameters())) for n, member in self.members.items()}


def adapter_name(folder_or_repo: str | Path, taken: dict[str, Adapter]) -> str:
    """The last part of a path or repository id, made unique."""
    stem = Path(str(folder_or_repo).partition("@")[0]).name.replace(".", "_") or "adapter"
    name, number = stem, 1
    while name in taken:
        number += 1
        name = f"{stem}_{number}"
    return name
