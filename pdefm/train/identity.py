"""What a checkpoint was made with, and what of it a resume may not change silently."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from pdefm.config import Section
from pdefm.data.source import SourceSection
from pdefm.errors import DataError, ModelError
from pdefm.files import listed_files
from pdefm.provenance import commit, package_versions
from pdefm.train import ranks
from pdefm.train.data import OpenedSource

EDGE_BYTES = 4096
Files = dict[str, list[Any]]


def identity(
    recipe: Section, sections: Sequence[SourceSection], sources: Sequence[OpenedSource]
) -> dict[str, Any]:
    """What decides the numbers of a run, as plain values.

    Args:
        recipe: Resolved.
        sections: Sources of the recipe.
        sources: The same, opened.
    """
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
    return {
        "recipe": recipe.model_dump(mode="json"),
        "data": {
            section.name: fingerprint(section, source)
            for section, source in zip(sections, sources, strict=True)
        },
        "world_size": ranks.num_ranks(),
        "threads": torch.get_num_threads(),
        "device": device,
        "versions": package_versions(),
        "commit": commit(),
    }


def fingerprint(section: SourceSection, source: OpenedSource) -> Files:
    """Size, time of change, and a hash of both ends of every file of a source."""
    if section.path is not None:
        places = [Path(section.path)]
    else:
        places = [source.train.path, source.valid.path]
    found: Files = {}
    for place in dict.fromkeys(places):
        if not place.exists():  # solved while training, or no path on disk
            continue
        files = [place] if place.is_file() else [place / name for name in listed_files(place)]
        for file in files:
            state = file.stat()
            name = file.relative_to(place.parent).as_posix()
            found[name] = [state.st_size, state.st_mtime_ns, _ends(file, state.st_size)]
    return found


def _ends(file: Path, size: int) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as opened:
        digest.update(opened.read(EDGE_BYTES))
        opened.seek(max(0, size - EDGE_BYTES))
        digest.update(opened.read(EDGE_BYTES))
    return digest.hexdigest()[:16]


def compare(old: dict[str, Any], new: dict[str, Any], where: str) -> list[str]:
    """Differences that a resume may go over, in words.

    Args:
        old: Of the checkpoint.
        new: Of this process.
        where: Name of the checkpoint.

    Raises:
        DataError: The data are others.
        ModelError: The checkpoint says nothing of its data.
    """
    if not {"recipe", "data", "world_size", "threads", "device", "versions"} <= old.keys():
        raise ModelError(f"{where} does not say what it was made with")
    notes = [note for name in new["data"] for note in _data_notes(name, old, new, where)]
    before, now = old["world_size"], new["world_size"]
    if before != now:
        notes.append(
            f"{before} -> {now} processes: the same samples in the same order, equal losses up to"
            " rounding, not bitwise"
        )
    for key, what in {"threads": "threads", "device": "device", "commit": "commit"}.items():
        if old.get(key) != new[key]:
            notes.append(f"{what} {old.get(key)} -> {new[key]}: not bitwise")
    for package in sorted(old["versions"].keys() | new["versions"].keys()):
        pair = old["versions"].get(package), new["versions"].get(package)
        if pair[0] != pair[1]:
            notes.append(f"{package} {pair[0]} -> {pair[1]}: not bitwise")
    return notes


def _data_notes(name: str, old: dict[str, Any], new: dict[str, Any], where: str) -> list[str]:
    before, now = old["data"].get(name, {}), new["data"][name]
    change = _first_change(before, now)
    solved = any(
        source["name"] == name and source.get("path") is None
        for source in new["recipe"]["data"]["sources"]
    )
    if change and solved:
        return [f"{name} was solved again: {change}"]
    if change:
        raise DataError(
            f"the data of source '{name}' changed since {where}",
            got=change,
            do="Put the old files back, or start anew with another --out or --overwrite",
        )
    touched = [file for file in now if before[file][1] != now[file][1]]
    return [f"{touched[0]} of {name} was written again, of the same size"] if touched else []


def _first_change(before: Files, now: Files) -> str:
    if gone := sorted(before.keys() - now.keys()):
        return f"{gone[0]} is gone"
    if added := sorted(now.keys() - before.keys()):
        return f"{added[0]} is new"
    for file in sorted(now):
        if before[file][0] != now[file][0]:
            return f"{file} with {now[file][0]:,} bytes instead of {before[file][0]:,}"
        if before[file][2] != now[file][2]:
            return f"{file} with another content"
    return ""
