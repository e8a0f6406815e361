"""What a collection holds, in numbers."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import inf, nan, sqrt
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from pdefm.data.collection import TrajectoryCollection
from pdefm.data.trajectory import Trajectory
from pdefm.errors import DataError

FRAMES_AT_ONCE = 16
"""Frames in memory at a time; a trajectory may be larger than memory."""


@dataclass
class RunningStatistics:
    """Mean, standard deviation, smallest and largest of values that are seen piece by piece.

    Pieces are merged in float64 by the pairwise update of Chan, Golub and LeVeque (1983), which
    does not lose digits to a large mean. Values that are not finite are counted and left out.
    """

    count: int = 0
    num_nonfinite: int = 0
    mean: float = 0.0
    squares: float = 0.0
    min: float = inf
    max: float = -inf

    def add(self, values: Float[Tensor, "..."]) -> None:
        """Take in more values of any shape."""
        finite = values[torch.isfinite(values)].to(torch.float64)
        self.num_nonfinite += values.numel() - finite.numel()
        if not finite.numel():
            return
        mean = float(finite.mean())
        squares = float(((finite - mean) ** 2).sum())
        least, largest = float(finite.min()), float(finite.max())
        self.merge(RunningStatistics(finite.numel(), 0, mean, squares, least, largest))

    def merge(self, other: "RunningStatistics") -> None:
        """Take in what another one has seen."""
        self.num_nonfinite += other.num_nonfinite
        if not other.count:
            return
        total = self.count + other.count
        shift = other.mean - self.mean
        self.squares += other.squares + shift**2 * self.count * other.count / total
        self.mean += shift * other.count / total
        self.count = total
        self.min = min(self.min, other.min)
        self.max = max(self.max, other.max)

    @property
    def std(self) -> float:
        """Standard deviation over all values (divided by their number)."""
        return sqrt(self.squares / self.count) if self.count else nan


def pieces(collection: TrajectoryCollection, index: int) -> Iterator[Trajectory]:
    """One trajectory, a few frames at a time."""
    last = collection.num_frames(index)
    for start in range(0, last, FRAMES_AT_ONCE):
        yield collection.read(index, start, min(start + FRAMES_AT_ONCE, last))


def summarise(
    collection: TrajectoryCollection, max_trajectories: int | None = None
) -> dict[str, Any]:
    """What ``pdefm data inspect`` reports.

    Args:
        collection: At least one trajectory.
        max_trajectories: Read only the first ones for the statistics; ``None`` reads all.

    Returns:
        ``format``, ``num_trajectories``, ``num_frames`` (smallest and largest), ``shape`` (time,
        channel, space of the first), ``names``, ``units``, ``dt``, ``extent``, ``boundary`` and
        ``statistics`` (``mean``, ``std``, ``min``, ``max``, ``num_nonfinite`` by name; ``None``
        where no value is finite).

    Raises:
        DataError: An empty or unreadable collection.
    """
    check_not_empty(collection)
    num_frames = [collection.num_frames(i) for i in range(len(collection))]
    first = collection.read(0, 0, min(2, num_frames[0]))
    num_read = len(collection) if max_trajectories is None else max_trajectories
    statistics: dict[str, RunningStatistics] = {name: RunningStatistics() for name in first.names}
    for index in range(min(num_read, len(collection))):
        for piece in pieces(collection, index):
            for channel, name in enumerate(piece.names):
                statistics.setdefault(name, RunningStatistics()).add(piece.fields[:, channel])
    return {
        "format": collection.format,
        "num_trajectories": len(collection),
        "num_frames": [min(num_frames), max(num_frames)],
        "shape": [num_frames[0], *first.fields.shape[1:]],
        "names": list(first.names),
        "units": list(first.units),
        "dt": _mean_dt(collection, num_frames[0]),
        "extent": list(first.grid.extent),
        "boundary": [[str(side) for side in sides] for sides in first.boundary],
        "statistics": {name: _as_json(found) for name, found in statistics.items()},
    }


def check_not_empty(collection: TrajectoryCollection) -> None:
    """Refuse a collection without trajectories.

    Raises:
        DataError: There is none.
    """
    if not len(collection):
        raise DataError(f"{collection.path} is empty", got="no trajectories", do="Check the file")


def _mean_dt(collection: TrajectoryCollection, num_frames: int) -> float:
    """Mean time between frames of the first trajectory, from its first and last frame only."""
    if num_frames < 2:
        return 0.0
    first, last = (collection.read(0, i, i + 1).times[0] for i in (0, num_frames - 1))
    return float(last - first) / (num_frames - 1)


def _as_json(found: RunningStatistics) -> dict[str, float | int | None]:
    values = {"mean": found.mean, "std": found.std, "min": found.min, "max": found.max}
    known: dict[str, float | int | None] = {
        key: value if found.count else None for key, value in values.items()
    }
    return known | {"num_nonfinite": found.num_nonfinite}
