"""What a published folder says of its training: ``training.json``, made from the run folder.

::

    recipe       resolved, without paths of the machine
    datasets     name, origin, licence
    seconds      spent in training steps, all processes together
    steps, samples_seen, world_size, hardware, versions, commit, command
"""

import json
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from pdefm.config import section_from_dict
from pdefm.data.convert import RECORD as CONVERSION
from pdefm.data.shard_folder import RECORD as GENERATION
from pdefm.data.source import SourceSection
from pdefm.errors import PdefmError
from pdefm.hub.folder import read_json
from pdefm.progress import duration
from pdefm.yaml_text import parse_yaml

OURS = "solved by pdefm, Apache-2.0"
UNKNOWN = "not recorded"
ABSOLUTE_PATH = re.compile(r"""(?:(?<=^)|(?<=[\s"'=]))(?:~|[A-Za-z]:)?[/\\](?:[^\s"'/\\]+[/\\])*""")
KEPT = ("commit", "command", "created", "versions", "hardware", "world_size")


def without_paths(value: Any) -> Any:
    """The same with every absolute path reduced to its last part, in nested values too."""
    if isinstance(value, str):
        return ABSOLUTE_PATH.sub("", value)
    if isinstance(value, Mapping):
        return {key: without_paths(inner) for key, inner in value.items()}
    if isinstance(value, Sequence):
        return [without_paths(inner) for inner in value]
    return value


def _origin(source: Mapping[str, Any]) -> tuple[str, str]:
    """Where a source of a recipe comes from, and its licence."""
    for way in ("generate", "online"):
        if solved := source.get(way):
            return f"{solved['family']}, {way}, seed {solved['seed']}", OURS
    path = str(source.get("path") or UNKNOWN)
    return (path if path.startswith("hf://") else Path(path).name), _licence(source)


def _licence(source: Mapping[str, Any]) -> str:
    """What the record beside the data says, or the data's publisher, if they can be opened."""
    folder = Path(str(source.get("path"))).expanduser()
    if (folder / GENERATION).is_file():
        return OURS
    try:
        if (folder / CONVERSION).is_file():
            return str(read_json(folder / CONVERSION).get("licence") or UNKNOWN)
        return section_from_dict(SourceSection, dict(source)).open("train").licence or UNKNOWN
    except PdefmError:  # gone, damaged, or on a disk of another machine
        return UNKNOWN


def _journal(path: Path) -> list[dict[str, Any]]:
    """Lines of ``metrics.jsonl``; one that a kill has cut is left out."""
    lines = []
    for text in path.read_text(encoding="utf-8").splitlines() if path.is_file() else []:
        with suppress(json.JSONDecodeError):
            lines.append(json.loads(text))
    return lines


def _seconds(lines: Sequence[Mapping[str, Any]]) -> float:
    """Time in training steps, from samples and their rate between the lines of the journal."""
    total, before = 0.0, 0
    for line in lines:
        if line.get("samples_per_second"):
            total += max(line["samples_seen"] - before, 0) / line["samples_per_second"]
            before = line["samples_seen"]
    return total


def training_record(run: Path) -> dict[str, Any]:
    """Content of ``training.json`` of a run.

    Raises:
        ModelError: ``environment.json`` cannot be read.
    """
    recipe = parse_yaml((run / "recipe.yaml").read_text(encoding="utf-8"), str(run))
    path = run / "environment.json"
    environment = read_json(path) if path.is_file() else {}
    lines = _journal(run / "metrics.jsonl")
    seen = [line["samples_seen"] for line in lines if "samples_seen" in line]
    datasets = []
    for source in recipe.get("data", {}).get("sources", []):
        origin, licence = _origin(source)
        datasets.append({"name": source["name"], "origin": origin, "licence": licence})
    return without_paths(
        {
            "recipe": recipe,
            "datasets": datasets,
            "seconds": round(_seconds(lines), 1),
            "steps": max((line["step"] for line in lines), default=0),
            "samples_seen": max(seen, default=0),
            **{key: environment[key] for key in KEPT if key in environment},
        }
    )


def training_facts(record: Mapping[str, Any]) -> dict[str, str]:
    """Time, hardware and samples of a training, as label and text."""
    hardware = record.get("hardware") or {}
    world, gpus = record.get("world_size", 1), hardware.get("gpus") or []
    machine = ", ".join(gpus) if gpus else f"{hardware.get('machine', UNKNOWN)} CPU"
    threads = "" if gpus else f", {hardware.get('threads', '?')} threads"
    return {
        "time in training steps": duration(record["seconds"]),
        "hardware": f"{world} process{'es' if world > 1 else ''} on {machine}{threads}",
        "samples seen": f"{record['samples_seen']:,} in {record['steps']:,} steps",
        "energy and carbon": "not metered; time and hardware above bound them",
        "commit": record.get("commit") or UNKNOWN,
    }


def dataset_rows(record: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Name, origin and licence of every dataset."""
    return [(each["name"], each["origin"], each["licence"]) for each in record["datasets"]]
