"""What a check is, what it is shown, and what it reports."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any, ClassVar, Literal, TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor

from pdefm.data.collection import TrajectoryCollection
from pdefm.data.trajectory import Trajectory

Severity: TypeAlias = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")
"""Worst first. An error makes training fail or its result worthless, a warning makes it worse, a
note is worth knowing."""
TINY = 1e-30
"""Added to denominators: smaller than the square of anything that float32 data hold."""


EVERY = 4
"""Checks whose sums run over all data look at every fourth frame: neighbours are much alike."""


@dataclass(frozen=True)
class Code:
    """A kind of finding.

    Args:
        severity: How bad it is.
        what: What is wrong.
        do: What to do about it.
        hidden_by: Codes that, found in the same trajectory, explain this one away.
    """

    severity: Severity
    what: str
    do: str
    hidden_by: tuple[str, ...] = ()


BROKEN = ("unreadable", "nonfinite", "all_zero")
"""Codes of trajectories whose other oddities follow from these."""


@dataclass(frozen=True)
class Place:
    """Where something was found; ``None`` and empty text mean all of it."""

    file: str = ""
    trajectory: int | None = None
    frame: int | None = None
    field: str | None = None
    split: str = ""
    number: int | None = None
    """Of the trajectory in its collection; ``trajectory`` counts in its file."""

    def __str__(self) -> str:
        parts = [self.file.rpartition("/")[2]] if self.file else []
        parts = [self.split, *parts] if self.split and not self.file else parts
        for word in ("trajectory", "frame"):
            if (value := getattr(self, word)) is not None:
                parts.append(f"{word} {value}")
        return ", ".join([*parts, *([self.field] if self.field else [])]) or "all data"


@dataclass(frozen=True)
class Finding:
    """Something wrong with the data.

    Args:
        code: Stable; the table of codes is in the module's README.
        severity: ``error``, ``warning`` or ``note``.
        place: The first place where it was found.
        what: What is wrong.
        got: What was found there.
        do: What to do about it.
        num_places: In how many trajectories it was found; 0 if it concerns the data as a whole.
        trajectories: Their numbers in the collection, the first ones of many, by split.
    """

    code: str
    severity: Severity
    place: Place
    what: str
    got: str
    do: str
    num_places: int = 0
    trajectories: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    def where(self) -> str:
        """The first place, and in how many more trajectories it is."""
        more = f" (and in {self.num_places - 1} more)" if self.num_places > 1 else ""
        return f"{self.place}{more}"

    def __str__(self) -> str:
        return f"{self.code}: {self.where()}: {self.what}: got {self.got}. {self.do}"

    def as_json(self) -> dict[str, Any]:
        """Plain values; ``None`` instead of a place means all of them."""
        place = asdict(self.place)
        place["file"], place["split"] = place["file"] or None, place["split"] or None
        del place["number"]
        rest = {key: getattr(self, key) for key in ("what", "got", "do", "num_places")}
        listed = {split or "all": list(numbers) for split, numbers in self.trajectories.items()}
        return {"code": self.code, "severity": self.severity, **place, **rest} | {
            "trajectories": listed
        }


@dataclass(frozen=True)
class Expectations:
    """What the user says that the data must be good for.

    Args:
        patch_size: Of the model; ``None`` means the usual one, as a note.
        history: Frames in; ``None`` means the usual number, as a note.
        horizon: Frames out.
        incompressible: The velocity is said to have no divergence.
        conserved: Fields whose mean over the box must stay.
    """

    patch_size: int | None = None
    history: int | None = None
    horizon: int = 1
    incompressible: bool = False
    conserved: tuple[str, ...] = ()


@dataclass(frozen=True)
class Piece:
    """A few frames of one trajectory, in order.

    Args:
        frames: As read.
        start: Number of the first of them.
        index: Number of the trajectory in its collection.
        last: Whether the trajectory ends here.
        split: Name of the collection; empty if there is one.
        before: The frame before these; ``None`` at the start.
        head: The first frame of the trajectory.
    """

    frames: Trajectory
    start: int
    index: int
    last: bool
    head: Trajectory
    split: str = ""
    before: Trajectory | None = None

    @cached_property
    def points(self) -> Float[Tensor, "time channel point"]:
        """Values inside the domain."""
        fields, mask = self.frames.fields, self.frames.mask
        return fields.flatten(2) if mask is None else fields[:, :, mask]

    @cached_property
    def is_finite(self) -> bool:
        """Whether all of them can be computed with."""
        return bool(torch.isfinite(self.points).all())

    @cached_property
    def filled(self) -> Float[Tensor, "time channel *space"]:
        """Fields with zeros outside the domain."""
        mask = self.frames.mask
        return self.frames.fields if mask is None else torch.where(mask, self.frames.fields, 0.0)

    @cached_property
    def with_before(self) -> Float[Tensor, "time channel point"]:
        """``points`` with the frame before, if there is one."""
        if self.before is None:
            return self.points
        fields, mask = self.before.fields, self.frames.mask
        before = fields.flatten(2) if mask is None else fields[:, :, mask]
        return torch.cat((before, self.points))

    def place(self, frame: int | None = None, channel: int | None = None) -> Place:
        """Where this is; ``frame`` counts from the start of the trajectory."""
        source = self.frames.source
        name = None if channel is None else self.frames.names[channel]
        return Place(source.name, source.index, frame, name, self.split, self.index)


@dataclass(frozen=True)
class Occurrence:
    """One report of a check."""

    code: str
    kind: Code
    place: Place
    got: str


MOST_LISTED = 1000


class Report:
    """What the checks have reported, and which trajectories were bad."""

    def __init__(self) -> None:
        self.occurrences: list[Occurrence] = []

    def add(self, code: str, kind: Code, place: Place, got: str) -> None:
        """Note something, in the order in which it is found."""
        self.occurrences.append(Occurrence(code, kind, place, got))

    def findings(self) -> list[Finding]:
        """One finding a code and field, worst first."""
        seen = {(o.code, o.place.split, o.place.number) for o in self.occurrences}
        groups: dict[tuple[str, str | None], list[Occurrence]] = {}
        for one in self.occurrences:
            where = (one.place.split, one.place.number)
            hidden = one.place.number is not None and any(
                (code, *where) in seen for code in one.kind.hidden_by
            )
            if not hidden:
                groups.setdefault((one.code, one.place.field), []).append(one)
        found = [_as_finding(group) for group in groups.values()]
        return sorted(found, key=lambda finding: SEVERITIES.index(finding.severity))


def _as_finding(group: list[Occurrence]) -> Finding:
    first = group[0]
    listed: dict[str, dict[int, None]] = {}
    for one in group:
        if one.place.number is not None:
            listed.setdefault(one.place.split, {})[one.place.number] = None
    return Finding(
        code=first.code,
        severity=first.kind.severity,
        place=first.place,
        what=first.kind.what,
        got=first.got,
        do=first.kind.do,
        num_places=sum(len(numbers) for numbers in listed.values()),
        trajectories={split: tuple(numbers)[:MOST_LISTED] for split, numbers in listed.items()},
    )


class Check:
    """One theme; a subclass says its ``codes`` and writes what it needs of the methods.

    Args:
        expectations: What the data must be good for.
        report: Where findings go.
        collections: By split; a single one has an empty name.
    """

    codes: ClassVar[Mapping[str, Code]] = {}

    def __init__(
        self,
        expectations: Expectations,
        report: Report,
        collections: Mapping[str, TrajectoryCollection],
    ) -> None:
        self.expectations, self.report, self.collections = expectations, report, collections
        self.prepare()

    def prepare(self) -> None:
        """Set up what is counted."""

    def found(
        self, code: str, place: Place, got: object, *, instead: Severity | None = None
    ) -> None:
        """Report something; ``instead`` of the severity of its code."""
        kind = self.codes[code]
        self.report.add(code, replace(kind, severity=instead or kind.severity), place, str(got))

    def see(self, piece: Piece) -> None:
        """Look at the next frames of a trajectory."""

    def compare(self, piece: Piece) -> None:
        """Look at the next frames of data that are only compared with, such as a test set."""

    def finish(self) -> None:
        """Report what only all of the data together tell."""
