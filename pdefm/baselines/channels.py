"""A network of images as a forecaster: frames become channels, grids become larger as needed."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from pdefm.baselines.base import Demands


@dataclass(frozen=True)
class Forecast:
    """The next frames, normalised, ``[batch, horizon, channel, *space]``."""

    prediction: Tensor


def extended(
    fields: Float[Tensor, "batch channel *space"],
    added: tuple[int, ...],
    periodic: tuple[bool, ...],
) -> Float[Tensor, "batch channel *larger"]:
    """More points at both ends of every axis: what follows there, or the last value again.

    Args:
        fields: Any values.
        added: Points for each axis; the second end gets the odd one.
        periodic: Axes that close; the others repeat their last value.
    """
    for axis, (more, closes) in enumerate(zip(added, periodic, strict=True), start=2):
        if more:
            size = fields.shape[axis]
            places = torch.arange(size + more, device=fields.device) - more // 2
            places = places % size if closes else places.clamp(0, size - 1)
            fields = fields.index_select(axis, places)
    return fields


class ChannelNetwork(nn.Module):
    """``u_(t+1..t+T') = u_t + network(u_(t-T+1) ... u_t)`` with frames and fields as channels.

    What lies outside of the domain is zero, and one more channel says where that is.

    Args:
        network: ``[batch, channels_in, *space]`` to ``[batch, channels_out, *space]``.
        last: Its last layer, whose weights start at zero: an untrained network repeats the last
            frame, as an untrained DPOT does.
        demands: Fields and frames.
        added: How many points a size needs more, and whether the axis closes.
    """

    def __init__(
        self,
        network: nn.Module,
        last: Any,
        demands: Demands,
        added: Callable[[int, bool], int],
    ) -> None:
        super().__init__()
        self.network = network
        self.demands = demands
        self.added = added
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)

    def forward(
        self,
        history: Float[Tensor, "batch time channel *space"],
        field_names: tuple[str, ...] | None = None,
        mask: Bool[Tensor, "batch *space"] | None = None,
        **conditions: Any,
    ) -> Forecast:
        """Predict the next frames; conditions are not looked at."""
        assert field_names is None or tuple(field_names) == self.demands.field_names
        if mask is not None:
            history = history.masked_fill(~mask[:, None, None], 0.0)
        channels = history.flatten(1, 2)  # [B, T C, *space]
        if self.demands.has_mask:
            inside = torch.ones_like(channels[:, 0], dtype=torch.bool) if mask is None else mask
            channels = torch.cat([channels, (~inside)[:, None].to(channels.dtype)], 1)
        shape, periodic = history.shape[3:], self.demands.periodic
        added = tuple(self.added(n, closes) for n, closes in zip(shape, periodic, strict=True))
        output = self.network(extended(channels, added, periodic))
        for axis, (size, more) in enumerate(zip(shape, added, strict=True), start=2):
            output = output.narrow(axis, more // 2, size)
        increment = output.unflatten(1, (self.demands.horizon, history.shape[2]))
        return Forecast(history[:, -1:] + increment)


class Bounded(nn.Module):
    """Holds predictions within so many deviations, so that one that diverges has a large error.

    A forecast that leaves the finite numbers would end the whole evaluation.

    Args:
        network: Any forecaster.
        limit: Largest normalised value.
    """

    def __init__(self, network: nn.Module, limit: float = 1e4) -> None:
        super().__init__()
        self.network = network
        self.limit = limit

    def forward(self, **inputs: Any) -> Forecast:
        """What the network predicts, held."""
        prediction = self.network(**inputs).prediction
        held = torch.nan_to_num(prediction, nan=self.limit, posinf=self.limit, neginf=-self.limit)
        return Forecast(held.clamp(-self.limit, self.limit))
