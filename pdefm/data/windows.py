"""Which frames belong to which training sample: index arithmetic, no data."""

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate

from pdefm.errors import DataError


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
