"""How much changes from one frame to the next: too much, hardly anything, or a sudden jump."""

from collections.abc import Mapping, Sequence
from math import exp, isfinite, log
from statistics import median
from typing import ClassVar

from pdefm.data.checks.base import BROKEN, TINY, Check, Code, Piece, Place

JUMP = 0.3
"""Of every field; a dropped frame gives ``log 2`` where fields move on evenly, less at shocks.
Clean data of all our equations stay below 0.25."""
FIELD_JUMP = 1.0
"""A jump of one field alone must be larger than this."""
MAD_FACTOR = 4.0
"""And it must stand out of the scatter by so many standard deviations."""
LEAST_CHANGES = 5
LARGEST_LOG = 20.0
UNRELATED = 1.2
"""Persistence error of frames that know nothing of each other is ``sqrt(2)``."""
STILL = 1e-4


class ChangesCheck(Check):
    """Errors of the forecast "nothing changes" (persistence), per frame and field.

    The error is the root mean square change over the standard deviation in space.
    """

    codes: ClassVar[Mapping[str, Code]] = {
        "jump": Code(
            "warning",
            "a frame changes far more than those around it, as after dropped frames",
            "Cut the trajectory there, or check how the frames were put together",
            hidden_by=(*BROKEN, "irregular_dt"),
        ),
        "unrelated_frames": Code(
            "warning",
            "neighbouring frames have little to do with each other",
            "Save frames more often, or check that the right axis is time",
        ),
        "still_frames": Code(
            "note",
            "hardly anything changes from frame to frame",
            "Train on every n-th frame (time_strides), or save frames less often",
        ),
    }

    def prepare(self) -> None:
        """No trajectory yet."""
        self._typical: list[tuple[float, Place]] = []

    def see(self, piece: Piece) -> None:
        """Keep one number a frame and field."""
        if piece.start == 0:
            self._changes: list[list[float]] = []
            self._sizes: list[list[float]] = []
        values = piece.with_before.double()
        if values.shape[-1] and len(values) > 1:
            self._changes += values.diff(dim=0).square().mean(2).sqrt().tolist()
            self._sizes += values[1:].var(2, correction=0).sqrt().tolist()
        if piece.last and self._changes:
            self._end(piece)

    def _end(self, piece: Piece) -> None:
        per_field = list(zip(*self._changes, strict=True))
        if not all(isfinite(change) for changes in per_field for change in changes):
            return
        sizes = list(zip(*self._sizes, strict=True))
        errors = [
            median(change / (size + TINY) for change, size in zip(*both, strict=True))
            for both in zip(per_field, sizes, strict=True)
            if max(both[1]) > 0
        ]
        if errors:
            self._typical.append((min(errors), piece.place()))
        # A frozen frame is a finding of its own, and no measure of usual change.
        moving = [i for i, row in enumerate(self._changes) if any(row)]
        if jump := find_jump([[field[i] for i in moving] for field in per_field]):
            place, channel, ratio = jump
            frame = moving[place - 1] + 1
            got = f"{ratio:.2g} times the change of its neighbours"
            self.found("jump", piece.place(frame, channel), got)

    def finish(self) -> None:
        """Judge the usual change by all trajectories."""
        if not self._typical:
            return
        values = sorted(self._typical, key=lambda pair: pair[0])
        value, place = values[len(values) // 2]
        got = f"a persistence error of {value:.3g} of the field's standard deviation"
        if value > UNRELATED:
            self.found("unrelated_frames", place, got)
        if value < STILL:
            self.found("still_frames", place, got)


def find_jump(changes: Sequence[Sequence[float]]) -> tuple[int, int | None, float] | None:
    """The frame that stands out most, if one does.

    ``s_k = log(change_k / sqrt(change_{k-1} change_{k+1}))`` stays close to 0 while changes grow or
    fade evenly. A jump has ``s > 0.3`` in every field, or ``s > 1`` in one, and lies outside of 4
    robust standard deviations (1.4826 times the median absolute deviation) of the scores further
    away.

    Args:
        changes: Per field, the size of the change to each frame from the second on.

    Returns:
        The frame, the field if it jumps alone, and the change over that of its neighbours.
    """
    channels = [i for i, field in enumerate(changes) if max(field, default=0.0) > 0]
    if not channels or len(changes[0]) < LEAST_CHANGES:
        return None
    scores = [_scores(changes[i]) for i in channels]
    together = [min(column) for column in zip(*scores, strict=True)]
    tried = [(together, JUMP, None)]
    tried += [(own, FIELD_JUMP, i) for own, i in zip(scores, channels, strict=True)]
    for values, least, channel in tried:
        k = max(range(len(values)), key=values.__getitem__)
        others = [value for i, value in enumerate(values) if abs(i - k) > 2]
        middle = median(others) if others else 0.0
        spread = 1.4826 * median([abs(v - middle) for v in others]) if others else 0.0
        if values[k] > max(least, middle + MAD_FACTOR * spread):
            if k and values[k - 1] > values[k] / 2:
                k -= 1  # one bad frame is two jumps; the first leads to it
            return k + 2, channel, exp(min(values[k], LARGEST_LOG))
    return None


def _scores(field: Sequence[float]) -> list[float]:
    """``s_k`` of every change but the first and the last."""
    floor = max(field) * 1e-9
    logs = [log(max(change, floor)) for change in field]
    return [
        here - (before + after) / 2
        for before, here, after in zip(logs, logs[1:], logs[2:], strict=False)
    ]
