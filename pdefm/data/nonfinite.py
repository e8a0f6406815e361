"""What training does with values that are NaN or infinite: never nothing."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal, TypeAlias

import torch

from pdefm.data.collection import StorageLayout, Subset, TrajectoryCollection
from pdefm.data.summary import pieces
from pdefm.data.trajectory import Trajectory
from pdefm.errors import DataError

Policy: TypeAlias = Literal["error", "drop", "mask"]


def first_bad_frame(trajectory: Trajectory) -> int:
    """First frame that is not finite somewhere inside the domain; there must be one."""
    good = torch.isfinite(trajectory.fields)
    if trajectory.mask is not None:
        good |= ~trajectory.mask
    return int((~good.flatten(1).all(1)).nonzero()[0])


def find_nonfinite(
    collection: TrajectoryCollection, progress: Callable[[int], None] | None = None
) -> dict[int, int]:
    """Trajectories that hold such values inside their domain, and their first bad frame.

    Args:
        collection: Read once, in pieces.
        progress: Told after each trajectory.
    """
    found: dict[int, int] = {}
    for index in range(len(collection)):
        start = 0
        for piece in pieces(collection, index):
            if not piece.is_finite():
                found[index] = start + first_bad_frame(piece)
                break
            start += piece.num_frames
        if progress is not None:
            progress(1)
    return found


def without_nonfinite(
    collection: TrajectoryCollection, found: dict[int, int]
) -> TrajectoryCollection:
    """The trajectories that were not found to be bad.

    Raises:
        DataError: None is left.
    """
    good = [index for index in range(len(collection)) if index not in found]
    if not good:
        raise DataError(
            f"{collection.name}: every trajectory holds values that are not finite",
            got=f"{len(found)} of {len(collection)}",
            do="Look at them with pdefm data doctor",
        )
    return Subset(collection, good) if found else collection


class MaskedNonfinite(TrajectoryCollection):
    """Windows whose bad points are taken out of the domain.

    A point that is not finite in any field at any frame of a window is outside of that window's
    mask, and its values read as zero.

    Args:
        parent: Trajectories as they are.
    """

    def __init__(self, parent: TrajectoryCollection) -> None:
        self.parent = parent
        self.format, self.path, self.name = parent.format, parent.path, parent.name
        self.num_typical = parent.num_typical

    def __len__(self) -> int:
        return len(self.parent)

    def num_frames(self, index: int) -> int:
        """Number of frames of one trajectory."""
        return self.parent.num_frames(index)

    def groups(self) -> list[Sequence[int]]:
        """Those of the parent."""
        return self.parent.groups()

    def storage(self) -> dict[str, StorageLayout]:
        """That of the parent."""
        return self.parent.storage()

    def read(self, index: int, start: int = 0, stop: int | None = None) -> Trajectory:
        """Frames with finite values only.

        Raises:
            DataError: No point of these frames is finite throughout.
        """
        window = self.parent.read(index, start, stop)
        finite = torch.isfinite(window.fields)
        if bool(finite.all()):
            return window
        good = finite.flatten(0, 1).all(0)  # [*space]
        if window.mask is not None:
            good &= window.mask
        if not bool(good.any()):
            raise DataError(
                f"{window.source}: no point is finite in frames {start} to"
                f" {start + window.num_frames}",
                do="Use nonfinite: drop, or repair the file",
            )
        return replace(window, fields=torch.where(good, window.fields, 0.0), mask=good)
