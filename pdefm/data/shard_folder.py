"""The folder that shards are written into: what it holds, and when it is complete.

While a set is unfinished, each finished shard has a note in a hidden folder. When the last one is
there, the notes become entries of ``generation.json``, and ``manifest.json`` is written last.
"""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pdefm.data.shards import NOTES, Shard
from pdefm.errors import DataError, EnvironmentFault, RecipeError
from pdefm.files import MANIFEST, file_sha256, write_json_atomic

RECORD = "generation.json"


def read_record(out: Path) -> dict[str, Any]:
    """How each complete file of a folder was made, by its path.

    Raises:
        DataError: Not JSON.
    """
    path = out / RECORD
    try:
        return json.loads(path.read_text()) if path.exists() else {}
    except json.JSONDecodeError as error:
        raise DataError(
            f"{path} is damaged", got=error, do="Delete it and generate the data again"
        ) from error


def is_complete(shards: Sequence[Shard]) -> bool:
    """Whether all files are there and recorded with the same plan, and the manifest was written.

    Notes are dropped after that; another set of the folder may be under way without a manifest.
    """
    out, record = shards[0].out, read_record(shards[0].out)
    recorded = all(
        shard.path.exists() and _plan_of(record.get(shard.file, {}), shard.plan) == shard.plan
        for shard in shards
    )
    return recorded and ((out / MANIFEST).exists() or not _notes(shards[0]))


def _plan_of(entry: dict[str, Any], plan: dict[str, Any]) -> dict[str, Any]:
    return {key: entry[key] for key in plan if key in entry}


def _files_of_set(shard: Shard, folder: Path, suffix: str) -> list[Path]:
    """Files of this family and split, whatever the number of shards was."""
    name = re.compile(rf"{re.escape(shard.pde.name)}(-\d{{5,}})?{re.escape(suffix)}")
    return sorted(path for path in folder.glob(f"*{suffix}") if name.fullmatch(path.name))


def check_not_taken(shards: Sequence[Shard]) -> None:
    """Refuse to mix with a complete set, with other settings or with unknown files.

    Raises:
        RecipeError: The folder holds the family with other settings.
        EnvironmentFault: It holds the complete set, or a file that is not ours.
    """
    first = shards[0]
    record = read_record(first.out)
    plans = [json.loads(path.read_text())["plan"] for path in _notes(first)]
    taken = _files_of_set(first, first.path.parent, ".hdf5")
    plans += [_plan_of(record[s], first.plan) for path in taken
              if (s := path.relative_to(first.out).as_posix()) in record]  # fmt: skip
    for plan in plans:
        for key, value in first.plan.items():
            if plan.get(key) != value:
                there = _difference(plan.get(key), value)
                raise RecipeError(
                    f"{first.out} holds {first.pde.name} with other settings: {key} is {there}"
                    " there",
                    got=_difference(value, plan.get(key)),
                    do="Choose another --out, or pass --overwrite to replace the data",
                )
    noted = {path.stem for path in _notes(first)}
    for path in taken:
        if path.stem not in noted:
            raise EnvironmentFault(
                f"{path} already exists",
                do="Pass --overwrite to replace it, or choose another --out",
            )


def _difference(value: Any, other: Any) -> Any:
    """Only the part of a value that differs from another."""
    if isinstance(value, dict) and isinstance(other, dict):
        return {key: v for key, v in value.items() if other.get(key) != v}
    return value


def _notes(shard: Shard) -> list[Path]:
    return _files_of_set(shard, shard.note_path.parent, ".json")


def prepare(shards: Sequence[Shard]) -> None:
    """Remove what says that the set is complete, and what a killed run left half-written."""
    first = shards[0]
    (first.out / MANIFEST).unlink(missing_ok=True)
    record = read_record(first.out)
    names = {path.relative_to(first.out).as_posix()
             for path in _files_of_set(first, first.path.parent, ".hdf5")}  # fmt: skip
    if names & record.keys():
        kept = {file: entry for file, entry in record.items() if file not in names}
        write_json_atomic(first.out / RECORD, kept)
    current = {shard.note_path for shard in shards}
    for path in _notes(first):
        if path not in current:
            path.unlink()
    written = [path for shard in shards for path in (shard.path, shard.note_path)]
    for path in [*written, first.out / RECORD, first.out / MANIFEST]:
        for partial in path.parent.glob(f".*{path.name}.*.partial"):
            partial.unlink(missing_ok=True)


def complete(shards: Sequence[Shard]) -> None:
    """Record how the files were made, then write the manifest, then drop the notes."""
    first = shards[0]
    entries = {}
    for shard in shards:
        note = json.loads(shard.note_path.read_text())
        entries[shard.file] = note.pop("plan") | {"shard": shard.number} | note
    for path in _files_of_set(first, first.path.parent, ".hdf5"):
        if path.relative_to(first.out).as_posix() not in entries:
            path.unlink()  # of the set that this one replaces
    record = read_record(first.out) | entries
    write_json_atomic(first.out / RECORD, record)
    hashes = {file: entry["sha256"] for file, entry in record.items() if "sha256" in entry}
    hashes[RECORD] = file_sha256(first.out / RECORD)
    files = dict(sorted(hashes.items()))
    write_json_atomic(first.out / MANIFEST, {"schema": 1, "files": files})
    for path in _notes(first):
        path.unlink()
    for folder in (first.note_path.parent, first.out / NOTES):
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
