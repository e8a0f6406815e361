"""Sizes of numbers that single precision or one normalisation cannot serve."""

from collections.abc import Mapping
from math import sqrt
from typing import ClassVar

from pdefm.data.checks.base import Check, Code, Piece, Place
from pdefm.data.summary import RunningStatistics

FIELDS_APART = 1e6
OFFSET = 1e5
"""Single precision keeps seven digits; two of them for what changes are too few."""
TRAJECTORIES_APART = 1e3


class ScalesCheck(Check):
    """Root mean squares and deviations of the fields, over all data and by trajectory."""

    codes: ClassVar[Mapping[str, Code]] = {
        "field_scales": Code(
            "warning",
            "fields differ in size by a factor of a million or more",
            "Check their units, or scale them in the file",
        ),
        "large_offset": Code(
            "warning",
            "what varies of the field is lost in its large mean in single precision",
            "Store the field less its mean",
        ),
        "trajectory_scales": Code(
            "note",
            "trajectories differ in size by a factor of a thousand or more",
            "Small ones hardly count in the loss: scale them, or use instance_normalization",
        ),
    }

    def prepare(self) -> None:
        """No values yet."""
        self._all: dict[str, RunningStatistics] = {}
        self._deviations: dict[str, list[tuple[float, Place]]] = {}

    def see(self, piece: Piece) -> None:
        """Add the values inside the domain."""
        if piece.start == 0:
            self._own = {name: RunningStatistics() for name in piece.frames.names}
        for channel, name in enumerate(piece.frames.names):
            values = piece.points[:, channel]
            self._all.setdefault(name, RunningStatistics()).add(values)
            self._own[name].add(values)
        if piece.last:
            for channel, (name, own) in enumerate(self._own.items()):
                if own.count and own.squares > 0:
                    pair = (own.std, piece.place(channel=channel))
                    self._deviations.setdefault(name, []).append(pair)

    def finish(self) -> None:
        """Compare sizes."""
        sizes = {
            name: size
            for name, found in self._all.items()
            if found.count and (size := sqrt(found.mean**2 + found.std**2)) > 0
        }
        if sizes:
            small, large = min(sizes, key=sizes.__getitem__), max(sizes, key=sizes.__getitem__)
            if sizes[large] >= FIELDS_APART * sizes[small]:
                got = f"{large} {sizes[large]:.3g}, {small} {sizes[small]:.3g}"
                self.found("field_scales", Place(field=small), got)
        for name, found in self._all.items():
            if found.count and found.std > 0 and abs(found.mean) > OFFSET * found.std:
                got = f"mean {found.mean:.6g}, standard deviation {found.std:.3g}"
                self.found("large_offset", Place(field=name), got)
        for found in self._deviations.values():
            low, high = min(found, key=_size), max(found, key=_size)
            if high[0] >= TRAJECTORIES_APART * low[0]:
                got = f"standard deviation {low[0]:.3g} here, up to {high[0]:.3g} elsewhere"
                self.found("trajectory_scales", low[1], got)


def _size(pair: tuple[float, Place]) -> float:
    return pair[0]
