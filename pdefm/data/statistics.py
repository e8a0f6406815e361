"""Statistics of every trajectory, computed once for each file and kept with what they belong to.

They are kept per trajectory in ``PDEFM_HOME/statistics``, so that any split, subset or mixture of
files has its own mean and deviation at once; a file that has changed is computed again.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from pdefm.data.cache import cache_folder, content_key
from pdefm.data.collection import TrajectoryCollection
from pdefm.data.formats import FORMATS
from pdefm.data.summary import RunningStatistics, check_not_empty, pieces
from pdefm.data.trajectory import Trajectory
from pdefm.errors import DataError
from pdefm.files import write_json_atomic
from pdefm.provenance import package_versions

SCHEMA = 1
FieldStatistics = dict[str, RunningStatistics]


def field_statistics(
    collection: TrajectoryCollection,
    max_trajectories: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> dict[str, tuple[float, float]]:
    """Mean and standard deviation of every field, for normalisation.

    Args:
        collection: At least one trajectory, all values inside the domain finite.
        max_trajectories: Use only the first ones; ``None`` uses all.
        progress: Told after each trajectory.

    Returns:
        Name to ``(mean, std)`` over the points inside the domain, in physical units.

    Raises:
        DataError: A value is not finite; the message names file, trajectory, frame and field.
    """
    check_not_empty(collection)
    num_read = len(collection) if max_trajectories is None else max_trajectories
    total: FieldStatistics = {}
    for index, found in enumerate(each_trajectory(collection, min(num_read, len(collection)))):
        for name, part in found.items():
            if part.num_nonfinite:
                raise _nonfinite_error(collection, index, name)
            total.setdefault(name, RunningStatistics()).merge(part)
        if progress is not None:
            progress(1)
    return {name: (found.mean, found.std) for name, found in total.items()}


def each_trajectory(collection: TrajectoryCollection, count: int) -> Iterator[FieldStatistics]:
    """Statistics of the first ``count`` trajectories, from what is kept where there is something.

    What had to be computed is kept when the last one has been taken.
    """
    kept: dict[int, _Kept] = {}
    for index in range(count):
        origin, place = collection.origin(index)
        if id(origin) not in kept:
            kept[id(origin)] = _Kept(origin)
        yield kept[id(origin)].of(place)
    for one in kept.values():
        one.save()


class _Kept:
    """What is known of one file's trajectories."""

    def __init__(self, origin: TrajectoryCollection) -> None:
        self.origin = origin
        self.belongs_to = _fingerprint(origin)
        self.known: dict[str, dict[str, Any]] = {}
        self.changed = False
        if self.belongs_to is not None:
            self.known = self._read()

    @property
    def _path(self) -> Path:
        assert self.belongs_to is not None
        key = content_key(self.belongs_to | {"schema": SCHEMA})
        return cache_folder() / "statistics" / f"{key}.json"

    def _read(self) -> dict[str, dict[str, Any]]:
        """What is kept; nothing if the file is missing or damaged, because it can be made again."""
        try:
            return json.loads(self._path.read_text())["trajectories"]
        except (OSError, ValueError, KeyError):
            return {}

    def of(self, place: int) -> FieldStatistics:
        """Of one trajectory."""
        if str(place) not in self.known:
            found = trajectory_statistics(self.origin, place)
            self.known[str(place)] = {name: asdict(one) for name, one in found.items()}
            self.changed = True
        return {name: RunningStatistics(**one) for name, one in self.known[str(place)].items()}

    def save(self) -> None:
        """Keep what was computed, beside what other runs have kept meanwhile."""
        if self.belongs_to is None or not self.changed:
            return
        self.known = self._read() | self.known
        self._path.parent.mkdir(parents=True, exist_ok=True)
        content = {
            "schema": SCHEMA,
            "belongs_to": self.belongs_to,
            "versions": package_versions(),
            "trajectories": self.known,
        }
        write_json_atomic(self._path, content)


def trajectory_statistics(collection: TrajectoryCollection, index: int) -> FieldStatistics:
    """Of one trajectory, over the points inside its domain; read a few frames at a time."""
    found: FieldStatistics = {}
    for piece in pieces(collection, index):
        for channel, name in enumerate(piece.names):
            values = piece.fields[:, channel]
            inside = values if piece.mask is None else values[:, piece.mask]
            found.setdefault(name, RunningStatistics()).add(inside)
    return found


def _fingerprint(origin: TrajectoryCollection) -> dict[str, Any] | None:
    """What statistics depend on: the files' sizes and times of change, and how they are read."""
    path = origin.path
    is_file = origin.format in FORMATS and type(origin) is FORMATS[origin.format]
    if not is_file or not path.exists():
        return None
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    states = [
        (file.relative_to(path).as_posix(), file.stat().st_size, file.stat().st_mtime_ns)
        for file in files
    ]
    return {
        "path": str(path.resolve()),
        "format": origin.format,
        "description": repr(getattr(origin, "description", None)),
        "files": content_key({"states": states}),
    }


def _nonfinite_error(collection: TrajectoryCollection, index: int, name: str) -> DataError:
    start = 0
    for piece in pieces(collection, index):
        frame, count, total = _first_bad(piece, name)
        if count:
            return DataError(
                f"{piece.source.name}: trajectory {piece.source.index}, frame {start + frame},"
                f" field '{name}' holds values that are not finite",
                got=f"{count} of {total} points",
                do="Repair the file, or say nonfinite: drop or mask; pdefm data doctor lists them",
            )
        start += piece.num_frames
    raise AssertionError("statistics counted a value that is not there")


def _first_bad(piece: Trajectory, name: str) -> tuple[int, int, int]:
    """Frame and number of bad points of the first bad frame, and the points of a frame."""
    wrong = ~torch.isfinite(piece.fields[:, piece.names.index(name)])
    bad = (wrong if piece.mask is None else wrong & piece.mask).flatten(1)  # [time, points]
    frames = bad.any(1).nonzero()
    if not len(frames):
        return 0, 0, bad.shape[1]
    frame = int(frames[0])
    return frame, int(bad[frame].sum()), bad.shape[1]
