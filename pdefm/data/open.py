"""The one way in: a file or folder of any known format becomes a collection."""

import re
from pathlib import Path
from typing import Any

from pdefm.data.collection import Concatenation, TrajectoryCollection
from pdefm.data.description import Description
from pdefm.data.formats import FORMATS
from pdefm.errors import DataError, RecipeError
from pdefm.registry import nearest_name_hint

SPLITS = ("train", "valid", "test")
LFS_POINTER = b"version https://git-lfs"


def open_trajectories(
    path: str | Path, format: str = "auto", split: str | None = None, **description: Any
) -> TrajectoryCollection:
    """Open a file, or a folder of files, without reading its fields yet.

    A folder holds files itself, or split folders ``train``, ``valid`` and ``test``, below ``data/``
    or not, as datasets of The Well do. Files are taken in the natural order of their numbers.

    Args:
        path: File or folder.
        format: Name in the table of formats; ``auto`` looks at the content.
        split: ``train``, ``valid`` or ``test``; ``None`` means all that are there.
        description: What the data do not say themselves: ``axes`` (``N T C X Y``), ``names``,
            ``units``, ``dt``, ``extent``, ``boundary``.

    Raises:
        DataError: Missing, damaged or unknown data.
        RecipeError: An option that is unknown or has no meaning for this format.
    """
    path = Path(path).expanduser()
    options = Description.from_options(**description)
    if format != "auto":
        FORMATS[format]  # an unknown name is the user's first error
    if split is not None and split not in SPLITS:
        raise RecipeError("unknown split", got=f"'{split}'", do=nearest_name_hint(split, [*SPLITS]))
    if not path.exists():
        raise DataError(f"{path} does not exist", do="Check the path")
    if path.is_dir():
        files = _files_of_folder(path, split)
        return Concatenation([_open_file(file, format, options) for file in files], path)
    if split is not None:
        raise DataError(
            f"{path} is one file and has no splits",
            got=f"split '{split}'",
            do="Leave out the split",
        )
    return _open_file(path, format, options)


def natural_order(path: Path) -> tuple[list[tuple[int, str]], str]:
    """Sort key that puts ``part_2`` before ``part_10``."""
    pieces = re.findall(r"\d+|\D+", path.name)
    return [(int(p), "") if p.isdigit() else (-1, p) for p in pieces], path.name


def _root_and_splits(folder: Path) -> tuple[Path, list[str]]:
    """Where the split folders (or the files) lie, and which splits there are."""
    root = folder / "data" if (folder / "data").is_dir() else folder
    return root, [name for name in SPLITS if (root / name).is_dir()]


def present_splits(path: str | Path) -> list[str]:
    """Splits that a dataset's folder has; none for a file."""
    return _root_and_splits(Path(path).expanduser())[1]


def _files_of_folder(folder: Path, split: str | None) -> list[Path]:
    root, present = _root_and_splits(folder)
    if split is not None and split not in present:
        raise DataError(
            f"{folder} has no split '{split}'",
            got=f"splits {', '.join(present) or 'none'}",
            do="Open another split, or the folder without a split",
        )
    wanted = present if split is None else [split]
    suffixes = {suffix for name in FORMATS for suffix in FORMATS[name].suffixes}
    files = [
        file
        for place in ([root / name for name in wanted] or [root])
        for file in sorted(place.iterdir(), key=natural_order)
        if file.suffix.lower() in suffixes and not file.name.startswith(".")
    ]
    if not files:
        raise DataError(
            f"{folder} holds no data files",
            got=", ".join(sorted(p.name for p in root.iterdir())[:8]) or "an empty folder",
            do=f"Give a folder with {', '.join(sorted(suffixes))} files or with train, valid, test",
        )
    return files


def _open_file(path: Path, format: str, options: Description) -> TrajectoryCollection:
    try:
        with path.open("rb") as file:
            start = file.read(len(LFS_POINTER))
        if start == LFS_POINTER:
            raise DataError(
                f"{path} is a Git LFS pointer, a text in place of the data",
                do="Fetch the data with 'git lfs pull' or download the file itself",
            )
        if format != "auto":
            return FORMATS[format](path, options)
        for name in FORMATS:
            if FORMATS[name].recognise(path):
                return FORMATS[name](path, options)
    except PermissionError as error:
        raise DataError(
            f"{path} may not be read", got=error.strerror, do="Check who owns it"
        ) from error
    raise DataError(
        f"{path}: no known format recognises it",
        got=f"a file starting with {start[:8]!r}; tried {', '.join(FORMATS)}",
        do="Save it as .npy and say what the axes are, as in --axes 'N T C X Y', or give --format",
    )
