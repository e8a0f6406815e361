"""Which frames belong to which training sample: index arithmetic, no data."""

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple

import numpy as np

from pdefm.errors import DataError

ENDLESS = 2**31
"""Trajectories that an endless collection claims to have."""


class Window(NamedTuple):
    """Frames ``start, start + time_stride, ...`` below ``stop`` of one trajectory."""

    trajectory: int
    start: int
    stop: int
    time_stride: int = 1


def _spans(length: int, time_strides: Sequence[int]) -> list[int]:
    """Frames from the first to the last one of a window, for every time stride."""
    return [(length - 1) * time_stride + 1 for time_stride in time_strides]


def _num_starts(num_frames: int, span: int, stride: int) -> int:
    return max(0, (num_frames - span) // stride + 1)


class WindowIndex:
    """All windows of ``history + horizon`` equally distant frames of a list of trajectories.

    Windows are numbered trajectory by trajectory, time stride by time stride, start by start.

    Args:
        num_frames: Length of every trajectory.
        history: Frames in.
        horizon: Frames out.
        stride: Distance between the starts of neighbouring windows.
        time_strides: Distances between the frames of a window.
        indices: Numbers of the trajectories in their collection; ``None`` counts from 0.
        source: Name for the message.

    Raises:
        DataError: No trajectory is long enough for a single window.
    """

    def __init__(
        self,
        num_frames: Sequence[int],
        *,
        history: int,
        horizon: int,
        stride: int = 1,
        time_strides: Sequence[int] = (1,),
        indices: Sequence[int] | None = None,
        source: str = "data",
    ) -> None:
        self.length, self.stride, self.time_strides = history + horizon, stride, time_strides
        self._trajectories = range(len(num_frames)) if indices is None else indices
        self._spans = _spans(self.length, time_strides)
        counts = [_num_starts(n, span, stride) for n in num_frames for span in self._spans]
        self._ends = list(accumulate(counts))
        if not self._ends or self._ends[-1] == 0:
            longest = max(num_frames, default=0)
            raise DataError(
                f"{source}: too few frames for history {history} + horizon {horizon}",
                got=f"{longest} frames in the longest of {len(num_frames)} trajectories",
                do=f"Use longer trajectories, or history + horizon <= {longest}",
            )

    def __len__(self) -> int:
        return self._ends[-1]

    def locate(self, window: int) -> Window:
        """Trajectory and frames of one window."""
        if not 0 <= window < len(self):
            raise IndexError(window)
        run = bisect_right(self._ends, window)
        before = self._ends[run - 1] if run else 0
        trajectory, kind = divmod(run, len(self.time_strides))
        start = (window - before) * self.stride
        return Window(
            self._trajectories[trajectory],
            start,
            start + self._spans[kind],
            self.time_strides[kind],
        )


class EndlessWindows:
    """Windows of an endless collection: each trajectory serves ``reuse`` of them, then never again.

    Position ``p`` lies in block ``p // (buffer * reuse)``. In a block every trajectory has
    ``reuse`` turns, in an order that is shuffled by the seed; its windows are walked by a seeded
    permutation, so that none comes twice while another has not come.

    Args:
        num_frames: Frames of every trajectory.
        history: Frames in.
        horizon: Frames out.
        buffer: Trajectories in a block.
        reuse: Windows that each trajectory serves.
        stride: Distance between the starts of neighbouring windows.
        time_strides: Distances between the frames of a window.
        source: Name for the message.

    Raises:
        DataError: Trajectories too short for a single window.
    """

    def __init__(
        self,
        num_frames: int,
        *,
        history: int,
        horizon: int,
        buffer: int,
        reuse: int,
        stride: int = 1,
        time_strides: Sequence[int] = (1,),
        source: str = "data",
    ) -> None:
        self.buffer, self.reuse = buffer, reuse
        self._one = WindowIndex(
            [num_frames],
            history=history,
            horizon=horizon,
            stride=stride,
            time_strides=time_strides,
            source=source,
        )
        self.windows_each = len(self._one)
        self._orders: dict[tuple[int, ...], np.ndarray] = {}

    def __len__(self) -> int:
        return ENDLESS * self.windows_each

    def number(self, seed: int, stream: int, position: int) -> int:
        """Number of the window that comes at a position.

        Args:
            seed: Decides the order.
            stream: Which source of the mixture.
            position: Counted from 0.
        """
        block, turn = divmod(position, self.buffer * self.reuse)
        turn = int(self._order((seed, 3, stream, block), self.buffer * self.reuse)[turn])
        turn, place = divmod(turn, self.buffer)
        trajectory = block * self.buffer + place
        rounds, turn = divmod(turn, self.windows_each)
        rng = np.random.default_rng([seed, 4, stream, trajectory, rounds])
        return trajectory * self.windows_each + int(rng.permutation(self.windows_each)[turn])

    def _order(self, key: tuple[int, ...], size: int) -> np.ndarray:
        if key not in self._orders:
            while len(self._orders) > 3:
                del self._orders[next(iter(self._orders))]
            self._orders[key] = np.random.default_rng(list(key)).permutation(size)
        return self._orders[key]

    def locate(self, window: int) -> Window:
        """Trajectory and frames of one window."""
        trajectory, turn = divmod(window, self.windows_each)
        return self._one.locate(turn)._replace(trajectory=trajectory)
