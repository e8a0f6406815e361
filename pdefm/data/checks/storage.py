"""Files that are laid out so that a few frames cost as much as a whole set."""

from collections.abc import Mapping, Sequence
from math import ceil, prod
from typing import ClassVar

from pdefm.data.checks.base import Check, Code, Place
from pdefm.data.collection import Concatenation, StorageLayout

WINDOW_FRAMES = 11
SLOW = 8.0
"""Cost over that of the plain layout, from which on it is worth converting."""
FILTER_COST = {"gzip": 15.0, "szip": 10.0, "lzf": 4.0, "other": 5.0}
"""Reading a byte through a filter over copying it, roughly; single core."""
STRIDED_COST = 20.0
"""Reading numbers that lie one by one in a file."""


class StorageCheck(Check):
    """Chunks and compression, for windows of 11 frames of one trajectory."""

    codes: ClassVar[Mapping[str, Code]] = {
        "slow_storage": Code(
            "warning",
            "windows of frames read slowly from this layout",
            "Convert once: pdefm data convert PATH --out DIR",
        ),
    }

    def finish(self) -> None:
        """Judge the arrays that cost most."""
        for split, collection in self.collections.items():
            while isinstance(collection, Concatenation):
                collection = collection.parts[0]  # storage() is that of the first file
            if not len(collection):
                continue
            head = collection.read(0, 0, 1)
            sizes = len(collection), collection.num_frames(0), head.grid.shape
            costs = {key: read_cost(data, *sizes) for key, data in collection.storage().items()}
            if costs and max(costs.values()) >= SLOW:
                key = max(costs, key=costs.__getitem__)
                layout = collection.storage()[key]
                got = (
                    f"about {costs[key]:.0f} times the work of the plain layout "
                    f"({describe_storage(layout.dtype, layout.chunks, layout.compression)})"
                )
                self.found("slow_storage", Place(head.source.name, field=key, split=split), got)


def describe_storage(dtype: str, chunks: Sequence[int] | None, compression: str | None) -> str:
    """One line such as ``float32, chunks 1 x 2 x 16 x 16, gzip``."""
    pieces = "in one piece" if chunks is None else f"chunks {' x '.join(map(str, chunks))}"
    return f"{dtype}, {pieces}, {compression or 'not compressed'}"


def read_cost(
    layout: StorageLayout, num_trajectories: int, num_frames: int, space: Sequence[int]
) -> float:
    """Work to read 11 frames of one trajectory, over that of the plain layout.

    Numbers in the chunks that the window touches, over numbers in the window, times the cost of the
    filter. Which axes are trajectory and time is told from their lengths.

    Args:
        layout: Of the array.
        num_trajectories: In the file or folder.
        num_frames: Of a trajectory.
        space: Points per axis.
    """
    shape = layout.shape
    trajectory, time = _find_axes(shape, num_trajectories, num_frames, space)
    wanted = [1 if i == trajectory else n for i, n in enumerate(shape)]
    if time is not None:
        wanted[time] = min(WINDOW_FRAMES, shape[time])
    if not prod(shape):
        return 1.0
    if layout.chunks is None:
        inner = trajectory is not None and prod(shape[:trajectory]) > 1
        return STRIDED_COST if inner and shape[trajectory or 0] > 1 else 1.0
    touched = [
        min(_touched(want, chunk), ceil(n / chunk)) * chunk
        for n, want, chunk in zip(shape, wanted, layout.chunks, strict=True)
    ]
    amplification = prod(touched) / prod(wanted)
    filtered = layout.compression is not None
    factor = FILTER_COST.get(str(layout.compression), FILTER_COST["other"]) if filtered else 1.0
    return max(1.0, amplification * factor)


def _touched(want: int, chunk: int) -> float:
    """Chunks that ``want`` neighbours lie in, on average over where they start."""
    return 1 + (want - 1) / chunk


def _find_axes(
    shape: Sequence[int], num_trajectories: int, num_frames: int, space: Sequence[int]
) -> tuple[int | None, int | None]:
    """Positions of the trajectory and the time axis, as far as lengths tell.

    A file may have an array for each trajectory, so a length must be left over from space and time.
    """
    left = list(shape)
    for length in (*space, num_frames):
        if length in left:
            left.remove(length)
    frames = [i for i, n in enumerate(shape) if n in (num_frames, num_frames + 1)]
    several = num_trajectories > 1 and num_trajectories in left
    samples = [i for i, n in enumerate(shape) if several and n == num_trajectories]
    time = None
    if num_frames > 1 and frames:
        time = next((i for i in frames if i not in samples), frames[-1])
    trajectory = next((i for i in samples if i != time), None)
    return trajectory, time
