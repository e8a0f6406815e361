"""What a collection is, as pdefm understands it, beyond its numbers."""

import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import torch

from pdefm.data.checks.storage import WINDOW_FRAMES
from pdefm.data.collection import MemoryCollection, TrajectoryCollection
from pdefm.data.summary import summarise
from pdefm.data.trajectory import Trajectory
from pdefm.errors import DataError, EnvironmentFault

MOST_VALUES = 2**29
"""Numbers that statistics are taken of, unless the user asks for more: 2 GiB as float32."""
SAMPLE = 64
"""Trajectories that stand for all where parameters are listed."""
TIMED_SECONDS, TIMED_WINDOWS = 0.5, 200
PLAIN_WINDOWS, PLAIN_BYTES = 8, 64 * 2**20
"""Windows, and at most so many bytes, that the plain layout is measured with."""


def inspect_collection(
    collection: TrajectoryCollection, max_trajectories: int | None = None
) -> dict[str, Any]:
    """What ``pdefm data inspect`` reports.

    Args:
        collection: At least one trajectory.
        max_trajectories: Take statistics of the first ones only; ``None`` means all, or as many as
            hold ``MOST_VALUES`` numbers.

    Returns:
        As ``summarise``, and ``reason`` of the format, ``axes`` as understood, ``licence``,
        ``parameters`` (name to least and largest of a sample), ``constants`` (names),
        ``mask_share`` (part of the points inside the domain), ``groups`` (shape and number of
        trajectories of each kind), ``storage`` by key, ``read_speed`` and ``num_summarised``.

    Raises:
        DataError: An empty or unreadable collection.
    """
    total = len(collection)
    num_summarised = min(total, _affordable(collection) if total else 0)
    if max_trajectories is not None:
        num_summarised = min(total, max_trajectories)
    summary = summarise(collection, num_summarised)
    head = collection.read(0, 0, 1)
    num_frames, channels, *_ = summary["shape"]
    sizes = {"trajectory": total, "time": num_frames, "channel": channels}
    sizes |= dict(zip(head.grid.names, head.grid.shape, strict=True))
    return summary | {
        "num_summarised": num_summarised,
        "reason": collection.reason,
        "licence": collection.licence,
        "axes": " ".join(f"{name}[{size}]" for name, size in sizes.items()),
        "parameters": _parameter_ranges(collection),
        "constants": list(head.constant_names),
        "mask_share": 1.0 if head.mask is None else float(head.mask.double().mean()),
        "groups": [
            {
                "shape": list(collection.read(group[0], 0, 1).grid.shape),
                "num_trajectories": len(group),
            }
            for group in collection.groups()
        ],
        "storage": {
            key: {
                "shape": list(layout.shape),
                "dtype": layout.dtype,
                "chunks": None if layout.chunks is None else list(layout.chunks),
                "compression": layout.compression,
            }
            for key, layout in collection.storage().items()
        },
        "read_speed": read_speed(collection),
    }


def few_frames(collection: TrajectoryCollection, most: int = 4) -> Trajectory:
    """First trajectory, with a few evenly spread frames only; the others are not read."""
    last = collection.num_frames(0) - 1
    numbers = sorted({round(i * last / max(1, most - 1)) for i in range(most)})
    frames = [collection.read(0, number, number + 1) for number in numbers]
    return replace(
        frames[0],
        fields=torch.cat([frame.fields for frame in frames]),
        times=torch.cat([frame.times for frame in frames]),
    )


def _affordable(collection: TrajectoryCollection) -> int:
    """Trajectories that hold ``MOST_VALUES`` numbers, at least one."""
    head = collection.read(0, 0, 1)
    return max(1, MOST_VALUES // max(1, head.fields.numel() * collection.num_frames(0)))


def _parameter_ranges(collection: TrajectoryCollection) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    total = len(collection)
    for index in range(0, total, -(-total // SAMPLE)):
        for name, value in collection.read(index, 0, 1).parameters.items():
            known = found.setdefault(name, [value, value])
            found[name] = [min(known[0], value), max(known[1], value)]
    return found


def read_speed(collection: TrajectoryCollection) -> dict[str, float | int | None]:
    """Measured speed of random windows of 11 frames, beside that of the plain layout.

    A few of the windows are written to a temporary file of our own layout and read from there in
    the same way. Whether the system's cache holds the files counts on both sides.

    Args:
        collection: At least one trajectory.

    Returns:
        ``num_frames`` of a window, ``windows_per_second``, ``megabytes_per_second`` (of float32
        values), and ``plain_windows_per_second``, which is ``None`` where it cannot be measured.
    """
    longest = max(collection.num_frames(i) for i in range(min(SAMPLE, len(collection))))
    frames = min(WINDOW_FRAMES, longest)
    own, sample = _time_windows(collection, frames)
    size = sample[0].fields.numel() * 4
    return {
        "num_frames": frames,
        "windows_per_second": own,
        "megabytes_per_second": own * size / 1e6,
        "plain_windows_per_second": _plain_speed(sample[: max(1, PLAIN_BYTES // size)], frames),
    }


def _time_windows(collection: TrajectoryCollection, frames: int) -> tuple[float, list[Trajectory]]:
    """Windows a second, and some of them."""
    sample: list[Trajectory] = []
    places = list(_long_enough(collection, frames, Random(0)))
    collection.read(*places[0])  # opens the file
    start = time.perf_counter()
    for done in count(1):
        window = collection.read(*places[done % len(places)])
        if len(sample) < PLAIN_WINDOWS:
            sample.append(window)
        seconds = time.perf_counter() - start
        if done >= TIMED_WINDOWS or (done >= 3 and seconds > TIMED_SECONDS):
            return done / max(seconds, 1e-9), sample
    raise AssertionError("unreachable")


def _long_enough(
    collection: TrajectoryCollection, frames: int, random: Random
) -> Iterator[tuple[int, int, int]]:
    """Random windows; the first trajectory that is long enough stands in for too short ones."""
    first = next(i for i in range(len(collection)) if collection.num_frames(i) >= frames)
    for _ in range(TIMED_WINDOWS):
        index = random.randrange(len(collection))
        chosen = index if collection.num_frames(index) >= frames else first
        start = random.randrange(collection.num_frames(chosen) - frames + 1)
        yield chosen, start, start + frames


def _plain_speed(sample: list[Trajectory], frames: int) -> float | None:
    from pdefm.data.formats.well import WellFile
    from pdefm.data.formats.well_writer import write_well

    like_first = [t for t in sample if (t.names, t.grid) == (sample[0].names, sample[0].grid)]
    try:
        with TemporaryDirectory() as folder:
            path = write_well(Path(folder) / "plain.hdf5", MemoryCollection(like_first), "plain")
            return _time_windows(WellFile(path), frames)[0]
    except (DataError, EnvironmentFault, OSError):  # names that the layout cannot hold, full disk
        return None
