"""What is wrong with data, in a user's words, before an hour of training is spent on them."""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Any

from pdefm.data.checks import CHECKS
from pdefm.data.checks.base import (
    SEVERITIES,
    Code,
    Expectations,
    Finding,
    Piece,
    Place,
    Report,
)
from pdefm.data.collection import TrajectoryCollection
from pdefm.data.open import open_trajectories, present_splits
from pdefm.data.summary import check_not_empty, pieces
from pdefm.data.trajectory import Trajectory
from pdefm.errors import DataError

UNREADABLE = Code(
    "error", "a trajectory cannot be read", "Repair the file, or leave the trajectory out"
)
"""The one code that no check owns."""
QUICK_TRAJECTORIES, QUICK_SECONDS = 8, 10.0


@dataclass(frozen=True)
class Diagnosis:
    """Findings, worst first, and what was looked at for them."""

    findings: list[Finding]
    num_checked: int
    num_trajectories: int
    num_frames: int
    splits: tuple[str, ...] = ()

    def count(self, severity: str) -> int:
        """Findings of this severity."""
        return sum(finding.severity == severity for finding in self.findings)

    def sentence(self) -> str:
        """How many findings there are, in words."""
        counts = [
            f"{n} {severity}{'' if n == 1 else 's'}"
            for severity in SEVERITIES
            if (n := self.count(severity))
        ]
        looked = f"{self.num_checked} of {self.num_trajectories} trajectories looked at"
        return f"{', '.join(counts) or 'nothing wrong found'} ({looked})"

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "findings": [finding.as_json() for finding in self.findings],
            "checked": {
                "num_checked": self.num_checked,
                "num_trajectories": self.num_trajectories,
                "num_frames": self.num_frames,
                "splits": list(self.splits),
                "checks": list(CHECKS),
            },
            **{f"num_{severity}s": self.count(severity) for severity in SEVERITIES},
        }


def open_splits(
    path: str | Path, format: str = "auto", *, trust: bool = False, **description: Any
) -> dict[str, TrajectoryCollection]:
    """Every split that data have, or all of them under an empty name.

    Args:
        path: File or folder.
        format: Name in the table of formats.
        trust: Open the files without looking into them first.
        description: As for ``open_trajectories``.

    Raises:
        DataError: As ``open_trajectories``.
    """
    splits = present_splits(path, trust=trust)
    names = splits if len(splits) > 1 else [None]
    return {
        name or "": open_trajectories(path, format, split=name, trust=trust, **description)
        for name in names
    }


def diagnose(
    collections: TrajectoryCollection | Mapping[str, TrajectoryCollection],
    expectations: Expectations | None = None,
    *,
    against: Mapping[str, TrajectoryCollection] | None = None,
    max_trajectories: int | None = None,
    max_seconds: float = inf,
    progress: Callable[[int], None] | None = None,
) -> Diagnosis:
    """Run every check of the table over the data, which are read once, a few frames at a time.

    Args:
        collections: One, or several splits by name; training data come first.
        expectations: What the data must be good for.
        against: Data that are not examined but in which no trajectory may appear again.
        max_trajectories: Look only at so many of each, evenly chosen.
        max_seconds: Stop reading after this time.
        progress: Told after each trajectory.

    Raises:
        DataError: An empty collection.
        RecipeError: Expectations that name fields which are not there.
    """
    named = {"": collections} if isinstance(collections, TrajectoryCollection) else collections
    for collection in named.values():
        check_not_empty(collection)
    deadline = time.monotonic() + max_seconds
    chosen = {split: _some(c, max_trajectories) for split, c in named.items()}
    report = Report()
    checks = [CHECKS[name](expectations or Expectations(), report, named) for name in CHECKS]
    num_checked = num_frames = 0
    for split, indices in chosen.items():
        for index in indices:
            if num_checked and time.monotonic() > deadline:
                break
            num_frames += _show(named[split], split, index, [c.see for c in checks], report)
            num_checked += 1
            if progress is not None:
                progress(1)
    for split, collection in (against or {}).items():
        for index in _some(collection, max_trajectories):
            _show(collection, split, index, [c.compare for c in checks], report)
            if progress is not None:
                progress(1)
    for check in checks:
        check.finish()
    total = sum(len(collection) for collection in named.values())
    return Diagnosis(
        report.findings(), num_checked, total, num_frames, tuple(split for split in named if split)
    )


def quick_diagnosis(
    collection: TrajectoryCollection,
    expectations: Expectations | None = None,
    *,
    max_trajectories: int = QUICK_TRAJECTORIES,
    max_seconds: float = QUICK_SECONDS,
) -> list[Finding]:
    """Findings over a few trajectories, for the moment before a training starts.

    Args:
        collection: Training data.
        expectations: Patch size, history and horizon of the model.
        max_trajectories: Evenly chosen.
        max_seconds: No further trajectory is read after this time.
    """
    return diagnose(
        collection, expectations, max_trajectories=max_trajectories, max_seconds=max_seconds
    ).findings


def num_to_look_at(
    collections: Mapping[str, TrajectoryCollection], max_trajectories: int | None
) -> int:
    """Trajectories that ``diagnose`` reads of these."""
    return sum(len(_some(collection, max_trajectories)) for collection in collections.values())


def _some(collection: TrajectoryCollection, most: int | None) -> list[int]:
    total = len(collection)
    if collection.num_typical is not None:  # an endless one
        total = min(total, collection.num_typical)
    if most is None or total <= most:
        return list(range(total))
    return [i * (total - 1) // max(1, most - 1) for i in range(most)]


def _show(
    collection: TrajectoryCollection,
    split: str,
    index: int,
    viewers: list[Callable[[Piece], None]],
    report: Report,
) -> int:
    """Read one trajectory and show it to every check; returns the frames read."""
    num_frames = 0
    try:
        for piece in _as_pieces(collection, split, index):
            num_frames += piece.frames.num_frames
            for view in viewers:
                view(piece)
    except DataError as error:
        source = collection.name
        place = Place(source, index, split=split, number=index)
        got = f"{error.what}{'' if error.got is None else f' ({error.got})'}"
        report.add("unreadable", UNREADABLE, place, got)
    return num_frames


def _as_pieces(collection: TrajectoryCollection, split: str, index: int) -> Iterator[Piece]:
    """Pieces that know the frame before them."""
    head: Trajectory | None = None
    before: Trajectory | None = None
    start, total = 0, collection.num_frames(index)
    for frames in pieces(collection, index):
        head = head or frames.frames(0, 1)
        stop = start + frames.num_frames
        yield Piece(frames, start, index, stop == total, head, split, before)
        before, start = frames.frames(frames.num_frames - 1, frames.num_frames), stop
