"""The card of a dataset: what it holds, in numbers that are read from its files."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pdefm.data.collection import TrajectoryCollection
from pdefm.data.statistics import each_trajectory
from pdefm.data.summary import RunningStatistics
from pdefm.data.trajectory import Boundary, Trajectory
from pdefm.hub.card import MARKER
from pdefm.hub.template import render_template

TAGS = ("pde", "pdefm", "physics", "partial-differential-equations")
SIZES = ((10**3, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K"), (10**6, "100K<n<1M"))
SAMPLE = 256
"""Trajectories that stand for all where parameters are listed."""


@dataclass(frozen=True)
class DataFacts:
    """What a card is made of.

    Args:
        repository: Hub id.
        splits: Trajectories of each split; the only key is empty if there are none.
        licence: Hub id of the licence.
        record: Content of ``conversion.json`` or ``generation.json``.
        is_generated: Which of the two it is.
    """

    repository: str
    splits: Mapping[str, TrajectoryCollection]
    licence: str
    record: Mapping[str, Any]
    is_generated: bool


def size_category(count: int) -> str:
    """The Hub's word for so many trajectories."""
    return next((word for limit, word in SIZES if count < limit), "1M<n<10M")


def render_data_card(facts: DataFacts, picture: str) -> str:
    """Markdown of a dataset card, with metadata that the Hub accepts.

    Args:
        facts: What to describe.
        picture: Name of the picture beside the card.
    """
    from huggingface_hub import DatasetCardData

    name = facts.repository.rpartition("/")[2]
    counts = {split or "train": len(found) for split, found in facts.splits.items()}
    metadata = DatasetCardData(
        license=facts.licence,
        tags=list(TAGS),
        task_categories=["time-series-forecasting"],
        size_categories=[size_category(sum(counts.values()))],
        pretty_name=name,
        viewer=False,  # it shows tables, not HDF5
    )
    return (
        render_template(
            "data_card.md.jinja",
            metadata=metadata.to_yaml(),
            marker=MARKER,
            name=name,
            introduction=_introduction(facts),
            picture=picture,
            picture_text="A few frames of the first trajectory",
            repository=facts.repository,
            split=next(iter(facts.splits), ""),
            splits=counts,
            kinds=_kinds(facts.splits.values()),
            fields=_fields(facts),
            parameters=_parameters(facts.splits.values()),
            dropped=[] if facts.is_generated else list(facts.record.get("dropped", [])),
            origin=_origin(facts),
        ).rstrip()
        + "\n"
    )


def _introduction(facts: DataFacts) -> str:
    if facts.is_generated:
        return (
            f"Solutions of {_families(facts.record)}, computed by the solvers of pdefm; the same "
            "seed gives the same numbers."
        )
    return f"Trajectories converted by pdefm from `{facts.record['source']}`, in physical units."


def _families(record: Mapping[str, Any]) -> str:
    names = {file.rpartition("/")[2].partition("-")[0].removesuffix(".hdf5") for file in record}
    return ", ".join(sorted(name.replace("_", " ") for name in names))


def _kinds(collections: Sequence[TrajectoryCollection] | Any) -> list[tuple[str, ...]]:
    """A row for each kind of trajectory, those of all splits together."""
    rows: dict[tuple[str, ...], None] = {}
    for collection in collections:
        for group in collection.groups():
            frames = collection.num_frames(group[0])
            head = collection.read(group[0], 0, 1)
            last = collection.read(group[0], frames - 1, frames)
            span = float(last.times[0] - head.times[0])
            rows[_kind(head, frames, span)] = None
    return list(rows)


def _kind(head: Trajectory, frames: int, span: float) -> tuple[str, ...]:
    grid = head.grid
    return (
        ", ".join((*head.names, *(f"{name} (constant)" for name in head.constant_names))),
        " x ".join(map(str, grid.shape)) + ("" if head.mask is None else ", with a mask"),
        " x ".join(f"{length:.6g}" for length in grid.extent),
        str(frames),
        "steady" if frames < 2 else f"{span / (frames - 1):.6g}",
        _boundary_words(head.boundary),
    )


def _boundary_words(boundary: Boundary) -> str:
    sides = [str(a) if a is b else f"{a}/{b}" for a, b in boundary]
    return sides[0] if len(set(sides)) == 1 else " x ".join(sides)


def _fields(facts: DataFacts) -> list[tuple[str, ...]]:
    units: dict[str, str] = {}
    for collection in facts.splits.values():
        for group in collection.groups():
            head = collection.read(group[0], 0, 1)
            units |= dict(zip(head.names, head.units, strict=True))
    known = facts.record.get("statistics") if not facts.is_generated else None
    numbers = known or _measured(facts.splits.values())
    columns = ("mean", "std", "min", "max")
    return [
        (name, units.get(name, "unknown"), *(f"{found[column]:.4g}" for column in columns))
        for name, found in numbers.items()
    ]


def _measured(collections: Any) -> dict[str, dict[str, float]]:
    total: dict[str, RunningStatistics] = {}
    for collection in collections:
        for found in each_trajectory(collection, len(collection)):
            for name, part in found.items():
                total.setdefault(name, RunningStatistics()).merge(part)
    return {
        name: {"mean": found.mean, "std": found.std, "min": found.min, "max": found.max}
        for name, found in total.items()
    }


def _parameters(collections: Any) -> list[tuple[str, str, str]]:
    ranges: dict[str, list[float]] = {}
    for collection in collections:
        for index in range(0, len(collection), max(1, len(collection) // SAMPLE)):
            for name, value in collection.read(index, 0, 1).parameters.items():
                least, largest = ranges.get(name, [value, value])
                ranges[name] = [min(least, value), max(largest, value)]
    return [(name, f"{least:.6g}", f"{largest:.6g}") for name, (least, largest) in ranges.items()]


def _origin(facts: DataFacts) -> dict[str, str]:
    if facts.is_generated:
        return {"source": f"pdefm's solver of {_families(facts.record)}", "licence": facts.licence}
    record = facts.record
    return {
        "source": f"`{record['source']}`, read as format `{record['format']}`",
        "licence of the source": record.get("licence") or "not recorded",
        "licence of this dataset": facts.licence,
    }
