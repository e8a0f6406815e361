"""Which frames belong to which training sample: index arithmetic, no data."""

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate

import numpy as np

from pdefm.errors import DataError

ENDLESS = 2**31
"""Trajectories that an endless collection claims to have."""


class WindowIndex:
    """All windows of ``history + horizon`` consecutive frames of a list of trajectories.

    Windows are numbered trajectory by trajectory, start frame by start frame.

    Args:
        num_frames: Length of every trajectory.
        history: Frames in.
        horizon: Frames out.
        stride: Distance between the starts of neighbouring windows.
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
        source: str = "data",
    ) -> None:
        self.length, self.stride = history + horizon, stride
        counts = [max(0, (n - self.length) // stride + 1) for n in num_frames]
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

    def locate(self, window: int) -> tuple[int, int, int]:
        """Trajectory, first frame and end frame of one window."""
        if not 0 <= window < len(self):
            raise IndexError(window)
        trajectory = bisect_right(self._ends, window)
        before = self._ends[trajectory - 1] if trajectory else 0
        start = (window - before) * self.stride
        return trajectory, start, start + self.length


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
        source: str = "data",
    ) -> None:
        self.length, self.stride, self.buffer, self.reuse = history + horizon, stride, buffer, reuse
        self.windows_each = max(0, (num_frames - self.length) // stride + 1)
        if not self.windows_each:
            raise DataError(
                f"{source}: too few frames for history {history} + horizon {horizon}",
                got=f"{num_frames} frames in every trajectory",
                do=f"Raise online.num_frames to {self.length} or more",
            )
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

    def locate(self, window: int) -> tuple[int, int, int]:
        """Trajectory, first frame and end frame of one window."""
        trajectory, turn = divmod(window, self.windows_each)
        return trajectory, turn * self.stride, turn * self.stride + self.length
