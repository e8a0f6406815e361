"""The contract of a trained baseline, and how its size is found."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from importlib.metadata import version
from math import log, sqrt
from typing import Any, ClassVar

import torch
from torch import nn

from pdefm.errors import EnvironmentFault
from pdefm.models.dpot.configuration_dpot import DPOTConfig

FIRST_WIDTH = 32


@dataclass(frozen=True)
class Demands:
    """What a network must fit.

    Args:
        field_names: Channels of every frame.
        history: Frames in.
        horizon: Frames out.
        grid: Points per axis; of several grids the smallest of each axis.
        periodic: Axes that close.
        has_mask: Whether the domain has holes.
        conditions: What of the subject's conditions the data have.
        subject: Configuration of the model that is evaluated.
        num_weights: Its number of weights, which the network's should be near.
    """

    field_names: tuple[str, ...]
    history: int
    horizon: int
    grid: tuple[int, ...]
    periodic: tuple[bool, ...]
    has_mask: bool
    conditions: tuple[str, ...]
    subject: DPOTConfig
    num_weights: int

    @property
    def channels_in(self) -> int:
        """Frames times fields, and the mask."""
        return self.history * len(self.field_names) + self.has_mask

    @property
    def channels_out(self) -> int:
        """Frames times fields."""
        return self.horizon * len(self.field_names)


@dataclass(frozen=True)
class Built:
    """An untrained network, and the choices that were made for it."""

    network: nn.Module
    settings: dict[str, Any] = field(default_factory=dict)


class Baseline(ABC):
    """A kind of network.

    What :meth:`build` returns is called as a DPOT is: ``network(history=[B, T, C, *space],
    field_names=..., mask=..., **conditions).prediction`` is ``[B, T', C, *space]``, both in
    normalised units.
    """

    name: ClassVar[str]
    role: ClassVar[str]
    """What it is, for tables."""
    learning_rate: ClassVar[float] = 3e-3
    """Peak, with AdamW, unless another one is asked for; short trainings want a high one. Of 3e-3
    and 1e-2 each kind has the better one on three of the equations of nano's recipe in 45 s
    (``pdefm evaluate nano_equations --baselines KIND --baseline-learning-rate RATE``)."""
    library: ClassVar[tuple[str, str] | None] = None
    """Package that it comes from: its name on the index, and the module that is imported."""
    takes_conditions: ClassVar[bool] = False
    """Whether it is told time step, boundary and parameters."""

    @abstractmethod
    def build(self, demands: Demands) -> Built:
        """A network with new weights, drawn from PyTorch's generator."""

    def module(self) -> Any:
        """The library.

        Raises:
            EnvironmentFault: It is not installed.
        """
        return None if self.library is None else library_module(*self.library)

    def version(self) -> str | None:
        """Version of the library."""
        return None if self.library is None else version(self.library[0])


def library_module(package: str, module: str) -> Any:
    """Import a module of the benchmark extra.

    Args:
        package: Its name on the package index.
        module: What is imported.

    Raises:
        EnvironmentFault: It cannot be imported.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise EnvironmentFault(
            f"this baseline needs {package}",
            got=error,
            do="Install it with pip install 'pdefm[benchmark]', or leave the baseline out",
        ) from error


def count_weights(network: nn.Module) -> int:
    """Real numbers among the weights; a complex one is two."""
    return sum(p.numel() * (1 + p.is_complex()) for p in network.parameters())


def count_unbuilt(make: Callable[[], nn.Module]) -> int:
    """Weights of a network that is built without memory."""
    with torch.device("meta"):
        return count_weights(make())


def nearest_width(make: Callable[[int], nn.Module], num_weights: int) -> int:
    """Width whose network has about so many weights.

    The number grows about with the square of the width, so ``w <- w sqrt(wanted / found)`` soon
    stays where it is; of all widths on the way the one with the nearest number is taken.

    Args:
        make: Network of a width.
        num_weights: Wanted.
    """
    tried: dict[int, float] = {}
    width = FIRST_WIDTH
    while width not in tried:
        ratio = num_weights / count_unbuilt(lambda w=width: make(w))
        tried[width] = abs(log(ratio))
        width = max(1, round(width * sqrt(ratio)))
    return min(tried, key=lambda w: tried[w])
