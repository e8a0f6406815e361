"""The index of sharded weights: which files it names, and that they lie beside it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pdefm.errors import ModelError

SUFFIX = ".safetensors"


def _is_cached_blob(path: Path, target: Path) -> bool:
    """True for the Hub cache's own links, ``snapshots/REVISION/FILE -> ../../blobs/HASH``."""
    snapshots = path.parent.parent
    blobs = snapshots.parent / "blobs"
    return snapshots.name == "snapshots" and target.is_relative_to(blobs.resolve())


def shard_files(folder: Path, index: object) -> list[Path]:
    """Files of a shard index, sorted; whether they exist is not asked.

    Args:
        folder: Where the index lies.
        index: Content of ``model.safetensors.index.json``.

    Raises:
        ModelError: Not an index, a name, or a link, that leads out of the folder, or a file that is
            not safetensors.
    """
    weight_map: Any = index.get("weight_map") if isinstance(index, Mapping) else None
    names = set(weight_map.values()) if isinstance(weight_map, Mapping) else set()
    if not names or not all(isinstance(name, str) for name in names):
        raise ModelError(
            f"the shard index in {folder} is damaged",
            got="no 'weight_map' of tensor to file name",
            do="Save the model again",
        )
    for name in sorted(names):
        path = folder / name
        # A backslash separates folders on Windows only, and belongs in no file of a model.
        is_plain = path.name == name and "\\" not in name
        target = path.resolve()
        if not is_plain or not (target.parent == folder.resolve() or _is_cached_blob(path, target)):
            problem = "points outside its folder"
        elif path.suffix != SUFFIX:
            problem = "names a file that is not safetensors"
        else:
            continue
        raise ModelError(
            f"the shard index in {folder} {problem}",
            got=repr(name),
            do="Get the model from a source that you trust, or save it again",
        )
    return [folder / name for name in sorted(names)]
