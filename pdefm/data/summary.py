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
        total = self.count + finite.numel()
        shift = mean - self.mean
        self.squares += squares + shift**2 * self.count * finite.numel() / total
        self.mean += shift * finite.numel() / total
        self.count = total
        self.min = min(self.min, float(finite.min()))
        self.max = max(self.max, float(finite.max()))

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
    _check_not_empty(collection)
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


def field_statistics(
    collection: TrajectoryCollection, max_trajectories: int | None = None
) -> dict[str, tuple[float, float]]:
    """Mean and standard deviation of every field, for normalisation.

    Args:
        collection: At least one trajectory, all values inside the domain finite.
        max_trajectories: Use only the first ones; ``None`` uses all.

    Returns:
        Name to ``(mean, std)`` over the points inside the domain, in physical units.

    Raises:
        DataError: A value is not finite; the message names file, trajectory, frame and field.
    """
    _check_not_empty(collection)
    num_read = len(collection) if max_trajectories is None else max_trajectories
    statistics: dict[str, RunningStatistics] = {}
    for index in range(min(num_read, len(collection))):
        start = 0
        for piece in pieces(collection, index):
            for channel, name in enumerate(piece.names):
                running = statistics.setdefault(name, RunningStatistics())
                values = piece.fields[:, channel]
                running.add(values if piece.mask is None else values[:, piece.mask])
                if running.num_nonfinite:
                    raise _nonfinite_error(piece, start, channel)
            start += piece.num_frames
    return {name: (found.mean, found.std) for name, found in statistics.items()}


def _check_not_empty(collection: TrajectoryCollection) -> None:
    if not len(collection):
        raise DataError(f"{collection.path} is empty", got="no trajectories", do="Check the file")


def _nonfinite_error(piece: Trajectory, start: int, channel: int) -> DataError:
    wrong = ~torch.isfinite(piece.fields[:, channel])
    bad = (wrong if piece.mask is None else wrong & piece.mask).flatten(1)  # [time, points]
    frame = int(bad.any(1).nonzero()[0])
    return DataError(
        f"{piece.source.name}: trajectory {piece.source.index}, frame {start + frame}, field "
        f"'{piece.names[channel]}' holds values that are not finite",
        got=f"{int(bad[frame].sum())} of {bad.shape[1]} points",
        do="Repair the file, or say nonfinite: drop or mask; pdefm data doctor lists them",
    )


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
