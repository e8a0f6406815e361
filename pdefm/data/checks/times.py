"""Times between frames that are uneven, unlike, or not known."""

from collections.abc import Mapping
from typing import ClassVar

from pdefm.data.checks.base import Check, Code, Piece, Place

UNEVEN = 0.01
"""Steps may differ from the usual one by this part of it: files keep times in single precision."""


class TimesCheck(Check):
    """Steps in time, within a trajectory and between trajectories."""

    codes: ClassVar[Mapping[str, Code]] = {
        "irregular_dt": Code(
            "warning",
            "the time between frames is not the same throughout",
            "Frames may be missing: bring them to even times, or cut the trajectory there",
            hidden_by=("unreadable",),
        ),
        "mixed_dt": Code(
            "note",
            "trajectories differ in the time between frames",
            "Let the model know it (model.conditions: [dt]), or make a source of each",
        ),
        "unknown_dt": Code(
            "note",
            "the time between frames is 1, as it is if nothing says it",
            "If it is not, say it with --dt, in the unit of the data",
        ),
    }

    def prepare(self) -> None:
        """No step yet."""
        self._usual: dict[float, Place] = {}

    def see(self, piece: Piece) -> None:
        """Keep the times; they are few."""
        if piece.start == 0:
            self._times: list[float] = []
        self._times += piece.frames.times.tolist()
        if piece.last and len(self._times) > 1:
            self._end(piece)

    def _end(self, piece: Piece) -> None:
        steps = [b - a for a, b in zip(self._times, self._times[1:], strict=False)]
        usual = sorted(steps)[len(steps) // 2]
        # Late times in single precision are rounded by more than a small step allows.
        rounding = 2e-7 * max(abs(self._times[0]), abs(self._times[-1]))
        wrong = [i for i, dt in enumerate(steps) if abs(dt - usual) > UNEVEN * usual + rounding]
        if wrong:
            got = f"{steps[wrong[0]]:.4g} to frame {wrong[0] + 1}, mostly {usual:.4g}"
            self.found("irregular_dt", piece.place(wrong[0] + 1), got)
        else:
            usual = (self._times[-1] - self._times[0]) / len(steps)
        if not any(abs(usual - known) <= UNEVEN * known for known in self._usual):
            self._usual[usual] = piece.place()

    def finish(self) -> None:
        """Compare the trajectories."""
        if len(self._usual) > 1:
            known = sorted(self._usual)
            place = list(self._usual.values())[1]
            got = f"{len(known)} steps from {known[0]:.4g} to {known[-1]:.4g}"
            self.found("mixed_dt", place, got)
        assumed = [c for c in self.collections.values() if c.format == "arrays"]
        if assumed and list(self._usual) == [1.0]:
            self.found("unknown_dt", Place(), "dt 1")
