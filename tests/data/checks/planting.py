"""Clean waves, and what the doctor finds after something was done to them."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch

from pdefm.data.checks.base import Expectations, Finding
from pdefm.data.collection import MemoryCollection
from pdefm.data.doctor import diagnose
from pdefm.data.trajectory import Source, Trajectory, uniform_boundary
from pdefm.domain import Axis, BoundaryCondition, Grid
from tests.tiny import waves

USUAL = {"too_few_frames", "patch_size", "one_trajectory"}
"""Notes about small data."""


def clean(
    num: int = 4, num_frames: int = 21, channels: int = 2, **changes: Any
) -> MemoryCollection:
    """Travelling waves on 32 x 24 points of a periodic box."""
    fields = torch.from_numpy(waves(num, num_frames, channels, 32, 24, seed=3))
    times = torch.arange(num_frames, dtype=torch.float64) * 0.1
    content: dict[str, Any] = {
        "names": ("density", "pressure", "height", "phase")[:channels],
        "grid": Grid.regular((32, 24)),
        "times": times,
    }
    return MemoryCollection(
        [
            Trajectory(**({"fields": one, "source": Source("a.hdf5", i)} | content | changes))
            for i, one in enumerate(fields)
        ]
    )


def change(
    collection: MemoryCollection, index: int, how: Callable[[torch.Tensor], torch.Tensor | None]
) -> MemoryCollection:
    """The collection with other values in one trajectory; ``how`` may work in place."""
    trajectories = list(collection)
    fields = trajectories[index].fields.clone()
    made = how(fields)
    fields = fields if made is None else made
    times = trajectories[index].times[: len(fields)]
    trajectories[index] = replace(trajectories[index], fields=fields, times=times)
    return MemoryCollection(trajectories)


def setting(where: Any, value: float) -> Callable[[torch.Tensor], None]:
    """A change of what an index picks."""

    def work(fields: torch.Tensor) -> None:
        fields[where] = value

    return work


def with_walls(
    trajectory: Trajectory, kind: BoundaryCondition = BoundaryCondition.WALL
) -> Trajectory:
    """The same values, with another word about the sides."""
    periodic = kind is BoundaryCondition.PERIODIC
    axes = tuple(
        Axis(axis.name, axis.num_points, axis.extent, periodic) for axis in trajectory.grid.axes
    )
    boundary = uniform_boundary(kind, len(axes))
    return replace(trajectory, grid=Grid(axes), boundary=boundary)


def findings(collection: Any, **expectations: Any) -> list[Finding]:
    """What is found, less the notes about small data."""
    found = diagnose(collection, Expectations(**expectations)).findings
    return [f for f in found if f.severity != "note" or f.code not in USUAL]


def only(collection: Any, code: str, **expectations: Any) -> Finding:
    """The one finding there is."""
    found = findings(collection, **expectations)
    assert [finding.code for finding in found] == [code]
    return found[0]
