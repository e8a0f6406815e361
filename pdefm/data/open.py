"""The one way in: a file or folder of any known format becomes a collection."""

import re
from pathlib import Path, PurePath
from typing import Any

from pdefm.data.collection import Concatenation, TrajectoryCollection
from pdefm.data.data_file import follow_data_file
from pdefm.data.description import Description
from pdefm.data.formats import FORMATS
from pdefm.data.formats.probe import data_files, probe
from pdefm.data.formats.probes.zarr_store import is_store
from pdefm.errors import DataError, RecipeError
from pdefm.registry import nearest_name_hint

SPLITS = ("train", "valid", "test")
SPLIT_WORDS = {"train": "train", "valid": "valid", "val": "valid", "test": "test"}
LFS_POINTER = b"version https://git-lfs"


def open_trajectories(
    path: str | Path,
    format: str = "auto",
    split: str | None = None,
    *,
    trust: bool = False,
    **description: Any,
) -> TrajectoryCollection:
    """Open a file, or a folder of files, without reading its fields yet.

    A folder holds files itself, or split folders ``train``, ``valid`` and ``test``, below ``data/``
    or not, as datasets of The Well do. Files are taken in the natural order of their numbers.
    Before anything else opens them, a child process with limits looks into them.

    Args:
        path: File or folder; a YAML file that describes them (:mod:`pdefm.data.data_file`); or a
            place elsewhere, such as ``pde://burgers?seed=1`` or ``hf://datasets/owner/name``.
        format: Name in the table of formats; ``auto`` looks at the content.
        split: ``train``, ``valid`` or ``test``; ``None`` means all that are there.
        trust: Open the files without looking into them first; for files of your own.
        description: What the data do not say themselves: ``axes`` (``N T C X Y``), ``names``,
            ``units``, ``dt``, ``extent``, ``boundary``, ``variables``.

    Raises:
        DataError: Missing, damaged, dangerous or unknown data.
        RecipeError: An option that is unknown or has no meaning for this format.
    """
    path, format, description = follow_data_file(path, format, description)
    options = Description.from_options(**description)
    if format != "auto":
        FORMATS[format]  # an unknown name is the user's first error
    if split is not None and split not in SPLITS:
        raise RecipeError("unknown split", got=f"'{split}'", do=nearest_name_hint(split, [*SPLITS]))
    if elsewhere := _format_elsewhere(str(path), format):
        return _open_elsewhere(path, elsewhere, format, split, trust, options)
    path = Path(path).expanduser()
    if not path.exists():
        raise DataError(f"{path} does not exist", do="Check the path")
    if not trust:
        _probe(path)
    if path.is_dir():
        return _open_folder(path, format, split, options)
    if split is not None:
        raise DataError(
            f"{path} is one file and has no splits",
            got=f"split '{split}'",
            do="Leave out the split",
        )
    return _open_one(path, format, options)


def _format_elsewhere(place: str, format: str) -> str | None:
    """The format of a place that is no path on disk, by the word before ``:/``."""
    word, found, _ = place.partition(":/")
    of_word = next((name for name in FORMATS if found and FORMATS[name].scheme == word), None)
    if format == "auto" or (of_word and FORMATS[of_word].holds_files):
        return of_word
    return format if FORMATS[format].scheme else None


def _open_elsewhere(
    place: str | Path,
    name: str,
    format: str,
    split: str | None,
    trust: bool,
    options: Description,
) -> TrajectoryCollection:
    if FORMATS[name].holds_files:
        inner = "auto" if format == name else format
        collection = FORMATS[name](place, options, format=inner, split=split, trust=trust)
        if format == "auto":
            collection.reason = FORMATS[name].recognise(place)
        return collection
    if split is not None:
        raise RecipeError(
            f"{place} has no split folders",
            got=f"split '{split}'",
            do=f"Say it there, as in {FORMATS[name].scheme}://...?split={split}",
        )
    collection = FORMATS[name](place, options)
    if format == "auto":
        collection.reason = FORMATS[name].recognise(place)
    return collection


def natural_order(path: PurePath) -> tuple[list[tuple[int, str]], str]:
    """Sort key that puts ``part_2`` before ``part_10``."""
    pieces = re.findall(r"\d+|\D+", path.name)
    return [(int(p), "") if p.isdigit() else (-1, p) for p in pieces], path.name


def _root_and_splits(folder: Path) -> tuple[Path, list[str]]:
    """Where the split folders (or the files) lie, and which splits there are."""
    # A store of arrays may well have one that is called data.
    inside = (folder / "data").is_dir() and not is_store(folder)
    root = folder / "data" if inside else folder
    return root, [name for name in SPLITS if (root / name).is_dir()]


def split_in_name(path: PurePath) -> str | None:
    """The split that a file's name tells, as in ``NavierStokes2D_valid_200.h5``."""
    words = re.split(r"[^a-z]+", path.stem.lower())
    found = {SPLIT_WORDS[word] for word in words if word in SPLIT_WORDS}
    return found.pop() if len(found) == 1 else None


def present_splits(path: str | Path, *, trust: bool = False) -> list[str]:
    """Splits that a dataset has: folders, or words in the names of all its files.

    Args:
        path: File or folder.
        trust: Do not look into the files first.

    Raises:
        DataError: A dangerous file.
    """
    path = follow_data_file(path)[0]
    elsewhere = _format_elsewhere(str(path), "auto")
    if elsewhere and FORMATS[elsewhere].holds_files:
        return FORMATS[elsewhere].present_splits(path)
    path = Path(path).expanduser()
    if not path.is_dir():
        return []
    if not trust:
        _probe(path)
    return _splits_of(path)


def _probe(path: Path) -> None:
    """Look into all that the formats may open; what passed once is not looked into again."""
    suffixes = {suffix for name in FORMATS for suffix in FORMATS[name].suffixes}
    probe(data_files(_root_and_splits(path)[0] if path.is_dir() else path, suffixes))


def _splits_of(path: Path) -> list[str]:
    root, folders = _root_and_splits(path)
    if folders or _recognised_whole(root):
        return folders
    named = [split_in_name(file) for file in _data_files(root)]
    return [split for split in SPLITS if split in named] if all(named) else []


def _open_folder(
    folder: Path, format: str, split: str | None, options: Description
) -> TrajectoryCollection:
    root, folders = _root_and_splits(folder)
    present = _splits_of(folder)
    if split is not None and split not in present:
        raise DataError(
            f"{folder} has no split '{split}'",
            got=f"splits {', '.join(present) or 'none'}",
            do="Open another split, or the folder without a split",
        )
    wanted = present if split is None else [split]
    parts: list[TrajectoryCollection] = []
    for place in [root / name for name in wanted if name in folders] or [root]:
        whole = _recognised_whole(place, format)
        if whole:
            parts.append(_open_one(place, whole, options, guessed=format == "auto"))
            continue
        files = _data_files(place)
        if not folders and split is not None:
            files = [file for file in files if split_in_name(file) == split]
        parts.extend(_open_one(file, format, options) for file in files)
    if not parts:
        suffixes = sorted({suffix for name in FORMATS for suffix in FORMATS[name].suffixes})
        raise DataError(
            f"{folder} holds no data files",
            got=", ".join(sorted(p.name for p in root.iterdir())[:8]) or "an empty folder",
            do=f"Give a folder with {', '.join(suffixes)} files or with train, valid, test",
        )
    return parts[0] if len(parts) == 1 and parts[0].path == root else Concatenation(parts, folder)


def _recognised_whole(folder: Path, format: str = "auto") -> str | None:
    """The format that this folder is as a whole, such as a store of chunks or numbered cases."""
    for name in FORMATS if format == "auto" else [format]:
        if FORMATS[name].folders and FORMATS[name].recognise(folder):
            return name
    return None


def _data_files(folder: Path) -> list[Path]:
    """Files (and stores, which are folders) in natural order; downloads may lack a suffix."""
    suffixes = {suffix for name in FORMATS for suffix in FORMATS[name].suffixes}
    stores = {s for name in FORMATS if FORMATS[name].folders for s in FORMATS[name].suffixes}
    return [
        entry
        for entry in sorted(folder.iterdir(), key=natural_order)
        if not entry.name.startswith(".")
        and (
            entry.suffix.lower() in stores
            if entry.is_dir()
            else entry.suffix.lower() in suffixes
            or (entry.suffix == "" and any(FORMATS[n].recognise(entry) for n in FORMATS))
        )
    ]


def _open_one(
    path: Path, format: str, options: Description, guessed: bool = False
) -> TrajectoryCollection:
    start = b""
    try:
        if path.is_file():
            with path.open("rb") as file:
                start = file.read(len(LFS_POINTER))
        if start == LFS_POINTER:
            raise DataError(
                f"{path} is a Git LFS pointer, a text in place of the data",
                do="Fetch the data with 'git lfs pull' or download the file itself",
            )
        if format != "auto" and not guessed:
            return FORMATS[format](path, options)
        for name in [format] if guessed else FORMATS:
            if (path.is_file() or FORMATS[name].folders) and (
                reason := FORMATS[name].recognise(path)
            ):
                collection = FORMATS[name](path, options)
                collection.reason = reason
                return collection
    except PermissionError as error:
        raise DataError(
            f"{path} may not be read", got=error.strerror, do="Check who owns it"
        ) from error
    raise DataError(
        f"{path}: no known format recognises it",
        got=f"a file starting with {start[:8]!r}; tried {', '.join(FORMATS)}",
        do="Say what the axes are, as in --axes 'N T C X Y', or give --format",
    )
