"""What the page offers: models that forecast, and the equations that each of them can take."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from pdefm.adapters import read_adapter
from pdefm.errors import ModelError
from pdefm.hub.folder import ADAPTER_CONFIG, CONFIG, PROCESSOR, read_json
from pdefm.hub.listing import list_models
from pdefm.hub.load import load_by_name
from pdefm.hub.resolve import resolve
from pdefm.models.processing_pde import PDEProcessor
from pdefm.pdes import PDES
from pdefm.tasks import TASKS

RESOLUTION = 64
"""Points per axis if the model does not say what it has seen."""


@dataclass(frozen=True)
class Choice:
    """A model, or an adapter with the bases that it may belong to.

    Args:
        label: What the page shows.
        bases: Names of models, tried in this order.
        adapter: Name of the adapter.
        fields: Fields that it knows.
        num_dims: Space axes.
        processor: Content of its ``processor_config.json``.
    """

    label: str
    bases: tuple[str, ...]
    adapter: str | None
    fields: tuple[str, ...]
    num_dims: int
    processor: dict[str, Any]

    @property
    def resolution(self) -> int | tuple[int, ...]:
        """The first grid of its training."""
        seen = self.processor.get("resolutions")
        return tuple(seen[0]) if seen else RESOLUTION

    def load(self) -> tuple[nn.Module, PDEProcessor]:
        """Model and processor.

        Raises:
            ModelError: None of the bases fits, or damaged files.
        """
        for base in self.bases[:-1]:
            try:
                return load_by_name(base, self.adapter)
            except ModelError:  # the next may be the one
                continue
        return load_by_name(self.bases[-1], self.adapter)


def _choice(name: str, bases: tuple[str, ...] = ()) -> Choice | None:
    """One entry; ``None`` for an adapter whose task is no forecast."""
    folder = resolve(name)
    processor = read_json(folder / PROCESSOR)
    adapter = read_adapter(folder) if (folder / ADAPTER_CONFIG).is_file() else None
    if adapter is not None and not TASKS[adapter.task].forecasts:
        return None
    if adapter is not None:
        bases = tuple(dict.fromkeys((*bases, adapter.base.name)))
    config = read_json(folder / CONFIG) if adapter is None else {}
    shown = Path(name).name if Path(name).is_dir() else name
    return Choice(
        label=shown if adapter is None else f"{shown} (adapter)",
        bases=bases if adapter else (name,),
        adapter=name if adapter else None,
        fields=tuple(processor.get("fields", {})),
        num_dims=config.get("num_dims", 2),
        processor=processor,
    )


def find_choices(models: list[str], adapters: list[str]) -> dict[str, Choice]:
    """Those that were given, then those that ``pdefm list`` shows, by label.

    Args:
        models: Names or folders of models.
        adapters: Names or folders of adapters.

    Raises:
        ModelError: One that was given is not there, or nothing forecasts.
    """
    given = [_choice(name) for name in models]
    given += [_choice(name, tuple(models)) for name in adapters]
    for name, choice in zip((*models, *adapters), given, strict=True):
        if choice is None:
            raise ModelError(f"adapter {name} does not forecast", do="Use pdefm evaluate with it")
    known = {*models, *adapters}
    listed = [_choice(entry.name) for entry in list_models() if entry.name not in known]
    found: dict[str, Choice] = {}
    for choice in (*given, *listed):
        if choice is not None:
            label, number = choice.label, 2
            while label in found:
                label, number = f"{choice.label} {number}", number + 1
            found[label] = choice
    if not found:
        raise ModelError(
            "there is no model that forecasts",
            do="Give one with --model, or publish one with `pdefm publish`",
        )
    return found


def why_not(choice: Choice, family: str) -> str:
    """Why a model cannot forecast an equation, or empty text."""
    pde = PDES[family]()
    if pde.steady:
        return "is steady: nothing to roll out"
    if pde.num_dims != choice.num_dims:
        return f"has {pde.num_dims} space axes, the model {choice.num_dims}"
    unknown = [name for name in pde.channel_names if name not in choice.fields]
    return f"needs {', '.join(unknown)}, unknown to the model" if unknown else ""


def ordered_families(choice: Choice) -> list[tuple[str, str]]:
    """Label and name of every equation; those that the model can take come first."""
    reasons = {name: why_not(choice, name) for name in sorted(PDES)}
    return [
        (f"{name}: {reason}" if reason else name, name)
        for name, reason in sorted(reasons.items(), key=lambda item: bool(item[1]))
    ]


def free_parameters(family: str) -> dict[str, tuple[float, float, float]]:
    """Smallest, largest and middle value of the parameters that an equation leaves open."""
    pde = PDES[family]()
    return {
        name: (
            low,
            high,
            float(f"{(low * high) ** 0.5 if name in pde.log_uniform else (low + high) / 2:.3g}"),
        )
        for name, (low, high) in pde.parameter_ranges.items()
        if low < high
    }
