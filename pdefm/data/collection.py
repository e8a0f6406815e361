"""Many trajectories, read from disk piece by piece."""

from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, overload

from pdefm.data.trajectory import Trajectory
from pdefm.errors import DataError

if TYPE_CHECKING:
    TrajectorySequence = Sequence[Trajectory]
else:
    # Checkers of types at run time look at an item of a Sequence[...], which here is a disk read.
    TrajectorySequence = Sequence


@dataclass(frozen=True)
class StorageLayout:
    """How an array lies in its file.

    Args:
        shape: Of the whole array.
        dtype: Such as ``float32``.
        chunks: Shape of a chunk; ``None`` if the array lies in one piece.
        compression: Name of the filter; ``None`` if there is none.
    """

    shape: tuple[int, ...]
    dtype: str
    chunks: tuple[int, ...] | None = None
    compression: str | None = None


class TrajectoryCollection(TrajectorySequence, ABC):
    """A sequence of trajectories that reads only the frames it is asked for.

    Collections can be pickled and survive a fork: files are opened on first use in each process.

    Attributes:
        format: Name in the table of formats, or ``memory``.
        folders: Whether a format's data are a folder as a whole (it may take files, too).
        scheme: Word before ``://`` of a format whose data are no path on disk; mostly empty.
        holds_files: Whether files of the other formats lie at such a place: it takes ``format``,
            ``split`` and ``trust`` too, and has a class method ``present_splits(path)``.
        path: File or folder, for messages.
        name: Short name for messages and reports.
        reason: Why the format was chosen; empty if it was not guessed.
        licence: Of the published data, as their publisher states it; empty if unknown.
        staggered: Whether velocities are those on the lower faces of the cells, not at the centres.
        num_typical: How many of the first ones stand for all where statistics are needed; ``None``
            means all of them.
    """

    format: str = "memory"
    folders: ClassVar[bool] = False
    scheme: ClassVar[str] = ""
    holds_files: ClassVar[bool] = False
    path: Path = Path("memory")
    name: str = "memory"
    reason: str = ""
    licence: str = ""
    staggered: bool = False
    num_typical: int | None = None

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def num_frames(self, index: int) -> int:
        """Number of stored times of one trajectory."""

    @abstractmethod
    def read(self, index: int, start: int = 0, stop: int | None = None) -> Trajectory:
        """Frames ``start`` to ``stop`` of one trajectory; other frames are not read.

        Args:
            index: Which trajectory; negative counts from the end.
            start: First frame.
            stop: One past the last frame; ``None`` means the end.

        Raises:
            IndexError: No such trajectory or frames.
            DataError: The file is damaged; the message names it.
        """

    def storage(self) -> dict[str, StorageLayout]:
        """How the arrays of the fields lie on disk, by their keys; empty if not on disk."""
        return {}

    def dataset_name(self) -> str:
        """Name that the data give themselves, such as the equation that made them; or empty."""
        return ""

    def groups(self) -> list[Sequence[int]]:
        """Indices of the trajectories, those together that share grid and fields.

        The trajectories of one file are taken to be alike; collections of files compare them.
        """
        return [range(len(self))]

    def origin(self, index: int) -> "tuple[TrajectoryCollection, int]":
        """The file's own collection that a trajectory comes from, and its index there."""
        return self, self.check_index(index)

    def check_index(self, index: int) -> int:
        """``index`` counted from the front, or IndexError."""
        if not -len(self) <= index < len(self):
            raise IndexError(f"{self.path} has {len(self)} trajectories, asked for {index}")
        return index % len(self)

    def check_frames(self, index: int, start: int, stop: int | None) -> tuple[int, int]:
        """``start`` and ``stop`` inside the trajectory, or IndexError."""
        last = self.num_frames(index)
        stop = last if stop is None else stop
        if not 0 <= start < stop <= last:
            raise IndexError(f"{self.path}[{index}] has {last} frames, asked for {start} to {stop}")
        return start, stop

    @overload
    def __getitem__(self, index: int) -> Trajectory: ...

    @overload
    def __getitem__(self, index: slice) -> "Subset": ...

    def __getitem__(self, index: int | slice) -> "Trajectory | Subset":
        if isinstance(index, slice):
            return Subset(self, range(len(self))[index])
        return self.read(index)


class MemoryCollection(TrajectoryCollection):
    """Trajectories that are already in memory."""

    def __init__(self, trajectories: Sequence[Trajectory], name: str = "memory") -> None:
        self.trajectories = list(trajectories)
        self.name = name

    def __len__(self) -> int:
        return len(self.trajectories)

    def num_frames(self, index: int) -> int:
        """Number of frames of one trajectory."""
        return self.trajectories[self.check_index(index)].num_frames

    def read(self, index: int, start: int = 0, stop: int | None = None) -> Trajectory:
        """Frames of one trajectory, without a copy."""
        index = self.check_index(index)
        return self.trajectories[index].frames(*self.check_frames(index, start, stop))

    def groups(self) -> list[Sequence[int]]:
        """Indices of the trajectories, those together that share grid and fields."""
        return _alike(((i,), trajectory) for i, trajectory in enumerate(self.trajectories))


class Subset(TrajectoryCollection):
    """Some trajectories of another collection, in the given order."""

    def __init__(self, parent: TrajectoryCollection, indices: Sequence[int]) -> None:
        self.parent = parent
        self.indices = [parent.check_index(index) for index in indices]
        self.format, self.path, self.name = parent.format, parent.path, parent.name
        self.reason, self.licence = parent.reason, parent.licence
        self.licence, self.staggered = parent.licence, parent.staggered

    def __len__(self) -> int:
        return len(self.indices)

    def num_frames(self, index: int) -> int:
        """Number of frames of one trajectory."""
        return self.parent.num_frames(self.indices[self.check_index(index)])

    def read(self, index: int, start: int = 0, stop: int | None = None) -> Trajectory:
        """Frames of one trajectory of the parent."""
        return self.parent.read(self.indices[self.check_index(index)], start, stop)

    def origin(self, index: int) -> tuple[TrajectoryCollection, int]:
        """Where the parent has it from."""
        return self.parent.origin(self.indices[self.check_index(index)])

    def storage(self) -> dict[str, StorageLayout]:
        """How the arrays of the parent lie on disk."""
        return self.parent.storage()

    def dataset_name(self) -> str:
        """That of the parent."""
        return self.parent.dataset_name()

    def groups(self) -> list[Sequence[int]]:
        """The groups of the parent, as far as they are in the subset."""
        kind_of = {i: kind for kind, group in enumerate(self.parent.groups()) for i in group}
        found: dict[int, list[int]] = {}
        for place, index in enumerate(self.indices):
            found.setdefault(kind_of[index], []).append(place)
        return list(found.values())


class Concatenation(TrajectoryCollection):
    """Several files one after the other, as one collection.

    Args:
        parts: At least one collection, all of one format.
        path: The folder they lie in.

    Raises:
        DataError: No part, or parts of different formats.
    """

    def __init__(self, parts: Sequence[TrajectoryCollection], path: Path) -> None:
        formats = {part.format: part.path for part in parts}
        if len(formats) != 1:
            raise DataError(
                f"{path}: a folder needs files of one format",
                got=", ".join(f"{kind} ({where.name})" for kind, where in formats.items())
                or "none",
                do="Open the files one by one, or say --format",
            )
        self.parts = list(parts)
        self.path, self.name, self.format = path, path.name, parts[0].format
        self.reason, self.licence = parts[0].reason, parts[0].licence
        self.licence = ", ".join(dict.fromkeys(part.licence for part in parts if part.licence))
        self.staggered = any(part.staggered for part in parts)
        self._ends: list[int] = []

    def _part_ends(self) -> list[int]:
        self._ends = self._ends or list(accumulate(len(part) for part in self.parts))
        return self._ends

    def _locate(self, index: int) -> tuple[TrajectoryCollection, int]:
        index = self.check_index(index)
        ends = self._part_ends()
        number = bisect_right(ends, index)
        return self.parts[number], index - (ends[number - 1] if number else 0)

    def __len__(self) -> int:
        return self._part_ends()[-1]

    def num_frames(self, index: int) -> int:
        """Number of frames of one trajectory; files may differ."""
        part, local = self._locate(index)
        return part.num_frames(local)

    def read(self, index: int, start: int = 0, stop: int | None = None) -> Trajectory:
        """Frames of one trajectory, from the file that holds it."""
        part, local = self._locate(index)
        return part.read(local, start, stop)

    def origin(self, index: int) -> tuple[TrajectoryCollection, int]:
        """The file that holds it."""
        part, local = self._locate(index)
        return part.origin(local)

    def storage(self) -> dict[str, StorageLayout]:
        """How the arrays of the first file lie on disk, which stands for all."""
        return self.parts[0].storage()

    def dataset_name(self) -> str:
        """That of the first file, which stands for all."""
        return self.parts[0].dataset_name()

    def groups(self) -> list[Sequence[int]]:
        """Indices of the trajectories, those together that share grid and fields."""
        starts = [0, *self._part_ends()]
        return _alike(
            ([start + i for i in group], part.read(group[0], 0, 1))
            for start, part in zip(starts, self.parts, strict=False)
            for group in part.groups()
            if len(group)
        )


def _alike(heads: Iterable[tuple[Sequence[int], Trajectory]]) -> list[Sequence[int]]:
    """Merge the indices of those that may share a batch."""
    found: dict[object, list[int]] = {}
    for indices, head in heads:
        kind = (head.grid.shape, head.names, head.boundary, head.constant_names)
        found.setdefault(kind, []).extend(indices)
    return list(found.values())
