"""What a model step consumes: samples of one source, so nothing is padded."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from pdefm.data.trajectory import Boundary, Trajectory
from pdefm.errors import DataError

SMALL_BYTES = 65_536
"""Tensors up to this size are copied between processes instead of shared."""


def to_device(values: Mapping[str, Any], device: torch.device | str) -> dict[str, Any]:
    """The same names with every tensor on ``device``, in nested mappings too."""
    moved: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Tensor):
            value = value.to(device, non_blocking=True)
        elif isinstance(value, Mapping):
            value = to_device(value, device)
        moved[name] = value
    return moved


@dataclass(frozen=True)
class Batch:
    """Windows of one source, in physical units.

    Args:
        history: What the model sees.
        target: What it must predict.
        names: Field names of the channels, the same for all samples.
        dt: Time between frames.
        extent: Length of each space axis.
        boundary: Per axis, the conditions at both sides.
        mask: True inside the domain; ``None`` means everywhere.
        parameters: Scalars of the equation, one value a sample.
        constants: Coefficients that do not change in time.
        constant_names: Names of the channels of ``constants``.
        source: Name of the mixture's source.
    """

    history: Float[Tensor, "batch history channel *space"]
    target: Float[Tensor, "batch horizon channel *space"]
    names: tuple[str, ...]
    dt: Float[Tensor, " batch"]
    extent: Float[Tensor, "batch dims"]
    boundary: Boundary
    mask: Bool[Tensor, "batch *space"] | None = None
    parameters: dict[str, Tensor] | None = None
    constants: Float[Tensor, "batch constant *space"] | None = None
    constant_names: tuple[str, ...] = ()
    source: str = ""

    def __reduce__(self) -> tuple[Any, ...]:
        # Between processes each tensor travels as an open file, which takes about a millisecond;
        # small ones are quicker as plain bytes.
        return _unpack, ({f.name: _pack(getattr(self, f.name)) for f in fields(self)},)

    def to(self, device: torch.device | str) -> "Batch":
        """The same batch with every tensor on ``device``."""
        return replace(
            self, **to_device({f.name: getattr(self, f.name) for f in fields(self)}, device)
        )


def _pack(value: Any) -> Any:
    if isinstance(value, Tensor) and value.nbytes <= SMALL_BYTES and value.device.type == "cpu":
        return value.numpy()
    if isinstance(value, dict):
        return {name: _pack(inner) for name, inner in value.items()}
    return value


def _unpack(values: dict[str, Any]) -> Batch:
    def tensor(value: Any) -> Any:
        if isinstance(value, np.ndarray):
            return torch.from_numpy(value)
        if isinstance(value, dict):
            return {name: tensor(inner) for name, inner in value.items()}
        return value

    return Batch(**{name: tensor(value) for name, value in values.items()})


def _kind(window: Trajectory) -> tuple[Any, ...]:
    """What the samples of a batch must share."""
    return window.names, window.fields.shape, window.boundary, window.constant_names


def collate(windows: list[Trajectory], *, history: int, source: str = "") -> Batch:
    """Stack windows of ``history + horizon`` frames into a batch.

    Args:
        windows: Equal fields, grid and boundary.
        history: Frames that become the input; the rest become the target.
        source: Name that the batch carries.

    Parameters that only some of the windows carry are left out.

    Raises:
        DataError: Windows of different fields, grids, boundaries or constants.
    """
    first = windows[0]
    assert history <= first.num_frames
    for other in windows[1:]:
        if _kind(other) != _kind(first):
            raise DataError(
                f"a batch needs equal fields, shape, boundary and constants, as {first.source} has",
                got=f"{other.source} with {other.names}, {list(other.fields.shape)}",
                do="Put them into two sources of the mixture",
            )
    stacked = torch.stack([w.fields for w in windows])  # [B, T + T', C, *space]
    masks = [w.mask for w in windows]
    inside = torch.ones(first.grid.shape, dtype=torch.bool)
    constants = [w.constants for w in windows if w.constants is not None]
    shared = set.intersection(*(set(w.parameters) for w in windows))
    return Batch(
        history=stacked[:, :history],
        target=stacked[:, history:],
        names=first.names,
        dt=torch.tensor([w.dt for w in windows], dtype=stacked.dtype),
        extent=torch.tensor([w.grid.extent for w in windows], dtype=stacked.dtype),
        boundary=first.boundary,
        mask=None
        if all(m is None for m in masks)
        else torch.stack([inside if m is None else m for m in masks]),
        parameters={
            name: torch.tensor([w.parameters[name] for w in windows]) for name in sorted(shared)
        },
        constants=torch.stack(constants) if constants else None,
        constant_names=first.constant_names,
        source=source,
    )
