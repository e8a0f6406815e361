"""Any data that can be opened, as files of our own layout: plain float32 that reads fast.

The layout is The Well's HDF5 specification, so that its tools read the result. A killed conversion
goes on where it stopped: each finished file has a note in a hidden folder, and ``manifest.json``,
without which the folder is not complete, is written last.
"""

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from pdefm.data.collection import TrajectoryCollection
from pdefm.data.formats.well_writer import group_vectors, write_well
from pdefm.data.open import open_trajectories, present_splits
from pdefm.data.screening import why_unusable
from pdefm.data.summary import RunningStatistics
from pdefm.data.trajectory import Trajectory
from pdefm.errors import DataError, EnvironmentFault, RecipeError
from pdefm.files import MANIFEST, file_sha256, write_json_atomic, write_manifest, write_text_atomic

RECORD = "conversion.json"
NOTES = ".conversion"
FILE_BYTES = 256 * 2**20
"""Size that a file is filled up to; what it holds is in memory while it is written."""


@dataclass(frozen=True)
class Part:
    """One file to be: its name, its split, and the trajectories of that split that go into it."""

    file: str
    split: str
    indices: tuple[int, ...]


class Conversion:
    """What is to be converted into which files.

    Args:
        path: File, folder or place of any known format.
        out: Folder of the result.
        format: Name in the table of formats, or ``auto``.
        keep_unusable: Write trajectories with NaN and crashed ones too, instead of listing them.
        file_bytes: Size that a file is filled up to.
        overwrite: Remove what ``out`` holds.
        trust: Open the files without looking into them first.
        description: As for ``open_trajectories``.

    Raises:
        DataError: Nothing that can be opened.
        RecipeError: ``out`` holds the unfinished conversion of something else.
        EnvironmentFault: ``out`` holds something else, or cannot be written.
    """

    def __init__(
        self,
        path: str | Path,
        out: str | Path,
        *,
        format: str = "auto",
        keep_unusable: bool = False,
        file_bytes: int = FILE_BYTES,
        overwrite: bool = False,
        trust: bool = False,
        **description: Any,
    ) -> None:
        self.out, self.keep_unusable = Path(out), keep_unusable
        place = Path(path).expanduser()
        splits = present_splits(path, trust=trust)
        self.splits: dict[str, TrajectoryCollection] = {
            split or "train": open_trajectories(
                path, format, split=split, trust=trust, **description
            )
            for split in splits or [None]
        }
        self.name = place.stem if place.is_file() else place.name
        if not place.exists():  # elsewhere; the words of a URI make no file name
            self.name = next(iter(self.splits.values())).name
        self.parts = [
            part
            for split, collection in self.splits.items()
            for part in self._parts_of(split, collection, file_bytes)
        ]
        self.plan = {
            "source": self.name,
            "format": next(iter(self.splits.values())).format,
            "licence": next(iter(self.splits.values())).licence,
            "description": {key: str(value) for key, value in description.items()},
            "keep_unusable": keep_unusable,
            "files": {part.file: [part.split, *part.indices] for part in self.parts},
            "source_files": _fingerprint(place),
        }
        self._prepare(overwrite)

    @property
    def num_trajectories(self) -> int:
        """Trajectories of the source."""
        return sum(len(part.indices) for part in self.parts)

    @property
    def num_done(self) -> int:
        """Trajectories in files that an earlier call finished."""
        return sum(len(part.indices) for part in self.parts if self._note(part).exists())

    def run(self, progress: Callable[[int], None] | None = None) -> dict[str, Any]:
        """Write what is missing, then the record, the statistics and the manifest.

        Args:
            progress: Told how many trajectories have just been dealt with.

        Returns:
            The record: ``files``, ``dropped``, ``statistics``, ``licence`` and the source.

        Raises:
            DataError: Unreadable trajectories, or none that is usable.
            EnvironmentFault: The folder cannot be written.
        """
        for part in self.parts:
            if not self._note(part).exists():
                self._write(part)
                if progress is not None:
                    progress(len(part.indices))
        return self._complete()

    def _parts_of(
        self, split: str, collection: TrajectoryCollection, file_bytes: int
    ) -> list[Part]:
        kinds: dict[object, list[int]] = {}
        for index in range(len(collection)):
            head = collection.read(index, 0, 1)
            kind = (head.grid, head.names, head.units, head.boundary, head.constant_names)
            frames = collection.num_frames(index)
            kinds.setdefault((*kind, tuple(head.parameters), frames), []).append(index)
        chunks: list[Sequence[int]] = []
        for indices in kinds.values():
            head = collection.read(indices[0], 0, 1)
            size = head.fields[0].numel() * 4 * collection.num_frames(indices[0])
            each = max(1, file_bytes // size)
            chunks += [indices[i : i + each] for i in range(0, len(indices), each)]
        return [
            Part(f"data/{split}/{self.name}-{number:05d}.hdf5", split, tuple(chunk))
            for number, chunk in enumerate(chunks)
        ]

    def _note(self, part: Part) -> Path:
        return self.out / NOTES / f"{part.split}-{Path(part.file).stem}.json"

    def _prepare(self, overwrite: bool) -> None:
        plan_path = self.out / NOTES / "plan.json"
        if overwrite and self.out.exists():
            _remove_ours(self.out)
        if (self.out / MANIFEST).exists():
            raise EnvironmentFault(
                f"{self.out} is complete", do="Choose another --out, or pass --overwrite"
            )
        if plan_path.exists():
            known = json.loads(plan_path.read_text())
            for key, value in self.plan.items():
                if known.get(key) != value:
                    raise RecipeError(
                        f"{self.out} holds an unfinished conversion of other data: {key} differs",
                        do="Choose another --out, or pass --overwrite",
                    )
            return
        if self.out.exists() and any(self.out.iterdir()):
            raise EnvironmentFault(f"{self.out} is not empty", do="Choose another --out")
        write_json_atomic(plan_path, self.plan)

    def _write(self, part: Part) -> None:
        collection = self.splits[part.split]
        kept: list[Trajectory] = []
        dropped: list[dict[str, Any]] = []
        for index in part.indices:
            trajectory = collection[index]
            reason = None if self.keep_unusable else why_unusable(trajectory)
            if reason is None:
                kept.append(trajectory)
            else:
                source = trajectory.source
                place = {"source": Path(source.name).name, "index": source.index}
                dropped.append(place | {"reason": reason})
        note: dict[str, Any] = {"split": part.split, "num_trajectories": len(kept)}
        if kept:
            path = self.out / part.file
            path.parent.mkdir(parents=True, exist_ok=True)
            write_well(path, kept, collection.dataset_name() or self.name)
            note |= _describe_file(path, kept)
        write_json_atomic(self._note(part), note | {"dropped": dropped})

    def _complete(self) -> dict[str, Any]:
        notes = {part.file: json.loads(self._note(part).read_text()) for part in self.parts}
        written = {file: note for file, note in notes.items() if note["num_trajectories"]}
        dropped = [entry for note in notes.values() for entry in note["dropped"]]
        if not written:
            raise DataError(
                f"{self.name}: no trajectory is usable",
                got=f"{len(dropped)} dropped, the first because {dropped[0]['reason']}",
                do="Look at them with pdefm data doctor, or pass --keep-unusable",
            )
        statistics = _merge([note["statistics"] for note in written.values()])
        kept = ("source", "format", "licence", "description", "source_files")
        record = {key: self.plan[key] for key in kept} | {
            "files": {
                file: {key: value for key, value in note.items() if key != "dropped"}
                for file, note in written.items()
            },
            "dropped": dropped,
            "statistics": {name: _shown(found) for name, found in statistics.items()},
        }
        write_json_atomic(self.out / RECORD, record)
        first = next(iter(self.splits.values())).read(0, 0, 1)
        stats = _well_statistics(statistics, first)
        write_text_atomic(self.out / "stats.yaml", yaml.safe_dump(stats, sort_keys=False))
        write_manifest(self.out)
        shutil.rmtree(self.out / NOTES)
        return record


def _fingerprint(place: Path) -> dict[str, list[int]]:
    """Size and time of change of every source file, by its name below the source."""
    files = [place] if place.is_file() else sorted(place.rglob("*")) if place.is_dir() else []
    return {
        file.relative_to(place.parent).as_posix(): [file.stat().st_size, file.stat().st_mtime_ns]
        for file in files
        if file.is_file()
    }


def _remove_ours(out: Path) -> None:
    """Remove a conversion, finished or not, and nothing else."""
    if not any((out / name).exists() for name in (MANIFEST, NOTES)):
        if any(out.iterdir()):
            raise EnvironmentFault(f"{out} is not a conversion", do="Choose another --out")
        return
    for name in (MANIFEST, RECORD, "stats.yaml"):
        (out / name).unlink(missing_ok=True)
    for name in (NOTES, "data"):
        shutil.rmtree(out / name, ignore_errors=True)


def _describe_file(path: Path, kept: Sequence[Trajectory]) -> dict[str, Any]:
    values: dict[str, RunningStatistics] = {}
    steps: dict[str, RunningStatistics] = {}
    for trajectory in kept:
        mask = trajectory.mask
        for channel, name in enumerate(trajectory.names):
            field = trajectory.fields[:, channel]
            field = field.flatten(1) if mask is None else field[:, mask]  # [T, points]
            values.setdefault(name, RunningStatistics()).add(field)
            steps.setdefault(name, RunningStatistics()).add(field.diff(dim=0))
    return {
        "sha256": file_sha256(path),
        "shape": list(kept[0].fields.shape),
        "statistics": {
            name: {"values": asdict(values[name]), "steps": asdict(steps[name])} for name in values
        },
    }


def _merge(parts: Sequence[dict[str, Any]]) -> dict[str, dict[str, RunningStatistics]]:
    merged: dict[str, dict[str, RunningStatistics]] = {}
    for part in parts:
        for name, kinds in part.items():
            for kind, numbers in kinds.items():
                into = merged.setdefault(name, {}).setdefault(kind, RunningStatistics())
                into.merge(RunningStatistics(**numbers))
    return merged


def _shown(found: dict[str, RunningStatistics]) -> dict[str, float]:
    values = found["values"]
    return {"mean": values.mean, "std": values.std, "min": values.min, "max": values.max}


def _well_statistics(
    statistics: dict[str, dict[str, RunningStatistics]], first: Trajectory
) -> dict[str, dict[str, Any]]:
    """The content of The Well's ``stats.yaml``: a number a scalar field, a list a vector field."""
    result: dict[str, dict[str, Any]] = {}
    kinds = {"": "values", "_delta": "steps"}
    numbers: dict[str, Callable[[RunningStatistics], float]] = {
        "mean": lambda s: s.mean,
        "std": lambda s: s.std if s.count else 0.0,
        "rms": lambda s: (s.mean**2 + (s.std**2 if s.count else 0.0)) ** 0.5,
    }
    groups = group_vectors(first.names, first.units, first.grid.names)
    for ending, kind in kinds.items():
        for number, of in numbers.items():
            column = result.setdefault(f"{number}{ending}", {})
            for key, channels in groups.items():
                found = [of(statistics[first.names[channel]][kind]) for channel in channels]
                is_vector = key.startswith("t1_fields")
                column[key.partition("/")[2]] = found if is_vector else found[0]
    return result
