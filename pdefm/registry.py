"""One small lazy table: a name, and where the class behind it lives."""

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from functools import cached_property
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from pdefm.errors import RecipeError


def nearest_name_hint(name: str, known: list[str]) -> str:
    """Sentence that offers the closest known name and lists all of them."""
    close = get_close_matches(name, known, n=1, cutoff=0.5)
    guess = f"Did you mean '{close[0]}'? " if close else ""
    return f"{guess}Known: {', '.join(sorted(known))}"


class Registry(Mapping[str, Any]):
    """Table of interchangeable parts, imported on first use.

    Plug-ins join through the entry-point group ``pdefm.<kind>`` of their own package.

    Args:
        kind: What the table holds, as errors call it (``pde``, ``task``, ...).
        entries: Name to ``module:Class``.
    """

    def __init__(self, kind: str, entries: dict[str, str]) -> None:
        self.kind = kind
        self._entries = entries

    @cached_property
    def targets(self) -> dict[str, str]:
        """Own entries and plug-ins; a plug-in may not take an own name."""
        plugins = {point.name: point.value for point in entry_points(group=f"pdefm.{self.kind}")}
        if taken := sorted(plugins.keys() & self._entries.keys()):
            raise RecipeError(
                f"{self.kind} plug-in uses a name that pdefm owns",
                got=f"{taken[0]} = {plugins[taken[0]]}",
                do="Rename the entry point of the plug-in",
            )
        return self._entries | plugins

    def __getitem__(self, name: str) -> Any:
        """Import and return the class called ``name``.

        Raises:
            RecipeError: No such name; the message offers the nearest one.
        """
        if name not in self.targets:
            raise RecipeError(
                f"unknown {self.kind}",
                got=f"'{name}'",
                do=nearest_name_hint(name, list(self.targets)),
            )
        module, _, attribute = self.targets[name].partition(":")
        return getattr(import_module(module), attribute)

    def __contains__(self, name: object) -> bool:
        return name in self.targets

    def __iter__(self) -> Iterator[str]:
        return iter(self.targets)

    def __len__(self) -> int:
        return len(self.targets)
